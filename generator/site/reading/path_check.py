"""What path_check.json says: how alike the activations are that optimised and natural pictures cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from generator.site.reading.interval import MeanInterval, mean_from_json


@dataclass(frozen=True)
class PathStep:
    """Rank correlations in one layer below. optimised: of optimised pictures and natural ones of their channel; same:
    of two natural ones of a channel; other: of natural ones of two channels; difference: of the first and the last.
    None where too few channels have one."""

    layer: str
    optimised: MeanInterval | None
    same: MeanInterval | None
    other: MeanInterval | None
    difference: MeanInterval | None


@dataclass(frozen=True)
class PathSummary:
    """What a channel's page says. known: layers below where all is known; like_others: those of them where optimised
    pictures are not for certain more like the channel's own natural ones than these are like another channel's; the
    means are over these layers."""

    known: int
    like_others: int
    optimised: float
    same: float
    other: float
    channels: int


@dataclass(frozen=True)
class PathCheck:
    """By layer the layers below it. channels, natural: compared, at most, of a layer and of a channel."""

    channels: int
    natural: int
    layers: Mapping[str, Sequence[PathStep]]
    counts: Mapping[str, int]

    def of(self, layer: str) -> PathSummary | None:
        """None where the layer was not among those checked, or nothing below it is known."""
        known = [
            (step.optimised, step.same, step.other, step.difference) for step in self.layers.get(layer, ())
        ]
        whole = [
            (optimised.mean, same.mean, other.mean, difference.low > 0)
            for optimised, same, other, difference in known
            if optimised is not None and same is not None and other is not None and difference is not None
        ]
        if not whole:
            return None
        count = len(whole)
        optimised, same, other = (sum(row[part] for row in whole) / count for part in range(3))
        like_others = sum(not row[3] for row in whole)
        return PathSummary(count, like_others, optimised, same, other, self.counts[layer])


def path_check_from_json(data: Any) -> PathCheck | None:
    """None where the atlas has none."""
    if not data:
        return None
    layers = {
        row["layer"]: [
            PathStep(
                step["layer"],
                *(mean_from_json(step[name]) for name in ("optimised", "same", "other", "difference")),
            )
            for step in row["below"]
        ]
        for row in data["layers"]
    }
    counts = {row["layer"]: int(row["channels"]) for row in data["layers"]}
    return PathCheck(int(data["channels"]), int(data["natural"]), layers, counts)
