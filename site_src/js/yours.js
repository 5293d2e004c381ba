// A channel's page that is opened from the page Your picture: where the reader's picture would stand among the top-9.
// The value stands in the address, #yours=1.234.

import { element } from "./dom.js";
import { rankWord, significant } from "./numbers.js";
import { tileData } from "./tiles/data.js";

// Every form of toPrecision(6): the smallest without an exponent is 0.00000100000, with eleven decimals.
const NUMBER = /^#yours=(-?\d{1,9}(?:\.\d{1,11})?(?:e[+-]?\d{1,2})?)$/;

export function startYours() {
  const { layer } = document.getElementById("main")?.dataset ?? {};
  const sentence = document.querySelector(".channel .sentence");
  if (!layer || !sentence) return;
  let line = null;
  const show = () => {
    line?.remove();
    const match = NUMBER.exec(location.hash);
    line = match && element("p", { class: "yours", role: "status", text: words(sentence, layer, Number(match[1])) });
    if (line) sentence.after(line);
  };
  window.addEventListener("hashchange", show);
  show();
}

function words(holder, layer, value) {
  const said = `Your picture activates this channel to ${significant(value)}`;
  const scores = (tileData(holder)?.rows[layer]?.[1] ?? []).map((tile) => tile[1]);
  if (!scores.length) return `${said}.`;
  const ends = `${significant(scores[0])} to ${significant(scores.at(-1))}`;
  const above = scores.filter((score) => score > value).length;
  if (above < scores.length) return `${said}: it would be ${rankWord(above + 1)} of the pictures shown here (${ends}).`;
  return `${said}: that is below all of the pictures shown here (${ends}).`;
}
