// The inputs of a channel: their sprites are loaded when they can be seen.

import { element } from "../dom.js";
import { spriteFormat } from "../site.js";

export function startInputs() {
  document.querySelectorAll("section.strip").forEach(showSprites);
  for (const fold of document.querySelectorAll(".inside")) fold.addEventListener("toggle", () => showSprites(fold));
}

function showSprites(place) {
  for (const link of place.querySelectorAll(".inputs li:not(.dead) > a")) {
    if (link.firstElementChild) continue;
    if (link.dataset.picture) {
      // A channel without a sprite: its strongest picture, whole.
      const image = element("img", { src: link.dataset.picture, loading: "lazy", alt: "" });
      link.prepend(element("span", { class: "whole" }, [image]));
      continue;
    }
    const src = link.getAttribute("href").replace(/\.html$/, `.${spriteFormat}`);
    const image = element("img", { src, loading: "lazy", alt: "" });
    link.prepend(element("span", { class: "sheet" }, [image]));
  }
}
