// Scatter plots of thousands of channels: their dots are a few paths, and the dot next to the pointer becomes a link to
// its channel, with its words as a title.

import { svgElement } from "./dom.js";

const NEAR = 14; // px
const WIDTH = 1000; // units of the paths across the drawing

/** The dots of a drawing: { x, y, channel, text }, x in units of the paths, y in px. */
function dotsOf(layer) {
  return [...layer.querySelectorAll("path")].flatMap((path) => {
    const places = path.getAttribute("d").slice(1).split("M");
    return path.dataset.dots.split("|").map((words, number) => {
      const [x, y] = places[number].split(" ").map(parseFloat);
      const [, channel, text] = words.match(/^(\d+) (.*)$/s);
      return { x, y, channel, text };
    });
  });
}

class LinkedDots {
  constructor(layer) {
    this.plot = layer.parentElement;
    this.layer = layer;
    this.title = svgElement("title");
    this.circle = svgElement("circle", { r: 4 }, [this.title]);
    // It is there for the pointer alone: the page lists the same channels.
    this.link = svgElement("a", { tabindex: -1 }, [this.circle]);
    this.plot.addEventListener("pointermove", (event) => this.show(this.near(event)));
    this.plot.addEventListener("pointerleave", () => this.link.remove());
    this.plot.addEventListener("click", (event) => {
      const dot = event.target.closest("a") ? null : this.near(event); // a finger has not moved before it taps
      if (dot) location.assign(`${dot.channel}.html`);
    });
  }

  near(event) {
    this.dots ??= dotsOf(this.layer); // read when the pointer first comes
    const { left, top, width } = this.plot.getBoundingClientRect();
    let nearest = null;
    let least = NEAR;
    for (const dot of this.dots) {
      const distance = Math.hypot(left + (dot.x / WIDTH) * width - event.clientX, top + dot.y - event.clientY);
      if (distance < least) [nearest, least] = [dot, distance];
    }
    return nearest;
  }

  show(dot) {
    if (!dot) {
      this.link.remove();
      return;
    }
    this.link.setAttribute("href", `${dot.channel}.html`);
    this.circle.setAttribute("cx", `${(100 * dot.x) / WIDTH}%`);
    this.circle.setAttribute("cy", dot.y);
    this.title.textContent = `${dot.channel}: ${dot.text}`;
    if (!this.link.isConnected) this.plot.append(this.link);
  }
}

export function startDots() {
  for (const layer of document.querySelectorAll("svg.dots")) new LinkedDots(layer);
}
