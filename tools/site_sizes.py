"""The size of a site: bytes of each kind of file, measured on a rendered site and scaled to all channels.

    python -m tools.site_sizes site/resnet50 build/resnet50 build/resnet50-avif

Writes generator/site/data/site_sizes.json, which the guide's page on hosting shows. The site is the first atlas's; of
the second, the same channels with sprites in the other format, only the sprites are measured. Atlases with a few
channels of each layer (`--layers all --channels 2`) are sufficient: their pages and sprites are measured, and each
channel's part of the files about all channels of its layer, and of the tables about all channels.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from generator.core.store import Store

TABLES = ("channels.csv", "tops.csv")  # in data/: about all channels
THUMBNAILS = "thumbs.webp"  # of the channels that have a sprite
FILE = Path(__file__).resolve().parent.parent / "generator" / "site" / "data" / "site_sizes.json"


def measured(site: Path, atlas: Path, other: Path) -> dict[str, Any]:
    """The content of site_sizes.json. groups: layers of equal kind and stage, with their channels; page: bytes of a
    channel's page, the mean over the `sample` channels that have a sprite, with its thumbnail and its part of the
    layer's other files and of the tables; webp, avif: mean bytes of their sprites; picture: mean bytes of a whole
    picture."""
    manifest = Store(atlas).manifest()
    sprites = _sprites(atlas) | _sprites(other)
    tables = sum(path.stat().st_size for name in TABLES if (path := site / "data" / name).is_file())
    of_tables = tables / sum(layer.channels for layer in manifest.layers)
    groups: dict[tuple[str, int], dict[str, float]] = {}
    for layer in manifest.layers:
        kind = "inside" if layer.is_inner else "block"
        empty = {"channels": 0, "sample": 0, "page": 0, "shared": 0, **dict.fromkeys(sprites, 0)}
        group = groups.setdefault((kind, layer.stage), empty)
        group["channels"] += layer.channels
        group["shared"] += of_tables * layer.channels
        pictured = Store(atlas).pictures.sprites(layer.name)
        group["sample"] += len(pictured)
        for format, sizes in sprites.items():
            group[format] += sum(sizes[layer.name, channel] for channel in pictured)
        for path in (site / layer.name).iterdir():
            if path.name == THUMBNAILS:
                group["shared"] += path.stat().st_size * layer.channels / len(pictured)
            elif path.is_file() and (path.suffix == ".js" or not path.stem.isdigit()):
                group["shared"] += path.stat().st_size
            elif path.suffix == ".html" and int(path.stem) in pictured:
                group["page"] += path.stat().st_size
    pictures = [path.stat().st_size for path in (site / "pictures").glob("*.webp")]
    return {
        "model": manifest.model,
        "date": manifest.date[:10],
        "pictures": manifest.pictures.count,
        "picture": round(sum(pictures) / len(pictures)),
        "groups": [
            {
                "kind": kind,
                "stage": stage,
                "channels": group["channels"],
                "sample": group["sample"],
                "page": round(group["page"] / group["sample"] + group["shared"] / group["channels"]),
                **{format: round(group[format] / group["sample"]) for format in sorted(sprites)},
            }
            for (kind, stage), group in sorted(groups.items())
        ],
    }


def _sprites(atlas: Path) -> dict[str, dict[tuple[str, int], int]]:
    """By the format of the atlas's sprites: the bytes of each, by layer and channel."""
    store = Store(atlas)
    manifest = store.manifest()
    sizes: dict[tuple[str, int], int] = {}
    for layer in manifest.layers:
        ending = manifest.sprites[layer.name].format
        for channel in store.pictures.sprites(layer.name):
            sizes[layer.name, channel] = (
                store.pictures.sprite_path(layer.name, channel, ending).stat().st_size
            )
    return {next(sprite.format for sprite in manifest.sprites.values()): sizes}


if __name__ == "__main__":
    sizes = measured(*map(Path, sys.argv[1:4]))
    FILE.write_text(json.dumps(sizes, indent=1) + "\n", encoding="utf-8")
