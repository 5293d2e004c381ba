// The finder in the header: a box in which "res5a 1660", "layer4.0:1660", a layer or a class is found.

import { element } from "../dom.js";
import { headerTools } from "../header-tools.js";
import { model, models, receive, root } from "../site.js";
import {
  categoryAnswers,
  chapterAnswers,
  channelAnswers,
  classAnswers,
  descriptionAnswers,
  layerCategoryAnswers,
  stageAnswers,
  withLayerNumbers,
} from "./search.js";

const MOST_ANSWERS = 24;
const NOTHING = "nothing found: neither a layer nor a class of these pictures, a group or a word for them";

const indexes = []; // of the networks whose index has arrived
let isLoading = false;
let input = null;
let list = null;

export function startFinder() {
  const tools = headerTools();
  if (!tools) return;
  input = element("input", {
    type: "search",
    role: "combobox",
    placeholder: "res3b 150, or a word",
    autocomplete: "off",
    spellcheck: "false",
    "aria-label": "Find a channel, a class or a group of classes",
    "aria-expanded": "false",
    "aria-controls": "ra-answers",
    "aria-autocomplete": "list",
  });
  list = element("ul", { id: "ra-answers", role: "listbox", "aria-label": "Answers", hidden: "" });
  tools.append(element("div", { class: "ra-find" }, [input, list]));
  receive("index", addIndex);
  input.addEventListener("focus", load);
  input.addEventListener("input", answer);
  input.addEventListener("keydown", onKey);
  input.addEventListener("blur", close);
  list.addEventListener("pointerdown", (event) => {
    const item = event.target.closest("[data-address]");
    if (!item) return;
    event.preventDefault();
    location.href = item.dataset.address;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) return;
    event.preventDefault();
    input.focus();
  });
}

// Each network's index is loaded at first use, as a script: a page opened from a folder may not read JSON files.
function load() {
  if (isLoading) return;
  isLoading = true;
  for (const name of models) document.head.append(element("script", { src: `${root}${name}/finder.js` }));
}

function isLoaded() {
  return indexes.length === models.length;
}

function addIndex(index) {
  indexes.push(withLayerNumbers(index));
  if (!isLoaded()) return;
  // The network that is being read comes first.
  const rank = (name) => (name === model ? -1 : models.indexOf(name));
  indexes.sort((a, b) => rank(a.model) - rank(b.model));
  answer();
}

function answer() {
  const text = input.value.trim().toLowerCase();
  list.replaceChildren();
  if (!text || !isLoading) return close();
  const answers = isLoaded()
    ? [
        ...indexes.flatMap((index) => channelAnswers(index, text)),
        ...indexes.flatMap((index) => stageAnswers(index, text)),
        ...indexes.flatMap((index) => layerCategoryAnswers(index, text)),
        ...indexes.flatMap((index) => categoryAnswers(index, text)),
        ...indexes.flatMap((index) => descriptionAnswers(index, text)),
        ...indexes.flatMap((index) => classAnswers(index, text)),
        ...indexes.flatMap((index) => chapterAnswers(index, text)),
      ]
    : [];
  answers.slice(0, MOST_ANSWERS).forEach(({ name, detail, address }, number) => {
    const attributes = { id: `ra-answer-${number}`, role: "option", "aria-selected": "false", "data-address": address };
    list.append(element("li", attributes, [element("span", { text: name }), element("small", { text: detail })]));
  });
  if (!answers.length) {
    const attributes = { class: "ra-none", role: "option", "aria-disabled": "true", "aria-selected": "false" };
    list.append(element("li", { ...attributes, text: isLoaded() ? NOTHING : "loading" }));
  }
  list.hidden = false;
  input.setAttribute("aria-expanded", "true");
  select(0);
}

function close() {
  list.hidden = true;
  input.setAttribute("aria-expanded", "false");
  input.removeAttribute("aria-activedescendant");
}

function options() {
  return Array.from(list.querySelectorAll("[data-address]"));
}

function selectedNumber() {
  return options().findIndex((item) => item.getAttribute("aria-selected") === "true");
}

function select(number) {
  const items = options();
  if (!items.length) return;
  const selected = items[(number + items.length) % items.length];
  for (const item of items) item.setAttribute("aria-selected", String(item === selected));
  input.setAttribute("aria-activedescendant", selected.id);
  selected.scrollIntoView({ block: "nearest" });
}

function onKey(event) {
  if (event.key === "ArrowDown") select(selectedNumber() + 1);
  else if (event.key === "ArrowUp") select(selectedNumber() - 1);
  else if (event.key === "Escape") close();
  else if (event.key === "Enter") {
    const selected = options()[selectedNumber()];
    if (selected) location.href = selected.dataset.address;
  } else return;
  event.preventDefault();
}
