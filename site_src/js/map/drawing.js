// Drawing the map: one frame, when something has changed.

import { colours, readColours } from "./colours.js";
import { colourOf, neighboursOf, pictures } from "./data.js";
import { dotRadius, drawDots } from "./dots.js";
import { state } from "./state.js";
import { drawThumbnail, hasThumbnail, thumbnails } from "./thumbnails.js";
import { onCanvas, size } from "./view.js";

const MOST_PIXELS_A_PIXEL = 2; // device pixels in a CSS pixel: more would take longer and show no more
const CROSS = 8; // px
const PICKED_SIDE = 40; // px, at least

let canvas = null;
let context = null;
let image = null;
let pixels = null; // of the image, packed
let isRequested = false;

/** Draw on this canvas from now on, again when its size or the page's theme changes. */
export function startDrawing(onto) {
  canvas = onto;
  context = canvas.getContext("2d", { alpha: false });
  const followTheme = () => {
    readColours(canvas);
    redraw();
  };
  new ResizeObserver(measure).observe(canvas);
  new MutationObserver(followTheme).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", followTheme);
  canvas.addEventListener("focus", redraw);
  canvas.addEventListener("blur", redraw);
  measure();
  followTheme();
}

/** Draw the map in the browser's next frame. */
export function redraw() {
  if (isRequested) return;
  isRequested = true;
  requestAnimationFrame(draw);
}

function measure() {
  const { width, height } = canvas.getBoundingClientRect();
  if (!width) return;
  Object.assign(size, { width, height, ratio: Math.min(MOST_PIXELS_A_PIXEL, devicePixelRatio || 1) });
  canvas.width = Math.round(width * size.ratio);
  canvas.height = Math.round(height * size.ratio);
  image = context.createImageData(canvas.width, canvas.height);
  pixels = new Int32Array(image.data.buffer);
  redraw();
}

function draw() {
  isRequested = false;
  if (!pixels) return;
  pixels.fill(colours.ground);
  if (state.filter) drawDots(pixels, canvas.width, canvas.height, false);
  drawDots(pixels, canvas.width, canvas.height, true);
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.putImageData(image, 0, 0);
  context.setTransform(size.ratio, 0, 0, size.ratio, 0, 0);
  drawThumbnails();
  if (state.layoutName === "pca" && !state.from) drawAxes();
  if (state.picked >= 0) drawPicked();
  if (state.hovered >= 0 && state.hovered !== state.picked) drawRing(state.hovered, 1.5, colours.text);
  if (canvas.matches(":focus-visible")) drawCross();
}

function drawThumbnails() {
  const { side, shown } = thumbnails();
  for (const picture of shown) {
    const middle = onCanvas(picture);
    const x = Math.round(middle.x - side / 2);
    const y = Math.round(middle.y - side / 2);
    if (x < -side || y < -side || x > size.width || y > size.height) continue;
    drawThumbnail(context, picture, x, y, side);
    context.fillStyle = colourOf(picture);
    context.fillRect(x, y + side, side, 3);
  }
}

function drawAxes() {
  context.fillStyle = colours.text;
  context.font = `12px ${getComputedStyle(canvas).fontFamily}`;
  context.textBaseline = "alphabetic";
  context.textAlign = "right";
  drawText(`${pictures.axes[0]} →`, size.width - 10, size.height - 10);
  context.save();
  context.translate(18, 10);
  context.rotate(-Math.PI / 2);
  drawText(`${pictures.axes[1]} →`, 0, 0);
  context.restore();
}

// With an edge of the page's colour, so that it can be read over dots and thumbnails.
function drawText(text, x, y) {
  context.lineWidth = 4;
  context.lineJoin = "round";
  context.strokeStyle = colours.page;
  context.strokeText(text, x, y);
  context.fillText(text, x, y);
}

// The picked picture, and lines to its neighbours.
function drawPicked() {
  const start = onCanvas(state.picked);
  const neighbours = neighboursOf(state.picked).map(({ neighbour }) => neighbour);
  context.strokeStyle = colours.text;
  context.lineWidth = 1;
  for (const neighbour of neighbours) {
    const end = onCanvas(neighbour);
    drawLine(start.x, start.y, end.x, end.y);
  }
  for (const neighbour of neighbours) drawRing(neighbour, 1.5, colours.text);
  drawRing(state.picked, 3, colours.accent);
}

// Around a picture's thumbnail where it has one on the map, around its dot otherwise.
function drawRing(picture, thickness, colour) {
  const { x, y } = onCanvas(picture);
  context.lineWidth = thickness;
  context.strokeStyle = colour;
  const isPicked = picture === state.picked;
  const { side, shown } = thumbnails();
  if (hasThumbnail(picture) && (isPicked || shown.includes(picture))) {
    const ownSide = isPicked ? Math.max(side, PICKED_SIDE) : side;
    drawThumbnail(context, picture, x - ownSide / 2, y - ownSide / 2, ownSide);
    context.strokeRect(x - ownSide / 2, y - ownSide / 2, ownSide, ownSide);
    return;
  }
  context.beginPath();
  context.arc(x, y, dotRadius() + 3, 0, 2 * Math.PI);
  context.stroke();
}

// In the middle of the canvas, where Enter picks, while the canvas has the keyboard's focus.
function drawCross() {
  const { width, height } = size;
  context.strokeStyle = colours.text;
  context.lineWidth = 1;
  drawLine(width / 2 - CROSS, height / 2, width / 2 + CROSS, height / 2);
  drawLine(width / 2, height / 2 - CROSS, width / 2, height / 2 + CROSS);
}

function drawLine(x, y, endX, endY) {
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(endX, endY);
  context.stroke();
}
