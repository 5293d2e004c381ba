// The picture as the network sees it, with squares drawn on it.

import { drawnSquares } from "../tiles/data.js";

export class PictureView {
  #canvas;
  #frame;
  #mark = null;

  /** frame: the element that holds the canvas. */
  constructor(frame) {
    this.#frame = frame;
    this.#canvas = frame.querySelector("canvas");
  }

  get canvas() {
    return this.#canvas;
  }

  /** picture: {width, height, channels, data}. */
  show({ width, height, channels, data }) {
    const image = new ImageData(width, height);
    for (let pixel = 0; pixel < width * height; pixel++) {
      for (let colour = 0; colour < 3; colour++) {
        image.data[4 * pixel + colour] = data[pixel * channels + Math.min(colour, channels - 1)];
      }
      image.data[4 * pixel + 3] = 255;
    }
    Object.assign(this.#canvas, { width, height });
    this.#canvas.getContext("2d").putImageData(image, 0, 0);
  }

  /** Draw the receptive field of a unit and the place that the unit stands for. */
  mark({ field: [side, stride, centre], width }, position) {
    const middle = (place) => centre + place * stride + 0.5;
    const [x, y] = [middle(position % width), middle(Math.floor(position / width))];
    const size = [this.#canvas.height, this.#canvas.width];
    const svg = drawnSquares(size, [
      [x - side / 2, y - side / 2, side],
      [x - stride / 2, y - stride / 2, stride],
    ]);
    // The drawing is square, the frame as long as the picture.
    svg.setAttribute("viewBox", [0, 0, size[1], size[0]].join(" "));
    this.#mark?.remove();
    this.#mark = svg;
    this.#frame.append(svg);
  }
}
