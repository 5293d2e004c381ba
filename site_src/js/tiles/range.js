// The strips of a channel's whole range: nine pictures each, loaded when the strip comes into view or when the page is
// printed. A picture is its number, row and column, "-" where the site does not hold it. The tab key stops once at each
// strip; the left and right arrow keys move along it. Where the strips' units have tiles of their own (data-sprite),
// these are shown: nine columns, and of each strip its panels one below the other.

import { element } from "../dom.js";
import { drawnSquares, isPublished, shownSquare, tileData } from "./data.js";

export function startRange() {
  const strips = Array.from(document.querySelectorAll(".whole-range [data-p]"), (item) => {
    const strip = element("div");
    item.append(strip);
    return strip;
  });
  const watch = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) if (isIntersecting) draw(target);
    },
    { rootMargin: "300px" },
  );
  function draw(strip) {
    watch.unobserve(strip);
    if (!strip.childElementCount) drawStrip(strip);
  }
  for (const strip of strips) watch.observe(strip);
  window.addEventListener("beforeprint", () => strips.forEach(draw));
}

function drawStrip(strip) {
  const data = tileData(strip);
  const layer = data?.rows[document.getElementById("main").dataset.layer];
  if (!layer) return;
  const list = strip.closest("ol");
  const isCut = list.className !== "";
  const name = strip.parentElement.querySelector("b").textContent;
  strip.setAttribute("role", "group");
  strip.setAttribute("aria-label", name);
  const places = placesIn(strip.parentElement.dataset.p, data, layer[1]);
  for (const [place, [picture, row, column, label]] of places.entries()) {
    const text = picture === "-" ? "" : `picture ${picture}${label ? `, ${label}` : ""}`;
    const link = picture === "-" ? {} : { href: `../pictures/${picture}.webp` };
    if (link.href) link.tabindex = strip.querySelector("a") ? -1 : 0;
    if (list.dataset.sprite) {
      strip.append(tileOf(list, strip, place, text, link));
    } else if (link.href) {
      const shown = pictureOf(data, layer[0], isCut, [picture, row, column]);
      shown[0].alt = text;
      strip.append(element("a", { class: isCut ? "cut" : "whole", ...link }, shown));
    }
  }
  strip.addEventListener("keydown", moveAlong);
}

function moveAlong(event) {
  if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const here = event.target;
  const next = { ArrowLeft: here.previousElementSibling, ArrowRight: here.nextElementSibling }[event.key];
  if (next === undefined) return;
  event.preventDefault(); // also at the ends, where the page's own keys would lead to another channel
  if (!next) return;
  for (const link of here.parentElement.children) link.tabIndex = link === next ? 0 : -1;
  next.focus();
}

// The part of the strips' sprite that shows one unit.
function tileOf(list, strip, place, text, link) {
  const { sprite, panels } = list.dataset;
  const strips = list.children.length;
  const tile = element(link.href ? "a" : "span", { class: `tile p${panels}`, ...link });
  if (text) tile.setAttribute("aria-label", text);
  const row = Array.from(list.children).indexOf(strip.parentElement);
  tile.style.backgroundImage = `url("${sprite}")`;
  tile.style.backgroundSize = `900% ${100 * strips}%`;
  tile.style.backgroundPosition = `${12.5 * place}% ${strips > 1 ? (100 * row) / (strips - 1) : 0}%`;
  return tile;
}

// The strongest nine are those of the channel's tiles.
function placesIn(text, data, tiles) {
  if (text) return text.split(" ").map((place) => place.split(","));
  return tiles.map(([picture, , row, column, label]) => {
    return [isPublished(data, picture) ? picture : "-", row, column, data.labels[label]];
  });
}

function pictureOf(data, field, isCut, [picture, row, column]) {
  const src = `../pictures/${picture}.webp`;
  if (isCut) return [element("img", { class: `x${column} y${row}`, src })];
  const tile = [picture, 0, Number(row), Number(column)];
  return [element("img", { src }), drawnSquares(data.side, [shownSquare(data, field, tile)])];
}
