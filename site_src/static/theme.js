// Light or dark before the first paint, from what the reader last chose; without a choice the styles follow the system.
// This is a classic script that the page waits for: a module or a deferred script runs after the first paint, and a
// reader of the dark theme would see a white page first.
// The key and the form of the stored value are those of Material for MkDocs, whose own pages then agree.
(() => {
  "use strict";
  const root = new URL("..", document.currentScript.src);
  const key = `${root.pathname}.__palette`;
  const page = document.documentElement;

  /** "light" or "dark"; empty where the reader chose neither. */
  function read() {
    try {
      const scheme = JSON.parse(localStorage.getItem(key))?.color?.scheme;
      return { slate: "dark", default: "light" }[scheme] ?? "";
    } catch {
      return "";
    }
  }

  function apply() {
    const theme = read();
    if (theme) page.setAttribute("data-theme", theme);
    else page.removeAttribute("data-theme");
  }

  function write(theme) {
    const isDark = theme === "dark";
    const stored = { index: isDark ? 1 : 0, color: { scheme: isDark ? "slate" : "default" } };
    try {
      if (theme) localStorage.setItem(key, JSON.stringify(stored));
      else localStorage.removeItem(key);
    } catch {
      page.setAttribute("data-theme", theme); // a browser that stores nothing still switches this page
      return;
    }
    apply();
  }

  window.residualAtlas = { root: root.href, theme: { read, write, apply } };
  page.classList.add("js");
  apply();
})();
