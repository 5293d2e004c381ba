// The panels of a channel after the first come as one picture each: they are cut into tiles, one for each tile of the
// first panel, to which the pointer can be set.

import { element } from "../dom.js";

export function startPanels() {
  const tiles = document.querySelector(".panels .nine[data-row]")?.children ?? [];
  for (const panel of document.querySelectorAll(".panels .frame[data-row]")) {
    const src = panel.firstElementChild.getAttribute("src");
    panel.className = "nine";
    panel.replaceChildren(...Array.from(tiles, () => element("i", {}, [element("img", { src, alt: "" })])));
  }
}
