// The page Your picture: the network looks at a picture of the reader's own, in the reader's browser.

import { readJson } from "../dom.js";
import { ranked, readChannels } from "./channels.js";
import { showChosen } from "./chosen.js";
import { startChooser } from "./chooser.js";
import { coveredPicture, startCover } from "./cover.js";
import { fetcher, unpackedNumbers } from "./files.js";
import { openSheets, showCovered, showLayers, unitName } from "./layers.js";
import { hasCard, lacking, openNetwork } from "./network.js";
import { PictureView } from "./picture.js";
import { readings, showPrediction } from "./prediction.js";
import { PictureFault, prepared } from "./preprocessing.js";
import { megabytes } from "./words.js";

const main = document.getElementById("main");
const settings = readJson(document.getElementById("live"));
const status = main.querySelector(".state");
const seen = main.querySelector(".seen");

/** What is loaded and shown: the network and the channels' numbers, the picture, the network's outputs for it and for
 * the covered one, the layers' rankings, and the chosen channel [layer's number, row]. */
const state = { loading: null, picture: null, outputs: null, covered: null, rankings: [], chosen: null, cover: null };

function say(text, isFault = false) {
  status.textContent = text;
  status.classList.toggle("fault", isFault);
}

function start() {
  const view = new PictureView(main.querySelector(".shown-picture"));
  startChooser(main.querySelector(".choose"), (file, name) => look(view, file, name));
  startCover(main.querySelector(".cover"), view.canvas, (cover) => {
    state.cover = cover;
    if (state.outputs) lookCovered(view);
  });
}

// The network and the channels' numbers, loaded with the first picture.
function load() {
  state.loading ??= loadAll().catch((error) => {
    state.loading = null; // it can be tried again
    throw error;
  });
  return state.loading;
}

// A large network is loaded when the reader presses a button that says how large it is.
let isAllowed = false;
async function allowed() {
  const { loadBytes } = await sizes();
  if (isAllowed || loadBytes < settings.waitFrom) return;
  const place = main.querySelector(".wait");
  const button = place.querySelector("button");
  button.textContent = `Load the network (${megabytes(loadBytes)})`;
  place.hidden = false;
  say("The picture is ready. The network is not loaded yet, because it is large.");
  await new Promise((resolve) => button.addEventListener("click", resolve, { once: true }));
  isAllowed = true;
  place.hidden = true;
}

// Whether the network is tried on the graphics card, which is asked once, and how much is then loaded.
let asked = null;
function sizes() {
  asked ??= hasCard(settings).then((onCard) => ({ onCard, ...(onCard ? settings.card : settings) }));
  return asked;
}

async function loadAll() {
  const { runtimeBytes, onCard } = await sizes();
  const whole = settings.modelBytes + runtimeBytes + settings.numbersBytes;
  const fetchFile = fetcher((arrived) => {
    say(`Loading the network: ${megabytes(Math.min(arrived, whole))} of ${megabytes(whole)}`);
  });
  const [network, bytes] = await Promise.all([openNetwork(settings, fetchFile, onCard), fetchFile(settings.numbers)]);
  const numbers = readChannels(await unpackedNumbers(bytes, 4), settings.layers, settings.pictures, settings.faint);
  return { network, numbers, sheets: openSheets(settings.layers) };
}

// Only the newest picture is shown: one that was chosen before it may be ready later.
let calls = 0;
async function look(view, file, name) {
  const call = ++calls;
  const isOld = () => call !== calls;
  try {
    say(`Reading ${name} …`);
    const picture = await prepared(file, settings.preprocessing);
    if (isOld()) return;
    await allowed();
    if (isOld()) return;
    const { network, numbers, sheets } = await load();
    if (isOld()) return;
    say("The network looks at the picture …");
    const begun = performance.now();
    const outputs = await network.run(picture);
    if (isOld()) return;
    const seconds = (performance.now() - begun) / 1000;
    Object.assign(state, { picture, outputs, covered: null, numbers, sheets, network });
    state.rankings = settings.layers.map((layer, number) => ranked(layer, numbers[number], outputs));
    state.chosen = strongest();
    showAll(view);
    say(`${name}: the network needed ${seconds.toFixed(2)} s ${network.way}`);
    if (state.cover) lookCovered(view);
  } catch (error) {
    if (!isOld()) sayFault(error);
  }
}

function sayFault(error) {
  say(error instanceof PictureFault ? error.message : `The network cannot be run: ${error.message}`, true);
}

// The channel that responds most for it: of a block where there are blocks.
function strongest() {
  const best = state.rankings
    .map((rows, number) => [number, rows[0]])
    .filter(([number, row]) => row && (settings.layers[number].block || !settings.layers.some(({ block }) => block)));
  return best.sort(([, a], [, b]) => b.share - a.share || b.times - a.times)[0] ?? null;
}

function showAll(view) {
  seen.hidden = false;
  showPictureAndAnswer(view);
  showLayers(main.querySelector(".layers"), settings, state, (number, row) => {
    state.chosen = [number, row];
    showChannel(view);
  });
  showCovered(main.querySelector(".layers"), settings.layers, state.covered?.maxima);
  showChannel(view);
}

function showPictureAndAnswer(view) {
  view.show(state.cover ? coveredPicture(state.picture, settings.preprocessing.mean, state.cover) : state.picture);
  if (!settings.head) return;
  const [before, now] = [state.outputs, state.covered].map((each) => each && readings(each.scores, settings.head));
  showPrediction(main.querySelector(".prediction"), settings, before, now);
}

function showChannel(view) {
  if (!state.chosen) return;
  const [number, row] = state.chosen;
  const layer = settings.layers[number];
  for (const button of main.querySelectorAll(".layers button")) {
    button.setAttribute("aria-pressed", String(button.dataset.unit === unitName(layer, row)));
  }
  view.mark(layer, row.position);
  showChosen(main.querySelector(".chosen-channel"), { settings, ...state }, number, row);
}

// While the sliders move, the network looks at the newest place alone.
let isLooking = false;
async function lookCovered(view) {
  showPictureAndAnswer(view);
  if (isLooking) return;
  isLooking = true;
  try {
    let cover, picture;
    do {
      [cover, picture] = [state.cover, state.picture];
      const covered = cover && coveredPicture(picture, settings.preprocessing.mean, cover);
      state.covered = covered ? await state.network.run(covered) : null;
    } while (cover !== state.cover || picture !== state.picture);
  } catch (error) {
    state.covered = null; // no number of an earlier place stands beside this one
    sayFault(error);
  } finally {
    isLooking = false;
  }
  showPictureAndAnswer(view);
  showCovered(main.querySelector(".layers"), settings.layers, state.covered?.maxima);
  showChannel(view);
}

const missing = lacking();
if (location.protocol === "file:") {
  main.querySelector(".choose").hidden = true;
  main.querySelector(".from-folder").hidden = false;
} else if (missing) {
  main.querySelector(".choose").hidden = true;
  say(
    `This browser cannot run the network: it has no ${missing}. A current Firefox, Chrome, Edge or Safari can.`,
    true,
  );
} else {
  start();
}
