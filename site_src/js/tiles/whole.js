// The whole pictures of tiles that are cut to their focus, with the focus and the unit's field or place drawn. They
// stand in place of the patches while the address ends in #whole. Without scripts every tile leads to its picture.

import { element } from "../dom.js";
import { drawnSquares, focusSquare, isPublished, isWiderThanInput, layerOf, shownSquare, tileData } from "./data.js";

export function startWhole() {
  const caption = document.querySelector(".panels > .focus");
  const nine = document.querySelector(".panels > .patches > .nine");
  const data = caption && nine ? tileData(nine) : null;
  if (!data) return;
  const [field, tiles] = data.rows[layerOf(nine)];
  const pictures = tiles.map((tile) => wholeOf(data, field, tile));
  if (!pictures.some((picture) => picture.firstElementChild)) return;
  const around = isWiderThanInput(data, field[0]) ? "the unit's place" : "its receptive field";
  caption.append(
    " ",
    element("a", { class: "to-whole", href: "#whole", text: "Show the whole pictures" }),
    " ",
    element("span", { class: "from-whole" }, [
      `Dashed: ${around}. `,
      element("a", { href: "#focus", text: "Back to the focus" }),
    ]),
  );
  const label = "the focus of each tile in its whole picture";
  const figure = element("figure", { class: "panel", id: "whole" }, [
    element("figcaption", { text: "whole pictures" }),
    element("div", { class: "nine", "data-row": "", role: "img", "aria-label": label }, pictures),
  ]);
  nine.closest(".panels").append(figure);
  if (location.hash === "#whole") location.replace("#whole"); // it was not there when the page was opened
}

function wholeOf(data, field, tile) {
  const [picture] = tile;
  const focus = focusSquare(tile);
  if (!focus || !isPublished(data, picture)) return element("i");
  const image = element("img", { src: `../pictures/${picture}.webp`, loading: "lazy", alt: "" });
  return element("span", { class: "whole" }, [image, drawnSquares(data.side, [focus, shownSquare(data, field, tile)])]);
}
