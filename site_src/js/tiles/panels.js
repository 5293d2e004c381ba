// The panels of a channel after the first come as one picture each: they are cut into tiles, one for each tile of the
// first panel, to which the pointer can be set. What the whole picture says is then said of all tiles together.

import { element } from "../dom.js";

export function startPanels() {
  const nine = document.querySelector(".panels .nine[data-row]");
  if (!nine) return;
  for (const panel of document.querySelectorAll(".panels .frame")) {
    const { attributes, alt } = panel.firstElementChild;
    const src = attributes.src.value;
    panel.className = "nine";
    panel.dataset.row = "";
    panel.setAttribute("role", "img");
    panel.setAttribute("aria-label", alt);
    panel.replaceChildren(...Array.from(nine.children, () => element("i", {}, [element("img", { src, alt: "" })])));
  }
}
