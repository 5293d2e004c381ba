// Making elements, and reading the data that a page carries.

/** An element with attributes ("text" sets its text) and children. */
export function element(name, attributes = {}, children = []) {
  const made = document.createElement(name);
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
