"""What label_range.json says: how far labels agree along the channels' ranges, and by chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LabelRange:
    """What label_range.json says. quantiles: of the strips, in per cent; low, high, beyond: the middle 95 % of the
    label agreement of nine random pictures, and what one in a thousand reaches, None without labels; layers: by layer
    the counts."""

    quantiles: Sequence[int]
    low: float | None
    high: float | None
    beyond: float | None
    layers: Mapping[str, Mapping[str, int]]


def label_range(data: Mapping[str, Any] | None) -> LabelRange:
    """From label_range.json; an atlas of a version that did not compute it has no strips."""
    data = data or {}
    chance = data.get("chance") or {}
    return LabelRange(
        data.get("quantiles") or (),
        chance.get("low"),
        chance.get("high"),
        chance.get("beyond"),
        data.get("layers") or {},
    )
