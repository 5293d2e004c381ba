// A layout: where each picture lies, in units of the map, and which pictures lie in each cell of a grid laid over it.

const STEPS = 65535;

/** Cells along each side of the grid. */
const CELLS = 128;

/** A layout from x and y of each picture, in steps of a unit, y upwards. */
export function readLayout(steps, count) {
  const x = new Float32Array(count);
  const y = new Float32Array(count);
  let width = 0;
  let height = 0;
  for (let picture = 0; picture < count; picture++) {
    x[picture] = steps[2 * picture] / STEPS;
    y[picture] = steps[2 * picture + 1] / STEPS;
    width = Math.max(width, x[picture]);
    height = Math.max(height, y[picture]);
  }
  for (let picture = 0; picture < count; picture++) y[picture] = height - y[picture]; // on a screen y goes downwards
  return { x, y, width, height, ...sortedIntoCells(x, y), thumbnails: null };
}

/** The row or column of the cell in which a coordinate lies. */
export function cellAt(coordinate) {
  return Math.max(0, Math.min(CELLS - 1, Math.floor(coordinate * CELLS)));
}

/** The pictures of one cell, as a part of an array. */
export function picturesInCell({ starts, sorted }, row, column) {
  const cell = row * CELLS + column;
  return sorted.subarray(starts[cell], starts[cell + 1]);
}

// Counting sort: the picture below the pointer is then found among few.
function sortedIntoCells(x, y) {
  const starts = new Uint32Array(CELLS * CELLS + 1);
  const cellOf = Uint32Array.from(x, (_, picture) => cellAt(y[picture]) * CELLS + cellAt(x[picture]));
  for (const cell of cellOf) starts[cell + 1]++;
  for (let cell = 0; cell < CELLS * CELLS; cell++) starts[cell + 1] += starts[cell];
  const next = starts.slice();
  const sorted = new Uint32Array(x.length);
  cellOf.forEach((cell, picture) => {
    sorted[next[cell]++] = picture;
  });
  return { starts, sorted };
}
