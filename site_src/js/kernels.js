// The page of first layers: kernels in the order that is chosen.
(function (atlas) {
  "use strict";
  var choice = document.querySelector("[name=order]");
  var orders = atlas.json(document.getElementById("kernel-orders"));
  if (!choice || !orders) return;
  function apply() {
    document.querySelectorAll("[data-stem]").forEach(function (stem) {
      var places = {};
      stem.querySelectorAll("[data-kernel]").forEach(function (item) {
        places[item.dataset.kernel] = item;
      });
      orders[stem.dataset.stem][choice.value].forEach(function (channel) {
        places[channel].parentNode.append(places[channel]);
      });
    });
  }
  choice.addEventListener("change", apply);
  apply(); // a browser that goes back keeps what was chosen
})(window.residualAtlas);
