// The keyboard on the map: arrows, plus, minus and 0 move it; Enter picks the picture nearest to the middle, Escape
// picks none.

import { panBy, showWholeMap, zoomBy } from "./moving.js";
import { pick } from "./picked.js";
import { nearestTo } from "./picking.js";
import { size } from "./view.js";

const ZOOM = 1.4;
const STEPS = 8; // across the shorter side of the canvas

const ACTIONS = {
  ArrowLeft: (step) => panBy(step, 0),
  ArrowRight: (step) => panBy(-step, 0),
  ArrowUp: (step) => panBy(0, step),
  ArrowDown: (step) => panBy(0, -step),
  "+": () => zoomBy(ZOOM),
  "=": () => zoomBy(ZOOM),
  "-": () => zoomBy(1 / ZOOM),
  0: () => showWholeMap(),
  Enter: () => pick(nearestTo(size.width / 2, size.height / 2, Math.max(size.width, size.height))),
  Escape: () => pick(-1),
};

export function startKeyboard(canvas) {
  canvas.addEventListener("keydown", (event) => {
    const act = ACTIONS[event.key];
    if (!act || event.altKey || event.ctrlKey || event.metaKey) return;
    act(Math.min(size.width, size.height) / STEPS);
    event.preventDefault();
  });
}
