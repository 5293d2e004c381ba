// Which part of the map the canvas shows. Places on the map are in its own units, places on the canvas in CSS pixels.

import { layout, state } from "./state.js";

const FARTHEST_ZOOM = 0.8;
const NEAREST_ZOOM = 400;
const MARGIN = 28; // px around the whole map

export const view = { x: 0, y: 0, zoom: 1 }; // its middle, and its size against the whole map's
export const size = { width: 0, height: 0, ratio: 1 }; // of the canvas, and device pixels in a CSS pixel

/** CSS pixels in a unit of the map. */
export function scale() {
  const { width, height } = layout();
  const across = (size.width - 2 * MARGIN) / Math.max(width, 1e-6);
  const down = (size.height - 2 * MARGIN) / Math.max(height, 1e-6);
  return Math.min(across, down) * view.zoom;
}

export function isFarthest() {
  return view.zoom <= FARTHEST_ZOOM;
}

export function isWholeMap() {
  const { width, height } = layout();
  return view.zoom === 1 && Math.abs(view.x - width / 2) <= 1e-6 && Math.abs(view.y - height / 2) <= 1e-6;
}

/** Show the part around (x, y), which is kept on the map. */
export function lookAt(x, y, zoom = view.zoom) {
  const { width, height } = layout();
  view.zoom = Math.max(FARTHEST_ZOOM, Math.min(NEAREST_ZOOM, zoom));
  view.x = Math.max(0, Math.min(width, x));
  view.y = Math.max(0, Math.min(height, y));
}

export function lookAtWholeMap() {
  const { width, height } = layout();
  lookAt(width / 2, height / 2, 1);
}

/** Enlarge by a factor; the place below (x, y) of the canvas stays there. */
export function enlarge(factor, x, y) {
  const before = scale();
  lookAt(view.x, view.y, view.zoom * factor);
  const gain = 1 / before - 1 / scale();
  lookAt(view.x + (x - size.width / 2) * gain, view.y + (y - size.height / 2) * gain);
}

/** Move the map by pixels of the canvas. */
export function shift(dx, dy) {
  lookAt(view.x - dx / scale(), view.y - dy / scale());
}

/** Where a picture lies on the canvas, also while it moves between two layouts. */
export function onCanvas(picture) {
  const { from, moved } = state;
  const { x, y } = layout();
  const between = (start, end) => start + (end - start) * moved;
  const mapX = from ? between(from.x[picture], x[picture]) : x[picture];
  const mapY = from ? between(from.y[picture], y[picture]) : y[picture];
  const pixels = scale();
  return { x: size.width / 2 + (mapX - view.x) * pixels, y: size.height / 2 + (mapY - view.y) * pixels };
}

/** Which place of the map lies below (x, y) of the canvas. */
export function onMap(x, y) {
  const pixels = scale();
  return { x: view.x + (x - size.width / 2) / pixels, y: view.y + (y - size.height / 2) / pixels };
}
