// The page's own address where the citation needs it, BibTeX, and buttons that copy the address and the citation.

import { element } from "./dom.js";
import { layersOfNetwork } from "./list/layers.js";

const COPIED_FOR = 1500; // ms that a button says so

export function startCitation() {
  const address = document.querySelector(".address");
  if (!address) return;
  const own = location.href.replace(/#.*/, "");
  const written = address.textContent;
  // The address that the page was written with is a guess where the site's own is not known.
  if (own.startsWith("http")) address.textContent = own;
  const plain = address.closest(".copy");
  plain.after(copyButton(() => plain.textContent.trim(), "copy"));
  const fold = address.closest("details");
  fold.addEventListener("toggle", () => addBibtex(fold, written, address.textContent), { once: true });
  document.querySelector(".permalink")?.replaceWith(copyButton(() => own + location.hash, "copy link"));
}

// The entry of the layer, the same for all its channels but for their numbers, is among what is known of the layers.
async function addBibtex(fold, written, own) {
  const { layer, channel } = document.getElementById("main").dataset;
  const { layers, placeholder } = await layersOfNetwork();
  const [, , , , entry] = layers.find(([name]) => name === layer);
  const text = entry.replaceAll(placeholder, channel).replaceAll(written, own);
  fold.append(
    element("pre", { class: "copy", tabindex: "0", text }),
    copyButton(() => text, "copy BibTeX"),
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
