// Files of the site: fetched with a report of how much has arrived, and unpacked.

const GZIP = [0x1f, 0x8b]; // the first bytes

/** Fetches files of known sizes (by address) and reports after every piece how many bytes of all of them are here. */
export function fetcher(report) {
  let arrived = 0;
  return async (address) => {
    const answer = await fetch(address);
    if (!answer.ok) throw new Error(`${address} cannot be loaded (${answer.status}).`);
    const parts = [];
    const reader = answer.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(value);
      report((arrived += value.length));
    }
    return new Uint8Array(await new Blob(parts).arrayBuffer());
  };
}

/** The content of a file of numbers of `width` bytes each, which generator/site/packing.py packs. */
export async function unpackedNumbers(bytes, width) {
  const planes = new Uint8Array(await unpacked(bytes));
  const numbers = new Uint8Array(planes.length);
  const count = Math.floor(planes.length / width);
  for (let plane = 0; plane < width; plane++) {
    const from = plane * count;
    for (let number = 0; number < count; number++) numbers[number * width + plane] = planes[from + number];
  }
  numbers.set(planes.subarray(count * width), count * width);
  return numbers.buffer;
}

/** The content of a file that is stored compressed, unless the server has unpacked it already. */
export async function unpacked(bytes) {
  if (!GZIP.every((byte, place) => bytes[place] === byte)) return bytes.buffer;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}
