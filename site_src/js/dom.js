// Making elements, and reading the data that a page carries.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes ("text" sets its text) and children. */
export function element(name, attributes = {}, children = []) {
  return filled(document.createElement(name), attributes, children);
}

/** The same, of a drawing. */
export function svgElement(name, attributes = {}, children = []) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "text") made.textContent = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** The data in a script element of JSON; null where the page has none. */
export function readJson(script) {
  return script ? JSON.parse(script.textContent) : null;
}
