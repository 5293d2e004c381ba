// The page's own address where one is asked for, and buttons that copy it and the citation.
(function (atlas) {
  "use strict";
  var own = location.href.replace(/#.*/, "");
  var known = document.querySelector(".address");
  if (!known) return;
  if (/^http/.test(own)) {
    var given = known.textContent;
    document.querySelectorAll(".cite .copy").forEach(function (place) {
      place.childNodes.forEach(function (node) {
        if (node.nodeType === 3) node.data = node.data.split(given).join(own);
      });
    });
    known.textContent = own;
  }
  function copier(text, what) {
    var button = atlas.element("button", { type: "button", class: "copier", text: what });
    button.addEventListener("click", function () {
      var done = function () {
        button.textContent = "copied";
        setTimeout(function () {
          button.textContent = what;
        }, 1500);
      };
      if (navigator.clipboard) navigator.clipboard.writeText(text()).then(done);
      else {
        // Pages opened from a folder have no clipboard of their own.
        var field = atlas.element("textarea", { class: "copier" });
        field.value = text();
        document.body.append(field);
        field.select();
        document.execCommand("copy");
        field.remove();
        done();
      }
    });
    return button;
  }
  document.querySelectorAll(".cite .copy").forEach(function (place) {
    var text = place.textContent.trim();
    place.after(
      copier(
        function () {
          return text;
        },
        place.tagName === "PRE" ? "copy BibTeX" : "copy",
      ),
    );
  });
  var link = document.querySelector(".permalink");
  if (link)
    link.replaceWith(
      copier(function () {
        return own + location.hash;
      }, "copy link"),
    );
})(window.residualAtlas);
