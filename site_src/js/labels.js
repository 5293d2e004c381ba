// The labels of a channel's pictures become links to the channels of its layer with this label among theirs: the grid,
// which only scripts filter.

import { element } from "./dom.js";

const labelElements = () => Array.from(document.querySelectorAll(".labels > i"));

/** The labels that the page lists, in their order. */
export function labelsOfPage() {
  return labelElements().map((label) => label.textContent);
}

export function startLabels() {
  for (const label of labelElements()) {
    const text = label.textContent;
    label.replaceChildren(element("a", { href: `index.html#label=${encodeURIComponent(text)}`, text }));
  }
}
