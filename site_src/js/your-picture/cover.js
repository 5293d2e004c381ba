// Covering a part of the picture with the mean colour, by sliders or by dragging over the picture.

/** A copy of the picture in which a square is covered. colour: one number per channel; x, y: of its middle, side: of
 * it, as shares of the picture's width, height and shorter side. */
export function coveredPicture({ width, height, channels, data }, colour, { x, y, side }) {
  const half = (side * Math.min(width, height)) / 2;
  const [left, right] = [x * width - half, x * width + half].map((place) => clamped(place, width));
  const [top, bottom] = [y * height - half, y * height + half].map((place) => clamped(place, height));
  const copy = data.slice();
  for (let row = top; row < bottom; row++) {
    for (let column = left; column < right; column++) {
      copy.set(colour.slice(0, channels), (row * width + column) * channels);
    }
  }
  return { width, height, channels, data: copy };
}

function clamped(place, length) {
  return Math.max(0, Math.min(length, Math.round(place)));
}

/** Start the form and the canvas; changed(cover) is called with {x, y, side}, or null where nothing is covered. */
export function startCover(form, canvas, changed) {
  const { on, x, y, side } = form.elements;
  const report = () => {
    for (const slider of [x, y, side]) slider.disabled = !on.checked;
    changed(on.checked ? { x: x.value / 100, y: y.value / 100, side: side.value / 100 } : null);
  };
  form.addEventListener("input", report);
  const follow = (event) => {
    const box = canvas.getBoundingClientRect();
    on.checked = true;
    x.value = Math.round((100 * (event.clientX - box.left)) / box.width);
    y.value = Math.round((100 * (event.clientY - box.top)) / box.height);
    report();
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    follow(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (canvas.hasPointerCapture(event.pointerId)) follow(event);
  });
  report();
}
