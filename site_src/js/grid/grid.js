// A layer's grid of channels: sorting and filtering. What is chosen stands in the address (after #, which also works in
// a folder) and can be linked.

import { readJson } from "../dom.js";
import { startPreview } from "./preview.js";

const FIELDS = ["sort", "label"];
const SWITCHES = ["up", "dead", "gradients", "optimised", "large"];
const STRONGEST = "thumbs.webp";
const OPTIMISED = "optimised/thumbs.webp";

export function startGrid() {
  const grid = document.querySelector(".grid");
  const form = document.querySelector(".tools");
  const data = readJson(document.getElementById("channels"));
  if (!grid || !form || !data) return;
  const cells = Array.from(grid.children); // in the order of the channels
  const order = cells.map((_, channel) => channel); // as it is shown
  const layer = { grid, controls: form.elements, data, cells, order, sheet: STRONGEST };
  const apply = () => applyAddress(layer);
  form.addEventListener("input", () => {
    writeAddress(layer.controls);
    apply();
  });
  window.addEventListener("hashchange", apply);
  apply();
  startPreview(layer);
}

function writeAddress(controls) {
  const state = new URLSearchParams();
  for (const name of FIELDS) if (controls[name].value) state.set(name, controls[name].value);
  for (const name of SWITCHES) if (controls[name]?.checked) state.set(name, "1");
  history.replaceState(null, "", `#${state}`);
}

function applyAddress(layer) {
  const { grid, controls, data, cells } = layer;
  const state = new URLSearchParams(location.hash.slice(1));
  for (const name of FIELDS) controls[name].value = state.get(name) ?? "";
  for (const name of SWITCHES) if (controls[name]) controls[name].checked = state.get(name) === "1";
  const numbers = data.numbers[controls.sort.value];
  controls.up.disabled = !numbers;

  const withDead = Boolean(controls.dead?.checked);
  const withGradients = Boolean(controls.gradients?.checked);
  const hasLabel = labelFilter(data, controls.label.value.trim());
  let shown = 0;
  cells.forEach((cell, channel) => {
    cell.hidden = !hasLabel(channel) || (withGradients && !hasGradients(cell));
    if (!cell.hidden && (withDead || !cell.classList.contains("dead"))) shown++;
  });
  reorder(layer, sortedChannels(cells.length, numbers, controls.up.checked));
  grid.classList.toggle("with-dead", withDead);
  grid.classList.toggle("big", controls.large.checked);
  showSheet(layer, controls.optimised?.checked ? OPTIMISED : STRONGEST);
  controls.shown.value = `${shown} of ${cells.length}`;
}

// Channels without a value come last in either direction.
function sortedChannels(count, numbers, isAscending) {
  const channels = Array.from({ length: count }, (_, channel) => channel);
  if (!numbers) return channels;
  const sign = isAscending ? 1 : -1;
  return channels.sort((a, b) => {
    const [first, second] = [numbers[a], numbers[b]];
    if (first === null || second === null) return (first === null) - (second === null) || a - b;
    return sign * (first - second) || a - b;
  });
}

// Whether a channel has the label among its top-9 images. The whole name of a class stands for this class alone ("bow",
// not "bow tie" too), a part of a name for all that contain it.
function labelFilter(data, text) {
  if (!text) return () => true;
  const exact = data.labels.indexOf(text);
  const part = text.toLowerCase();
  const fits = data.labels.map((label, number) => (exact >= 0 ? number === exact : label.toLowerCase().includes(part)));
  return (channel) => data.nine[channel].some((label) => fits[label]);
}

// Cells are moved only when their order changes: moving thousands takes a while.
function reorder(layer, order) {
  if (order.every((channel, place) => channel === layer.order[place])) return;
  const sorted = document.createDocumentFragment();
  for (const channel of order) sorted.append(layer.cells[channel]);
  layer.grid.append(sorted);
  layer.order = order;
}

// A channel without gradients shows the field of its strongest picture instead of a thumbnail.
function hasGradients(cell) {
  return Boolean(cell.querySelector("span:not(.cut) > img"));
}

function showSheet(layer, sheet) {
  if (sheet === layer.sheet) return;
  for (const image of layer.grid.querySelectorAll("span:not(.cut) > img")) image.src = sheet;
  layer.sheet = sheet;
}
