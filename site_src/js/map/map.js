// The map of the pictures: dots, and thumbnails where there is room; moved, zoomed, coloured by class. Without scripts
// the page shows two plain pictures of it.

import { receive } from "../site.js";
import { readAddress } from "./address.js";
import { readPictures } from "./data.js";
import { redraw, startDrawing } from "./drawing.js";
import { applyFilter } from "./filter.js";
import { startKeyboard } from "./keyboard.js";
import { startLegend } from "./legend.js";
import { describePicked } from "./picked.js";
import { startPointer } from "./pointer.js";
import { state } from "./state.js";
import { loadSheet } from "./thumbnails.js";
import { startTools } from "./tools.js";
import { lookAt, lookAtWholeMap } from "./view.js";

receive("map", (data) => {
  const canvas = document.querySelector(".map canvas");
  const form = document.querySelector(".mapped .tools");
  readPictures(data);
  startLegend();
  loadSheet(() => {
    redraw();
    if (state.picked >= 0) describePicked(); // with thumbnails
  });
  lookAtWholeMap();
  startDrawing(canvas);
  startTools(form, canvas);
  startPointer(canvas);
  startKeyboard(canvas);
  const showAddress = () => followAddress(form);
  window.addEventListener("hashchange", showAddress);
  showAddress();
});

function followAddress(form) {
  const { layoutName, filter, picked, place } = readAddress();
  state.layoutName = layoutName;
  for (const choice of form.querySelectorAll("[name=layout]")) choice.checked = choice.value === layoutName;
  lookAtWholeMap();
  if (place) lookAt(...place);
  applyFilter(filter);
  state.picked = picked;
  describePicked();
  redraw();
}
