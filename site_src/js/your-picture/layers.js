// The channels of each layer that respond most for them, with thumbnails, values and links to their pages.

import { element } from "../dom.js";
import { significant } from "../numbers.js";
import { percent, standingWords } from "./words.js";

const SHOWN = 6; // channels of each layer

/** Fill the list. sheets: by layer, see openSheets; rankings: by layer, its channels in order; chosen: is called with
 * the layer's number and the row of a channel whose button is pressed. */
export function showLayers(list, settings, { numbers, sheets, rankings }, chosen) {
  const items = settings.layers.map((layer, number) => {
    const rows = rankings[number];
    const high = rows.filter((row) => row.share >= settings.high).length;
    const chance = `by chance ${significant(layer.expected)}`;
    const sentence = `${high} of ${rows.length} channels above ${percent(settings.high)} of the pictures; ${chance}`;
    const heading = element("h3", {}, [element("a", { href: `${layer.name}/index.html`, text: layer.name })]);
    const shown = rows.slice(0, SHOWN).map((row) => {
      const picture = thumbnail(layer, sheets[number], numbers[number].place(row.channel));
      return channelItem(layer, picture, row, () => chosen(number, row));
    });
    return element("li", {}, [heading, element("small", { text: sentence }), element("ol", {}, shown)]);
  });
  list.replaceChildren(...items);
}

function channelItem(layer, picture, row, choose) {
  const name = `${layer.name} ${row.channel}`;
  const button = element("button", { type: "button", "aria-pressed": "false", "aria-label": `Show ${name}` });
  button.dataset.unit = unitName(layer, row);
  button.classList.toggle("bare", typeof picture === "string");
  button.append(picture);
  button.addEventListener("click", choose);
  const link = element("a", { href: channelAddress(layer, row), text: row.channel, "aria-label": name });
  const value = element("b", { text: significant(row.value) });
  const now = element("i", {});
  now.dataset.now = unitName(layer, row);
  return element("li", {}, [button, link, value, now, element("small", { text: standingWords(row) })]);
}

/** How a channel is named in the page's data attributes. */
export function unitName(layer, { channel }) {
  return `${layer.name}:${channel}`;
}

/** A channel's page, which compares the value with its top-9. */
export function channelAddress(layer, { channel, value }) {
  return `${layer.name}/${channel}.html#yours=${value.toPrecision(6)}`;
}

/** Begin to load the layers' sheets of thumbnails: all of them, because what is asked for must not depend on the
 * reader's picture. By layer the promise of an address in the browser's own memory, "" without a sheet. */
export function openSheets(layers) {
  return layers.map(async ({ name, columns }) => {
    if (!columns) return "";
    try {
      const answer = await fetch(`${name}/thumbs.webp`);
      return answer.ok ? URL.createObjectURL(await answer.blob()) : "";
    } catch {
      return ""; // the numbers say enough
    }
  });
}

// A word in place of the frame for a channel without a thumbnail. Its strongest picture is not loaded: which one is
// asked for would depend on the reader's picture.
function thumbnail(layer, sheet, place) {
  if (place < 0) return "show";
  const frame = element("span", {});
  const image = element("img", { alt: "" });
  image.style.setProperty("--n", layer.columns);
  image.style.setProperty("--x", place % layer.columns);
  image.style.setProperty("--y", Math.floor(place / layer.columns));
  sheet.then((address) => {
    if (!address) return;
    image.src = address;
    frame.append(image);
  });
  return frame;
}

/** Write next to each channel its value for the covered picture; maxima: null where nothing is covered. */
export function showCovered(list, layers, maxima) {
  for (const place of list.querySelectorAll("[data-now]")) {
    const [name, channel] = place.dataset.now.split(":");
    const layer = layers.find((each) => each.name === name);
    place.textContent = maxima ? `→ ${significant(maxima[layer.offset + Number(channel)])}` : "";
  }
}
