// What the map shows stands in the address (after #), and can be linked: layout, class or group, picture, place.

import { pictures } from "./data.js";
import { FIRST_LAYOUT, state } from "./state.js";
import { isWholeMap, view } from "./view.js";

const PAUSE = 250; // ms without a movement, after which the place is written

let timer = null;

export function saveAddress() {
  clearTimeout(timer);
  const parameters = new URLSearchParams();
  if (state.layoutName !== FIRST_LAYOUT) parameters.set("layout", state.layoutName);
  if (state.filter) parameters.set(state.filter.kind, state.filter.value);
  if (state.picked >= 0) parameters.set("picture", pictures.numbers[state.picked]);
  if (!isWholeMap()) {
    parameters.set("at", [view.x.toFixed(4), view.y.toFixed(4), view.zoom.toFixed(2)].join(","));
  }
  const text = parameters.toString().replaceAll("%2C", ",");
  history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
}

/** Write the address when the map has come to rest. */
export function saveAddressLater() {
  clearTimeout(timer);
  timer = setTimeout(saveAddress, PAUSE);
}

/** What the address says: {layoutName, filter, picked, place: [x, y, zoom] or null}. */
export function readAddress() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  const layoutName = parameters.get("layout");
  const kind = ["group", "class"].find((name) => parameters.get(name));
  const number = parameters.get("picture");
  const place = (parameters.get("at") ?? "").split(",").map(Number);
  return {
    layoutName: pictures.layouts.has(layoutName) ? layoutName : FIRST_LAYOUT,
    filter: kind ? { kind, value: parameters.get(kind) } : null,
    picked: number === null ? -1 : pictures.numbers.indexOf(Number(number)),
    place: place.length === 3 && place.every(Number.isFinite) ? place : null,
  };
}
