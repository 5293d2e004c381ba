// What a tile shows: label, activation, position, and the whole picture with the receptive field drawn on it.

import { element } from "../dom.js";
import { model, root } from "../site.js";
import { drawnSquares, focusSquare, isPublished, isWiderThanInput, layerOf, shownSquare, tileData } from "./data.js";

/** What is known of a tile; null where the page says nothing of it. */
export function describeTile(tile) {
  const holder = tile.closest("[data-row]");
  const data = tileData(holder);
  const layer = layerOf(holder);
  const row = data?.rows[layer];
  if (!row) return null;
  const [field, tiles] = row;
  const place = Array.from(tile.parentElement.children).indexOf(tile);
  const record = tiles[place];
  const [picture, activation, mapRow, column, label] = record;
  const focus = focusSquare(record);
  const around = shownSquare(data, field, record);
  const aroundText = isWiderThanInput(data, field[0]) ? "the unit's place" : `receptive field of ${field[0]} px`;
  return {
    tile,
    holder,
    k: place + 1,
    count: tiles.length,
    layer,
    channel: holder.dataset.channel || channelOfPage(),
    picture,
    label: data.labels[label] || "",
    place: `${activation} act. · row ${mapRow}, column ${column} · picture ${picture}`,
    panels: tile.matches(".whole, #whole *") ? [] : data.panels, // a whole picture has no others
    sprite: tile.querySelector("img")?.src ?? "",
    side: data.side,
    squares: focus ? [focus, around] : [around],
    squaresText: (focus ? `the focus of ${focus[2]} px; dashed: ` : "") + aroundText,
    wholePicture: isPublished(data, picture) ? `${root}${model}/pictures/${picture}.webp` : "",
  };
}

/** The whole picture with the tile's focus, and the receptive field or the unit's place, drawn on it. */
export function markedPicture({ wholePicture, picture, side, squares }) {
  const image = element("img", { src: wholePicture, alt: `picture ${picture}` });
  return element("span", { class: "whole" }, [image, drawnSquares(side, squares)]);
}

/** Label, activation and position as a paragraph. */
export function descriptionText({ label, place }) {
  return element("p", {}, label ? [element("b", { text: label }), " · ", place] : [place]);
}

function channelOfPage() {
  return location.pathname.replace(/.*\//, "").replace(".html", "");
}
