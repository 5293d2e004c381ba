// The page of first layers: kernels in the order that is chosen.

import { readJson } from "./dom.js";

export function startKernelOrder() {
  const choice = document.querySelector("[name=order]");
  const orders = readJson(document.getElementById("kernel-orders"));
  if (!choice || !orders) return;
  const apply = () => {
    for (const stem of document.querySelectorAll("[data-stem]")) {
      const kernels = new Map(
        Array.from(stem.querySelectorAll("[data-kernel]"), (item) => [item.dataset.kernel, item]),
      );
      for (const channel of orders[stem.dataset.stem][choice.value]) {
        const kernel = kernels.get(String(channel));
        kernel.parentNode.append(kernel);
      }
    }
  };
  choice.addEventListener("change", apply);
  apply(); // a browser that goes back keeps what was chosen
}
