// The network in this browser: fetched once, run by onnxruntime-web on one thread of WebAssembly.

import { unpacked } from "./files.js";

/** What this browser lacks, in words; "" where it can run the network. */
export function lacking() {
  const needed = { WebAssembly: window.WebAssembly, DecompressionStream: window.DecompressionStream };
  const missing = Object.entries(needed).filter(([, there]) => !there);
  return missing.map(([name]) => name).join(" and ");
}

/** The network, ready to run. fetchFile(address): the bytes of a file of the site. */
export async function openNetwork(settings, fetchFile) {
  const folder = new URL(settings.runtime, document.baseURI).href;
  const module = import(`${folder}ort.wasm.min.mjs`);
  const [packed, model, ort] = await Promise.all([
    fetchFile(`${settings.runtime}ort-wasm-simd-threaded.wasm.gz`),
    fetchFile(settings.model),
    module,
  ]);
  Object.assign(ort.env.wasm, { numThreads: 1, wasmPaths: folder, wasmBinary: await unpacked(packed) });
  const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
  ort.env.wasm.wasmBinary = undefined; // compiled by now
  return new Network(ort, session);
}

class Network {
  #ort;
  #session;
  #last = Promise.resolve();

  constructor(ort, session) {
    this.#ort = ort;
    this.#session = session;
  }

  /** The outputs for the pixels of one picture, {scores, maxima, positions}; one picture at a time. */
  run(picture) {
    const result = this.#last.then(() => this.#run(picture));
    this.#last = result.catch(() => {});
    return result;
  }

  async #run({ width, height, channels, data }) {
    const pixels = new this.#ort.Tensor("uint8", data, [1, height, width, channels]);
    const outputs = await this.#session.run({ pixels });
    const copies = {};
    for (const [name, tensor] of Object.entries(outputs)) {
      copies[name] = tensor.data.slice();
      tensor.dispose();
    }
    pixels.dispose();
    return copies;
  }
}
