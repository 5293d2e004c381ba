"""The index that the finder loads when it is first used: layers, class names, three classes a channel."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from generator.site.reading.atlas import Atlas

CLASSES_A_CHANNEL = 3


def finder_index(atlas: Atlas) -> str:
    """A script that hands the index over: a page opened from a folder may run a script but not read a JSON
    file.

    layers: [name, path, channels] in forward order; classes: their names on the pages, no name twice; synonyms: each
    class's whole label where it says more than its name, otherwise ''; top: for each layer a flat list,
    CLASSES_A_CHANNEL class numbers a channel (−1 for none), most frequent among the nine pictures first.
    """
    classes = {key: number for number, key in enumerate(atlas.class_labels)}
    class_of = [classes.get((record.label_id, record.label), -1) for record in atlas.pictures]
    top: list[list[int]] = []
    for info in atlas.layers:
        layer = atlas.layer(info.name)
        flat: list[int] = []
        for channel in range(info.channels):
            found = Counter(c for c in (class_of[image] for image in layer.nine(channel)) if c >= 0)
            best = [c for c, _ in found.most_common(CLASSES_A_CHANNEL)]
            flat += best + [-1] * (CLASSES_A_CHANNEL - len(best))
        top.append(flat)
    index: dict[str, Any] = {
        "model": atlas.name,
        "layers": [[layer.name, layer.path, layer.channels] for layer in atlas.layers],
        "classes": list(atlas.class_labels.values()),
        "synonyms": [label if "," in label else "" for _, label in classes],
        "top": top,
    }
    return data_script("index", index)


def data_script(receiver: str, data: Any) -> str:
    """A script that hands data to ours: a page opened from a folder may run a script but not read a JSON file."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    for (
        character
    ) in "<\u2028\u2029":  # harmless in a file of its own, but not where somebody pastes it into a page
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f"residualAtlas.{receiver}({text});\n"
