// The thumbnails of the channels that feed a channel and that read it: tiles of their layers' sheets, loaded when they
// come into view. Where a page has something else in place of a thumbnail, this stays.

import { element } from "./dom.js";

export function startFeeds() {
  for (const link of document.querySelectorAll(".feeds li > a")) {
    if (link.firstElementChild) continue;
    const [, folder, number] = link.getAttribute("href").match(/^(.*\/)(\d+)\.html$/);
    const columns = Number(link.closest("ul").className.match(/\bn(\d+)/)[1]);
    const place = `x${number % columns} y${Math.floor(number / columns)}`;
    const image = element("img", { class: place, src: `${folder}thumbs.webp`, loading: "lazy", alt: "" });
    link.prepend(element("span", {}, [image]));
  }
}
