// Thumbnails: which dots become one where there is room, and the sheet that holds them.

import { root } from "../site.js";
import { NONE, pictures } from "./data.js";
import { layout, standsOut, state } from "./state.js";
import { scale, size, view } from "./view.js";

let sheet = null;

/** Load the sheet of thumbnails, where the map has one. */
export function loadSheet(onLoad) {
  if (!pictures.sheet) return;
  sheet = new Image();
  sheet.addEventListener("load", onLoad);
  sheet.src = `${root}${pictures.model}/map/thumbs.webp`;
}

function isLoaded() {
  return Boolean(sheet?.complete && sheet.naturalWidth);
}

export function hasThumbnail(picture) {
  return isLoaded() && pictures.thumbOf[picture] !== NONE;
}

/** Draw a picture's thumbnail with its upper left corner at (x, y). */
export function drawThumbnail(context, picture, x, y, side) {
  const { tile, columns } = pictures.sheet;
  const number = pictures.thumbOf[picture];
  const left = (number % columns) * tile;
  const top = Math.floor(number / columns) * tile;
  context.drawImage(sheet, left, top, tile, tile, x, y, side, side);
}

/** The thumbnails at this zoom: {side: in CSS pixels, shown: the pictures}. They are chosen for steps of the zoom and
 * for the whole map, so that none comes or goes while the map is moved. */
export function thumbnails() {
  if (!isLoaded()) return { side: 0, shown: [] };
  const zoomStep = Math.round(Math.log2(view.zoom) * 3) / 3;
  const zoom = 2 ** zoomStep;
  const { kind, value } = state.filter ?? {};
  const key = [zoomStep, Math.round(size.width), Math.round(size.height), kind, value].join(" ");
  const kept = layout().thumbnails;
  if (kept?.key === key) return kept;
  const side = Math.round(Math.min(72, 30 * zoom ** 0.3) * (size.width < 600 ? 0.8 : 1));
  const shown = withRoom((side * 1.3 * view.zoom) / zoom / scale());
  layout().thumbnails = { key, side, shown };
  return layout().thumbnails;
}

// Pictures in their mixed order, each unless one before it lies closer than the room, across and down. They are kept by
// cells as large as the room, so that only the nine cells around a picture are looked through.
function withRoom(room) {
  const { x, y } = layout();
  const taken = new Map();
  const cellKey = (row, column) => row * 100000 + column;
  const isClose = (a, b) => Math.abs(x[a] - x[b]) < room && Math.abs(y[a] - y[b]) < room;
  const isFree = (picture, row, column) => {
    for (let dy = -1; dy <= 1; dy++) {
      for (let dx = -1; dx <= 1; dx++) {
        const others = taken.get(cellKey(row + dy, column + dx));
        if (others?.some((other) => isClose(other, picture))) return false;
      }
    }
    return true;
  };
  const shown = [];
  for (const picture of pictures.order) {
    if (pictures.thumbOf[picture] === NONE || !standsOut(picture)) continue;
    const column = Math.floor(x[picture] / room);
    const row = Math.floor(y[picture] / room);
    if (!isFree(picture, row, column)) continue;
    const own = cellKey(row, column);
    if (taken.has(own)) taken.get(own).push(picture);
    else taken.set(own, [picture]);
    shown.push(picture);
  }
  return shown;
}
