// The strips of a channel's whole range: nine pictures each, loaded when the strip comes into view or when the page is
// printed. A picture is its number, row and column, "-" where the site does not hold it.

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
  placesIn(strip.dataset.p, data, layer[1]).forEach(([picture, row, column], place) => {
    const shown = picture === "-" ? [] : pictureOf(data, layer[0], isCut, [picture, row, column]);
    if (shown.length) shown[0].alt = `${name}, ${place + 1}`;
    const href = `../pictures/${picture}.webp`;
    strip.append(element(shown.length ? "a" : "span", { class: isCut ? "cut" : "whole", href }, shown));
  });
}

// The strongest nine are those of the channel's tiles.
function placesIn(text, data, tiles) {
  if (text) return text.split(" ").map((place) => place.split(","));
  return tiles.map(([picture, , row, column]) => [isPublished(data, picture) ? picture : "-", row, column]);
}

function pictureOf(data, field, isCut, [picture, row, column]) {
  const src = `../pictures/${picture}.webp`;
  if (isCut) return [element("img", { class: `x${column} y${row}`, src })];
  const tile = [picture, 0, Number(row), Number(column)];
  return [element("img", { src }), drawnSquares(data.side, [shownSquare(data, field, tile)])];
}
