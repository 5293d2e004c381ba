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
  // Whether a picture is on the site as a whole.
  atlas.published = function (data, picture) {
    return Boolean(data.pictures) && (data.without || []).indexOf(picture) < 0;
  };
  // Squares [left, top, side] of the input, drawn over a picture of it; `side` is the input's.
  // around: how much ground lies around the picture that the drawing covers, in px of the input.
  atlas.drawing = function (side, squares, kind, around) {
    var ns = "http://www.w3.org/2000/svg";
    var svg = document.createElementNS(ns, "svg");
    var margin = around || 0;
    svg.setAttribute("viewBox", [-margin, -margin, side + 2 * margin, side + 2 * margin].join(" "));
    svg.setAttribute("class", kind);
    svg.setAttribute("aria-hidden", "true");
    squares.forEach(function (square) {
      var path = document.createElementNS(ns, "path");
      path.setAttribute(
        "d",
        "M" + square[0] + " " + square[1] + "h" + square[2] + "v" + square[2] + "h-" + square[2] + "z",
      );
      svg.append(path);
    });
    return svg;
  };
  // The square that a unit stands for in its map. Pixel 0 reaches from 0 to 1 in a drawing: its middle lies at 0.5.
  atlas.cell = function (field, tile) {
    return [tile[3], tile[2]]
      .map(function (place) {
        return field[2] + place * field[1] + 0.5 - field[1] / 2;
      })
      .concat(field[1]);
  };
  function draw(row) {
    var spare = row.querySelector("noscript");
    var data = atlas.dataOf(row);
    if (!spare || !data) return;
    var sheet = new DOMParser().parseFromString(spare.textContent, "text/html").querySelector("img");
    var address = sheet.getAttribute("src");
    var field = data.rows[row.dataset.row][0];
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
        var shown = [image];
        // Where the field is larger than the picture the tile is the whole picture: the unit's place is marked on it.
        if (data.panels[panel] === "patches" && field[0] > data.side)
          shown.push(atlas.drawing(data.side, [atlas.cell(field, tile)], "mark", field[3]));
        line.append(atlas.element(panel ? "span" : "a", panel ? {} : { href: go }, shown));
      });
      lines.append(line);
    }
    // The optimised picture stands before the nine patches, never alone.
    if (data.optimised && data.optimised.indexOf(row.dataset.row) >= 0) {
      var own = address.replace(/(\d+\.webp)$/, "optimised/$1");
      lines.append(
        atlas.element("div", { class: "line optimised" }, [
          atlas.element("img", { src: own, loading: "lazy", alt: "optimised picture" }),
        ]),
      );
    }
    choose(lines);
    row.replaceChildren(lines);
  }
  // Inputs of a convolution: their whole sprites, asked for when they can be seen.
  function dress(place) {
    var data = atlas.dataOf(place);
    place.querySelectorAll(".inputs li:not(.dead) > a").forEach(function (link) {
      if (!data || link.firstElementChild) return;
      var address = link.getAttribute("href").replace(/\.html$/, ".webp");
      link.prepend(
        atlas.element("span", { class: "sheet s" + data.panels.length }, [
          atlas.element("img", { src: address, loading: "lazy", alt: "" }),
        ]),
      );
    });
  }
  document.querySelectorAll("section.strip").forEach(dress);
  document.querySelectorAll(".inside").forEach(function (fold) {
    fold.addEventListener("toggle", function () {
      dress(fold);
    });
  });
  // The nine in words, from the data that the page carries anyway.
  document.querySelectorAll("details.table").forEach(function (fold) {
    fold.addEventListener("toggle", function () {
      var data = atlas.dataOf(fold);
      var row = data && data.rows[fold.dataset.layer];
      if (!row || fold.querySelector("table")) return;
      function line(name, cells) {
        return atlas.element(
          "tr",
          {},
          cells.map(function (cell) {
            return cell.nodeType
              ? atlas.element(name, {}, [cell])
              : atlas.element(name, name === "th" ? { scope: "col", text: cell } : { text: cell });
          }),
        );
      }
      var body = row[1].map(function (tile, place) {
        var picture = atlas.published(data, tile[0])
          ? atlas.element("a", { href: "../pictures/" + tile[0] + ".webp", text: tile[0] })
          : tile[0];
        return line("td", [place + 1, data.labels[tile[4]], tile[1], tile[2] + ", " + tile[3], picture]);
      });
      fold.append(
        atlas.element("table", {}, [
          atlas.element("thead", {}, [line("th", ["№", "label", "value", "row, column", "picture"])]),
          atlas.element("tbody", {}, body),
        ]),
      );
    });
  });
  if (!rows.length) return;

  // The switch between the panels: any number of them, all together, or the optimised picture before the patches.
  var head = document.querySelector(".strip:not(.inside) .head, .revisited .head");
  var names = (atlas.dataOf(rows[0]) || { panels: [] }).panels;
  var shown = "all";
  function choose(lines) {
    Array.from(lines.children).forEach(function (line) {
      var own = line.classList.contains("optimised");
      line.hidden =
        shown === "all"
          ? own
          : shown === "optimised"
            ? !own && !line.classList.contains("p0")
            : own || !line.classList.contains("p" + shown);
    });
  }
  function show(value) {
    shown = value;
    document.querySelector("main").dataset.show = value;
    document.querySelectorAll(".row .lines").forEach(choose);
  }
  if (head && names.length > 1) {
    var choices = names.map(String).concat(names.length > 2 ? "all" : "both");
    head.append(
      atlas.element(
        "fieldset",
        { class: "show" },
        [atlas.element("legend", { text: "show" })].concat(
          choices.map(function (text, number) {
            var input = atlas.element("input", {
              type: "radio",
              name: "show",
              value: number < names.length ? number : "all",
            });
            input.checked = number === names.length;
            return atlas.element("label", {}, [input, text]);
          }),
        ),
      ),
    );
    if (atlas.dataOf(rows[0]).optimised) {
      head.lastChild.append(
        atlas.element("label", {}, [
          atlas.element("input", { type: "radio", name: "show", value: "optimised" }),
          "optimised",
        ]),
      );
    }
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

  // The choice is kept from page to page; nothing is kept where the browser stores nothing.
  var kept = null;
  try {
    kept = localStorage.getItem("residual-atlas.show");
  } catch (error) {
    /* This browser stores nothing. */
  }
  document.querySelectorAll('[name="show"]').forEach(function (input) {
    if (input.value === kept) input.checked = true;
    if (input.checked) show(input.value);
    input.addEventListener("change", function () {
      show(input.value);
      try {
        localStorage.setItem("residual-atlas.show", input.value);
      } catch (error) {
        /* This browser stores nothing. */
      }
    });
  });
})(window.residualAtlas);
