// The map of the pictures: dots, and thumbnails where there is room; moved, zoomed, coloured by class. The dots are written
// into the canvas's pixels one by one, which tens of thousands of them allow and drawing commands do not. What is shown
// stands in the address (after #): layout, class or group, picture, place.
(function (atlas) {
  "use strict";
  var canvas = document.querySelector(".map canvas");
  var form = document.querySelector(".mapped .tools");
  if (!canvas || !form) return;
  var context = canvas.getContext("2d", { alpha: false });
  var picked = document.querySelector(".picked");
  var NONE = 65535;
  var NEAREST_ZOOM = 400;
  var data, count, classes, sheet, image, pixels;
  var layouts = {};
  var layout = "tsne";
  var from = null; // the layout that the dots are coming from, while they move
  var moved = 1; // how far they are, 0 to 1
  var only = null; // {classes: by number, name, value}: which dots stand out
  var chosen = -1; // the picked picture
  var hovered = -1;
  var view = { x: 0, y: 0, zoom: 1 };
  var width = 0,
    height = 0,
    ratio = 1;
  var pending = false;

  // -- data ----------------------------------------------------------------------------------------------------

  function bytes(text) {
    var raw = atob(text);
    var found = new Uint8Array(raw.length);
    for (var i = 0; i < raw.length; i++) found[i] = raw.charCodeAt(i);
    return found;
  }
  function words(text) {
    return new Uint16Array(bytes(text).buffer);
  }
  function placed(text) {
    var given = words(text);
    var made = {
      x: new Float32Array(count),
      y: new Float32Array(count),
      width: 0,
      height: 0,
      thumbs: null,
      step: null,
    };
    for (var i = 0; i < count; i++) {
      made.x[i] = given[2 * i] / 65535;
      made.y[i] = given[2 * i + 1] / 65535;
      made.width = Math.max(made.width, made.x[i]);
      made.height = Math.max(made.height, made.y[i]);
    }
    for (i = 0; i < count; i++) made.y[i] = made.height - made.y[i]; // rows go downwards
    // Points sorted into squares, so that the one below the pointer is found among few.
    made.cells = 128;
    made.starts = new Uint32Array(made.cells * made.cells + 1);
    made.sorted = new Uint32Array(count);
    var cell = new Uint32Array(count);
    for (i = 0; i < count; i++) {
      cell[i] = square(made.y[i]) * made.cells + square(made.x[i]);
      made.starts[cell[i] + 1]++;
    }
    for (i = 0; i < made.cells * made.cells; i++) made.starts[i + 1] += made.starts[i];
    var next = made.starts.slice();
    for (i = 0; i < count; i++) made.sorted[next[cell[i]]++] = i;
    return made;
  }
  function square(place) {
    return Math.max(0, Math.min(127, Math.floor(place * 128)));
  }
  // From all over the map, so that no class lies on top of all others.
  function mixedOrder() {
    var keys = new Float64Array(count);
    var order = new Uint32Array(count);
    for (var i = 0; i < count; i++) {
      keys[i] = (i * 0.6180339887498949) % 1;
      order[i] = i;
    }
    return order.sort(function (a, b) {
      return keys[a] - keys[b];
    });
  }

  atlas.map = function (given) {
    data = given;
    count = given.count;
    classes = words(given.class);
    data.order = mixedOrder();
    data.numbers = new Uint32Array(bytes(given.number).buffer);
    var wide = bytes(given.neighbour).buffer;
    data.near = given.wide === 2 ? new Uint16Array(wide) : new Uint32Array(wide);
    data.far = words(given.distance);
    data.tiles = given.thumb ? words(given.thumb) : null;
    data.kept = given.whole ? bytes(given.whole) : null;
    Object.keys(given.places).forEach(function (name) {
      layouts[name] = placed(given.places[name]);
    });
    if (data.sheet) {
      sheet = new Image();
      sheet.addEventListener("load", function () {
        ask();
        if (chosen >= 0) tell();
      });
      sheet.src = atlas.root + data.model + "/map/thumbs.webp";
    }
    whole();
    buildLegend();
    new ResizeObserver(measure).observe(canvas);
    new MutationObserver(recolour).observe(document.documentElement, {
      attributes: true,
      attributeFilter: ["data-theme"],
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
    window.addEventListener("hashchange", read);
    measure();
    recolour();
    read();
  };

  // -- places --------------------------------------------------------------------------------------------------

  function now() {
    return layouts[layout];
  }
  // CSS pixels a unit of the map.
  function scale() {
    return (
      Math.min((width - 56) / Math.max(now().width, 1e-6), (height - 56) / Math.max(now().height, 1e-6)) * view.zoom
    );
  }
  function placeX(i) {
    var x = now().x[i];
    return from ? from.x[i] + (x - from.x[i]) * moved : x;
  }
  function placeY(i) {
    var y = now().y[i];
    return from ? from.y[i] + (y - from.y[i]) * moved : y;
  }
  function whole() {
    view = { x: now().width / 2, y: now().height / 2, zoom: 1 };
  }
  function clamp() {
    view.zoom = Math.max(0.8, Math.min(NEAREST_ZOOM, view.zoom));
    view.x = Math.max(0, Math.min(now().width, view.x));
    view.y = Math.max(0, Math.min(now().height, view.y));
  }
  function zoomAt(factor, x, y) {
    var before = scale();
    var zoom = view.zoom;
    view.zoom = Math.max(0.8, Math.min(NEAREST_ZOOM, zoom * factor));
    var after = (before * view.zoom) / zoom;
    view.x += (x - width / 2) * (1 / before - 1 / after);
    view.y += (y - height / 2) * (1 / before - 1 / after);
    clamp();
    changed();
  }
  function pan(dx, dy) {
    view.x -= dx / scale();
    view.y -= dy / scale();
    clamp();
    changed();
  }

  // -- drawing -------------------------------------------------------------------------------------------------

  var ground = 0,
    quiet = 0,
    ink = "#000",
    back = "#fff",
    accent = "#f00";
  var ramp = [];
  function packed(r, g, b) {
    return (255 << 24) | (b << 16) | (g << 8) | r;
  }
  function parts(colour) {
    var found = colour.match(/[\d.]+/g).map(Number);
    return colour.indexOf("srgb") > 0
      ? found.slice(0, 3).map(function (v) {
          return Math.round(v * 255);
        })
      : found;
  }
  function recolour() {
    var style = getComputedStyle(canvas);
    var under = parts(style.backgroundColor);
    var text = parts(style.color);
    back = style.backgroundColor;
    ground = packed(under[0], under[1], under[2]);
    quiet = packed.apply(
      null,
      under.slice(0, 3).map(function (value, n) {
        return Math.round(value + (text[n] - value) * 0.14);
      }),
    );
    ink = style.color;
    accent = style.outlineColor;
    ramp = data.classes
      .map(function (one) {
        return one[1];
      })
      .concat(data.none)
      .map(function (hex) {
        var value = parseInt(hex.slice(1), 16);
        return packed(value >> 16, (value >> 8) & 255, value & 255);
      });
    ask();
  }
  function measure() {
    var box = canvas.getBoundingClientRect();
    if (!box.width) return;
    ratio = Math.min(2, window.devicePixelRatio || 1);
    width = box.width;
    height = box.height;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    image = context.createImageData(canvas.width, canvas.height);
    pixels = new Int32Array(image.data.buffer);
    ask();
  }
  function ask() {
    if (pending) return;
    pending = true;
    requestAnimationFrame(draw);
  }
  // How much of each pixel around a dot's middle it covers, 0 to 64: by the pixel's place from the middle, and share.
  var stamps = {};
  function stamp(radius) {
    var key = radius.toFixed(2) + " " + canvas.width;
    if (stamps[key]) return stamps[key];
    var reach = Math.ceil(radius);
    var places = [],
      shares = [];
    for (var dy = -reach; dy <= reach; dy++) {
      for (var dx = -reach; dx <= reach; dx++) {
        var share = Math.round(64 * Math.max(0, Math.min(1, radius + 0.5 - Math.hypot(dx, dy))));
        if (!share) continue;
        places.push(dx + dy * canvas.width);
        shares.push(share);
      }
    }
    stamps[key] = { reach: reach, places: Int32Array.from(places), shares: Int32Array.from(shares) };
    return stamps[key];
  }
  // All numbers in here fit 32 bits with their sign: that keeps it quick.
  function dots(radius, standing) {
    var mark = stamp(radius);
    var places = mark.places,
      shares = mark.shares,
      reach = mark.reach,
      length = places.length;
    var w = canvas.width,
      h = canvas.height,
      right = w - reach,
      bottom = h - reach;
    var s = scale() * ratio;
    var left = w / 2 - view.x * s + 0.5,
      top = h / 2 - view.y * s + 0.5;
    var xs = now().x,
      ys = now().y,
      order = data.order,
      out = pixels,
      last = ramp.length - 1;
    for (var n = 0; n < count; n++) {
      var i = order[n];
      var px = xs[i],
        py = ys[i];
      if (from) {
        px = from.x[i] + (px - from.x[i]) * moved;
        py = from.y[i] + (py - from.y[i]) * moved;
      }
      var x = Math.floor(left + px * s),
        y = Math.floor(top + py * s);
      if (x < reach || y < reach || x >= right || y >= bottom) continue;
      var own = classes[i];
      if (only && stands(i) !== standing) continue;
      var colour = standing ? ramp[own === NONE ? last : own] : quiet;
      var redBlue = colour & 0xff00ff,
        green = colour & 0xff00;
      var at = y * w + x;
      for (var k = 0; k < length; k++) {
        var share = shares[k];
        var place = at + places[k];
        if (share === 64) {
          out[place] = colour;
          continue;
        }
        var under = out[place];
        var rest = 64 - share;
        out[place] =
          -16777216 |
          ((((under & 0xff00ff) * rest + redBlue * share) >> 6) & 0xff00ff) |
          ((((under & 0xff00) * rest + green * share) >> 6) & 0xff00);
      }
    }
  }
  function radiusOf() {
    var smallest = Math.max(1.2, (115 / Math.sqrt(count)) * Math.min(1, 0.35 + width / 1400));
    return Math.min(5.5, smallest * Math.pow(Math.max(1, view.zoom), 0.35));
  }
  // Thumbnails: which dots become one at this zoom. They are chosen for steps of the zoom and for the whole map, so that
  // none comes or goes while the map is moved.
  function thumbnails() {
    var it = now();
    var step = Math.round(Math.log2(view.zoom) * 3) / 3;
    var zoom = Math.pow(2, step);
    var side = Math.round(Math.min(72, 30 * Math.pow(zoom, 0.3)) * (width < 600 ? 0.8 : 1));
    var key = step + " " + Math.round(width) + " " + Math.round(height) + " " + (only ? only.name + only.value : "");
    if (it.step === key) return it.thumbs;
    var room = (side * 1.3 * view.zoom) / zoom / scale();
    var taken = new Map();
    var list = [];
    for (var n = 0; n < count; n++) {
      var i = data.order[n];
      if (data.tiles[i] === NONE || !stands(i)) continue;
      var column = Math.floor(it.x[i] / room),
        row = Math.floor(it.y[i] / room);
      var free = true;
      for (var dy = -1; dy <= 1 && free; dy++) {
        for (var dx = -1; dx <= 1 && free; dx++) {
          var others = taken.get((row + dy) * 100000 + column + dx);
          for (var o = 0; others && o < others.length && free; o++) {
            free = Math.abs(it.x[others[o]] - it.x[i]) >= room || Math.abs(it.y[others[o]] - it.y[i]) >= room;
          }
        }
      }
      if (!free) continue;
      var own = row * 100000 + column;
      if (taken.has(own)) taken.get(own).push(i);
      else taken.set(own, [i]);
      list.push(i);
    }
    it.step = key;
    it.thumbs = { side: side, list: list };
    return it.thumbs;
  }
  function stands(i) {
    return !only || (classes[i] !== NONE && only.classes[classes[i]] === true);
  }
  function screen(i) {
    var s = scale();
    return [width / 2 + (placeX(i) - view.x) * s, height / 2 + (placeY(i) - view.y) * s];
  }
  function colourOf(i) {
    return classes[i] === NONE ? data.none : data.classes[classes[i]][1];
  }
  function tile(target, i, x, y, side) {
    var place = data.tiles[i],
      own = data.sheet.tile;
    target.drawImage(
      sheet,
      (place % data.sheet.columns) * own,
      Math.floor(place / data.sheet.columns) * own,
      own,
      own,
      x,
      y,
      side,
      side,
    );
  }
  function pictured() {
    return sheet && sheet.complete && sheet.naturalWidth > 0;
  }
  function draw() {
    pending = false;
    if (!data || !pixels) return;
    pixels.fill(ground);
    if (only) dots(radiusOf() * ratio, false);
    dots(radiusOf() * ratio, true);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.putImageData(image, 0, 0);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (pictured()) {
      var shown = thumbnails();
      shown.list.forEach(function (i) {
        var at = screen(i);
        var x = Math.round(at[0] - shown.side / 2),
          y = Math.round(at[1] - shown.side / 2);
        if (x < -shown.side || y < -shown.side || x > width || y > height) return;
        tile(context, i, x, y, shown.side);
        context.fillStyle = colourOf(i);
        context.fillRect(x, y + shown.side, shown.side, 3);
      });
    }
    if (layout === "pca" && !from) axes();
    if (chosen >= 0) marks();
    if (hovered >= 0 && hovered !== chosen) ring(hovered, 1.5, ink);
    if (canvas.matches(":focus-visible")) cross();
  }
  function axes() {
    context.fillStyle = ink;
    context.font = "12px " + getComputedStyle(canvas).fontFamily;
    context.textBaseline = "alphabetic";
    context.textAlign = "right";
    named(data.axes[0] + " →", width - 10, height - 10);
    context.save();
    context.translate(18, 10);
    context.rotate(-Math.PI / 2);
    named(data.axes[1] + " →", 0, 0);
    context.restore();
  }
  // Text that can be read over dots and thumbnails.
  function named(text, x, y) {
    context.lineWidth = 4;
    context.lineJoin = "round";
    context.strokeStyle = back;
    context.strokeText(text, x, y);
    context.fillText(text, x, y);
  }
  // The picked picture, and lines to its neighbours.
  function marks() {
    var at = screen(chosen);
    context.strokeStyle = ink;
    context.lineWidth = 1;
    neighbours(chosen).forEach(function (entry) {
      var there = screen(entry[0]);
      context.beginPath();
      context.moveTo(at[0], at[1]);
      context.lineTo(there[0], there[1]);
      context.stroke();
    });
    neighbours(chosen).forEach(function (entry) {
      ring(entry[0], 1.5, ink);
    });
    ring(chosen, 3, accent);
  }
  function ring(i, thick, colour) {
    var at = screen(i);
    context.lineWidth = thick;
    context.strokeStyle = colour;
    var shown = pictured() ? thumbnails() : null;
    if (pictured() && data.tiles[i] !== NONE && (i === chosen || shown.list.indexOf(i) >= 0)) {
      var side = i === chosen ? Math.max(shown.side, 40) : shown.side;
      tile(context, i, at[0] - side / 2, at[1] - side / 2, side);
      context.strokeRect(at[0] - side / 2, at[1] - side / 2, side, side);
      return;
    }
    context.beginPath();
    context.arc(at[0], at[1], radiusOf() + 3, 0, 2 * Math.PI);
    context.stroke();
  }
  function cross() {
    context.strokeStyle = ink;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(width / 2 - 8, height / 2);
    context.lineTo(width / 2 + 8, height / 2);
    context.moveTo(width / 2, height / 2 - 8);
    context.lineTo(width / 2, height / 2 + 8);
    context.stroke();
  }

  // -- finding -------------------------------------------------------------------------------------------------

  function neighbours(i) {
    var found = [];
    for (var n = i * data.neighbours; n < (i + 1) * data.neighbours; n++) {
      found.push([data.near[n], (data.far[n] / 65535) * data.farthest]);
    }
    return found;
  }
  function thumbAt(x, y) {
    if (!pictured()) return -1;
    var shown = thumbnails();
    for (var n = shown.list.length - 1; n >= 0; n--) {
      var at = screen(shown.list[n]);
      if (Math.abs(at[0] - x) <= shown.side / 2 && Math.abs(at[1] - y) <= shown.side / 2) return shown.list[n];
    }
    return -1;
  }
  function nearestTo(x, y, reach) {
    var it = now();
    var s = scale();
    var wx = view.x + (x - width / 2) / s,
      wy = view.y + (y - height / 2) / s;
    var far = reach / s;
    var best = -1,
      least = far * far;
    for (var row = square(wy - far); row <= square(wy + far); row++) {
      for (var column = square(wx - far); column <= square(wx + far); column++) {
        var cell = row * it.cells + column;
        for (var n = it.starts[cell]; n < it.starts[cell + 1]; n++) {
          var i = it.sorted[n];
          var distance = (it.x[i] - wx) * (it.x[i] - wx) + (it.y[i] - wy) * (it.y[i] - wy);
          if (distance <= least && stands(i)) {
            least = distance;
            best = i;
          }
        }
      }
    }
    return best;
  }
  function at(x, y, reach) {
    var found = thumbAt(x, y);
    return found >= 0 ? found : nearestTo(x, y, reach);
  }

  // -- saying --------------------------------------------------------------------------------------------------

  var card = null;
  function labelOf(i) {
    return classes[i] === NONE ? "no label" : data.classes[classes[i]][0];
  }
  function small(i, side) {
    var made = atlas.element("canvas", { width: side * 2, height: side * 2, class: "small" });
    if (pictured() && data.tiles[i] !== NONE) tile(made.getContext("2d"), i, 0, 0, side * 2);
    else {
      var pen = made.getContext("2d");
      pen.fillStyle = colourOf(i);
      pen.arc(side, side, side / 3, 0, 2 * Math.PI);
      pen.fill();
    }
    return made;
  }
  function portrait(i) {
    if (data.kept && data.kept[i])
      return atlas.element("img", { src: atlas.root + data.model + "/pictures/" + data.numbers[i] + ".webp", alt: "" });
    return pictured() && data.tiles[i] !== NONE ? small(i, 96) : null;
  }
  function hover(i, x, y) {
    if (card && i === hovered) return;
    hovered = i;
    if (card) card.remove();
    card = null;
    canvas.classList.toggle("on-picture", i >= 0);
    ask();
    if (i < 0) return;
    card = atlas.element("div", { class: "card map-card", "aria-hidden": "true" });
    var shown = portrait(i);
    if (shown) card.append(shown);
    card.append(
      atlas.element("p", {}, [atlas.element("b", { text: labelOf(i) })]),
      atlas.element("p", { class: "file", text: data.files[i] }),
    );
    document.body.append(card);
    var box = canvas.getBoundingClientRect();
    var size = card.getBoundingClientRect();
    var left = box.left + x + 16 + size.width <= innerWidth - 8 ? box.left + x + 16 : box.left + x - 16 - size.width;
    card.style.left = Math.max(4, left) + "px";
    card.style.top = Math.max(56, Math.min(box.top + y - 20, innerHeight - size.height - 8)) + "px";
  }
  function tell() {
    if (chosen < 0) {
      picked.replaceChildren(
        atlas.element("p", { class: "caption", text: "Pick a picture to see its " + data.neighbours + " nearest." }),
      );
      return;
    }
    var about = atlas.element("div", { class: "about" });
    var shown = portrait(chosen);
    if (shown) about.append(shown);
    var text = atlas.element("div", {}, [
      atlas.element("h2", { text: labelOf(chosen) }),
      atlas.element("p", { class: "file", text: data.files[chosen] }),
    ]);
    var nine = (data.nine && data.nine.of[data.numbers[chosen]]) || [];
    if (nine.length) {
      var line = atlas.element("p", { class: "caption", text: "among the nine of " + data.nine.layer + " " });
      nine.slice(0, 12).forEach(function (channel, n) {
        if (n) line.append(", ");
        line.append(
          atlas.element("a", {
            href: atlas.root + data.model + "/" + data.nine.layer + "/" + channel + ".html",
            text: String(channel),
          }),
        );
      });
      if (nine.length > 12) line.append(" and " + (nine.length - 12) + " more");
      text.append(line);
    }
    about.append(text);
    var list = atlas.element("ol", { class: "nearest" });
    neighbours(chosen).forEach(function (entry) {
      var button = atlas.element("button", { type: "button", title: data.files[entry[0]] }, [
        small(entry[0], 48),
        atlas.element("span", { text: labelOf(entry[0]) }),
        atlas.element("small", {
          text: entry[1] < 999.5 ? entry[1].toPrecision(3) : Math.round(entry[1]).toLocaleString("en"),
        }),
      ]);
      button.addEventListener("click", function () {
        pick(entry[0]);
        picked.querySelector("button").focus();
      });
      list.append(atlas.element("li", {}, [button]));
    });
    picked.replaceChildren(about, atlas.element("h3", { text: "nearest, with their distance" }), list);
  }
  function pick(i) {
    chosen = i;
    if (i >= 0) {
      // Brought into sight where it is not.
      var at = screen(i);
      if (at[0] < 0 || at[1] < 0 || at[0] > width || at[1] > height) {
        view.x = now().x[i];
        view.y = now().y[i];
      }
    }
    tell();
    ask();
    remember();
  }

  // -- classes -------------------------------------------------------------------------------------------------

  function buildLegend() {
    var list = document.querySelector(".class-list");
    if (!list) return;
    list.querySelectorAll("[data-class], [data-group]").forEach(function (entry) {
      var button = atlas.element("button", { type: "button", "aria-pressed": "false" });
      button.append.apply(button, Array.from(entry.childNodes));
      entry.append(button);
      button.addEventListener("click", function () {
        var name = entry.dataset.group === undefined ? "class" : "group";
        var value = name === "group" ? entry.dataset.group : data.classes[Number(entry.dataset.class)][0];
        show(only && only.name === name && only.value === value ? null : { name: name, value: value });
        remember();
      });
    });
    if (data.classes.length <= 20) return;
    var field = atlas.element("input", {
      type: "search",
      "aria-label": "Filter the classes",
      placeholder: "filter the classes",
      autocomplete: "off",
    });
    field.addEventListener("input", function () {
      var text = field.value.trim().toLowerCase();
      list.querySelectorAll("[data-class]").forEach(function (entry) {
        entry.hidden = entry.textContent.toLowerCase().indexOf(text) < 0;
      });
      list.querySelectorAll("h3").forEach(function (heading) {
        heading.hidden = !heading.nextElementSibling.querySelector("li:not([hidden])");
      });
    });
    list.before(field);
  }
  // wanted: {name: "class" or "group", value}, null for all.
  function show(wanted) {
    only = null;
    if (wanted) {
      var members = {};
      data.classes.forEach(function (one, number) {
        if (one[wanted.name === "group" ? 2 : 0] === wanted.value) members[number] = true;
      });
      if (Object.keys(members).length) only = { name: wanted.name, value: wanted.value, classes: members };
    }
    document.querySelectorAll(".class-list [data-class], .class-list [data-group]").forEach(function (entry) {
      var name = entry.dataset.group === undefined ? "class" : "group";
      var value = name === "group" ? entry.dataset.group : data.classes[Number(entry.dataset.class)][0];
      entry
        .querySelector("button")
        .setAttribute("aria-pressed", String(Boolean(only && only.name === name && only.value === value)));
    });
    var shown = 0;
    for (var i = 0; i < count; i++) shown += stands(i);
    form.elements.state.value = only
      ? only.value + ": " + shown.toLocaleString("en") + " of " + count.toLocaleString("en")
      : "";
    ask();
  }

  // -- address -------------------------------------------------------------------------------------------------

  var later = null;
  function changed() {
    ask();
    clearTimeout(later);
    later = setTimeout(remember, 250);
  }
  function remember() {
    clearTimeout(later);
    var state = new URLSearchParams();
    if (layout !== "tsne") state.set("layout", layout);
    if (only) state.set(only.name, only.value);
    if (chosen >= 0) state.set("picture", data.numbers[chosen]);
    var moved =
      view.zoom !== 1 || Math.abs(view.x - now().width / 2) > 1e-6 || Math.abs(view.y - now().height / 2) > 1e-6;
    if (moved) state.set("at", [view.x.toFixed(4), view.y.toFixed(4), view.zoom.toFixed(2)].join());
    var text = state.toString().replace(/%2C/g, ",");
    history.replaceState(null, "", text ? "#" + text : location.pathname + location.search);
  }
  function read() {
    var state = new URLSearchParams(location.hash.slice(1));
    var wanted = state.get("layout") || "tsne";
    layout = layouts[wanted] ? wanted : "tsne";
    form.querySelectorAll("[name=layout]").forEach(function (choice) {
      choice.checked = choice.value === layout;
    });
    whole();
    var at = (state.get("at") || "").split(",").map(Number);
    if (at.length === 3 && at.every(isFinite)) {
      view = { x: at[0], y: at[1], zoom: at[2] };
      clamp();
    }
    show(
      state.get("group")
        ? { name: "group", value: state.get("group") }
        : state.get("class")
          ? { name: "class", value: state.get("class") }
          : null,
    );
    chosen = state.get("picture") === null ? -1 : data.numbers.indexOf(Number(state.get("picture")));
    tell();
    ask();
  }

  // -- hands ---------------------------------------------------------------------------------------------------

  form.addEventListener("change", function (event) {
    if (event.target.name !== "layout" || !data) return;
    from = now();
    layout = event.target.value;
    hover(-1);
    whole();
    remember();
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
      from = null;
      return ask();
    }
    var start = performance.now();
    (function step() {
      var share = Math.min(1, (performance.now() - start) / 600);
      moved = share * share * (3 - 2 * share);
      if (share === 1) from = null;
      ask();
      if (from) requestAnimationFrame(step);
    })();
  });
  form.addEventListener("click", function (event) {
    var button = event.target.closest("[data-zoom]");
    if (!button || !data) return;
    if (button.dataset.zoom === "0") {
      whole();
      changed();
    } else zoomAt(Number(button.dataset.zoom), width / 2, height / 2);
  });

  var fingers = new Map();
  var travelled = 0;
  function inside(event) {
    var box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }
  canvas.addEventListener("pointerdown", function (event) {
    if (!data || event.button) return;
    canvas.setPointerCapture(event.pointerId);
    if (!fingers.size) travelled = 0;
    fingers.set(event.pointerId, inside(event));
    if (fingers.size > 1) travelled = 100;
  });
  canvas.addEventListener("pointermove", function (event) {
    if (!data) return;
    var here = inside(event);
    var before = fingers.get(event.pointerId);
    if (!before) {
      if (event.pointerType !== "touch" && !from) hover(at(here[0], here[1], 9), here[0], here[1]);
      return;
    }
    travelled += Math.abs(here[0] - before[0]) + Math.abs(here[1] - before[1]);
    if (fingers.size === 2) {
      var other = Array.from(fingers).filter(function (entry) {
        return entry[0] !== event.pointerId;
      })[0][1];
      var apart = Math.hypot(before[0] - other[0], before[1] - other[1]);
      zoomAt(
        Math.hypot(here[0] - other[0], here[1] - other[1]) / Math.max(1, apart),
        (here[0] + other[0]) / 2,
        (here[1] + other[1]) / 2,
      );
      pan((here[0] - before[0]) / 2, (here[1] - before[1]) / 2);
    } else if (travelled > 4) {
      hover(-1);
      pan(here[0] - before[0], here[1] - before[1]);
    }
    fingers.set(event.pointerId, here);
  });
  function lift(event) {
    if (!fingers.delete(event.pointerId) || event.type === "pointercancel" || travelled > 4 || !data) return;
    var here = inside(event);
    pick(at(here[0], here[1], event.pointerType === "touch" ? 20 : 9));
  }
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener("pointerleave", function () {
    hover(-1);
  });
  canvas.addEventListener(
    "wheel",
    function (event) {
      if (!data) return;
      var amount = event.deltaY * (event.deltaMode === 1 ? 16 : 1);
      if (amount > 0 && view.zoom <= 0.8) return; // nothing farther: the page scrolls
      event.preventDefault();
      hover(-1);
      var here = inside(event);
      zoomAt(Math.exp(-amount * (event.ctrlKey ? 0.01 : 0.0018)), here[0], here[1]);
    },
    { passive: false },
  );
  canvas.addEventListener("keydown", function (event) {
    if (!data || event.altKey || event.ctrlKey || event.metaKey) return;
    var step = Math.min(width, height) / 8;
    var ways = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    if (ways[event.key]) pan(ways[event.key][0], ways[event.key][1]);
    else if (event.key === "+" || event.key === "=") zoomAt(1.4, width / 2, height / 2);
    else if (event.key === "-") zoomAt(1 / 1.4, width / 2, height / 2);
    else if (event.key === "0") {
      whole();
      changed();
    } else if (event.key === "Enter") pick(nearestTo(width / 2, height / 2, Math.max(width, height)));
    else if (event.key === "Escape") pick(-1);
    else return;
    event.preventDefault();
  });
  canvas.addEventListener("focus", ask);
  canvas.addEventListener("blur", ask);
  window.addEventListener(
    "scroll",
    function () {
      if (card) hover(-1);
    },
    { passive: true },
  );
})(window.residualAtlas);
