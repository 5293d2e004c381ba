// The switch between the panels of the rows: any one of them, all together, or the optimised picture before the
// patches. The choice is kept from page to page.

import { element } from "../dom.js";

const KEY = "residual-atlas.show";
const ALL = "all";
const OPTIMISED = "optimised";

let chosen = ALL; // the number of a panel, ALL or OPTIMISED

/** Put the switch beside the heading of the rows; data: what their tiles show. */
export function startPanelSwitch(data) {
  const head = document.querySelector(".strip:not(.inside) .head, .revisited .head");
  const panels = data?.panels ?? [];
  if (!head || panels.length < 2) return;
  const choices = panels.map((panel, number) => choice(String(number), panel));
  choices.push(choice(ALL, panels.length > 2 ? "all" : "both"));
  if (data.optimised) choices.push(choice(OPTIMISED, "optimised"));
  const legend = element("legend", { text: "show" });
  const fieldset = element("fieldset", { class: "show" }, [legend, ...choices]);
  head.append(fieldset);
  const inputs = Array.from(fieldset.querySelectorAll("input"));
  const kept = readChoice();
  (inputs.find((input) => input.value === kept) ?? inputs[panels.length]).checked = true;
  for (const input of inputs) {
    if (input.checked) choose(input.value);
    input.addEventListener("change", () => {
      choose(input.value);
      keepChoice(input.value);
    });
  }
}

/** Show the chosen panels of one row, and hide its others. */
export function showChosenPanels(lines) {
  for (const line of lines.children) line.hidden = !isChosen(line.classList);
}

function isChosen(classes) {
  if (classes.contains("only")) return true; // whole pictures: there are no panels to choose from
  if (chosen === ALL) return !classes.contains("optimised");
  if (chosen === OPTIMISED) return classes.contains("optimised") || classes.contains("p0");
  return classes.contains(`p${chosen}`);
}

function choice(value, label) {
  return element("label", {}, [element("input", { type: "radio", name: "show", value }), label]);
}

function choose(value) {
  chosen = value;
  document.querySelector("main").dataset.show = value;
  document.querySelectorAll(".row .lines").forEach(showChosenPanels);
}

function readChoice() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // this browser stores nothing
  }
}

function keepChoice(value) {
  try {
    localStorage.setItem(KEY, value);
  } catch {
    // This browser stores nothing.
  }
}
