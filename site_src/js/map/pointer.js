// Mouse, pen and fingers on the map: pointing, picking, dragging, pinching, and the wheel.

import { hideCard, isCardShown, showCard } from "./card.js";
import { panBy, zoomBy } from "./moving.js";
import { pick } from "./picked.js";
import { pictureAt } from "./picking.js";
import { state } from "./state.js";
import { isFarthest } from "./view.js";

const REACH = 9; // px from a dot
const FINGER_REACH = 20;
const STILL = 4; // px: a pointer that moved less than this picks
const LINE = 16; // px in a line of the wheel
const WHEEL_RATE = 0.0018; // of the zoom's logarithm in a pixel of the wheel
const PINCH_RATE = 0.01; // a touchpad's pinch comes as a wheel with Ctrl

export function startPointer(canvas) {
  const fingers = new Map(); // where each pointer that is down was seen last
  let travelled = 0; // px since the first went down; 100 where there were two

  const placeOf = (event) => {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };

  const pinch = (id, before, now) => {
    const [, other] = Array.from(fingers).find(([otherId]) => otherId !== id);
    const apart = Math.max(1, Math.hypot(before.x - other.x, before.y - other.y));
    const factor = Math.hypot(now.x - other.x, now.y - other.y) / apart;
    zoomBy(factor, (now.x + other.x) / 2, (now.y + other.y) / 2);
    panBy((now.x - before.x) / 2, (now.y - before.y) / 2);
  };

  const lift = (event) => {
    const wasDown = fingers.delete(event.pointerId);
    if (!wasDown || event.type === "pointercancel" || travelled > STILL) return;
    const { x, y } = placeOf(event);
    pick(pictureAt(x, y, event.pointerType === "touch" ? FINGER_REACH : REACH));
  };

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    if (!fingers.size) travelled = 0;
    fingers.set(event.pointerId, placeOf(event));
    if (fingers.size > 1) travelled = 100;
  });
  canvas.addEventListener("pointermove", (event) => {
    const now = placeOf(event);
    const before = fingers.get(event.pointerId);
    if (!before) {
      if (event.pointerType !== "touch" && !state.from) showCard(canvas, pictureAt(now.x, now.y, REACH), now.x, now.y);
      return;
    }
    travelled += Math.abs(now.x - before.x) + Math.abs(now.y - before.y);
    if (fingers.size === 2) pinch(event.pointerId, before, now);
    else if (travelled > STILL) {
      hideCard(canvas);
      panBy(now.x - before.x, now.y - before.y);
    }
    fingers.set(event.pointerId, now);
  });
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener("pointerleave", () => hideCard(canvas));
  const onWheel = (event) => {
    const amount = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? LINE : 1);
    if (amount > 0 && isFarthest()) return; // the page scrolls
    event.preventDefault();
    hideCard(canvas);
    const { x, y } = placeOf(event);
    zoomBy(Math.exp(-amount * (event.ctrlKey ? PINCH_RATE : WHEEL_RATE)), x, y);
  };
  canvas.addEventListener("wheel", onWheel, { passive: false });
  const onScroll = () => {
    if (isCardShown()) hideCard(canvas);
  };
  window.addEventListener("scroll", onScroll, { passive: true });
}
