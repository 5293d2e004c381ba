// A layer's grid: sorting, filtering, and the nine of the channel that the pointer is on. The state stands in the
// address (after #, so that it also works from a folder), and can be linked.
(function (atlas) {
  "use strict";
  var grid = document.querySelector(".grid");
  var form = document.querySelector(".tools");
  var data = atlas.json(document.getElementById("channels"));
  if (!grid || !form || !data) return;
  var cells = Array.from(grid.children);
  var shownSheet = "thumbs.webp";
  var shownOrder = Array.from(cells.keys()).join();

  function state() {
    return new URLSearchParams(location.hash.slice(1));
  }
  function apply() {
    var now = state();
    ["sort", "label"].forEach(function (name) {
      form.elements[name].value = now.get(name) || "";
    });
    ["up", "dead", "optimised", "large"].forEach(function (name) {
      if (form.elements[name]) form.elements[name].checked = now.get(name) === "1";
    });
    var key = form.elements.sort.value;
    var numbers = data.numbers[key];
    var turn = form.elements.up.checked ? 1 : -1;
    var order = cells.map(function (_, channel) {
      return channel;
    });
    if (numbers) {
      order.sort(function (a, b) {
        var one = numbers[a],
          other = numbers[b];
        // Channels without a value come last in either direction.
        if (one === null || other === null) return (one === null) - (other === null) || a - b;
        return turn * (one - other) || a - b;
      });
    } else if (now.get("up") === null && key === "") {
      form.elements.up.checked = false;
    }
    form.elements.up.disabled = !numbers;
    // A class's whole name stands for this class alone ("bow", not "bow tie" too); a part of a name for all that hold it.
    var given = form.elements.label.value.trim();
    var text = given.toLowerCase();
    var exact = data.labels.indexOf(given);
    var labels = {};
    data.labels.forEach(function (label, number) {
      if (exact >= 0 ? number === exact : label.toLowerCase().indexOf(text) >= 0) labels[number] = true;
    });
    var dead = Boolean(form.elements.dead && form.elements.dead.checked);
    var shown = 0;
    order.forEach(function (channel) {
      var cell = cells[channel];
      var fits =
        !text ||
        data.nine[channel].some(function (label) {
          return labels[label];
        });
      cell.hidden = !fits;
      if (fits && (dead || !cell.classList.contains("dead"))) shown++;
    });
    // Cells are moved only when their order changes: moving thousands takes a while.
    var named = order.join();
    if (named !== shownOrder) {
      var sorted = document.createDocumentFragment();
      order.forEach(function (channel) {
        sorted.append(cells[channel]);
      });
      grid.append(sorted);
      shownOrder = named;
    }
    grid.classList.toggle("with-dead", dead);
    grid.classList.toggle("big", form.elements.large.checked);
    var sheet = form.elements.optimised && form.elements.optimised.checked ? "optimised/thumbs.webp" : "thumbs.webp";
    if (sheet !== shownSheet) {
      grid.querySelectorAll("img").forEach(function (image) {
        image.src = sheet;
      });
      shownSheet = sheet;
    }
    form.elements.shown.value = shown + " of " + cells.length;
  }
  function remember() {
    var now = new URLSearchParams();
    ["sort", "label"].forEach(function (name) {
      if (form.elements[name].value) now.set(name, form.elements[name].value);
    });
    ["up", "dead", "optimised", "large"].forEach(function (name) {
      if (form.elements[name] && form.elements[name].checked) now.set(name, "1");
    });
    history.replaceState(null, "", "#" + now);
    apply();
  }
  form.addEventListener("input", remember);
  window.addEventListener("hashchange", apply);
  apply();

  var preview = null;
  function hide() {
    if (preview) preview.remove();
    preview = null;
  }
  function show(link) {
    hide();
    var cell = link.parentElement;
    if (cell.classList.contains("dead")) return;
    var channel = cells.indexOf(cell);
    var key = form.elements.sort.value || "max";
    var value = data.numbers[key] && data.numbers[key][channel];
    var words = data.nine[channel]
      .slice(0, 4)
      .map(function (label) {
        return data.labels[label];
      })
      .join(" · ");
    var about = data.units[key] && value !== null ? data.units[key][0] + " " + number(value, data.units[key][1]) : "";
    preview = atlas.element("div", { class: "preview", "aria-hidden": "true" });
    // A channel that the atlas does not picture has no thumbnail, and no tiles to show either.
    if (link.querySelector("img"))
      preview.append(
        atlas.element("img", { src: channel + ".webp", alt: "", width: 216 * data.panels.length, height: 216 }),
      );
    preview.append(atlas.element("p", { text: channel + (about ? " · " + about : "") + (words ? " · " + words : "") }));
    document.body.append(preview);
    var at = link.getBoundingClientRect();
    var size = preview.getBoundingClientRect();
    preview.style.left = Math.max(4, Math.min(at.left, innerWidth - size.width - 8)) + "px";
    preview.style.top =
      (at.bottom + 8 + size.height <= innerHeight ? at.bottom + 4 : Math.max(4, at.top - size.height - 4)) + "px";
  }
  function number(value, unit) {
    if (unit.charAt(0) === "%") return Number((100 * value).toPrecision(2)) + " " + unit;
    return Number(value.toPrecision(3)) + " " + unit;
  }
  grid.addEventListener("pointerover", function (event) {
    var link = event.pointerType !== "touch" && event.target.closest("a");
    if (link) show(link);
    else hide();
  });
  grid.addEventListener("pointerleave", hide);
  grid.addEventListener("focusin", function (event) {
    if (event.target.matches("a:focus-visible")) show(event.target);
  });
  grid.addEventListener("focusout", hide);
  window.addEventListener("scroll", hide, { passive: true });
})(window.residualAtlas);
