// Dots, written into the canvas's pixels one by one: that is quick enough for tens of thousands of them, which the
// canvas's drawing commands are not. All numbers in the loops fit 32 bits with their sign, which keeps them quick.

import { colours } from "./colours.js";
import { NONE, pictures } from "./data.js";
import { layout, standsOut, state } from "./state.js";
import { scale, size, view } from "./view.js";

const FULL = 64; // the cover of a pixel that lies wholly inside a dot

const stamps = new Map();

/** Radius of a dot in CSS pixels: larger where there are few pictures, where the canvas is wide, and with the zoom. */
export function dotRadius() {
  const crowding = (115 / Math.sqrt(pictures.count)) * Math.min(1, 0.35 + size.width / 1400);
  return Math.min(5.5, Math.max(1.2, crowding) * Math.max(1, view.zoom) ** 0.35);
}

/** Draw the dots that stand out, or those that do not, into the pixels of an image `width` × `height`. */
export function drawDots(pixels, width, height, areStandingOut) {
  const { reach, offsets, covers } = stamp(dotRadius() * size.ratio, width);
  const { x: xs, y: ys } = layout();
  const { from, moved, filter } = state;
  const { count, order, classOf } = pictures;
  const pixelsPerUnit = scale() * size.ratio;
  const left = width / 2 - view.x * pixelsPerUnit + 0.5;
  const top = height / 2 - view.y * pixelsPerUnit + 0.5;
  const right = width - reach;
  const bottom = height - reach;
  const noClass = colours.classes.length - 1;
  for (let n = 0; n < count; n++) {
    const picture = order[n];
    let mapX = xs[picture];
    let mapY = ys[picture];
    if (from) {
      mapX = from.x[picture] + (mapX - from.x[picture]) * moved;
      mapY = from.y[picture] + (mapY - from.y[picture]) * moved;
    }
    const x = Math.floor(left + mapX * pixelsPerUnit);
    const y = Math.floor(top + mapY * pixelsPerUnit);
    if (x < reach || y < reach || x >= right || y >= bottom) continue;
    if (filter && standsOut(picture) !== areStandingOut) continue;
    const number = classOf[picture];
    const colour = areStandingOut ? colours.classes[number === NONE ? noClass : number] : colours.quiet;
    drawStamp(pixels, y * width + x, colour, offsets, covers);
  }
}

// Red and blue are mixed in one multiplication, green in another: each has the free bits of its neighbour to grow into.
function drawStamp(pixels, middle, colour, offsets, covers) {
  const redBlue = colour & 0xff00ff;
  const green = colour & 0xff00;
  for (let k = 0; k < offsets.length; k++) {
    const cover = covers[k];
    const place = middle + offsets[k];
    if (cover === FULL) {
      pixels[place] = colour;
      continue;
    }
    const under = pixels[place];
    const rest = FULL - cover;
    const mixedRedBlue = (((under & 0xff00ff) * rest + redBlue * cover) >> 6) & 0xff00ff;
    const mixedGreen = (((under & 0xff00) * rest + green * cover) >> 6) & 0xff00;
    pixels[place] = -16777216 | mixedRedBlue | mixedGreen;
  }
}

// The pixels around a dot's middle, as offsets in an image of this width, and how much of each the dot covers, of FULL.
function stamp(radius, width) {
  const key = `${radius.toFixed(2)} ${width}`;
  if (stamps.has(key)) return stamps.get(key);
  const reach = Math.ceil(radius);
  const offsets = [];
  const covers = [];
  for (let dy = -reach; dy <= reach; dy++) {
    for (let dx = -reach; dx <= reach; dx++) {
      const cover = Math.round(FULL * Math.max(0, Math.min(1, radius + 0.5 - Math.hypot(dx, dy))));
      if (!cover) continue;
      offsets.push(dx + dy * width);
      covers.push(cover);
    }
  }
  stamps.set(key, { reach, offsets: Int32Array.from(offsets), covers: Int32Array.from(covers) });
  return stamps.get(key);
}
