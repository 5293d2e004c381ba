// The card beside the picture that the pointer is on.

import { element } from "../dom.js";
import { labelOf, pictures } from "./data.js";
import { redraw } from "./drawing.js";
import { portrait } from "./portrait.js";
import { state } from "./state.js";

const BELOW_HEADER = 56; // px

let card = null;

/** Show the card of a picture at (x, y) of the canvas, or none for -1. */
export function showCard(canvas, picture, x, y) {
  if (card && picture === state.hovered) return;
  state.hovered = picture;
  card?.remove();
  card = null;
  canvas.classList.toggle("on-picture", picture >= 0);
  redraw();
  if (picture < 0) return;
  card = element("div", { class: "card map-card", "aria-hidden": "true" });
  const image = portrait(picture);
  if (image) card.append(image);
  card.append(element("p", {}, [element("b", { text: labelOf(picture) })]));
  card.append(element("p", { class: "file", text: pictures.files[picture] }));
  document.body.append(card);
  place(canvas.getBoundingClientRect(), x, y);
}

export function hideCard(canvas) {
  showCard(canvas, -1);
}

export function isCardShown() {
  return card !== null;
}

// To the right of the pointer where there is room, to its left otherwise.
function place(canvasBox, x, y) {
  const { width, height } = card.getBoundingClientRect();
  const pointerX = canvasBox.left + x;
  const left = pointerX + 16 + width <= innerWidth - 8 ? pointerX + 16 : pointerX - 16 - width;
  const top = Math.min(canvasBox.top + y - 20, innerHeight - height - 8);
  card.style.left = `${Math.max(4, left)}px`;
  card.style.top = `${Math.max(BELOW_HEADER, top)}px`;
}
