// Rows of tiles: a row's sprite is loaded when the row comes into view, or when the page is printed. Browsers without
// scripts show the sprite in one piece. A channel without a sprite has its whole pictures, in the row's noscript
// element; on them the units' fields are drawn.

import { element } from "../dom.js";
import { drawnSquares, focusSquare, isWiderThanInput, shownSquare, tileData, unitSquare } from "./data.js";
import { showChosenPanels, startPanelSwitch } from "./panel-switch.js";

export function startRows() {
  const rows = Array.from(document.querySelectorAll(".row"));
  if (!rows.length) return;
  for (const row of rows) row.dataset.row ??= folderOf(row.firstElementChild);
  // Whole pictures have no panels to choose from.
  const tiled = rows.find((row) => !row.classList.contains("whole-row"));
  if (tiled) startPanelSwitch(tileData(tiled));
  const watch = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      watch.unobserve(target);
      drawRow(target);
    }
  });
  for (const row of rows) watch.observe(row);
  window.addEventListener("beforeprint", () => {
    for (const fold of document.querySelectorAll("details.inside")) fold.open = true;
    rows.forEach(drawRow);
  });
}

// The folder of a sprite has the name of its layer.
const folderOf = (image) => image.getAttribute("src").split("/").at(-2);

function drawRow(row) {
  const given = row.querySelector(":scope > img, :scope > noscript");
  const data = tileData(row);
  if (!given || !data) return; // it is drawn
  if (given.matches("noscript")) {
    const link = new DOMParser().parseFromString(given.textContent, "text/html").querySelector("a");
    row.replaceChildren(wholeLine(data, row.dataset.row, link));
    return;
  }
  const sprite = given.getAttribute("src");
  const lines = element("div", { class: `lines s${data.panels.length}` });
  data.panels.forEach((_, panel) => lines.append(panelLine(data, row.dataset.row, sprite, panel)));
  // The optimised picture stands before the top-9 patches, never alone.
  if (data.optimised?.includes(row.dataset.row)) {
    const src = sprite.replace(/(\d+)\.\w+$/, "optimised/$1.webp");
    const image = element("img", { src, loading: "lazy", alt: "optimised picture" });
    lines.append(element("div", { class: "line optimised" }, [image]));
  }
  showChosenPanels(lines);
  row.replaceChildren(lines);
}

// The nine whole pictures of a row, linked to its channel's own page.
function wholeLine(data, rowName, link) {
  const [field, tiles] = data.rows[rowName];
  const line = element("div", { class: "line only" });
  const href = link.getAttribute("href");
  Array.from(link.children).forEach((image, place) => {
    const tile = tiles[place];
    const parts = image.matches("img") ? [image, drawnSquares(data.side, [shownSquare(data, field, tile)])] : [];
    if (parts.length) image.alt = tileText(data, tile, place);
    line.append(element(parts.length ? "a" : "span", { class: "whole", href: `${href}#${place + 1}` }, parts));
  });
  return element("div", { class: "lines" }, [line]);
}

function tileText(data, [, activation, , , labelNumber], place) {
  const label = data.labels[labelNumber];
  return `${place + 1}${label ? `: ${label}` : ""}, ${activation}`;
}

// One panel of a row: nine tiles. Those of the first panel are links to the channel's own page.
function panelLine(data, rowName, sprite, panel) {
  const [field, tiles] = data.rows[rowName];
  const [size, , , around] = field;
  const line = element("div", { class: `line p${panel}` });
  tiles.forEach((tile, place) => {
    const alt = panel ? "" : tileText(data, tile, place);
    const shown = [element("img", { class: `k${place + 1}`, src: sprite, alt })];
    // A tile that shows the whole picture: the unit's place is marked on it.
    if (data.panels[panel] === "patches" && isWiderThanInput(data, size) && !focusSquare(tile)) {
      shown.push(drawnSquares(data.side, [unitSquare(field, tile)], around));
    }
    const href = `${sprite.replace(/\.\w+$/, ".html")}#${place + 1}`;
    line.append(panel ? element("span", {}, shown) : element("a", { href }, shown));
  });
  return line;
}
