// How the channels respond to the atlas's pictures, and where a response to another picture stands among these.

const NINE = 9;

/** By layer, the numbers of its channels. buffer: the file that generator/site/reading/live.py writes; faint: share of
 * the layer's strongest score below which a channel's strongest one is that of a dead channel. */
export function readChannels(buffer, layers, pictures, faint) {
  let at = 0;
  const next = (Kind, length) => {
    const values = new Kind(buffer, at, length);
    at += values.byteLength;
    return values;
  };
  return layers.map(
    ({ channels, bins }) =>
      new Channels(pictures, faint, {
        ends: next(Float32Array, bins),
        tops: next(Float32Array, channels * NINE),
        counts: next(Int32Array, channels * bins),
        places: next(Int32Array, channels),
      }),
  );
}

class Channels {
  #pictures;
  #numbers;
  #least;

  constructor(pictures, faint, numbers) {
    this.#pictures = pictures;
    this.#numbers = numbers;
    const strongest = numbers.tops.reduce((most, score) => (score > most ? score : most), 0); // NaN is not above
    this.#least = faint * strongest;
  }

  /** The channel's top-9 scores, strongest first; fewer where fewer pictures activate it. */
  nine(channel) {
    const tops = this.#numbers.tops.subarray(channel * NINE, (channel + 1) * NINE);
    return Array.from(tops).filter((value) => !Number.isNaN(value));
  }

  /** The place of its thumbnail in the sheet; -1 without one. */
  place(channel) {
    return this.#numbers.places[channel];
  }

  /** Where a value stands among the channel's scores: {rank, share, times}. rank: 1 where no score is above it, up to
   * 9, else 0; share: of the atlas's pictures that are certainly below; times: the value in the strongest score. null
   * for a dead channel. The chance level follows this rule: generator/site/reading/live.py. */
  standing(channel, value) {
    const nine = this.nine(channel);
    if (!nine.length || nine[0] <= this.#least) return null;
    const last = nine.at(-1);
    const rank = value >= last ? 1 + nine.filter((score) => score > value).length : 0;
    // Any number of scores may equal the last of the top-9, so a value that equals it is placed by the bins.
    const notBelow = nine.filter((score) => score >= value).length;
    const share = value > last ? (this.#pictures - notBelow) / this.#pictures : this.#below(channel, value);
    return { rank, share, times: value / nine[0] };
  }

  #below(channel, value) {
    const { ends, counts } = this.#numbers;
    const first = channel * ends.length;
    let below = 0;
    // The first bin holds scores of zero and below, so it ends with zero itself.
    ends.forEach((end, bin) => {
      if (bin ? end <= value : end < value) below += counts[first + bin];
    });
    return below / this.#pictures;
  }
}

/** The layer's channels, those first that respond most for them: {channel, value, position, ...standing}. */
export function ranked(layer, channels, { maxima, positions }) {
  const rows = [];
  for (let channel = 0; channel < layer.channels; channel++) {
    const value = maxima[layer.offset + channel];
    const standing = channels.standing(channel, value);
    if (standing) rows.push({ channel, value, position: positions[layer.offset + channel], ...standing });
  }
  return rows.sort((a, b) => b.share - a.share || b.times - a.times);
}
