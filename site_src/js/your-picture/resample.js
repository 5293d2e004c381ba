// Resizing as Pillow does it, in the same fixed-point arithmetic: the pictures of the atlas were resized by Pillow, and
// a browser's own resizing gives other pixels. Two passes, along the rows and then along the columns, each rounded to
// whole grey levels; where a picture is reduced, the filter is as much wider (antialiasing).

const BITS = 22; // behind the point, as in Pillow's Resample.c
const HALF = 1 << (BITS - 1);

const sinc = (x) => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));

// By Pillow's name: how far the filter reaches, and its weight at a distance.
const FILTERS = {
  box: [0.5, (x) => (x > -0.5 && x <= 0.5 ? 1 : 0)],
  bilinear: [1, (x) => Math.max(0, 1 - Math.abs(x))],
  hamming: [1, hamming],
  bicubic: [2, bicubic],
  lanczos: [3, (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0)],
};

function hamming(x) {
  const distance = Math.abs(x);
  if (distance === 0) return 1;
  if (distance >= 1) return 0;
  const angle = distance * Math.PI;
  return (Math.sin(angle) / angle) * (0.54 + 0.46 * Math.cos(angle));
}

function bicubic(x) {
  const a = -0.5;
  const distance = Math.abs(x);
  if (distance < 1) return ((a + 2) * distance - (a + 3)) * distance * distance + 1;
  if (distance < 2) return (((distance - 5) * distance + 8) * distance - 4) * a;
  return 0;
}

/** A picture {width, height, channels, data} of 8-bit samples, resized by Pillow's filter of this name. */
export function resample(picture, width, height, filter) {
  if (filter === "nearest") return nearest(picture, width, height);
  // Pillow leaves out the pass along an axis that keeps its length.
  const wide = width === picture.width ? picture : alongRows(picture, width, FILTERS[filter]);
  return height === picture.height ? wide : alongColumns(wide, height, FILTERS[filter]);
}

// For each place of the output where its samples begin in the input, and their weights.
function weights(before, after, [reach, filter]) {
  const scale = before / after;
  const stretch = Math.max(scale, 1);
  return Array.from({ length: after }, (_, place) => {
    const centre = (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach * stretch + 0.5));
    const end = Math.min(before, Math.trunc(centre + reach * stretch + 0.5));
    const shares = Array.from({ length: end - first }, (_, n) => filter((n + first - centre + 0.5) * (1 / stretch)));
    const sum = shares.reduce((total, share) => total + share, 0);
    const fixed = shares.map((share) => {
      const value = (sum === 0 ? share : share / sum) * (1 << BITS);
      return Math.trunc(value < 0 ? value - 0.5 : value + 0.5);
    });
    return { first, fixed: Int32Array.from(fixed) };
  });
}

function alongRows({ width: before, height, channels, data }, width, filter) {
  const result = new Uint8ClampedArray(width * height * channels);
  weights(before, width, filter).forEach(({ first, fixed }, column) => {
    for (let row = 0; row < height; row++) {
      for (let channel = 0; channel < channels; channel++) {
        let sum = HALF;
        let at = (row * before + first) * channels + channel;
        for (const weight of fixed) {
          sum += data[at] * weight;
          at += channels;
        }
        result[(row * width + column) * channels + channel] = sum >> BITS;
      }
    }
  });
  return { width, height, channels, data: result };
}

function alongColumns({ width, height: before, channels, data }, height, filter) {
  const result = new Uint8ClampedArray(width * height * channels);
  const line = width * channels;
  weights(before, height, filter).forEach(({ first, fixed }, row) => {
    for (let place = 0; place < line; place++) {
      let sum = HALF;
      let at = first * line + place;
      for (const weight of fixed) {
        sum += data[at] * weight;
        at += line;
      }
      result[row * line + place] = sum >> BITS;
    }
  });
  return { width, height, channels, data: result };
}

function nearest({ width: before, height: rows, channels, data }, width, height) {
  const result = new Uint8ClampedArray(width * height * channels);
  for (let row = 0; row < height; row++) {
    const from = Math.trunc((row + 0.5) * (rows / height)) * before;
    for (let column = 0; column < width; column++) {
      const at = (from + Math.trunc((column + 0.5) * (before / width))) * channels;
      const to = (row * width + column) * channels;
      for (let channel = 0; channel < channels; channel++) result[to + channel] = data[at + channel];
    }
  }
  return { width, height, channels, data: result };
}
