// The button on a channel's page that adds the channel to the session's list, or takes it out again.

import { element } from "../dom.js";
import { model, root } from "../site.js";
import { fragmentOf, keepList, sessionList } from "./address.js";

export function startListButton() {
  const heading = document.querySelector(".channel article h1");
  if (!heading) return;
  const { layer, channel } = document.getElementById("main").dataset;
  const entry = `${layer}:${channel}`;
  const button = element("button", { type: "button" });
  const link = element("a");
  const state = element("span", { role: "status" });
  const show = () => {
    const entries = sessionList();
    button.textContent = entries.includes(entry) ? "remove from list" : "add to list";
    link.href = `${root}${model}/list.html${fragmentOf(entries)}`;
    link.textContent = `list of ${entries.length}`;
    link.hidden = !entries.length;
  };
  button.addEventListener("click", () => {
    const entries = sessionList();
    const isListed = entries.includes(entry);
    keepList(isListed ? entries.filter((other) => other !== entry) : [...entries, entry]);
    show();
    state.textContent = isListed ? "removed" : "added";
  });
  // A browser that goes back shows the page as it was left; one that draws a page ahead gives it the list of that time.
  window.addEventListener("pageshow", show);
  document.addEventListener("prerenderingchange", show);
  link.addEventListener("click", show);
  show();
  heading.after(element("p", { class: "to-list" }, [button, link, state]));
}
