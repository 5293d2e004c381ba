// The site that the page belongs to. Its values come from static/theme.js and from the lines that are written before
// the modules; data scripts (finder.js, map.js of a network) call the receivers.

const page = window.residualAtlas;

/** Address of the site's first folder, with a slash at its end. */
export const root = page.root;

/** Names of the networks on this site, in the order of the menu. */
export const models = page.models;

/** Which pages the browser may load ahead, as the text of a script element. */
export const loadingRules = page.rules;

/** Name of the network that this page belongs to; empty on pages of the whole site. */
export const model = document.documentElement.dataset.model ?? "";

/** By the name of a statistic, the anchor of its definition in the guide. */
export const measures = page.measures ?? {};

/** The end of the names of the sprites of this network. */
export const spriteFormat = document.documentElement.dataset.sprites ?? "webp";

/** What the tiles of this page show, from a script that several pages share; null where the page has it itself. */
export const sharedTiles = page.tiles ?? null;

/** Light or dark: read(), write(theme) and apply(), see static/theme.js. */
export const theme = page.theme;

/** Let a data script hand its data over by calling residualAtlas.<name>(data). */
export function receive(name, receiver) {
  page[name] = receiver;
}
