// Which classes stand out on the map.

import { pictures } from "./data.js";
import { redraw } from "./drawing.js";
import { standsOut, state } from "./state.js";

/** What an entry of the legend stands for: {kind: "class" or "group", value: its name}. */
export function entryFilter({ dataset }) {
  if (dataset.group !== undefined) return { kind: "group", value: dataset.group };
  return { kind: "class", value: pictures.classes[Number(dataset.class)].label };
}

export function isFilter({ kind, value }) {
  return state.filter?.kind === kind && state.filter.value === value;
}

/** Let a class or a group stand out, {kind, value}; all where it is null or names none. */
export function applyFilter(wanted) {
  const classes = new Set(wanted ? classesOf(wanted) : []);
  state.filter = classes.size ? { ...wanted, classes } : null;
  for (const entry of legendEntries()) {
    entry.querySelector("button").setAttribute("aria-pressed", String(isFilter(entryFilter(entry))));
  }
  const form = document.querySelector(".mapped .tools");
  form.elements.state.value = state.filter ? `${state.filter.value}: ${countText()}` : "";
  redraw();
}

export function legendEntries() {
  return document.querySelectorAll(".class-list [data-class], .class-list [data-group]");
}

function classesOf({ kind, value }) {
  return Array.from(pictures.classes.keys()).filter((number) => {
    const { label, group } = pictures.classes[number];
    return (kind === "group" ? group : label) === value;
  });
}

function countText() {
  let shown = 0;
  for (let picture = 0; picture < pictures.count; picture++) if (standsOut(picture)) shown++;
  return `${shown.toLocaleString("en")} of ${pictures.count.toLocaleString("en")}`;
}
