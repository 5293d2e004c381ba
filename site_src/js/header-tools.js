// The place in the page's header for buttons and fields, which only scripts make.

import { element } from "./dom.js";

/** It is made when it is first asked for; null where the page has no header. */
export function headerTools() {
  const bar = document.querySelector(".ra-bar");
  if (!bar) return null;
  if (!bar.querySelector(".ra-tools")) bar.append(element("div", { class: "ra-tools" }));
  return bar.lastElementChild;
}
