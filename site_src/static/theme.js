// Light or dark before the first paint, from what the reader last chose; without a choice the styles follow the system.
// The key and the form are those of Material for MkDocs, so that a page built with its own palette agrees.
(function () {
  "use strict";
  var scope = new URL("..", document.currentScript.src).pathname + ".__palette";
  var root = document.documentElement;
  function read() {
    try {
      var stored = JSON.parse(localStorage.getItem(scope));
      var scheme = stored && stored.color && stored.color.scheme;
      return scheme === "slate" ? "dark" : scheme === "default" ? "light" : "";
    } catch (error) {
      return "";
    }
  }
  window.residualAtlasTheme = {
    read: read,
    apply: function () {
      var theme = read();
      if (theme) root.setAttribute("data-theme", theme);
      else root.removeAttribute("data-theme");
    },
    write: function (theme) {
      try {
        if (!theme) localStorage.removeItem(scope);
        else
          localStorage.setItem(
            scope,
            JSON.stringify({
              index: theme === "dark" ? 1 : 0,
              color: { scheme: theme === "dark" ? "slate" : "default" },
            }),
          );
      } catch (error) {
        /* A browser that stores nothing still switches this page. */
        root.setAttribute("data-theme", theme);
        return;
      }
      this.apply();
    },
  };
  root.classList.add("js");
  window.residualAtlasTheme.apply();
})();
