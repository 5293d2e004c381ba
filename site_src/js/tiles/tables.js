// The top-9 images as a table, from the data that the page carries anyway, once the reader opens it.

import { element } from "../dom.js";
import { isPublished, tileData } from "./data.js";

const HEADINGS = ["№", "label", "value", "row, column", "picture"];

export function startTables() {
  for (const fold of document.querySelectorAll("details.table")) {
    fold.addEventListener("toggle", () => {
      const data = tileData(fold);
      const row = data?.rows[fold.dataset.layer];
      if (row && !fold.querySelector("table")) fold.append(table(data, row));
    });
  }
}

function table(data, [, tiles]) {
  const lines = tiles.map(([picture, activation, row, column, label], place) => {
    const shown = isPublished(data, picture)
      ? element("a", { href: `../pictures/${picture}.webp`, text: picture })
      : picture;
    const cells = [place + 1, data.labels[label] ?? "", activation, `${row}, ${column}`, shown];
    return element(
      "tr",
      {},
      cells.map((cell) => element("td", {}, [cell])),
    );
  });
  const headings = HEADINGS.map((text) => element("th", { scope: "col", text }));
  return element("table", {}, [element("thead", {}, [element("tr", {}, headings)]), element("tbody", {}, lines)]);
}
