// Arrow keys: left and right change the channel, up and down the block. They follow the links that the page shows. Form
// fields, dialogs and focused elements that scroll keep the keys to themselves.

const DIRECTIONS = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down" };

export function startKeys() {
  document.addEventListener("keydown", (event) => {
    const direction = DIRECTIONS[event.key];
    if (!direction || event.defaultPrevented) return;
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (document.querySelector("dialog[open]")) return;
    if (event.target.closest("input, select, textarea, pre, [role=region]")) return;
    const link = document.querySelector(`[data-go="${direction}"]`);
    if (!link) return;
    event.preventDefault();
    location.href = link.href;
  });
}
