// The page of lists: the channels that the address names, side by side, with their tiles and main numbers.

import { element } from "../dom.js";
import { model, receive, root, spriteFormat } from "../site.js";
import { copyButton } from "../citation.js";
import { fragmentOf, keepList, listOf, sessionList } from "./address.js";
import { layersOfNetwork } from "./layers.js";

const MOST = 60; // channels that are drawn

let place = null; // the list in the page
let state = null; // what is said of it
let entries = []; // all that are in the address, without those that are no channels
const arriving = new Map(); // by layer a promise of its data

export function startListPage() {
  place = document.querySelector("ol.listed");
  if (!place) return;
  state = document.querySelector(".list-state");
  const clear = element("button", { type: "button", text: "clear" });
  clear.addEventListener("click", () => change([], "The list is empty now."));
  document.querySelector(".list-tools").append(
    copyButton(() => location.href, "copy link"),
    clear,
  );
  receive("listed", (data) => arriving.get(data.layer)?.resolve(data));
  window.addEventListener("hashchange", read);
  read();
}

async function read() {
  const named = listOf(location.hash) ?? sessionList();
  const { layers } = await layersOfNetwork();
  const known = named.map((text) => channelOf(text, layers));
  const wrong = named.filter((_, number) => known[number] === null);
  const found = [...new Set(known.filter((entry) => entry !== null))];
  let said = "";
  if (wrong.length) said = `Left out, because this atlas has no such channel: ${wrong.join(", ")}.`;
  else if (!found.length) said = "The list is empty: open a channel and choose “add to list” there.";
  await show(found, said);
}

// "layer:channel" by the layer's own name, null for what is no channel. A layer is also found by its path.
function channelOf(text, layers) {
  const [, name, digits] = /^(.+):(\d{1,7})$/.exec(text) ?? [];
  const layer = layers.find(([own, path]) => own === name || path === name);
  return layer && Number(digits) < layer[2] ? `${layer[0]}:${Number(digits)}` : null;
}

// A list that is changed here becomes the session's; one that is only looked at leaves the session's as it is.
async function change(list, said) {
  keepList(list);
  await show(list, said);
}

async function show(list, said) {
  entries = list;
  history.replaceState(null, "", list.length ? fragmentOf(list) : location.pathname);
  const items = await Promise.all(list.slice(0, MOST).map(item));
  if (list !== entries) return; // changed meanwhile
  place.replaceChildren(...items);
  const part = list.length > MOST ? `The page shows the first ${MOST} of ${list.length} channels.` : "";
  state.textContent = `${said} ${part}`.trim();
}

// The layer's data, loaded as a script: a page opened from a folder may not read JSON files.
function dataOf(layer) {
  if (!arriving.has(layer)) {
    const waiting = {};
    waiting.promise = new Promise((resolve) => {
      waiting.resolve = resolve;
    });
    arriving.set(layer, waiting);
    document.head.append(element("script", { src: `${address(layer)}/list.js` }));
  }
  return arriving.get(layer).promise;
}

function address(layer) {
  return `${root}${model}/${encodeURIComponent(layer)}`;
}

async function item(entry, number) {
  const at = entry.lastIndexOf(":");
  const [layer, channel] = [entry.slice(0, at), Number(entry.slice(at + 1))];
  const data = await dataOf(layer);
  const [pictures, labels, values] = data.channels[channel];
  const name = `${layer} ${channel}`;
  const page = `${address(layer)}/${channel}.html`;
  const numbers = data.numbers.flatMap(([key, measure, unit], place) => {
    if (!values[place]) return [];
    const link = element("a", { href: `${root}guide/statistics.html#${key}`, text: measure });
    const value = element("dd", {}, [element("b", { text: values[place] }), ` ${unit}`]);
    return [element("div", {}, [element("dt", {}, [link]), value])];
  });
  const counts = [];
  for (let place = 0; place < labels.length; place += 2) {
    counts.push(`${data.labels[labels[place]]} ${labels[place + 1]}`);
  }
  return element("li", {}, [
    element("h2", {}, [element("a", { href: page, text: name })]),
    element(
      "a",
      { href: page, class: "list-tiles", "aria-label": `Pictures of ${name}` },
      tiles(data, channel, pictures),
    ),
    element("p", { class: "caption", text: pictures === 1 ? data.panels.join(", ") : "" }),
    element("p", { class: "labels", text: counts.join(" · ") }),
    element("dl", {}, numbers),
    element("p", { class: "list-move" }, [
      moveButton("earlier", name, number, number - 1),
      moveButton("later", name, number, number + 1),
      removeButton(name, number),
    ]),
  ]);
}

function tiles(data, channel, pictures) {
  if (pictures === 1) {
    return [element("img", { src: `${address(data.layer)}/${channel}.${spriteFormat}`, alt: data.panels.join(", ") })];
  }
  if (!pictures.length) return [element("span", { class: "dead", text: "no pictures" })];
  const images = pictures.map((number) => element("img", { src: `${root}${model}/pictures/${number}.webp`, alt: "" }));
  return [element("span", { class: "nine-wholes" }, images)];
}

function moveButton(text, name, from, to) {
  const button = element("button", { type: "button", "aria-label": `Move ${name} ${text}`, text });
  button.disabled = to < 0 || to >= entries.length;
  button.addEventListener("click", async () => {
    const list = [...entries];
    list.splice(to, 0, ...list.splice(from, 1));
    await change(list, `${name} is number ${to + 1} now.`);
    focusOn(to, text);
  });
  return button;
}

function removeButton(name, number) {
  const button = element("button", { type: "button", "aria-label": `Remove ${name} from the list`, text: "remove" });
  button.addEventListener("click", async () => {
    const list = entries.filter((_, other) => other !== number);
    await change(list, `${name} is removed.`);
    focusOn(Math.min(number, entries.length - 1), "remove");
  });
  return button;
}

// The keyboard stays at the channel that was moved: its buttons are new ones.
function focusOn(number, text) {
  const buttons = [...(place.children[number]?.querySelectorAll(".list-move button:enabled") ?? [])];
  (buttons.find((button) => button.textContent === text) ?? buttons[0])?.focus();
}
