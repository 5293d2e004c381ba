"""The size of a site: bytes of each kind of file, measured on a rendered site and scaled to all channels.

    python -m tools.site_sizes site/resnet50 build/resnet50

Writes generator/site/data/site_sizes.json, which the guide's page on hosting shows. An atlas with a few channels of
each layer (`--layers all --channels 2`) is sufficient: their pages and sprites are measured, and each channel's part of
the files about all channels of its layer, and of the tables about all channels.
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


def measured(site: Path, atlas: Path) -> dict[str, Any]:
    """The content of site_sizes.json. groups: layers of equal kind and stage, with their channels and the mean bytes of
    a channel: its page and sprite over the `sample` channels that have a sprite, its thumbnail, and its part of the
    layer's other files and of the tables; picture: mean bytes of a whole picture."""
    manifest = Store(atlas).manifest()
    tables = sum(path.stat().st_size for name in TABLES if (path := site / "data" / name).is_file())
    of_tables = tables / sum(layer.channels for layer in manifest.layers)
    groups: dict[tuple[str, int], dict[str, float]] = {}
    for layer in manifest.layers:
        kind = "inside" if layer.is_inner else "block"
        empty = {"channels": 0, "sample": 0, "bytes": 0, "shared": 0}
        group = groups.setdefault((kind, layer.stage), empty)
        group["channels"] += layer.channels
        group["shared"] += of_tables * layer.channels
        ending = f".{manifest.sprites[layer.name].format}"
        pictured = sum(path.stem.isdigit() for path in (site / layer.name).glob(f"*{ending}"))
        for path in (site / layer.name).iterdir():
            if path.name == THUMBNAILS:
                group["shared"] += path.stat().st_size * layer.channels / pictured
            elif path.is_file() and (path.suffix == ".js" or not path.stem.isdigit()):
                group["shared"] += path.stat().st_size
            elif path.suffix == ending:
                group["sample"] += 1
                group["bytes"] += path.stat().st_size + path.with_suffix(".html").stat().st_size
    pictures = [path.stat().st_size for path in (site / "pictures").glob("*.webp")]
    return {
        "model": manifest.model,
        "date": manifest.date[:10],
        "pictures": manifest.pictures.count,
        "sprites": next(sprite.format for sprite in manifest.sprites.values()),
        "picture": round(sum(pictures) / len(pictures)),
        "groups": [
            {
                "kind": kind,
                "stage": stage,
                "channels": group["channels"],
                "sample": group["sample"],
                "bytes": round(group["bytes"] / group["sample"] + group["shared"] / group["channels"]),
            }
            for (kind, stage), group in sorted(groups.items())
        ],
    }


if __name__ == "__main__":
    sizes = measured(Path(sys.argv[1]), Path(sys.argv[2]))
    FILE.write_text(json.dumps(sizes, indent=1) + "\n", encoding="utf-8")
