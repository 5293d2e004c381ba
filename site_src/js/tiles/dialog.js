// The dialog of an opened tile: its panels large, the whole picture, and the tiles before and after it.

import { element } from "../dom.js";
import { hideCard } from "./card.js";
import { descriptionText, describeTile, markedPicture } from "./description.js";

const STEPS = { ArrowLeft: -1, ArrowRight: 1 };

let dialog = null;
let shown = null; // the description of the tile in the dialog

export function openDialog(description) {
  hideCard();
  dialog ??= createDialog();
  shown = description;
  dialog.replaceChildren(titleBar(description), figures(description), descriptionText(description));
  if (!dialog.open) dialog.showModal();
  markChosen(description);
}

function createDialog() {
  const made = element("dialog", { class: "large", "aria-labelledby": "large-title" });
  document.body.append(made);
  made.addEventListener("click", (event) => {
    if (event.target === made) made.close(); // beside the dialog's content
  });
  made.addEventListener("close", () => markChosen(null));
  made.addEventListener("keydown", (event) => {
    if (STEPS[event.key]) step(STEPS[event.key]);
  });
  return made;
}

function titleBar({ layer, channel, k, count }) {
  return element("div", { class: "bar" }, [
    element("h2", { id: "large-title", text: `${layer} ${channel}, ${k} of ${count}` }),
    button("←", "stronger", () => step(-1)),
    button("→", "weaker", () => step(1)),
    button("close", "close", () => dialog.close()),
  ]);
}

function button(text, label, act) {
  const made = element("button", { type: "button", "aria-label": label, text });
  made.addEventListener("click", act);
  return made;
}

function figures(description) {
  const { panels, k, sprite, label, picture, wholePicture, squaresText } = description;
  const made = panels.map((panel, number) => {
    const image = element("img", { class: `k${k}`, src: sprite, alt: `${panel}, ${label || `picture ${picture}`}` });
    const caption = element("figcaption", { text: panel });
    return element("figure", { class: `p${number}` }, [caption, element("span", { class: "t" }, [image])]);
  });
  if (wholePicture) {
    const caption = element("figcaption", { text: `whole picture; ${squaresText}` });
    made.push(element("figure", {}, [caption, markedPicture(description)]));
  }
  return element("div", { class: `figures s${panels.length}` }, made);
}

function step(by) {
  const tiles = shown.tile.parentElement.children;
  openDialog(describeTile(tiles[(shown.k - 1 + by + tiles.length) % tiles.length]));
}

// The chosen one of the page's own nine also stands in the address.
function markChosen(description) {
  for (const tile of document.querySelectorAll(".chosen")) tile.classList.remove("chosen");
  description?.tile.classList.add("chosen");
  if (description?.holder.classList.contains("nine")) history.replaceState(null, "", `#${description.k}`);
  else if (!description && /^#\d$/.test(location.hash)) {
    history.replaceState(null, "", location.pathname + location.search);
  }
}
