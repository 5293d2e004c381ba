// The names of a channel's statistics become links to their definitions. A page has one link for each group of them.

import { element } from "./dom.js";
import { measures, root } from "./site.js";

export function startDefinitions() {
  for (const name of document.querySelectorAll(".stats dt")) {
    const key = measures[name.textContent];
    if (!key) continue;
    const href = `${root}guide/statistics.html#${key}`;
    name.replaceChildren(element("a", { href, text: name.textContent }));
  }
}
