// The chosen channel: its response, where it stands among the atlas's pictures, and the same channel in the blocks of
// its stage: what the residual stream carries.

import { element } from "../dom.js";
import { rankWord, significant } from "../numbers.js";
import { channelAddress } from "./layers.js";
import { percentAtLeast, standingWords } from "./words.js";

/** Fill the place. outputs: of the whole picture; covered: of the covered one, or null. */
export function showChosen(place, { settings, numbers, outputs, covered }, number, row) {
  const layer = settings.layers[number];
  const nine = numbers[number].nine(row.channel);
  const [x, y] = [row.position % layer.width, Math.floor(row.position / layer.width)];
  const pictures = `${settings.pictures.toLocaleString("en")} pictures of the atlas`;
  const standing = row.rank
    ? `It would be ${rankWord(row.rank)} of the channel's top-9`
    : `That is above ${percentAtLeast(row.share)} of the ${pictures}`;
  const ends = `${significant(nine[0])} to ${significant(nine.at(-1))}`;
  const now = covered ? ` Covered: ${significant(covered.maxima[layer.offset + row.channel])}.` : "";
  const text = `${significant(row.value)} at row ${y}, column ${x} of its map. ${standing} (${ends}).${now}`;
  const link = element("a", { href: channelAddress(layer, row), text: `Channel ${row.channel} of ${layer.name}` });
  place.replaceChildren(element("p", {}, [link, element("span", { text: `: ${text}` })]));
  const stage = stageTable(settings, numbers, outputs, covered, layer, row.channel);
  if (stage) place.append(stage);
}

function stageTable(settings, numbers, outputs, covered, layer, channel) {
  const blocks = settings.layers
    .map((each, number) => ({ each, number }))
    .filter(({ each }) => each.block && each.stage === layer.stage && each.channels === layer.channels);
  if (!layer.block || blocks.length < 2) return null;
  const values = blocks.map(({ each }) => outputs.maxima[each.offset + channel]);
  const largest = Math.max(...values, Number.MIN_VALUE);
  const rows = blocks.map(({ each, number }, place) => {
    const value = values[place];
    const standing = numbers[number].standing(channel, value);
    const row = { channel, value };
    const cells = [
      element("th", { scope: "row" }, [element("a", { href: channelAddress(each, row), text: each.name })]),
      element("td", { text: significant(value) }),
      covered
        ? element("td", { text: significant(covered.maxima[each.offset + channel]) })
        : element("td", {}, [element("meter", { min: 0, max: 1, value: value / largest, "aria-hidden": "true" })]),
      element("td", { text: standing ? standingWords(standing) : "inactive in the atlas" }),
    ];
    return element("tr", each === layer ? { class: "here" } : {}, cells);
  });
  const titles = ["block", "value", covered ? "covered" : "", "among the pictures"];
  const heading = element(
    "tr",
    {},
    titles.map((text) => element(text ? "th" : "td", text ? { scope: "col", text } : {})),
  );
  const caption = element("caption", { text: `Channel ${channel} along stage ${layer.stage}` });
  return element("table", {}, [caption, element("thead", {}, [heading]), element("tbody", {}, rows)]);
}
