// The card beside a tile that the pointer is on.

import { element } from "../dom.js";
import { descriptionText, markedPicture } from "./description.js";

const BELOW_HEADER = 56; // px

let card = null;

export function hideCard() {
  card?.remove();
  card = null;
}

/** Show the card of a tile's description; none where there is no description. */
export function showCard(description) {
  hideCard();
  if (!description) return;
  card = element("div", { class: "card", "aria-hidden": "true" });
  if (description.wholePicture) card.append(markedPicture(description));
  card.append(descriptionText(description));
  document.body.append(card);
  place(description.tile);
}

// Beside the nine tiles, or below the row: it hides none of the tiles with which its own may be compared.
function place(tile) {
  const own = tile.getBoundingClientRect();
  const group = tile.closest(".nine, .lines").getBoundingClientRect();
  const { width, height } = card.getBoundingClientRect();
  let left = own.left;
  let top = group.bottom + 8;
  if (tile.parentElement.classList.contains("nine")) {
    left = group.right + 10 + width <= innerWidth ? group.right + 10 : group.left - 10 - width;
    top = own.top;
  } else if (top + height > innerHeight) top = group.top - 8 - height;
  card.style.left = `${Math.max(4, Math.min(left, innerWidth - width - 8))}px`;
  card.style.top = `${Math.max(BELOW_HEADER, Math.min(top, innerHeight - height - 8))}px`;
}
