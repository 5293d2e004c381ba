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
    const text = `Pick a picture to see its ${pictures.neighbourCount} nearest.`;
    section.replaceChildren(element("p", { class: "caption", text }));
    return;
  }
  const heading = element("h3", { text: "nearest, with their distance" });
  const neighbours = element("ol", { class: "nearest" }, neighboursOf(state.picked).map(neighbourItem));
  section.replaceChildren(about(state.picked), heading, neighbours);
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

function neighbourItem({ neighbour, distance }) {
  const button = element("button", { type: "button", title: pictures.files[neighbour] }, [
    smallPortrait(neighbour, NEIGHBOUR_SIDE),
    element("span", { text: labelOf(neighbour) }),
    element("small", { text: distanceText(distance) }),
  ]);
  button.addEventListener("click", () => {
    pick(neighbour);
    document.querySelector(".picked button").focus();
  });
  return element("li", {}, [button]);
}

function distanceText(distance) {
  return distance < 999.5 ? distance.toPrecision(3) : Math.round(distance).toLocaleString("en");
}
