// The finder: "res5a 1660", "layer4.0:1660", a layer, or a class. Each network's index is loaded at first use, as a
// script, because a page opened from a folder may not read JSON files.
(function (atlas) {
  "use strict";
  if (!atlas.finder) return;
  var input = atlas.finder.input;
  var list = atlas.finder.answers;
  var indexes = [];
  var wanted = null;
  var MOST = 24;

  atlas.index = function (index) {
    index.known = {};
    index.layers.forEach(function (layer, place) {
      index.known[layer[0].toLowerCase()] = index.known[layer[1].toLowerCase()] = place;
    });
    indexes.push(index);
    if (indexes.length === wanted) {
      indexes.sort(function (a, b) {
        // The network that is being read comes first.
        return (
          (b.model === atlas.model) - (a.model === atlas.model) ||
          atlas.models.indexOf(a.model) - atlas.models.indexOf(b.model)
        );
      });
      answer();
    }
  };
  function load() {
    if (wanted !== null) return;
    wanted = atlas.models.length;
    atlas.models.forEach(function (model) {
      document.head.append(atlas.element("script", { src: atlas.root + model + "/finder.js" }));
    });
  }
  function address(index, layer, channel) {
    return (
      atlas.root + index.model + "/" + index.layers[layer][0] + "/" + (channel === null ? "index" : channel) + ".html"
    );
  }
  function name(index, text) {
    return index.model === atlas.model || atlas.models.length < 2 ? text : index.model + " · " + text;
  }

  // Each answer: [text, small text, address].
  function units(index, text) {
    var form = /^([a-z][\w.]*?)(?:[\s:#/]+(\d*))?$/.exec(text);
    if (!form) return [];
    var layer = index.known[form[1]];
    if (layer !== undefined && form[2]) {
      var channel = Number(form[2]);
      if (channel < index.layers[layer][2]) {
        return [
          [
            name(index, index.layers[layer][0] + " " + channel),
            classesOf(index, layer, channel).join(" · "),
            address(index, layer, channel),
          ],
        ];
      }
      return [
        [
          name(index, index.layers[layer][0]),
          "has channels 0 to " + (index.layers[layer][2] - 1),
          address(index, layer, null),
        ],
      ];
    }
    return index.layers
      .map(function (entry, place) {
        return [entry, place];
      })
      .filter(function (pair) {
        return pair[0][0].toLowerCase().indexOf(form[1]) === 0 || pair[0][1].toLowerCase().indexOf(form[1]) === 0;
      })
      .map(function (pair) {
        return [name(index, pair[0][0]), pair[0][2] + " channels", address(index, pair[1], null)];
      });
  }
  function classesOf(index, layer, channel) {
    return index.top[layer]
      .slice(3 * channel, 3 * channel + 3)
      .filter(function (c) {
        return c >= 0;
      })
      .map(function (c) {
        return index.classes[c];
      });
  }
  function byClass(index, text) {
    var classes = index.classes
      .map(function (name, number) {
        var whole = index.synonyms[number];
        var at = name.toLowerCase().indexOf(text);
        // A class that is found by another of its synonyms is shown with all of them.
        return at < 0 && whole
          ? [name, number, whole.toLowerCase().indexOf(text), name + ": " + whole]
          : [name, number, at, name];
      })
      .filter(function (entry) {
        return entry[2] >= 0;
      });
    classes.sort(function (a, b) {
      return a[2] - b[2] || a[0].length - b[0].length;
    });
    var found = [];
    // Later layers first: there a channel is more likely to stand for a whole class. Of each layer the first few
    // channels that have the class among their three, and a door to all of them.
    classes.slice(0, 4).forEach(function (entry) {
      for (var layer = index.layers.length - 1; layer >= 0; layer--) {
        var here = [];
        for (var at = index.top[layer].indexOf(entry[1]); at >= 0; at = index.top[layer].indexOf(entry[1], at + 1)) {
          here.push([at % 3, Math.floor(at / 3)]);
        }
        here.sort(function (a, b) {
          return a[0] - b[0] || a[1] - b[1];
        });
        here.slice(0, 3).forEach(function (unit) {
          found.push([name(index, index.layers[layer][0] + " " + unit[1]), entry[3], address(index, layer, unit[1])]);
        });
        if (here.length > 3) {
          found.push([
            name(index, index.layers[layer][0] + ", all " + here.length),
            entry[3],
            address(index, layer, null) + "#label=" + encodeURIComponent(entry[0]),
          ]);
        }
      }
    });
    return found;
  }
  function answer() {
    var text = input.value.trim().toLowerCase();
    list.replaceChildren();
    if (!text || wanted === null) return close();
    var found = [];
    if (indexes.length === wanted) {
      indexes.forEach(function (index) {
        found = found.concat(units(index, text));
      });
      indexes.forEach(function (index) {
        found = found.concat(byClass(index, text));
      });
    }
    found.slice(0, MOST).forEach(function (entry, number) {
      var item = atlas.element(
        "li",
        { id: "ra-answer-" + number, role: "option", "aria-selected": "false", "data-address": entry[2] },
        [atlas.element("span", { text: entry[0] }), atlas.element("small", { text: entry[1] })],
      );
      list.append(item);
    });
    if (!found.length)
      list.append(
        atlas.element("li", {
          class: "ra-none",
          role: "option",
          "aria-disabled": "true",
          "aria-selected": "false",
          text: indexes.length === wanted ? "nothing found" : "loading",
        }),
      );
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    select(0);
  }
  function close() {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }
  function options() {
    return Array.from(list.querySelectorAll("[data-address]"));
  }
  function selected() {
    return options().findIndex(function (item) {
      return item.getAttribute("aria-selected") === "true";
    });
  }
  function select(number) {
    var all = options();
    if (!all.length) return;
    number = (number + all.length) % all.length;
    all.forEach(function (item, place) {
      item.setAttribute("aria-selected", String(place === number));
    });
    input.setAttribute("aria-activedescendant", all[number].id);
    all[number].scrollIntoView({ block: "nearest" });
  }
  input.addEventListener("focus", load);
  input.addEventListener("input", answer);
  input.addEventListener("keydown", function (event) {
    if (event.key === "ArrowDown") select(selected() + 1);
    else if (event.key === "ArrowUp") select(selected() - 1);
    else if (event.key === "Escape") close();
    else if (event.key === "Enter") {
      var chosen = options()[selected()];
      if (chosen) location.href = chosen.getAttribute("data-address");
    } else return;
    event.preventDefault();
  });
  list.addEventListener("pointerdown", function (event) {
    var item = event.target.closest("[data-address]");
    if (!item) return;
    event.preventDefault();
    location.href = item.getAttribute("data-address");
  });
  input.addEventListener("blur", close);
  document.addEventListener("keydown", function (event) {
    if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) {
      event.preventDefault();
      input.focus();
    }
  });
})(window.residualAtlas);
