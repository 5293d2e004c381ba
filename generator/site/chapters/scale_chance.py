"""How many channels meet the criteria of scale invariance, next to what chance gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from generator.site.figures.axis import Axis
from generator.site.figures.svg_plots import Bar, Plot
from generator.site.formats import integer
from generator.site.reading.stream import StreamBlock

LEVEL, DEGREES = 0.95, 8  # of the corrected changes' intervals: means over nine pictures
SIDES = ("block", "input")


@dataclass(frozen=True)
class Signs:
    """How often two numbers are above zero among `count` channels, each and both."""

    count: int
    block: int
    input: int
    both: int
    expected: float  # both, if the two were independent within a block

    @property
    def coins(self) -> float:
        """Both, if each were above zero in half of the cases."""
        return self.count / 4

    def share(self, number: float) -> float:
        """Of the channels."""
        return number / max(1, self.count)


def signs(block: np.ndarray, input: np.ndarray, among: np.ndarray) -> Signs:
    """(C,) bool each: whether the one and the other is above zero, and which channels count."""
    first, second = block & among, input & among
    count = int(among.sum())
    return Signs(
        count,
        int(first.sum()),
        int(second.sum()),
        int((first & second).sum()),
        float(first.sum() * second.sum() / max(1, count)),
    )


def summed(rows: Sequence[Signs]) -> Signs:
    """Of all blocks together."""
    return Signs(
        sum(row.count for row in rows),
        sum(row.block for row in rows),
        sum(row.input for row in rows),
        sum(row.both for row in rows),
        sum(row.expected for row in rows),
    )


@dataclass(frozen=True)
class ChanceRow:
    """A block, or all of them. all: signs of ΔB and ΔI among the channels that have both; mixing: among those whose mix
    ratio is near 1, where meeting both is to meet all three criteria; clear: intervals of ΔB′ and ΔI′ above zero, None
    where the changes on random pictures are not known."""

    name: str
    address: str
    all: Signs
    mixing: Signs
    clear: Signs | None


def chance_row(block: StreamBlock) -> ChanceRow:
    """The row of a block, of its channels whose ΔB and ΔI are both known."""
    values = [block.values(f"scale_{side}") for side in SIDES]
    known = np.isfinite(values[0]) & np.isfinite(values[1])
    lower, upper = block.limits
    block_above, input_above = (value > 0 for value in values)
    clear = corrected(block)
    return ChanceRow(
        name=block.info.name,
        address=f"{block.address}#scale",
        all=signs(block_above, input_above, known),
        mixing=signs(block_above, input_above, known & (block.ratio > lower) & (block.ratio < upper)),
        clear=None if clear is None else signs(clear[0] > 0, clear[1] > 0, known),
    )


def corrected(block: StreamBlock) -> list[np.ndarray] | None:
    """The lower ends of the intervals of ΔB′ and of ΔI′, (C,) each; None where they were not computed."""
    if not all(f"scale_{side}_random" in block.arrays for side in SIDES):
        return None
    from scipy.special import stdtrit

    reach = float(stdtrit(DEGREES, (1 + LEVEL) / 2))
    return [
        block.values(f"scale_{side}")
        - block.values(f"scale_{side}_random")
        - reach * block.values(f"scale_{side}_error")
        for side in SIDES
    ]


def chance_rows(blocks: Sequence[StreamBlock]) -> tuple[list[ChanceRow], ChanceRow]:
    """Every block, and all of them."""
    rows = [chance_row(block) for block in blocks]
    clear = [row.clear for row in rows if row.clear is not None]
    whole = ChanceRow(
        name="all",
        address="",
        all=summed([row.all for row in rows]),
        mixing=summed([row.mixing for row in rows]),
        clear=summed(clear) if len(clear) == len(rows) else None,
    )
    return rows, whole


def chance_plot(rows: Sequence[ChanceRow]) -> Plot:
    """Channels that meet the three criteria, block by block, next to the number expected by chance."""
    marks = [(n + 0.5, row.name.removeprefix("res")) for n, row in enumerate(rows)]
    highest = max(1.0, *(max(row.mixing.both, row.mixing.expected) for row in rows))
    x, y = Axis(0, len(rows), "block", marks), Axis(0, 1.05 * highest, "channels")
    plot = Plot(
        "Channels that meet Longon's three criteria, and as many as chance gives",
        x,
        y,
    )
    bars = []
    for n, row in enumerate(rows):
        met = f"{row.name}: {integer(row.mixing.both)} meet the three criteria"
        expected = f"{row.name}: {integer(row.mixing.expected)} expected if the signs were independent"
        bars.append(Bar(n + 0.12, n + 0.5, row.mixing.both, row.address, met))
        bars.append(Bar(n + 0.5, n + 0.88, row.mixing.expected, row.address, expected, "light"))
    plot.bars(bars)
    return plot
