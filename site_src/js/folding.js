// Texts that are compared as readers type them: case, accents, hyphens and plurals make no difference.

const PLURALS = {
  people: "person",
  men: "man",
  women: "woman",
  children: "child",
  mice: "mouse",
  geese: "goose",
  feet: "foot",
  teeth: "tooth",
  wolves: "wolf",
  calves: "calf",
  knives: "knife",
  leaves: "leaf",
  loaves: "loaf",
  scarves: "scarf",
  shelves: "shelf",
  skis: "ski",
  taxis: "taxi",
  gray: "grey",
};

/** Small letters and digits without accents; one space for all between them. */
export function plain(text) {
  return text
    .normalize("NFD")
    .replace(/\p{M}/gu, "")
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, " ")
    .trim();
}

/** The same with every word in a form that its singular and its plural share. */
export function folded(text) {
  return plain(text).split(" ").map(stem).join(" ");
}

function stem(word) {
  const single = PLURALS[word] ?? word;
  if (single.length < 4) return single;
  const without = /(?:ss|us|is)$/.test(single) ? single : single.replace(/ies$/, "y").replace(/s$/, "");
  return without.replace(/ie$/, "y").replace(/e$/, "");
}

/** How well a name fits what was typed: 1 the whole name, 2 whole words of it, 3 a part, 0 not at all. */
export function rankOf(name, text) {
  const [words, wanted] = [folded(name), folded(text)];
  if (!wanted) return 0;
  if (words === wanted) return 1;
  if (` ${words} `.includes(` ${wanted} `)) return 2;
  return plain(name).includes(plain(text)) ? 3 : 0;
}
