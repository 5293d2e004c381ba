// What a tile shows, for the reader who points at it or opens it: a card while the pointer or the focus is on a tile, a
// dialog when it is opened. #k in the address opens the k-th of the page's own nine.

import { hideCard, showCard } from "./card.js";
import { openDialog } from "./dialog.js";
import { describeTile } from "./description.js";

const TILE = ".nine[data-row] > *, .line:not(.optimised) > *";

export function startInspection() {
  const main = document.querySelector("main");
  if (!main || !document.querySelector("[data-row]")) return;
  main.addEventListener("pointerover", (event) => {
    const tile = event.pointerType !== "touch" && event.target.closest(TILE);
    if (tile) showCard(describeTile(tile));
    else hideCard();
  });
  main.addEventListener("pointerleave", hideCard);
  main.addEventListener("focusin", ({ target }) => {
    if (target.matches(".nine > a:focus-visible, .line > a:focus-visible")) showCard(describeTile(target));
    else hideCard();
  });
  window.addEventListener("scroll", hideCard, { passive: true });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hideCard();
  });
  main.addEventListener("click", (event) => {
    const tile = event.target.closest(TILE);
    if (!tile || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const description = describeTile(tile);
    if (!description) return;
    event.preventDefault();
    openDialog(description);
  });
  window.addEventListener("hashchange", openFromAddress);
  openFromAddress();
}

function openFromAddress() {
  if (!/^#[1-9]$/.test(location.hash)) return;
  const tile = document.getElementById(location.hash.slice(1));
  if (tile) openDialog(describeTile(tile));
}
