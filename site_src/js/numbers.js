// Numbers and places in words, as the pages write them.

const RANKS = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"];

/** A number with three significant digits, or another count of them; without an exponent unless it is tiny. */
export function significant(value, digits = 3) {
  const short = Number(value.toPrecision(digits));
  return (Math.abs(short) < 1e-4 && short !== 0 ? short.toExponential() : String(short)).replace("-", "−");
}

/** "first" of 1, to "ninth". */
export function rankWord(rank) {
  return RANKS[rank - 1];
}
