// The layers of the page's network, loaded when they are first needed: name, path, channels, dead channels and BibTeX
// of each, as generator/site/lists.py writes them.

import { element } from "../dom.js";
import { model, models, receive, root } from "../site.js";

let loading = null;

/** A promise of {network, layers, placeholder, plain, address}; of the first network where the page belongs to none. */
export function layersOfNetwork() {
  loading ??= new Promise((resolve) => {
    receive("layers", resolve);
    document.head.append(element("script", { src: `${root}${model || models[0]}/layers.js` }));
  });
  return loading;
}
