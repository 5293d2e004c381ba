// What the map shows at the moment.

import { NONE, pictures } from "./data.js";

/** The layout that is shown first, and that the address leaves out. */
export const FIRST_LAYOUT = "tsne";

export const state = {
  layoutName: FIRST_LAYOUT,
  from: null, // the layout from which the dots are moving
  moved: 1, // how far they have moved, 0 to 1
  filter: null, // {kind: "class" or "group", value, classes: set of class numbers}: which dots stand out; null for all
  picked: -1, // the picture whose neighbours are listed
  hovered: -1, // the picture below the pointer
};

export function layout() {
  return pictures.layouts.get(state.layoutName);
}

/** Whether a picture stands out, or is one of all. */
export function standsOut(picture) {
  return !state.filter || (pictures.classOf[picture] !== NONE && state.filter.classes.has(pictures.classOf[picture]));
}
