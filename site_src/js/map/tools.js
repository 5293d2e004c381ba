// The controls above the map: the choice of the layout, and the buttons that zoom.

import { saveAddress } from "./address.js";
import { hideCard } from "./card.js";
import { redraw } from "./drawing.js";
import { showWholeMap, zoomBy } from "./moving.js";
import { layout, state } from "./state.js";
import { lookAtWholeMap } from "./view.js";

const DURATION = 600; // ms that the dots move between two layouts

export function startTools(form, canvas) {
  form.addEventListener("change", ({ target }) => {
    if (target.name !== "layout") return;
    hideCard(canvas);
    changeLayout(target.value);
  });
  form.addEventListener("click", (event) => {
    const button = event.target.closest("[data-zoom]");
    if (!button) return;
    const factor = Number(button.dataset.zoom);
    if (factor) zoomBy(factor);
    else showWholeMap();
  });
}

function changeLayout(name) {
  state.from = layout();
  state.layoutName = name;
  lookAtWholeMap();
  saveAddress();
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) return moveDots();
  state.from = null;
  redraw();
}

// Slowly at the beginning and at the end.
function moveDots() {
  const start = performance.now();
  const step = () => {
    const share = Math.min(1, (performance.now() - start) / DURATION);
    state.moved = share * share * (3 - 2 * share);
    if (share === 1) state.from = null;
    redraw();
    if (state.from) requestAnimationFrame(step);
  };
  step();
}
