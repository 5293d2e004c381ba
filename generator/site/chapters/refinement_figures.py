"""The figure of the chapter *Refinement*: bars by pair of blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from generator.site.reading.refinement import KINDS, Comparison, Kind


@dataclass(frozen=True)
class Sorting:
    """How the channels of a layer are sorted on the page that a part of a bar leads to. up: lowest first."""

    measure: str
    up: bool
    words: str


SORTINGS: Mapping[Kind, Sorting] = {
    "refine": Sorting("gain_previous", False, "label gain, highest first"),
    "unclear": Sorting("overlap5_previous", False, "highest 5 % kept, most first"),
    "blur": Sorting("gain_previous", True, "label gain, lowest first"),
    "other": Sorting("overlap5_previous", True, "highest 5 % kept, fewest first"),
}
BAR = 100.0  # length of a bar, in hundredths of the figure's width
ROW = 22  # px, the height of a bar's row


@dataclass(frozen=True)
class Part:
    """The channels of one kind; x and width in hundredths of the figure's width."""

    kind: Kind
    count: int
    x: float
    width: float
    sorting: Sorting


@dataclass(frozen=True)
class Bar:
    """A pair of blocks; y in px."""

    pair: Comparison
    y: int
    parts: Sequence[Part]


@dataclass(frozen=True)
class Bars:
    rows: Sequence[Bar]
    height: int


def bars(pairs: Sequence[Comparison]) -> Bars:
    """A bar per pair; the widths of its parts are the shares of its channels."""
    rows = [Bar(pair, number * ROW, _parts(pair)) for number, pair in enumerate(pairs)]
    return Bars(rows, len(rows) * ROW)


def _parts(pair: Comparison) -> list[Part]:
    parts, start = [], 0.0
    counts = pair.counts
    total = max(1, sum(counts.values()))
    for kind in KINDS:
        width = BAR * counts[kind] / total
        parts.append(Part(kind, counts[kind], round(start, 2), round(width, 2), SORTINGS[kind]))
        start += width
    return parts
