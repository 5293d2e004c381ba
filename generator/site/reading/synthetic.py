"""What the pages say of optimised pictures. No torch, no HTML here."""

from __future__ import annotations

from typing import Any

import numpy as np

from generator.site.formats import significant
from generator.site.reading.atlas import Atlas, Layer

FOLDER = "optimised"  # below a layer's folder of the site
FROM_PATCH = 1


def has_optimised(layer: Layer) -> bool:
    """Whether the atlas has optimised pictures of the layer."""
    value = layer.arrays.get("ascent_value")
    return value is not None and bool(np.isfinite(value).any())


def is_optimised(layer: Layer, channel: int) -> bool:
    value = layer.arrays.get("ascent_value")
    return value is not None and channel < len(value) and bool(np.isfinite(value[channel]))


def optimised(atlas: Atlas, layer: Layer, channel: int) -> dict[str, Any] | None:
    """The channel's optimised picture: its address, its value, how many times the best patch's, where it began; None
    where there is none."""
    if not is_optimised(layer, channel):
        return None
    value = layer.arrays["ascent_value"]
    top = layer.values[channel][0] if layer.images[channel][0] >= 0 else None
    settings = atlas.manifest.profile.get("ascent") or {}
    mean = settings.get("objective") == "channel"
    return {
        "source": f"{FOLDER}/{channel}.webp",
        "value": significant(float(value[channel])),
        "silent": value[channel] <= 0 and layer.info.rectified,
        "mean": mean,
        "strongest": significant(top) if top is not None and not mean else "",
        "times": significant(float(value[channel]) / top) if top is not None and top > 0 and not mean else "",
        "from_patch": int(layer.arrays["ascent_start"][channel]) == FROM_PATCH,
    }
