// What a tile shows: label, value, position, and the whole picture with the receptive field drawn on it.
// A card while the pointer rests on a tile; a dialog when the tile is opened; #k in the address opens the k-th of the nine.
(function (atlas) {
  "use strict";
  var main = document.querySelector("main");
  if (!main || !document.querySelector("[data-row]")) return;
  var card = null;
  var TILE = ".nine > *, .line > *";

  function roundHalfEven(x) {
    var near = Math.round(x);
    return Math.abs(x % 1) === 0.5 && near % 2 ? near - 1 : near;
  }
  function about(tile) {
    var holder = tile.closest("[data-row]");
    var data = atlas.dataOf(holder);
    if (!data || !data.rows[holder.dataset.row]) return null;
    var place = Array.from(tile.parentElement.children).indexOf(tile);
    var row = data.rows[holder.dataset.row];
    var entry = row[1][place];
    var field = row[0];
    var image = tile.querySelector("img");
    var top = roundHalfEven(field[2] + entry[2] * field[1] - (field[0] - 1) / 2);
    var left = roundHalfEven(field[2] + entry[3] * field[1] - (field[0] - 1) / 2);
    return {
      k: place + 1,
      of: row[1].length,
      layer: holder.dataset.row,
      channel: holder.dataset.channel || channel(),
      picture: entry[0],
      value: entry[1],
      row: entry[2],
      column: entry[3],
      label: data.labels[entry[4]] || "",
      box: [left, top, field[0]],
      cell: atlas.cell(field, entry),
      larger: field[0] > data.side,
      side: data.side,
      whole: atlas.published(data, entry[0]) ? atlas.root + atlas.model + "/pictures/" + entry[0] + ".webp" : "",
      sprite: image.src,
      panels: data.panels,
      holder: holder,
      tile: tile,
    };
  }
  function channel() {
    return location.pathname.replace(/.*\//, "").replace(".html", "");
  }
  function words(it) {
    var text = atlas.element("p");
    if (it.label) text.append(atlas.element("b", { text: it.label }), " · ");
    text.append(it.value + " act. · row " + it.row + ", column " + it.column + " · picture " + it.picture);
    return text;
  }
  function whole(it) {
    var frame = atlas.element("span", { class: "whole" }, [
      atlas.element("img", { src: it.whole, alt: "picture " + it.picture }),
    ]);
    // The field's box; where it is larger than the picture, the unit's place.
    frame.append(atlas.drawing(it.side, [it.larger ? it.cell : it.box], "mark"));
    return frame;
  }
  function hide() {
    if (card) card.remove();
    card = null;
  }
  function show(tile) {
    hide();
    var it = about(tile);
    if (!it) return;
    card = atlas.element("div", { class: "card", "aria-hidden": "true" });
    if (it.whole) card.append(whole(it));
    card.append(words(it));
    document.body.append(card);
    // Beside the nine, or below the row, so that it hides none of the tiles it may be compared with.
    var at = tile.getBoundingClientRect();
    var group = tile.closest(".nine, .lines").getBoundingClientRect();
    var size = card.getBoundingClientRect();
    var left = at.left;
    var top = group.bottom + 8;
    if (tile.parentElement.classList.contains("nine")) {
      left = group.right + 10 + size.width <= innerWidth ? group.right + 10 : group.left - 10 - size.width;
      top = at.top;
    } else if (top + size.height > innerHeight) top = group.top - 8 - size.height;
    card.style.left = Math.max(4, Math.min(left, innerWidth - size.width - 8)) + "px";
    card.style.top = Math.max(56, Math.min(top, innerHeight - size.height - 8)) + "px";
  }

  var dialog = null;
  function open(it) {
    hide();
    if (!dialog) {
      dialog = atlas.element("dialog", { class: "large", "aria-labelledby": "large-title" });
      document.body.append(dialog);
      dialog.addEventListener("click", function (event) {
        if (event.target === dialog) dialog.close();
      });
      dialog.addEventListener("close", function () {
        mark(null);
      });
      dialog.addEventListener("keydown", function (event) {
        var step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
        if (step) turn(step);
      });
    }
    dialog.current = it;
    function button(text, label, act) {
      var made = atlas.element("button", { type: "button", "aria-label": label, text: text });
      made.addEventListener("click", act);
      return made;
    }
    var figures = atlas.element("div", { class: "figures s" + it.panels.length });
    it.panels.forEach(function (panel, number) {
      figures.append(
        atlas.element("figure", { class: "p" + number }, [
          atlas.element("figcaption", { text: panel }),
          atlas.element("span", { class: "t" }, [
            atlas.element("img", {
              class: "k" + it.k,
              src: it.sprite,
              alt: panel + ", " + (it.label || "picture " + it.picture),
            }),
          ]),
        ]),
      );
    });
    if (it.whole)
      figures.append(
        atlas.element("figure", {}, [
          atlas.element("figcaption", {
            text: "whole picture; " + (it.larger ? "the unit's place" : "receptive field of " + it.box[2] + " px"),
          }),
          whole(it),
        ]),
      );
    dialog.replaceChildren(
      atlas.element("div", { class: "bar" }, [
        atlas.element("h2", { id: "large-title", text: it.layer + " " + it.channel + ", " + it.k + " of " + it.of }),
        button("←", "stronger", function () {
          turn(-1);
        }),
        button("→", "weaker", function () {
          turn(1);
        }),
        button("close", "close", function () {
          dialog.close();
        }),
      ]),
      figures,
      words(it),
    );
    if (!dialog.open) dialog.showModal();
    mark(it);
  }
  function turn(step) {
    var tiles = dialog.current.tile.parentElement.children;
    var place = (dialog.current.k - 1 + step + tiles.length) % tiles.length;
    open(about(tiles[place]));
  }
  // The chosen one of the nine stands in the address, for the page's own channel.
  function mark(it) {
    document.querySelectorAll(".chosen").forEach(function (tile) {
      tile.classList.remove("chosen");
    });
    if (it) it.tile.classList.add("chosen");
    var own = it && it.holder.classList.contains("nine");
    if (own) history.replaceState(null, "", "#" + it.k);
    else if (!it && /^#\d$/.test(location.hash)) history.replaceState(null, "", location.pathname + location.search);
  }

  main.addEventListener("pointerover", function (event) {
    var tile = event.pointerType !== "touch" && event.target.closest(TILE);
    if (tile) show(tile);
    else hide();
  });
  main.addEventListener("pointerleave", hide);
  main.addEventListener("focusin", function (event) {
    if (event.target.matches(".nine > a:focus-visible, .line > a:focus-visible")) show(event.target);
    else hide();
  });
  window.addEventListener("scroll", hide, { passive: true });
  document.addEventListener("keydown", function (event) {
    if (event.key === "Escape") hide();
  });
  main.addEventListener("click", function (event) {
    var tile = event.target.closest(TILE);
    if (!tile || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    var it = about(tile);
    if (!it) return;
    event.preventDefault();
    open(it);
  });
  function fromAddress() {
    var tile = /^#[1-9]$/.test(location.hash) && document.getElementById(location.hash.slice(1));
    if (tile) open(about(tile));
  }
  window.addEventListener("hashchange", fromAddress);
  fromAddress();
})(window.residualAtlas);
