// The tiles and one value of the channel in a layer's grid that the pointer or the keyboard's focus is on.

import { element } from "../dom.js";
import { significant } from "../numbers.js";
import { spriteFormat } from "../site.js";
import { channelOf, hasThumbnail, isDead } from "./cells.js";

const PANEL_SIDE = 216; // px
const MOST_LABELS = 4;

export function startPreview({ grid, controls, data }) {
  let preview = null;

  const hide = () => {
    preview?.remove();
    preview = null;
  };

  const show = (link) => {
    hide();
    const cell = link.parentElement;
    if (isDead(cell)) return;
    const channel = channelOf(cell);
    preview = element("div", { class: "preview", "aria-hidden": "true" });
    // A channel without a thumbnail has no tiles: its strongest picture is shown whole, where it is published.
    const whole = link.querySelector(".cut img");
    if (whole) {
      preview.append(element("img", { src: whole.src, alt: "", width: PANEL_SIDE, height: PANEL_SIDE }));
    } else if (hasThumbnail(cell)) {
      const width = PANEL_SIDE * data.panels.length;
      preview.append(element("img", { src: `${channel}.${spriteFormat}`, alt: "", width, height: PANEL_SIDE }));
    }
    const labels = Array.from(new Set(data.nine[channel]))
      .slice(0, MOST_LABELS)
      .map((label) => data.labels[label]);
    const text = [
      channel,
      valueText(data, controls.sort.value || "max", channel),
      labels.join(" · "),
      ...(data.descriptions[channel] ?? []).slice(0, 1),
    ];
    preview.append(element("p", { text: text.filter((part) => part !== "").join(" · ") }));
    document.body.append(preview);
    placeNextTo(link.getBoundingClientRect(), preview);
  };

  grid.addEventListener("pointerover", (event) => {
    const link = event.pointerType !== "touch" && event.target.closest("a");
    if (link) show(link);
    else hide();
  });
  grid.addEventListener("pointerleave", hide);
  grid.addEventListener("focusin", (event) => {
    if (event.target.matches("a:focus-visible")) show(event.target);
  });
  grid.addEventListener("focusout", hide);
  window.addEventListener("scroll", hide, { passive: true });
  // The data came after the reader had pointed at a channel.
  const link = grid.querySelector("a:hover, a:focus-visible");
  if (link) show(link);
}

// The measure by which the grid is sorted, with its unit: [name, unit].
function valueText(data, key, channel) {
  const value = data.numbers[key]?.[channel];
  const [name, unit] = data.units[key] ?? [];
  if (name === undefined || value === null || value === undefined) return "";
  const number = unit.startsWith("%") ? significant(100 * value, 2) : significant(value);
  return `${name} ${number} ${unit}`;
}

// Below the link where there is room, above it otherwise.
function placeNextTo(link, preview) {
  const { width, height } = preview.getBoundingClientRect();
  const fitsBelow = link.bottom + 8 + height <= innerHeight;
  preview.style.left = `${Math.max(4, Math.min(link.left, innerWidth - width - 8))}px`;
  preview.style.top = `${fitsBelow ? link.bottom + 4 : Math.max(4, link.top - height - 4)}px`;
}
