// The top-9 images as a table, once the reader opens it.

import { element } from "../dom.js";
import { isPublished, tileData } from "./data.js";

const HEADINGS = ["№", "label", "value", "row, column", "picture"];

export function startTables() {
  const doors = document.querySelector(".doors");
  const data = doors && tileData(doors);
  const row = data?.rows[document.getElementById("main").dataset.layer];
  if (!row) return;
  const text = row[1].length === 9 ? "The nine pictures" : "Its pictures";
  const fold = element("details", { class: "table" }, [element("summary", { text })]);
  fold.addEventListener("toggle", () => fold.append(table(data, row)), { once: true });
  doors.before(fold);
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
