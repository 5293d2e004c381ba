// A random channel of the network: a link in the header, and the key "?". Dead channels are left out, since their pages
// show nothing.

import { element } from "./dom.js";
import { headerTools } from "./header-tools.js";
import { layersOfNetwork } from "./list/layers.js";
import { root } from "./site.js";

const DOTS = "M8 8h0M16 8h0M12 12h0M8 16h0M16 16h0";
const DIE = `<rect x="3" y="3" width="18" height="18" rx="3" /><path d="${DOTS}" />`;
const ICON = `<svg width="18" height="18" viewBox="0 0 24 24" aria-hidden="true">${DIE}</svg>`;

export function startRandom() {
  const tools = headerTools();
  if (!tools) return;
  const button = element("button", {
    type: "button",
    class: "ra-random",
    title: "A random channel (key ?)",
    "aria-label": "Open a random channel",
    "aria-keyshortcuts": "?",
  });
  button.innerHTML = ICON;
  button.addEventListener("click", openRandom);
  tools.prepend(button);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "?" || event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.target.closest("input, select, textarea") || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    openRandom();
  });
}

async function openRandom() {
  const { network, layers } = await layersOfNetwork();
  const active = ([, , channels, dead]) => channels - dead.length;
  let number = Math.floor(Math.random() * layers.reduce((sum, layer) => sum + active(layer), 0));
  for (const layer of layers) {
    if (number < active(layer)) {
      location.href = `${root}${network}/${encodeURIComponent(layer[0])}/${activeChannel(layer, number)}.html`;
      return;
    }
    number -= active(layer);
  }
}

// The channel with this number among the layer's active ones; its dead channels ascend.
function activeChannel([, , , dead], number) {
  return dead.reduce((channel, other) => (other <= channel ? channel + 1 : channel), number);
}
