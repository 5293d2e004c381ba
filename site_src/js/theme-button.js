// The button in the header that changes between light, dark and what the system says.

import { element } from "./dom.js";
import { headerTools } from "./header-tools.js";
import { theme } from "./site.js";

const THEMES = ["", "light", "dark"];
const THEME_NAMES = { "": "as the system", light: "light", dark: "dark" };
const HALF_CIRCLE = "M12 2a10 10 0 1 0 0 20 10 10 0 0 0 0-20zm0 18V4a8 8 0 1 1 0 16z";
const ICON = `<svg width="18" height="18" viewBox="0 0 24 24" aria-hidden="true"><path d="${HALF_CIRCLE}" /></svg>`;

export function startThemeButton() {
  const tools = headerTools();
  if (!tools) return;
  const button = element("button", { class: "ra-theme", type: "button" });
  button.innerHTML = ICON;
  const nameTheme = () => {
    const text = `Colours: ${THEME_NAMES[theme.read()]}`;
    button.setAttribute("aria-label", text);
    button.setAttribute("title", text);
  };
  button.addEventListener("click", () => {
    theme.write(THEMES[(THEMES.indexOf(theme.read()) + 1) % THEMES.length]);
    nameTheme();
  });
  // Another tab of the site changed it.
  window.addEventListener("storage", () => {
    theme.apply();
    nameTheme();
  });
  nameTheme();
  tools.append(button);
}
