// A layer's grid of channels: sorting and filtering. What is chosen stands in the address (after #, which also works in
// a folder) and can be linked.

import { element } from "../dom.js";
import { plain, rankOf } from "../folding.js";
import { receive } from "../site.js";
import { channelOf, hasThumbnail, isDead } from "./cells.js";
import { startPreview } from "./preview.js";

const FIELDS = ["sort", "label", "least"];
const SWITCHES = ["up", "dead", "gradients", "falls", "optimised", "large"];
const STYLES = { rel: "stylesheet", href: "grid.css" };
const USED = ["pointerover", "focusin", "input"];

/** The numbers of the channels come in a data script of their own, the layer's grid.js, which is as large as the page:
 * it is loaded when the reader points at the grid or the form, uses them, or comes with a choice in the address. */
export function startGrid() {
  const grid = document.querySelector(".grids");
  const form = document.querySelector(".tools");
  if (!grid || !form) return;
  // The sheet of thumbnails is larger than all else of the page, which is drawn before it is asked for.
  requestAnimationFrame(() => setTimeout(() => document.head.append(element("link", STYLES))));
  receive("grid", (data) => start(grid, form, data));
  let isAsked = false;
  const load = () => {
    if (!isAsked) document.head.append(element("script", { src: "grid.js" }));
    isAsked = true;
  };
  if (location.hash.length > 1) load();
  window.addEventListener("hashchange", load);
  for (const type of USED) for (const place of [grid, form]) place.addEventListener(type, load);
  showCount(form.elements, grid.querySelectorAll(".grid:not(.dead) > li").length, grid.querySelectorAll("li").length);
}

function showCount(controls, shown, all) {
  controls.shown.value = `${shown.toLocaleString("en")} of ${all.toLocaleString("en")}`;
}

function start(grid, form, data) {
  const cells = []; // in the order of the channels
  for (const cell of grid.querySelectorAll("li")) cells[channelOf(cell)] = cell;
  const living = Array.from(grid.querySelectorAll(".grid:not(.dead)"));
  const sizes = living.map((part) => part.childElementCount);
  const order = living.flatMap((part) => Array.from(part.children, channelOf)); // as they are shown
  const layer = { grid, controls: form.elements, data, cells, living, sizes, order };
  const apply = () => applyAddress(layer);
  form.addEventListener("input", () => {
    writeAddress(layer.controls);
    apply();
  });
  window.addEventListener("hashchange", apply);
  if (location.hash.length < 2 && `${stateOf(layer.controls)}`) writeAddress(layer.controls); // chosen meanwhile
  apply();
  startPreview(layer);
}

function stateOf(controls) {
  const state = new URLSearchParams();
  for (const name of FIELDS) if (controls[name].value) state.set(name, controls[name].value);
  for (const name of SWITCHES) if (controls[name]?.checked) state.set(name, "1");
  return state;
}

function writeAddress(controls) {
  history.replaceState(null, "", `#${stateOf(controls)}`);
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
  const text = controls.label.value.trim();
  const falling = controls.falls?.checked ? new Set(data.falls) : null;
  const matching = pictureCounts(data, text);
  const least = text ? Number(controls.least.value || 1) : 0;
  cells.forEach((cell, channel) => {
    cell.hidden =
      !(matching.count(channel) >= least || matching.isDescribed(channel)) ||
      (withGradients && !hasThumbnail(cell)) ||
      (falling !== null && !falling.has(channel));
  });
  const isByLabel = controls.sort.value === "label" && text;
  reorder(
    layer,
    isByLabel ? byLabel(cells.length, matching) : sortedChannels(cells.length, numbers, controls.up.checked),
  );
  const shown = cells.filter((cell) => !cell.hidden && (withDead || !isDead(cell))).length;
  grid.classList.toggle("with-dead", withDead);
  grid.classList.toggle("big", controls.large.checked);
  grid.classList.toggle("optimised", Boolean(controls.optimised?.checked));
  showCount(controls, shown, cells.length);
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

// How many of a channel's top-9 images match the text, and its average precision where that is known. The whole name
// of a class stands for this class alone ("bow", not "bow tie" too), that of a group of classes for the channels that
// are found for it, a part of a name for all classes that contain it. A description that contains the text matches too.
function pictureCounts(data, text) {
  const part = plain(text);
  const exact = data.labels.indexOf(text);
  const names = Object.keys(data.categories);
  const category =
    exact >= 0
      ? names.find((name) => name === text)
      : (names.find((name) => rankOf(name, text) === 1) ??
        names.find((name) => data.words[name]?.some((word) => rankOf(word, text) === 1)));
  const found = new Map((data.categories[category] ?? []).map(([channel, ...numbers]) => [channel, numbers]));
  const fits = data.labels.map((label, number) => (exact >= 0 ? number === exact : rankOf(label, text) > 0));
  const isGroup = category !== undefined && exact < 0;
  return {
    count: (channel) =>
      isGroup ? (found.get(channel)?.[0] ?? 0) : data.nine[channel].filter((label) => fits[label]).length,
    precision: (channel) => found.get(channel)?.[1] ?? 0,
    isDescribed: (channel) => data.descriptions[channel]?.some((words) => plain(words).includes(part)),
  };
}

// Channels with most matching images first, of these those of highest average precision.
function byLabel(count, matching) {
  const channels = Array.from({ length: count }, (_, channel) => channel);
  const keys = channels.map((channel) => [matching.count(channel), matching.precision(channel)]);
  return channels.sort((a, b) => keys[b][0] - keys[a][0] || keys[b][1] - keys[a][1] || a - b);
}

// The channels that are shown come first, so that no list has gaps; dead channels stay in lists of their own, the last.
// Cells are moved only when their order changes: moving thousands takes a while.
function reorder(layer, sorted) {
  const { cells, living, sizes } = layer;
  const channels = sorted.filter((channel) => !isDead(cells[channel]));
  const order = [
    ...channels.filter((channel) => !cells[channel].hidden),
    ...channels.filter((channel) => cells[channel].hidden),
  ];
  if (order.some((channel, place) => channel !== layer.order[place])) {
    let first = 0;
    living.forEach((part, number) => {
      part.append(...order.slice(first, first + sizes[number]).map((channel) => cells[channel]));
      first += sizes[number];
    });
    layer.order = order;
  }
  for (const part of layer.grid.children) part.hidden = Array.from(part.children).every((cell) => cell.hidden);
}
