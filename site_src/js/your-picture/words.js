// Shares and sizes in words, as the page Your picture writes them.

import { rankWord } from "../numbers.js";

/** A share in percent, rounded, with a decimal where that says something: only the whole reads as 100 and only nothing
 * as 0. */
export function percent(share) {
  if (share <= 0 || share >= 1) return `${share <= 0 ? 0 : 100} %`;
  if (share < 0.0005) return "< 0.1 %";
  if (share >= 0.9995) return "> 99.9 %";
  return `${(share * 100).toFixed(decimals(share))} %`;
}

/** A share in percent, rounded down: what a response is above, it is certainly above. */
export function percentAtLeast(share) {
  const factor = 10 ** decimals(share);
  const cut = Math.floor(share * 100 * factor + 1e-6) / factor; // 0.58 · 100 is a little less than 58
  return `${cut.toFixed(decimals(share))} %`;
}

function decimals(share) {
  return share > 0.99 || share < 0.01 ? 1 : 0;
}

export function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** Where a response stands among those to the atlas's pictures; see Channels.standing. */
export function standingWords({ rank, share }) {
  return rank ? `would be ${rankWord(rank)}` : `above ${percentAtLeast(share)}`;
}
