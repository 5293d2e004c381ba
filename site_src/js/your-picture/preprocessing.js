// From a picture file to the pixels that the network takes, by the steps of generator/pictures/decoding.py: upright, on
// a ground where it is transparent, grey or in colours, resized, and the middle cut out.

import { resample } from "./resample.js";

const MOST_PIXELS = 100_000_000;

/** A sentence for the reader: why a file cannot be used. */
export class PictureFault extends Error {}

/** The pixels of the file, as {width, height, channels, data}. settings: the atlas's preprocessing. */
export async function prepared(file, settings) {
  const picture = asChannels(await decoded(file, settings.transparency), settings.channels);
  return centre(resized(picture, settings), ...settings.crop);
}

// The picture's colours as the file has them: no colour profile is applied, as Pillow applies none.
async function decoded(file, transparency) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", imageOrientation: "from-image" });
  } catch {
    throw new PictureFault("This file is no picture that the browser can read, or it is damaged.");
  }
  const { width, height } = bitmap;
  try {
    if (width * height > MOST_PIXELS) throw new Error("too large");
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    if (transparency !== "drop") {
      context.fillStyle = transparency;
      context.fillRect(0, 0, width, height);
    }
    context.drawImage(bitmap, 0, 0);
    return context.getImageData(0, 0, width, height);
  } catch {
    throw new PictureFault(`A picture of ${width} × ${height} px is too large for this browser.`);
  } finally {
    bitmap.close();
  }
}

// Grey by Pillow's weights (ITU-R 601-2 luma).
function asChannels({ width, height, data }, channels) {
  const result = new Uint8ClampedArray(width * height * channels);
  for (let from = 0, to = 0; from < data.length; from += 4) {
    if (channels === 1) {
      result[to++] = (data[from] * 19595 + data[from + 1] * 38470 + data[from + 2] * 7471 + 0x8000) >> 16;
    } else {
      result[to++] = data[from];
      result[to++] = data[from + 1];
      result[to++] = data[from + 2];
    }
  }
  return { width, height, channels, data: result };
}

// resize: the shorter side in px (0: leave), or [height, width].
function resized(picture, { resize, interpolation }) {
  const { width, height } = picture;
  if (Array.isArray(resize)) return resample(picture, resize[1], resize[0], interpolation);
  if (!resize || Math.min(width, height) === resize) return picture;
  const longer = Math.trunc((resize * Math.max(width, height)) / Math.min(width, height));
  if (longer * resize > MOST_PIXELS) throw new PictureFault(`A picture of ${width} × ${height} px is too elongated.`);
  return resample(picture, ...(width <= height ? [resize, longer] : [longer, resize]), interpolation);
}

// The middle; black where the picture is smaller.
function centre({ width, height, channels, data }, rows, columns) {
  const result = new Uint8Array(rows * columns * channels);
  const [top, above] = cut(height, rows);
  const [left, before] = cut(width, columns);
  for (let row = above; row < Math.min(rows, above + height); row++) {
    const from = ((row - above + top) * width + left) * channels;
    const count = Math.min(width - left, columns - before) * channels;
    result.set(data.subarray(from, from + count), (row * columns + before) * channels);
  }
  return { width: columns, height: rows, channels, data: result };
}

// Where the middle begins in the picture, and how much ground stands before it.
function cut(length, wanted) {
  return length < wanted ? [0, Math.trunc((wanted - length) / 2)] : [halfToEven((length - wanted) / 2), 0];
}

// As Python rounds.
function halfToEven(x) {
  const near = Math.round(x);
  return x % 1 === 0.5 && near % 2 ? near - 1 : near;
}
