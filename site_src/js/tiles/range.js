// The strips of a channel's whole range: nine pictures each, loaded when the strip comes into view or when the page is
// printed. A picture is its number, row and column, "-" where the site does not hold it. The tab key stops once at each
// strip; the left and right arrow keys move along it.

import { element } from "../dom.js";
import { drawnSquares, isPublished, shownSquare, tileData } from "./data.js";

export function startRange() {
  const strips = Array.from(document.querySelectorAll(".whole-range [data-p]"));
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
  const layer = data?.rows[document.querySelector(".whole-range").dataset.layer];
  if (!layer) return;
  const isCut = strip.closest("ol").className !== "";
  const name = strip.parentElement.querySelector("b").textContent;
  strip.setAttribute("role", "group");
  strip.setAttribute("aria-label", name);
  for (const [picture, row, column, label] of placesIn(strip.dataset.p, data, layer[1])) {
    if (picture === "-") continue;
    const shown = pictureOf(data, layer[0], isCut, [picture, row, column]);
    shown[0].alt = `picture ${picture}${label ? `, ${label}` : ""}`;
    const [kind, href] = [isCut ? "cut" : "whole", `../pictures/${picture}.webp`];
    strip.append(element("a", { class: kind, href, tabindex: strip.childElementCount ? -1 : 0 }, shown));
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
