// What the network says of the picture: its strongest outputs.

import { element } from "../dom.js";
import { significant } from "../numbers.js";
import { percent } from "./words.js";

const SHOWN = 5;

/** The outputs as they are read: probabilities, or the scores themselves where the head is "none". */
export function readings(scores, head) {
  const values = Array.from(scores);
  if (head === "softmax") {
    const largest = Math.max(...values);
    const powers = values.map((score) => Math.exp(score - largest));
    const sum = powers.reduce((total, power) => total + power, 0);
    return powers.map((power) => power / sum);
  }
  return head === "sigmoid" ? values.map((score) => 1 / (1 + Math.exp(-score))) : values;
}

/** Fill the table. before: the readings of the whole picture; now: those of the covered one, or null. */
export function showPrediction(table, { classes, head }, before, now) {
  const order = before.map((_, output) => output).sort((a, b) => before[b] - before[a]);
  const write = head === "none" ? significant : percent;
  const rows = order.slice(0, SHOWN).map((output) => {
    const bar = element("meter", { min: 0, max: 1, value: before[output], "aria-hidden": "true" });
    const cells = [
      element("th", { scope: "row", text: classes[output] }),
      element("td", { text: write(before[output]) }),
      now ? element("td", { text: write(now[output]) }) : element("td", {}, head === "none" ? [] : [bar]),
    ];
    return element("tr", {}, cells);
  });
  const names = ["class", head === "none" ? "score" : "probability", now ? "covered" : ""];
  const heading = element(
    "tr",
    {},
    names.map((text) => element(text ? "th" : "td", text ? { scope: "col", text } : {})),
  );
  table.replaceChildren(element("thead", {}, [heading]), element("tbody", {}, rows));
}
