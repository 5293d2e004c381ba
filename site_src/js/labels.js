// The labels of a channel's pictures become links to the channels of its layer with this label among theirs: the grid,
// which only scripts filter.

import { element } from "./dom.js";

export function startLabels() {
  for (const label of document.querySelectorAll(".labels > i")) {
    const text = label.textContent;
    label.replaceWith(element("a", { href: `index.html#label=${encodeURIComponent(text)}`, text }));
  }
}
