// Which picture lies at a place of the canvas.

import { cellAt, picturesInCell } from "./layout.js";
import { layout, standsOut } from "./state.js";
import { thumbnails } from "./thumbnails.js";
import { onCanvas, onMap, scale } from "./view.js";

/** The picture whose thumbnail lies at (x, y), else the nearest dot within the reach in CSS pixels; -1 for none. */
export function pictureAt(x, y, reach) {
  const picture = thumbnailAt(x, y);
  return picture >= 0 ? picture : nearestTo(x, y, reach);
}

/** The picture nearest to (x, y), within the reach in CSS pixels; -1 for none. */
export function nearestTo(x, y, reach) {
  const { x: xs, y: ys } = layout();
  const middle = onMap(x, y);
  const radius = reach / scale();
  let nearest = -1;
  let least = radius * radius;
  for (let row = cellAt(middle.y - radius); row <= cellAt(middle.y + radius); row++) {
    for (let column = cellAt(middle.x - radius); column <= cellAt(middle.x + radius); column++) {
      for (const picture of picturesInCell(layout(), row, column)) {
        const distance = (xs[picture] - middle.x) ** 2 + (ys[picture] - middle.y) ** 2;
        if (distance > least || !standsOut(picture)) continue;
        least = distance;
        nearest = picture;
      }
    }
  }
  return nearest;
}

// The last that was drawn lies on top.
function thumbnailAt(x, y) {
  const { side, shown } = thumbnails();
  return (
    shown.findLast((picture) => {
      const middle = onCanvas(picture);
      return Math.abs(middle.x - x) <= side / 2 && Math.abs(middle.y - y) <= side / 2;
    }) ?? -1
  );
}
