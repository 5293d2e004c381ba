"""A channel's optimised picture, as its page shows it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from generator.site.reading.atlas import Atlas
from generator.site.reading.layer_numbers import Layer

FOLDER = "optimised"  # below a layer's folder of the site
FROM_PATCH = 1  # of `ascent_start`: the optimisation started from the best patch


@dataclass(frozen=True)
class OptimisedPicture:
    """source: its address; value: the activation that it reaches; is_mean: whether that is the mean of the map and not
    the activation of the unit in its middle; is_inactive: whether it leaves the unit inactive.
    strongest: the best patch's activation; times: value as a multiple of it; both None where they cannot be compared.
    from_patch: whether the optimisation started from the best patch."""

    source: str
    value: float
    is_mean: bool
    is_inactive: bool
    strongest: float | None
    times: float | None
    from_patch: bool


def has_optimised(layer: Layer) -> bool:
    """Whether the atlas has optimised pictures of the layer."""
    value = layer.arrays.get("ascent_value")
    return value is not None and bool(np.isfinite(value).any())


def is_optimised(layer: Layer, channel: int) -> bool:
    """Whether the atlas has an optimised picture of the channel."""
    value = layer.arrays.get("ascent_value")
    return value is not None and channel < len(value) and bool(np.isfinite(value[channel]))


def optimised_picture(atlas: Atlas, layer: Layer, channel: int) -> OptimisedPicture | None:
    """The channel's optimised picture, None where there is none."""
    if not is_optimised(layer, channel):
        return None
    value = float(layer.arrays["ascent_value"][channel])
    settings = atlas.manifest.profile.get("ascent") or {}
    is_mean = settings.get("objective") == "channel"
    best = layer.values[channel][0] if layer.images[channel][0] >= 0 and not is_mean else None
    return OptimisedPicture(
        source=f"{FOLDER}/{channel}.webp",
        value=value,
        is_mean=is_mean,
        is_inactive=value <= 0 and layer.info.rectified,
        strongest=best,
        times=value / best if best is not None and best > 0 else None,
        from_patch=int(layer.arrays["ascent_start"][channel]) == FROM_PATCH,
    )
