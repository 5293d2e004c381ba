// The network in this browser: fetched once, run by onnxruntime-web on the graphics card (WebGPU) where there is one
// and its values are right, else on one thread of WebAssembly.

import { unpacked, unpackedNumbers } from "./files.js";
import { prepared } from "./preprocessing.js";

// The two builds of onnxruntime-web. That of the graphics card runs networks by WebAssembly too.
const PLAIN = { module: "ort.wasm.min.mjs", binary: "ort-wasm-simd-threaded.wasm.gz" };
const CARD = { module: "ort.webgpu.min.mjs", binary: "ort-wasm-simd-threaded.jsep.wasm.gz" };
// A value of the graphics card may differ by the first share of itself, or by the second of the layer's largest.
const OF_VALUE = 1e-3;
const OF_LAYER = 1e-4;
const ERRORS = 3; // what the runtime writes on the console; that some operations run on the processor is no fault

/** What this browser lacks, in words; "" where it can run the network. */
export function lacking() {
  const needed = { WebAssembly: window.WebAssembly, DecompressionStream: window.DecompressionStream };
  const missing = Object.entries(needed).filter(([, there]) => !there);
  return missing.map(([name]) => name).join(" and ");
}

/** Whether the network can be tried on a graphics card. One that the processor imitates is slower than WebAssembly. */
export async function hasCard(settings) {
  if (!settings.card) return false;
  try {
    const adapter = await navigator.gpu?.requestAdapter();
    return Boolean(adapter) && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter);
  } catch {
    return false;
  }
}

/** The network, ready to run. fetchFile(address): the bytes of a file of the site; onCard: see hasCard. */
export async function openNetwork(settings, fetchFile, onCard) {
  const network = new Network(settings, fetchFile);
  await (onCard ? network.openOnCard() : network.open(PLAIN));
  return network;
}

class Network {
  #settings;
  #fetchFile;
  #ort = null;
  #session = null;
  #onCard = false;
  #fault = "";
  #runtimes = new Map(); // promises, by build
  #last = Promise.resolve();

  constructor(settings, fetchFile) {
    this.#settings = settings;
    this.#fetchFile = fetchFile;
  }

  /** By what the network runs, and why not on the graphics card where that was tried, in words. */
  get way() {
    if (this.#onCard) return "on the graphics card by WebGPU.";
    return `by WebAssembly.${this.#fault && ` The graphics card is not used: ${this.#fault}.`}`;
  }

  async open(build) {
    await this.#load(build, "wasm");
  }

  /** By WebAssembly after all where the card cannot run it or its values are off. */
  async openOnCard() {
    const { picture, check } = this.#settings.card;
    // Both are fetched whatever comes, and a fault of theirs is one of the card's.
    const files = Promise.all([this.#fetchFile(picture), this.#fetchFile(check)]);
    files.catch(() => {});
    try {
      await this.#load(CARD, "webgpu");
      this.#onCard = true;
      const [bytes, packed] = await files;
      const outputs = await this.#outputs(await prepared(new Blob([bytes]), this.#settings.preprocessing));
      const wanted = new Float32Array(await unpackedNumbers(packed, 4));
      if (!isNear(this.#settings, outputs, wanted)) throw new Error("its values differ from those of the atlas");
    } catch (error) {
      await this.#leaveCard(error);
    }
  }

  async #load(build, provider) {
    const [ort, packed] = await Promise.all([this.#runtime(build), this.#fetchFile(this.#settings.model)]);
    const model = new Uint8Array(await unpackedNumbers(packed, this.#settings.modelWidth));
    this.#ort = ort;
    const options = { executionProviders: [provider], logSeverityLevel: ERRORS };
    this.#session = await ort.InferenceSession.create(model, options);
    ort.env.wasm.wasmBinary = undefined; // compiled by now
  }

  #runtime(build) {
    if (!this.#runtimes.has(build)) this.#runtimes.set(build, this.#loadRuntime(build));
    return this.#runtimes.get(build);
  }

  async #loadRuntime(build) {
    const folder = new URL(this.#settings.runtime, document.baseURI).href;
    const module = import(folder + build.module);
    const binary = this.#fetchFile(this.#settings.runtime + build.binary);
    const [ort, packed] = await Promise.all([module, binary]);
    const wasmBinary = await unpacked(packed);
    Object.assign(ort.env.wasm, { numThreads: 1, wasmPaths: folder, wasmBinary });
    return ort;
  }

  // Not much more is loaded: the build for the card computes by WebAssembly too, if it runs at all.
  async #leaveCard(error) {
    this.#fault = words(error);
    this.#onCard = false;
    const session = this.#session;
    this.#session = null;
    await session?.release().catch(() => {});
    await this.#load(CARD, "wasm").catch(() => this.#load(PLAIN, "wasm"));
  }

  /** The outputs for the pixels of one picture, {scores, maxima, positions}; one picture at a time. */
  run(picture) {
    const result = this.#last.then(() => this.#run(picture));
    this.#last = result.catch(() => {});
    return result;
  }

  async #run(picture) {
    try {
      return await this.#outputs(picture);
    } catch (error) {
      if (!this.#onCard) throw error;
      await this.#leaveCard(error); // a card may be lost at any time
      return this.#outputs(picture);
    }
  }

  async #outputs({ width, height, channels, data }) {
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

function words(error) {
  const [line] = String(error?.message ?? error).split("\n");
  return line
    .split("Error: ") // the runtime puts its own words before the reason
    .at(-1)
    .slice(0, 200)
    .replace(/[\s.]+$/, "");
}

// wanted: the channels' largest values and after them the scores.
function isNear({ layers }, { maxima, scores }, wanted) {
  const parts = layers.map(({ offset, channels }) => [maxima, offset, 0, channels]);
  if (scores) parts.push([scores, 0, maxima.length, scores.length]);
  if (wanted.length !== maxima.length + (scores?.length ?? 0)) return false;
  return parts.every(([values, first, before, count]) => {
    const known = wanted.subarray(before + first, before + first + count);
    const largest = known.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    return known.every((value, place) => {
      const most = Math.max(OF_VALUE * Math.abs(value), OF_LAYER * largest);
      return Math.abs(values[first + place] - value) <= most; // false for NaN
    });
  });
}
