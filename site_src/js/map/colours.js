// The colours of the map, from the page's theme and from the classes. A packed colour is one pixel of an ImageData that
// is read as 32-bit numbers.

import { pictures } from "./data.js";

const QUIET_SHARE = 0.14; // of the text's colour in a dot that does not stand out

export const colours = {
  ground: 0, // packed
  quiet: 0, // packed: dots that do not stand out
  classes: [], // packed: of each class, and last of pictures without one
  text: "",
  page: "",
  accent: "",
};

/** Read the colours that the canvas has in the page's present theme. */
export function readColours(canvas) {
  const style = getComputedStyle(canvas);
  const ground = channelsOf(style.backgroundColor);
  const text = channelsOf(style.color);
  const quiet = ground.map((value, n) => Math.round(value + (text[n] - value) * QUIET_SHARE));
  const hexes = [...pictures.classes.map(({ colour }) => colour), pictures.noClassColour];
  Object.assign(colours, {
    ground: packed(...ground),
    quiet: packed(...quiet),
    classes: hexes.map(packedHex),
    text: style.color,
    page: style.backgroundColor,
    accent: style.outlineColor,
  });
}

function packed(red, green, blue) {
  return (255 << 24) | (blue << 16) | (green << 8) | red;
}

function packedHex(hex) {
  const value = Number.parseInt(hex.slice(1), 16);
  return packed(value >> 16, (value >> 8) & 255, value & 255);
}

// Red, green and blue, 0 to 255, of a colour as a browser states it: rgb(…), or color(srgb …) with shares of 1.
function channelsOf(colour) {
  const values = colour
    .match(/[\d.]+/g)
    .map(Number)
    .slice(0, 3);
  return colour.includes("srgb") ? values.map((value) => Math.round(value * 255)) : values;
}
