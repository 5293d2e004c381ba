// Numbers and places in words, as the pages write them.

const RANKS = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"];

/** A number with three significant digits. */
export function significant(value) {
  const short = Number(value.toPrecision(3));
  return (Math.abs(short) < 1e-4 && short !== 0 ? short.toExponential() : String(short)).replace("-", "−");
}

/** A share in percent, never rounded up to 100; with a decimal where that says something. */
export function percent(share) {
  const digits = share > 0.99 || share < 0.01 ? 1 : 0;
  const factor = 10 ** digits;
  return `${(Math.floor(share * 100 * factor) / factor).toFixed(digits)} %`;
}

export function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** "first" of 1, to "ninth". */
export function rankWord(rank) {
  return RANKS[rank - 1];
}

/** Where a response stands among those to the atlas's pictures; see Channels.standing. */
export function standingWords({ rank, share }) {
  return rank ? `would be ${rankWord(rank)}` : `above ${percent(share)}`;
}
