// Rows of tiles: a row's sprite is asked for when the row comes into view, or when the page is printed.
(function (atlas) {
  "use strict";
  var rows = Array.from(document.querySelectorAll(".row[data-row]"));
  // What each row shows stands in the JSON of its section, or of the page.
  atlas.dataOf = function (element) {
    var place = element.closest(".claim");
    var script = place ? place.querySelector("script.tiles") : document.getElementById("tiles");
    if (!script) return null;
    script.parsed = script.parsed || atlas.json(script);
    return script.parsed;
  };
  function draw(row) {
    var spare = row.querySelector("noscript");
    var data = atlas.dataOf(row);
    if (!spare || !data) return;
    var sheet = new DOMParser().parseFromString(spare.textContent, "text/html").querySelector("img");
    var address = sheet.getAttribute("src");
    var nine = data.rows[row.dataset.row][1];
    var panels = data.panels.length;
    var lines = atlas.element("div", { class: "lines s" + panels });
    for (var panel = 0; panel < panels; panel++) {
      var line = atlas.element("div", { class: "line p" + panel });
      nine.forEach(function (tile, place) {
        var label = data.labels[tile[4]];
        var text = panel ? "" : place + 1 + (label ? ": " + label : "") + ", " + tile[1];
        var image = atlas.element("img", { class: "k" + (place + 1), src: address, alt: text });
        var go = address.replace(/\.webp$/, ".html") + "#" + (place + 1);
        line.append(panel ? atlas.element("span", {}, [image]) : atlas.element("a", { href: go }, [image]));
      });
      lines.append(line);
    }
    row.replaceChildren(lines);
  }
  if (!rows.length) return;

  // The switch between the panels; the styles do the rest.
  var head = document.querySelector(".strip:not(.inside) .head, .revisited .head");
  var names = (atlas.dataOf(rows[0]) || { panels: [] }).panels;
  if (head && names.length > 1) {
    var choices = names.map(String).concat(names.length > 2 ? "all" : "both");
    head.append(atlas.element("fieldset", { class: "show" }, [atlas.element("legend", { text: "show" })].concat(choices.map(function (text, number) {
      var input = atlas.element("input", { type: "radio", name: "show", value: number < names.length ? number : "all" });
      input.checked = number === names.length;
      return atlas.element("label", {}, [input, text]);
    }))));
  }
  var watch = new IntersectionObserver(function (entries) {
    entries.forEach(function (entry) {
      if (!entry.isIntersecting) return;
      watch.unobserve(entry.target);
      draw(entry.target);
    });
  });
  rows.forEach(function (row) {
    watch.observe(row);
  });
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details").forEach(function (fold) {
      if (fold.classList.contains("inside")) fold.open = true;
    });
    rows.forEach(draw);
  });

  // The choice of patches, gradients or both is kept from page to page.
  var switches = Array.from(document.querySelectorAll('[name="show"]'));
  try {
    var kept = localStorage.getItem("residual-atlas.show");
    switches.forEach(function (input) {
      if (input.value === kept) input.checked = true;
      input.addEventListener("change", function () {
        localStorage.setItem("residual-atlas.show", input.value);
      });
    });
  } catch (error) {
    /* Nothing is kept where the browser stores nothing. */
  }
})(window.residualAtlas);
