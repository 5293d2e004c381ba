"""Write generator/site/data/scale_validation.json: python -m tools.scale_validation ATLAS RANDOM

ATLAS is an atlas of the demo network, RANDOM one of the same network with random weights on the same pictures:

    atlas compute demo --out build/demo
    atlas compute demo --weights random --channels 1 --out build/random
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from generator.site.chapters.scale import scaled_blocks
from generator.site.chapters.scale_chance import chance_rows
from generator.site.reading.atlas import Atlas

PATH = Path(__file__).resolve().parents[1] / "generator" / "site" / "data" / "scale_validation.json"


def validation(atlas: Atlas, random: Atlas) -> dict[str, Any]:
    """What the file holds."""
    truth = atlas.store.tables.read_json("scale_truth.json")
    if truth is None:
        raise SystemExit(f"{atlas.store.folder} has no scale_truth.json: its pictures are not drawn")
    manifest = json.loads((atlas.store.folder / "manifest.json").read_text("utf-8"))
    _, whole = chance_rows(scaled_blocks(random))
    signs = whole.all
    kept = {key: truth[key] for key in ("scales", "drawings", "classes", "driving", "whole")}
    return {
        "source": {
            "network": atlas.name,
            "sha256": manifest["weights"]["sha256"],
            "pictures": len(atlas.picture_labels),
            "date": manifest["date"],
        },
        "truth": kept,
        "random": {
            "channels": signs.count,
            "block": signs.share(signs.block),
            "input": signs.share(signs.input),
            "both": signs.share(signs.both),
            "invariant": signs.share(whole.mixing.both),
        },
    }


def main() -> None:
    atlas, random = (Atlas(Path(folder)) for folder in sys.argv[1:3])
    PATH.write_text(json.dumps(validation(atlas, random), indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
