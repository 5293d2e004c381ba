// Tells the browser which pages are likely next: it loads a channel's neighbours before they are asked for (the arrow
// keys lead there), and draws the one that the pointer rests on. Browsers that know no such rules load as always. The
// page's Content-Security-Policy allows this text and no other script in the page.

import { loadingRules } from "./site.js";

export function startSpeculation() {
  if (!HTMLScriptElement.supports?.("speculationrules") || !document.querySelector("[data-go]")) return;
  const rules = document.createElement("script");
  rules.type = "speculationrules";
  rules.textContent = loadingRules;
  document.head.append(rules);
}
