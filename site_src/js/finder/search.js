// What the finder answers, from a network's index: {model, layers: [name, path, channels] each, classes, synonyms,
// top: for each layer CLASSES_PER_CHANNEL class numbers per channel, -1 for none; categories: classes and groups of
// classes with their best channels, see generator/site/finder.py}.
// An answer is {name, detail, address}.

import { folded, plain, rankOf } from "../folding.js";
import { significant } from "../numbers.js";
import { model, models, root } from "../site.js";

const CLASSES_PER_CHANNEL = 3;
const MOST_CLASSES = 4; // whose channels are listed
const MOST_CHANNELS = 3; // of one layer and class
const MOST_DESCRIBED = 6; // channels, of all descriptions
const MOST_CATEGORIES = 4; // with their channels
const FALL_WORDS = "top-9 mislead, misleads, misleading: label agreement falls";

/** The index, with the number of each layer by both of its names. */
export function withLayerNumbers(index) {
  const numberOf = new Map();
  index.layers.forEach(([name, path], number) => {
    numberOf.set(name.toLowerCase(), number);
    numberOf.set(path.toLowerCase(), number);
  });
  return { ...index, numberOf };
}

/** Answers to the name of a layer or a part of it, or to a layer and a channel. */
export function channelAnswers(index, text) {
  const [, layerText, channelText] = /^([a-z][\w.]*?)(?:[\s:#/]+(\d*))?$/.exec(text) ?? [];
  if (layerText === undefined) return [];
  const number = index.numberOf.get(layerText);
  if (number !== undefined && channelText) {
    const [name, , channels] = index.layers[number];
    const channel = Number(channelText);
    if (channel >= channels) return [layerAnswer(index, number, `has channels 0 to ${channels - 1}`)];
    const detail = classesOf(index, number, channel).join(" · ");
    return [{ name: fullName(index, `${name} ${channel}`), detail, address: addressOf(index, number, channel) }];
  }
  return index.layers.flatMap(([name, path, channels], layer) => {
    const fits = [name, path].some((known) => known.toLowerCase().startsWith(layerText));
    return fits ? [layerAnswer(index, layer, `${channels} channels`)] : [];
  });
}

/** Answers to the name of a class or of a group of classes, or to a part of it: its page, and its best channels. */
export function categoryAnswers(index, text) {
  return matchingCategories(index, text).flatMap(([name, , kind, address, fewest, expected, count, best, raising]) => {
    const channels = best.map(([layer, channel, ofNine, precision]) => ({
      name: fullName(index, `${index.layers[layer][0]} ${channel}`),
      detail: `${name}: ${ofNine} of 9, average precision ${precision}`,
      address: addressOf(index, layer, channel),
    }));
    const raised = raising.map(([layer, channel, mean]) => ({
      name: fullName(index, `${index.layers[layer][0]} ${channel}`),
      detail: `raises ${name} by ${mean}`,
      address: addressOf(index, layer, channel),
    }));
    const [plural, verb] = count === 1 ? ["", "has"] : ["s", "have"];
    const channelCount = `${count.toLocaleString("en")} channel${plural}`;
    const found = `${channelCount} ${verb} ${fewest} or more of 9 (${expected} expected)`;
    const others = raised.length ? `${sortOf(kind)}: its pictures, and the channels that raise it` : sortOf(kind);
    const none = `${sortOf(kind)}: no channel has ${fewest} or more of 9 (${expected} expected)`;
    const isEmpty = !count && kind !== "class";
    const detail = count ? `${sortOf(kind)}: ${found}` : isEmpty ? none : others;
    const page = { name: fullName(index, name), detail, address: `${root}${index.model}/${address}` };
    return [page, ...raised, ...channels];
  });
}

// A group of the atlas's own list of words is said to be one.
function sortOf(kind) {
  return kind === "own" ? "own group" : kind;
}

/** Answers to "stage 4" or "channel 12 of stage 4": the stage's blocks, or their channels, the last first. */
export function stageAnswers(index, text) {
  const words = /^(?:channel (\d+) (?:(?:of|in) )?)?stage (\d+)(?: (?:channel )?(\d+))?$/.exec(plain(text));
  if (!words) return [];
  const [, before, stage, after] = words;
  const [, layers] = index.stages.find(([number]) => number === Number(stage)) ?? [stage, []];
  return Array.from(layers)
    .reverse()
    .map((layer) => {
      const [name, , channels] = index.layers[layer];
      const channel = before ?? after;
      if (channel === undefined) return layerAnswer(index, layer, `${channels} channels, stage ${stage}`);
      if (Number(channel) >= channels) return layerAnswer(index, layer, `has channels 0 to ${channels - 1}`);
      const detail = `what becomes of channel ${channel} along stage ${stage}`;
      return { name: fullName(index, `${name} ${channel}`), detail, address: addressOf(index, layer, channel) };
    });
}

/** Answers to a word of a chapter's title or summary, and to words for top-9 pictures that mislead. */
export function chapterAnswers(index, text) {
  const rank = ([title, , summary]) => rankOf(title, text) || (rankOf(summary, text) === 2 ? 4 : 0);
  const chapters = index.chapters
    .map((chapter) => ({ chapter, rank: rank(chapter) }))
    .filter((each) => each.rank)
    .sort((a, b) => a.rank - b.rank)
    .map(({ chapter: [title, address, summary] }) => ({
      name: fullName(index, title),
      detail: summary,
      address: `${root}${index.model}/${address}`,
    }));
  const falls = rankOf(FALL_WORDS, text) === 2 ? Array.from(index.falls).sort((a, b) => b[1] - a[1]) : [];
  return [
    ...chapters,
    ...falls.map(([layer, count]) => {
      const [name, , channels] = index.layers[layer];
      return {
        name: fullName(index, name),
        detail: `top-9 that mislead: label agreement falls along the range of ${count} of ${channels} channels`,
        address: `${addressOf(index, layer)}#sort=agreement_decline&falls=1`,
      };
    }),
  ];
}

/** Answers to a layer with a class or a group of classes, "res5c dog": the layer's grid, filtered by it. */
export function layerCategoryAnswers(index, text) {
  const [, layerText, words] = /^([a-z][\w.]*)[\s:#/]+(\D.*)$/.exec(text) ?? [];
  const layer = index.numberOf.get(layerText);
  if (layer === undefined) return [];
  return matchingCategories(index, words).map(([name, , kind]) => ({
    name: fullName(index, `${index.layers[layer][0]}, ${name}`),
    detail: `${sortOf(kind)}: its channels in this layer`,
    address: `${addressOf(index, layer)}#label=${encodeURIComponent(name)}&sort=label`,
  }));
}

/** Answers to a part of an imported description: the channels that it describes. */
export function descriptionAnswers(index, text) {
  return index.descriptions
    .map(([words, ...channels]) => ({ words, channels, rank: rankOf(words, text) }))
    .filter(({ rank }) => rank)
    .flatMap(({ words, channels, rank }) => channels.map((channel) => ({ words, rank, channel })))
    .sort((a, b) => a.rank - b.rank || compareScores(a.channel[2], b.channel[2]))
    .slice(0, MOST_DESCRIBED)
    .map(({ words, channel: [layer, channel, score, source] }) => ({
      name: fullName(index, `${index.layers[layer][0]} ${channel}`),
      detail: `“${words}”, ${score === null ? "" : `score ${significant(score)}, `}${source}`,
      address: addressOf(index, layer, channel),
    }));
}

// The higher score first, none last.
function compareScores(a, b) {
  if (a === null || b === null) return (a === null) - (b === null);
  return b - a;
}

/** Answers to the name of a class or a part of it: channels that have it among their most frequent classes. */
export function classAnswers(index, text) {
  // Later layers first: there a channel is more likely to stand for a whole class.
  const layers = Array.from(index.layers.keys()).reverse();
  return matchingClasses(index, text).flatMap((match) =>
    layers.flatMap((layer) => answersOfLayer(index, layer, match)),
  );
}

// Categories by their names, then by their other names and words. A whole name comes first, then a word of a name, then
// a part of a word; of these the shorter names.
function matchingCategories(index, text) {
  return index.categories
    .map((category) => ({ category, rank: rankOfCategory(category, text) }))
    .filter(({ rank }) => rank)
    .sort(
      (a, b) =>
        isWithout(a.category) - isWithout(b.category) || a.rank - b.rank || a.category[0].length - b.category[0].length,
    )
    .slice(0, MOST_CATEGORIES)
    .map(({ category }) => category);
}

// Groups that no channel is found for come last.
function isWithout([, , kind, , , , count]) {
  return kind !== "class" && !count;
}

// A whole word for a category comes before a part of another one's name.
function rankOfCategory([name, others], text) {
  const rank = rankOf(name, text);
  if (rank && rank < 3) return rank;
  const ranks = others.split(", ").map((other) => rankOf(other, text));
  if (ranks.includes(1)) return 1.5;
  return rank || (ranks.some(Boolean) ? 4 : 0);
}

// Classes whose name or other synonyms contain the text, the earliest and then the shortest match first.
function matchingClasses(index, text) {
  const matches = index.classes.map((name, number) => {
    const synonyms = index.synonyms[number];
    const place = placeOf(name, text);
    // A class that is found by another of its synonyms is shown with all of them.
    if (place < 0 && synonyms) {
      return { name, number, place: placeOf(synonyms, text), detail: `${name}: ${synonyms}` };
    }
    return { name, number, place, detail: name };
  });
  return matches
    .filter(({ place }) => place >= 0)
    .sort((a, b) => a.place - b.place || a.name.length - b.name.length)
    .slice(0, MOST_CLASSES);
}

function placeOf(name, text) {
  const place = plain(text) ? plain(name).indexOf(plain(text)) : -1;
  return place < 0 && rankOf(name, text) ? ` ${folded(name)} `.indexOf(` ${folded(text)} `) : place;
}

// The first few channels of a layer that have the class, and a link to all of them.
function answersOfLayer(index, layer, { name, number, detail }) {
  const classes = index.top[layer];
  const channels = [];
  for (let place = classes.indexOf(number); place >= 0; place = classes.indexOf(number, place + 1)) {
    channels.push({ rank: place % CLASSES_PER_CHANNEL, channel: Math.floor(place / CLASSES_PER_CHANNEL) });
  }
  channels.sort((a, b) => a.rank - b.rank || a.channel - b.channel);
  const layerName = index.layers[layer][0];
  const answers = channels.slice(0, MOST_CHANNELS).map(({ channel }) => ({
    name: fullName(index, `${layerName} ${channel}`),
    detail,
    address: addressOf(index, layer, channel),
  }));
  if (channels.length > MOST_CHANNELS) {
    answers.push({
      name: fullName(index, `${layerName}, all ${channels.length}`),
      detail,
      address: `${addressOf(index, layer)}#label=${encodeURIComponent(name)}`,
    });
  }
  return answers;
}

function classesOf(index, layer, channel) {
  const start = CLASSES_PER_CHANNEL * channel;
  const numbers = index.top[layer].slice(start, start + CLASSES_PER_CHANNEL);
  return numbers.filter((number) => number >= 0).map((number) => index.classes[number]);
}

function layerAnswer(index, layer, detail) {
  return { name: fullName(index, index.layers[layer][0]), detail, address: addressOf(index, layer) };
}

function addressOf(index, layer, page = "index") {
  return `${root}${index.model}/${index.layers[layer][0]}/${page}.html`;
}

// With the network's name where the page belongs to another of several.
function fullName(index, text) {
  return index.model === model || models.length < 2 ? text : `${index.model} · ${text}`;
}
