// Arrow keys: left and right change the channel, up and down the block. They follow the links that the page shows, and
// keep out of the way of fields, dialogs and a focused thing that scrolls.
(function () {
  "use strict";
  var directions = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down" };
  document.addEventListener("keydown", function (event) {
    var direction = directions[event.key];
    if (!direction || event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey)
      return;
    if (document.querySelector("dialog[open]") || event.target.closest("input, select, textarea, pre, [role=region]"))
      return;
    var link = document.querySelector('[data-go="' + direction + '"]');
    if (!link) return;
    event.preventDefault();
    location.href = link.href;
  });
})();
