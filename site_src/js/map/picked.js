// The picked picture: what is known of it and its nearest, listed beside the map.

import { element } from "../dom.js";
import { root } from "../site.js";
import { saveAddress } from "./address.js";
import { labelOf, neighboursOf, pictures } from "./data.js";
import { redraw } from "./drawing.js";
import { portrait, smallPortrait } from "./portrait.js";
import { layout, state } from "./state.js";
import { lookAt, onCanvas, size } from "./view.js";

const NEIGHBOUR_SIDE = 48; // px
const MOST_CHANNELS = 12;

/** Pick a picture, or none with -1. */
export function pick(picture) {
  state.picked = picture;
  if (picture >= 0) bringIntoSight(picture);
  describePicked();
  redraw();
  saveAddress();
}

/** Write what is known of the picked picture beside the map. */
export function describePicked() {
  const section = document.querySelector(".picked");
  if (state.picked < 0) {
    const count = pictures.neighbourCount;
    const text = count ? `Pick a picture to see its ${count} nearest.` : "Pick a picture to see what it is.";
    section.replaceChildren(element("p", { class: "caption", text }));
    return;
  }
  section.replaceChildren(about(state.picked), ...(pictures.neighbourCount ? nearest(state.picked) : []));
}

function nearest(picture) {
  const { neighbourCount, listed } = pictures;
  const times = `${listed[picture].toLocaleString("en")} other${listed[picture] === 1 ? "" : "s"}`;
  const text = `It is itself among the ${neighbourCount} nearest of ${times} (mean: ${neighbourCount}).`;
  return [
    element("h3", { text: "nearest, with their cosine similarity" }),
    element("ol", { class: "nearest" }, neighboursOf(picture).map(neighbourItem)),
    element("p", { class: "caption listed", text }),
  ];
}

function bringIntoSight(picture) {
  const { x, y } = onCanvas(picture);
  if (x >= 0 && y >= 0 && x <= size.width && y <= size.height) return;
  lookAt(layout().x[picture], layout().y[picture]);
}

function about(picture) {
  const text = element("div", {}, [
    element("h2", { text: labelOf(picture) }),
    element("p", { class: "file", text: pictures.files[picture] }),
  ]);
  const channels = pictures.topOf?.of[pictures.numbers[picture]] ?? [];
  if (channels.length) text.append(channelLinks(pictures.topOf.layer, channels));
  const image = portrait(picture);
  return element("div", { class: "about" }, image ? [image, text] : [text]);
}

function channelLinks(layer, channels) {
  const line = element("p", { class: "caption", text: `among the top-9 images of these channels of ${layer}: ` });
  channels.slice(0, MOST_CHANNELS).forEach((channel, number) => {
    if (number) line.append(", ");
    line.append(element("a", { href: `${root}${pictures.model}/${layer}/${channel}.html`, text: channel }));
  });
  if (channels.length > MOST_CHANNELS) line.append(` and ${channels.length - MOST_CHANNELS} more`);
  return line;
}

function neighbourItem({ neighbour, similarity }) {
  const button = element("button", { type: "button", title: pictures.files[neighbour] }, [
    smallPortrait(neighbour, NEIGHBOUR_SIDE),
    element("span", { text: labelOf(neighbour) }),
    element("small", { text: similarityText(similarity) }),
  ]);
  button.addEventListener("click", () => {
    pick(neighbour);
    document.querySelector(".picked button").focus();
  });
  return element("li", {}, [button]);
}

// With a true minus.
function similarityText(similarity) {
  const text = Math.abs(similarity).toFixed(2);
  return similarity < 0 && Number(text) ? `−${text}` : text;
}
