// The page's own address where the citation needs it, and buttons that copy the address and the citation.

import { element } from "./dom.js";

const COPIED_FOR = 1500; // ms that a button says so

export function startCitation() {
  const address = document.querySelector(".address");
  if (!address) return;
  const own = location.href.replace(/#.*/, "");
  if (own.startsWith("http")) useAddress(address, own);
  for (const place of document.querySelectorAll(".cite .copy")) {
    const text = place.textContent.trim();
    place.after(copyButton(() => text, place.tagName === "PRE" ? "copy BibTeX" : "copy"));
  }
  document.querySelector(".permalink")?.replaceWith(copyButton(() => own + location.hash, "copy link"));
}

// The address that the page was written with is a guess where the site's own is not known.
function useAddress(address, own) {
  const written = address.textContent;
  for (const place of document.querySelectorAll(".cite .copy")) {
    for (const node of place.childNodes) {
      if (node.nodeType === Node.TEXT_NODE) node.data = node.data.replaceAll(written, own);
    }
  }
  address.textContent = own;
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
