// How a picture comes to the page: chosen, photographed, dropped, pasted, or one of the atlas's.

/** chosen(file, name) is called with the bytes of a picture (a Blob) and what to call it. */
export function startChooser(section, chosen) {
  for (const input of section.querySelectorAll("input[type=file]")) {
    input.addEventListener("change", () => {
      if (input.files.length) chosen(input.files[0], input.files[0].name);
      input.value = ""; // the same file can be chosen again
    });
  }
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    take(event.dataTransfer, "a dropped picture", chosen);
  });
  document.addEventListener("paste", (event) => take(event.clipboardData, "a pasted picture", chosen));
  for (const button of section.querySelectorAll(".examples button")) {
    button.addEventListener("click", async () => {
      const answer = await fetch(button.dataset.picture); // without loss, unlike what the button shows
      chosen(await answer.blob(), button.dataset.name);
    });
  }
}

function take(transfer, name, chosen) {
  const [file] = transfer?.files ?? [];
  if (file) chosen(file, file.name || name);
}
