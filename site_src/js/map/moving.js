// Moving the map: each movement is drawn at once, and written into the address when it is over.

import { saveAddressLater } from "./address.js";
import { redraw } from "./drawing.js";
import { enlarge, lookAtWholeMap, shift, size } from "./view.js";

function moved() {
  redraw();
  saveAddressLater();
}

/** Zoom by a factor around a place of the canvas, its middle unless one is given. */
export function zoomBy(factor, x = size.width / 2, y = size.height / 2) {
  enlarge(factor, x, y);
  moved();
}

export function panBy(dx, dy) {
  shift(dx, dy);
  moved();
}

export function showWholeMap() {
  lookAtWholeMap();
  moved();
}
