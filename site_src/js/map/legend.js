// The list of classes: each class and group becomes a button that lets it stand out, and many classes can be filtered.

import { element } from "../dom.js";
import { plain } from "../folding.js";
import { saveAddress } from "./address.js";
import { pictures } from "./data.js";
import { applyFilter, entryFilter, isFilter, legendEntries } from "./filter.js";

const MANY_CLASSES = 20;

export function startLegend() {
  const list = document.querySelector(".class-list");
  if (!list) return;
  for (const entry of legendEntries()) makeButton(entry);
  if (pictures.classes.length > MANY_CLASSES) list.before(searchField(list));
}

function makeButton(entry) {
  const button = element("button", { type: "button", "aria-pressed": "false" }, entry.childNodes);
  entry.append(button);
  button.addEventListener("click", () => {
    const wanted = entryFilter(entry);
    applyFilter(isFilter(wanted) ? null : wanted);
    saveAddress();
  });
}

function searchField(list) {
  const field = element("input", {
    type: "search",
    "aria-label": "Filter the classes",
    placeholder: "filter the classes",
    autocomplete: "off",
  });
  field.addEventListener("input", () => {
    const text = plain(field.value);
    for (const entry of list.querySelectorAll("[data-class]")) {
      entry.hidden = !plain(entry.textContent).includes(text);
    }
    for (const heading of list.querySelectorAll("h3")) {
      heading.hidden = !heading.nextElementSibling.querySelector("li:not([hidden])");
    }
  });
  return field;
}
