"""What the finder's script of a site holds, for tests of its pages."""

from __future__ import annotations

import json
from typing import Any


def index_of(script: str) -> dict[str, Any]:
    """The index that a finder.js hands to the page."""
    index: dict[str, Any] = json.loads(
        script.removeprefix("residualAtlas.index(").rstrip().removesuffix(");")
    )
    return index
