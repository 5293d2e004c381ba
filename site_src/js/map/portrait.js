// A picture of the map as an element: the whole picture where the site holds it, else its thumbnail or its dot.

import { element } from "../dom.js";
import { root } from "../site.js";
import { colourOf, pictures } from "./data.js";
import { drawThumbnail, hasThumbnail } from "./thumbnails.js";

const SIDE = 96; // px
const SHARPNESS = 2; // pixels in a CSS pixel

/** The whole picture, else its thumbnail; null where the site has neither. */
export function portrait(picture) {
  if (pictures.isWhole?.[picture]) {
    const src = `${root}${pictures.model}/pictures/${pictures.numbers[picture]}.webp`;
    return element("img", { src, alt: "" });
  }
  return hasThumbnail(picture) ? smallPortrait(picture, SIDE) : null;
}

/** The thumbnail, else a dot of the class's colour, `side` CSS pixels wide. */
export function smallPortrait(picture, side) {
  const width = side * SHARPNESS;
  const canvas = element("canvas", { width, height: width, class: "small" });
  const context = canvas.getContext("2d");
  if (hasThumbnail(picture)) drawThumbnail(context, picture, 0, 0, width);
  else {
    context.fillStyle = colourOf(picture);
    context.arc(width / 2, width / 2, width / 6, 0, 2 * Math.PI);
    context.fill();
  }
  return canvas;
}
