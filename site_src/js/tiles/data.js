// What the tiles of a page show, from a script that several pages share or from an attribute of the page's own, and
// squares drawn over a picture.
//
// The data: {side: of the input in px, of a rectangle [height, width], panels, labels, pictures, without, optimised,
// rows}. A row is [field, tiles]:
// field = [size, stride, start, around], px of the input, around: how far ground reaches beyond the picture;
// tile = [picture, activation, row, column, label], followed, where it is cut to its focus, by the row, column and side
// of that square in px of the picture.

import { readJson, svgElement } from "../dom.js";
import { labelsOfPage } from "../labels.js";
import { sharedTiles } from "../site.js";

const parsed = new WeakMap();

/** The data of the section that holds the element, or of the page; null where there is none. */
export function tileData(holder) {
  const section = holder.closest(".claim");
  if (!section) return sharedTiles ?? ownTiles();
  const script = section.querySelector("script.tiles");
  if (script && !parsed.has(script)) parsed.set(script, readJson(script));
  return parsed.get(script) ?? null;
}

// The data of a channel's tiles that stand on no other page: the attribute has numbers alone, the page says the rest.
function ownTiles() {
  const main = document.getElementById("main");
  const { layer, nine } = main.dataset;
  if (!nine) return null;
  if (!parsed.has(main)) {
    const [side, pictures, field, tiles, without] = JSON.parse(nine);
    const labels = labelsOfPage();
    const captions = document.querySelectorAll('.panels > [class*=" p"] > figcaption');
    const panels = Array.from(captions, (caption) => caption.textContent);
    parsed.set(main, { side, pictures, without, labels, panels, rows: { [layer]: [field, tiles] } });
  }
  return parsed.get(main);
}

/** The layer whose tiles an element holds: the one that it names, or the page's own. */
export function layerOf(holder) {
  return holder.dataset.row || document.getElementById("main").dataset.layer;
}

/** Whether the site holds the whole picture. */
export function isPublished(data, picture) {
  return Boolean(data.pictures) && !(data.without ?? []).includes(picture);
}

/** Whether a receptive field of this size is larger than the picture's shorter side: its tiles show whole pictures. */
export function isWiderThanInput(data, size) {
  return size > Math.min(...[data.side].flat());
}

/** Squares [left, top, side] in px of the input, whose side (or [height, width]) is given, to be laid over a square
 * that holds the picture in its middle, with `around` px of ground on each side. The first has a solid line. */
export function drawnSquares(side, squares, around = 0) {
  const [height, width = height] = [side].flat();
  const longer = Math.max(height, width);
  const start = (length) => -around - Math.floor((longer - length) / 2);
  const whole = longer + 2 * around;
  const paths = squares.map(([left, top, width], number) =>
    svgElement("path", { ...(number && { class: "o" }), d: `M${left} ${top}h${width}v${width}h-${width}z` }),
  );
  const viewBox = [start(width), start(height), whole, whole].join(" ");
  return svgElement("svg", { viewBox, class: "mark", "aria-hidden": "true" }, paths);
}

/** The square that is drawn on a tile's whole picture: the unit's receptive field; where this is larger than the input,
 * the unit's place says more. */
export function shownSquare(data, field, tile) {
  return isWiderThanInput(data, field[0]) ? unitSquare(field, tile) : fieldSquare(field, tile);
}

/** The square [left, top, side] of the input for which a unit stands in its feature map. */
export function unitSquare([, stride, start], [, , row, column]) {
  // Pixel 0 reaches from 0 to 1 in a drawing: its middle lies at 0.5.
  const place = (position) => start + position * stride + 0.5 - stride / 2;
  return [place(column), place(row), stride];
}

/** The square [left, top, side] of the picture to which a tile is cut; null where it is not cut to its focus. */
export function focusSquare([, , , , , top, left, side]) {
  return side ? [left, top, side] : null;
}

// The square [left, top, side] of a unit's receptive field.
function fieldSquare([size, stride, start], [, , row, column]) {
  const place = (position) => roundHalfToEven(start + position * stride - (size - 1) / 2);
  return [place(column), place(row), size];
}

// As Python rounds, which cut the tiles.
function roundHalfToEven(x) {
  const near = Math.round(x);
  return Math.abs(x % 1) === 0.5 && near % 2 ? near - 1 : near;
}
