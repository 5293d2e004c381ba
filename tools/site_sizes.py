"""The size of a site: bytes of each kind of file, measured on a rendered site and scaled to all channels.

    python -m tools.site_sizes site/resnet50 build/resnet50

Writes generator/site/data/site_sizes.json, which the guide's page on hosting shows. An atlas with a few channels of
each layer (`--layers all --channels 2`) is sufficient: their pages and sprites are measured.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from generator.core.store import Store

FILE = Path(__file__).resolve().parent.parent / "generator" / "site" / "data" / "site_sizes.json"


def measured(site: Path, atlas: Path) -> dict[str, Any]:
    """The content of site_sizes.json. groups: layers of equal kind and stage, with their channels and the mean bytes of
    a channel's page and sprite over the `sample` channels that have a sprite; picture: mean bytes of a whole
    picture."""
    manifest = Store(atlas).manifest()
    groups: dict[tuple[str, int], dict[str, int]] = {}
    for layer in manifest.layers:
        kind = "inside" if layer.is_inner else "block"
        group = groups.setdefault((kind, layer.stage), {"channels": 0, "sample": 0, "bytes": 0})
        group["channels"] += layer.channels
        for sprite in (site / layer.name).glob("*.webp"):
            if sprite.stem.isdigit():
                group["sample"] += 1
                group["bytes"] += sprite.stat().st_size + sprite.with_suffix(".html").stat().st_size
    pictures = [path.stat().st_size for path in (site / "pictures").glob("*.webp")]
    return {
        "model": manifest.model,
        "date": manifest.date[:10],
        "pictures": manifest.pictures.count,
        "picture": round(sum(pictures) / len(pictures)),
        "groups": [
            {"kind": kind, "stage": stage, **group, "bytes": round(group["bytes"] / group["sample"])}
            for (kind, stage), group in sorted(groups.items())
        ],
    }


if __name__ == "__main__":
    sizes = measured(Path(sys.argv[1]), Path(sys.argv[2]))
    FILE.write_text(json.dumps(sizes, indent=1) + "\n", encoding="utf-8")
