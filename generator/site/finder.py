"""The index that the finder loads when it is first used: layers, classes, groups of classes, and channels of each."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from generator.core.records import TOP
from generator.site.formats import correlation, one_decimal, or_absent, significant
from generator.site.reading.atlas import Atlas
from generator.site.reading.channel_range import layer_range
from generator.site.reading.class_effects import answer_classes, raised_by
from generator.site.reading.effects import EffectClass

CLASSES_PER_CHANNEL = 3
BEST_CHANNELS = 3  # of a category
RAISING_CHANNELS = 3  # of a class


def finder_index(atlas: Atlas, chapters: Sequence[tuple[str, str, str]] = ()) -> str:
    """The index as a script. chapters: of the atlas, each as title, address below the network's folder, and summary.

    layers: [name, path, channels] in forward order; classes: their labels on the pages, all different; synonyms: each
    class's whole label where it says more, otherwise ''; top: for each layer a flat list with CLASSES_PER_CHANNEL class
    numbers per channel (−1 for none), the most frequent among the nine pictures first; categories: those that a channel
    could be found for, and all classes, each as [name, other names and words, kind, address, fewest of nine, expected
    of nine, how many channels, the best channels, the channels that raise the class most], of the best each as [layer,
    channel, of nine, average precision], of the others each as [layer, channel, mean contribution]; descriptions: each
    text with the channels that it describes, as [text, [layer, channel, score or null, source], …]; stages: each as
    [number, layers of its blocks]; falls: layers with how many of their channels' label agreement falls.
    """
    class_numbers = {key: number for number, key in enumerate(atlas.class_labels)}
    of_picture = [class_numbers.get((record.label_id, record.label), -1) for record in atlas.pictures]
    index = {
        "model": atlas.name,
        "layers": [[layer.name, layer.path, layer.channels] for layer in atlas.layers],
        "classes": list(atlas.class_labels.values()),
        "synonyms": [label if "," in label else "" for _, label in class_numbers],
        "top": [_commonest_classes(atlas, layer.name, of_picture) for layer in atlas.layers],
        "categories": _categories(atlas),
        "descriptions": _descriptions(atlas),
        "chapters": chapters,
        "stages": _stages(atlas),
        "falls": _falling(atlas),
    }
    return data_script("index", index)


def _stages(atlas: Atlas) -> list[list[object]]:
    """Of each stage its number and the numbers of its blocks' layers."""
    stages: dict[int, list[int]] = {}
    for layer in atlas.blocks:
        stages.setdefault(layer.stage, []).append(atlas.layer_numbers[layer.name])
    return [[stage, layers] for stage, layers in stages.items()]


def _falling(atlas: Atlas) -> list[list[int]]:
    """The layers of which some channels' label agreement falls along their range, each with how many."""
    ranges = [(number, layer_range(atlas, layer.name)) for number, layer in enumerate(atlas.layers)]
    return [[number, found.falls] for number, found in ranges if found is not None and found.falls]


def _categories(atlas: Atlas) -> list[list[object]]:
    categories = atlas.categories
    if categories is None:
        return []
    number = atlas.layer_numbers
    rows: list[list[object]] = []
    for category in categories.entries:
        found = categories.of_category(category)
        effect = None if atlas.effects is None else atlas.effects.of_category.get(category.number)
        if found or category.address or category.fewest <= TOP:
            best = [
                [number[each.layer], each.channel, each.count, or_absent(each.precision, correlation)]
                for each in found[:BEST_CHANNELS]
            ]
            others = ", ".join([*category.also, *category.words])
            name = (category.name, others, category.kind, category.address or "categories.html")
            rows.append(
                [
                    *name,
                    category.fewest,
                    one_decimal(category.expected()),
                    len(found),
                    best,
                    _raising(atlas, effect),
                ]
            )
    for effect in answer_classes(atlas):
        rows.append([effect.name, "", "class", effect.address, 0, "", 0, [], _raising(atlas, effect)])
    return rows


def _raising(atlas: Atlas, effect: EffectClass | None) -> list[list[object]]:
    """The channels of the last of the layers that raise a class most."""
    return [
        [atlas.layer_numbers[layer], channel, significant(mean)]
        for layer, channel, mean in raised_by(atlas, effect, RAISING_CHANNELS)
    ]


def _descriptions(atlas: Atlas) -> list[list[object]]:
    rows: dict[str, list[object]] = {}
    for number, layer in enumerate(atlas.layers):
        for channel in range(layer.channels):
            for each in atlas.descriptions.of(layer.name, channel):
                rows.setdefault(each.text, [each.text]).append([number, channel, each.score, each.source])
    return list(rows.values())


def _commonest_classes(atlas: Atlas, name: str, of_picture: list[int]) -> list[int]:
    """A flat list, CLASSES_PER_CHANNEL numbers per channel of the layer. of_picture: each picture's class, −1 for
    none."""
    layer = atlas.layer(name)
    flat: list[int] = []
    for channel in range(layer.info.channels):
        classes = (of_picture[picture] for picture in layer.nine(channel))
        counts = Counter(number for number in classes if number >= 0)
        commonest = [number for number, _ in counts.most_common(CLASSES_PER_CHANNEL)]
        flat += commonest + [-1] * (CLASSES_PER_CHANNEL - len(commonest))
    return flat


def data_script(receiver: str, data: object) -> str:
    """A script that hands data to the site's scripts: a page opened from a folder may run a script but not read a JSON
    file."""
    return f"residualAtlas.{receiver}({text_of(data)});\n"


def text_of(data: object) -> str:
    """Data as compact JSON that is also an expression of JavaScript."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    # Harmless in a file of its own, but not where somebody pastes the data into a page.
    for character in "<\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
