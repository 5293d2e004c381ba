// The parts of the header that need a script: the finder's box (finder.js fills its answers) and the light/dark button.
(function (atlas) {
  "use strict";
  atlas.root = new URL("..", document.currentScript.src).href;
  atlas.model = document.documentElement.getAttribute("data-model") || "";
  atlas.element = function (name, attributes, children) {
    var made = document.createElement(name);
    Object.keys(attributes || {}).forEach(function (key) {
      if (key === "text") made.textContent = attributes[key];
      else made.setAttribute(key, attributes[key]);
    });
    (children || []).forEach(function (child) {
      made.append(child);
    });
    return made;
  };
  atlas.json = function (element) {
    return element ? JSON.parse(element.textContent) : null;
  };
  var tools = document.querySelector(".ra-tools");
  if (!tools) return;
  var input = atlas.element("input", {
    type: "search",
    role: "combobox",
    placeholder: "res3b 150, or a class",
    autocomplete: "off",
    spellcheck: "false",
    "aria-label": "Find a channel or a class",
    "aria-expanded": "false",
    "aria-controls": "ra-answers",
    "aria-autocomplete": "list",
  });
  var answers = atlas.element("ul", { id: "ra-answers", role: "listbox", "aria-label": "Answers", hidden: "" });
  atlas.finder = { input: input, answers: answers };
  tools.append(atlas.element("div", { class: "ra-find" }, [input, answers]));

  var order = ["", "light", "dark"];
  var words = { "": "as the system", light: "light", dark: "dark" };
  var theme = window.residualAtlasTheme;
  var button = atlas.element("button", { class: "ra-theme", type: "button" });
  button.innerHTML =
    '<svg width="18" height="18" viewBox="0 0 24 24" aria-hidden="true"><path d="M12 2a10 10 0 1 0 0 20 10 10 0 0 0 0-20zm0 18V4a8 8 0 1 1 0 16z"/></svg>';
  function say() {
    var text = "Colours: " + words[theme.read()];
    button.setAttribute("aria-label", text);
    button.setAttribute("title", text);
  }
  button.addEventListener("click", function () {
    theme.write(order[(order.indexOf(theme.read()) + 1) % order.length]);
    say();
  });
  window.addEventListener("storage", function () {
    theme.apply();
    say();
  });
  say();
  tools.append(button);
})(window.residualAtlas);
