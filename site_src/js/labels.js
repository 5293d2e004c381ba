// The labels of a channel's pictures become links to the channels of its layer with this label among theirs: the grid,
// which only scripts filter.

import { element } from "./dom.js";

// A label, a space that does not break, on how many pictures.
const LABEL = /(.+?)\u00a0(\d+)(?: · |$)/gs;

/** The page's list of labels: [label, count] of each. */
export function labelsOfPage() {
  const text = document.querySelector(".labels")?.textContent.trim() ?? "";
  return Array.from(text.matchAll(LABEL), ([, label, count]) => [label, count]);
}

export function startLabels() {
  const list = document.querySelector(".labels");
  if (!list || list.firstElementChild) return; // it lists something else
  const parts = labelsOfPage().flatMap(([text, count], place) => {
    const link = element("a", { href: `index.html#label=${encodeURIComponent(text)}`, text });
    return [place ? " · " : "", link, `\u00a0${count}`];
  });
  list.replaceChildren(...parts);
}
