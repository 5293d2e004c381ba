// Tells the browser which pages are likely next: it loads a channel's neighbours before they are asked for (the arrow
// keys lead there), and draws the one that the pointer rests on. Browsers that know no such rules load as always. The
// page's Content-Security-Policy allows rules of this kind and no other script in the page.

const RULES = {
  prefetch: [{ where: { selector_matches: "[data-go=left], [data-go=right]" }, eagerness: "immediate" }],
  prerender: [{ where: { selector_matches: "[data-go]" }, eagerness: "moderate" }],
};

export function startSpeculation() {
  if (!HTMLScriptElement.supports?.("speculationrules") || !document.querySelector("[data-go]")) return;
  const rules = document.createElement("script");
  rules.type = "speculationrules";
  rules.textContent = JSON.stringify(RULES);
  document.head.append(rules);
}
