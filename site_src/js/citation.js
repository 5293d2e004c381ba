// How a channel's page is cited, in one line and in BibTeX, with buttons that copy these and the page's address.

import { element } from "./dom.js";
import { layersOfNetwork } from "./list/layers.js";

const COPIED_FOR = 1500; // ms that a button says so

export function startCitation() {
  const doors = document.querySelector(".number-groups .doors");
  if (!doors) return;
  const fold = element("details", { class: "cite" }, [element("summary", { text: "Cite" })]);
  fold.addEventListener("toggle", () => addCitation(fold), { once: true });
  doors.parentElement.firstElementChild.after(fold); // below the heading
  const own = ownAddress();
  doors.append(copyButton(() => own + location.hash, "copy link"));
}

const ownAddress = () => location.href.replace(/#.*/, "");

// The citations are the same for all channels but for layer and number, and stand in what is known of the layers.
async function addCitation(fold) {
  const { layer, channel } = document.getElementById("main").dataset;
  const { layers, placeholder, plain, address } = await layersOfNetwork();
  const [, , , , entry] = layers.find(([name]) => name === layer);
  const filled = (text) => text.replaceAll(`LAYER${placeholder}`, layer).replaceAll(placeholder, channel);
  // The address that is written there is a guess where the site's own is not known.
  const written = filled(address);
  const own = ownAddress().startsWith("http") ? ownAddress() : written;
  const line = `${filled(plain)} ${own}`;
  const bibtex = filled(entry).replaceAll(written, own);
  fold.append(
    element("p", { class: "copy", text: line }),
    copyButton(() => line, "copy"),
    element("pre", { class: "copy", tabindex: "0", text: bibtex }),
    copyButton(() => bibtex, "copy BibTeX"),
  );
}

/** A button that copies what text() returns when it is pressed. */
export function copyButton(text, label) {
  const button = element("button", { type: "button", class: "copier", text: label });
  button.addEventListener("click", async () => {
    if (navigator.clipboard) await navigator.clipboard.writeText(text());
    else copyBySelection(text());
    button.textContent = "copied";
    setTimeout(() => {
      button.textContent = label;
    }, COPIED_FOR);
  });
  return button;
}

// Pages that do not come over HTTPS have no clipboard of their own.
function copyBySelection(text) {
  const field = element("textarea", { class: "copier" });
  field.value = text;
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}
