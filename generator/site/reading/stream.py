"""The residual stream as an atlas holds it: what every block passes on, adds and replaces (arXiv:2407.05340)."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from generator.core.records import LayerInfo
from generator.site.formats import correlation, percent_fixed, round_number, significant
from generator.site.reading.atlas import Atlas
from generator.site.reading.measure import Measure
from generator.site.reading.measures import BY_KEY

Kind = Literal["skips", "mixes", "is overwritten"]
KINDS: tuple[Kind, ...] = ("skips", "mixes", "is overwritten")
NO_KIND: Literal[""] = ""
# The paper's histograms of the mix ratio have bins of 0.25 from 0 to 5; here the limits of the kinds are edges too.
BIN, LAST = 0.25, 5.0
# Of the branch's last BatchNorm: γ, or γ / σ where the statistics are folded in.
NORMS = ("norm_weight", "norm_scale")
LISTED = (
    "scale_block",
    "scale_input",
    "zoom_invariance",
    "zoom_correlation",
    "scale_truth",
    "scale_gain",
    "block_correlation",
    "block_at_input",
    "block_mean",
    *NORMS,
    "convolution_weight",
)  # statistics on a channel's page, in order


@dataclass(frozen=True)
class TestResult:
    """A test over the channels of a block. statistic: ρ, or F of an analysis of variance."""

    __test__ = False  # pytest would take it for a test

    statistic: float
    p: float
    channels: int


Tests = Mapping[str, TestResult | None]


def tests_from_json(data: Mapping[str, Any]) -> Tests:
    return {name: None if result is None else TestResult(**result) for name, result in data.items()}


@dataclass(frozen=True)
class StreamBlock:
    """A residual block whose stream was read.

    arrays: the layer's, by name; dead: (C,) bool; near_one: bound of a mixture, M between 1/near_one and near_one;
    input, branch: the layers that the shortcut and the branch come from, '' where the atlas does not name one;
    identity: whether the shortcut is the identity; centre: row and column of the unit in the middle of the map;
    tests: by name, of the mix ratio against other statistics.
    """

    info: LayerInfo
    arrays: Mapping[str, np.ndarray]
    dead: np.ndarray
    near_one: float
    input: str = ""
    branch: str = ""
    identity: bool = True
    centre: tuple[int, int] = (0, 0)
    tests: Tests = field(default_factory=dict)

    def values(self, key: str) -> np.ndarray:
        """(C,) float64; NaN where the channel has none or is dead."""
        array = self.arrays.get(key)
        if array is None:
            return np.full(self.info.channels, np.nan)
        return np.where(self.dead, np.nan, array.astype(np.float64))

    @cached_property
    def ratio(self) -> np.ndarray:
        """(C,): the mix ratio M, NaN where there is none."""
        return self.values("mix_ratio")

    @cached_property
    def kinds(self) -> list[Kind | Literal[""]]:
        """By channel what becomes of its input; '' where there is no ratio."""
        return [self.kind(value) for value in self.ratio.tolist()]

    def kind(self, ratio: float) -> Kind | Literal[""]:
        if np.isnan(ratio):
            return NO_KIND
        lower, upper = self.limits
        return "skips" if ratio >= upper else "is overwritten" if ratio <= lower else "mixes"

    def count(self, kind: Kind) -> int:
        return self.kinds.count(kind)

    @property
    def known(self) -> int:
        """How many channels have a mix ratio."""
        return self.info.channels - self.kinds.count(NO_KIND)

    @property
    def limits(self) -> tuple[float, float]:
        """The mix ratio up to which a channel is overwritten, and that from which on it skips."""
        return 1 / self.near_one, self.near_one

    @cached_property
    def edges(self) -> tuple[float, ...]:
        """Where the bins of the mix ratio begin, ascending. The limits are among them, so that all channels of a bin
        are of one kind; the last bin begins at LAST and has no end."""
        regular = (n * BIN for n in range(int(LAST / BIN) + 1))
        return tuple(sorted({*regular, *self.limits}))

    def bin_of(self, ratio: float) -> int:
        """The number of a mix ratio's bin. A bin holds its lower edge and not its upper one, except at the lower limit,
        where a channel still counts as overwritten."""
        lower, _ = self.limits
        number = bisect.bisect_right(self.edges, ratio) - 1
        return number - 1 if ratio == lower else number

    def bin_name(self, number: int) -> str:
        if number == len(self.edges) - 1:
            return f"{significant(LAST)} or above"
        return f"{significant(self.edges[number])} to {significant(self.edges[number + 1])}"

    def bin_kind(self, number: int) -> Kind:
        """What becomes of the input of the channels of a bin."""
        end = self.edges[number + 1] if number + 1 < len(self.edges) else LAST + BIN
        kind = self.kind((self.edges[number] + end) / 2)
        assert kind
        return kind

    @property
    def address(self) -> str:
        """Of its page, below the network's folder."""
        return f"{self.info.name}/stream.html"


@dataclass(frozen=True)
class OptimisedStream:
    """What stream_optimised.json holds: steps of the optimisation, and tests by block."""

    steps: int
    tests: Mapping[str, Tests]


@dataclass(frozen=True)
class Stream:
    """What stream.json holds. blocks: in forward order; pictures: read; sample: of them, for the rank correlations of
    branch and input; optimised: None where no pictures were optimised."""

    blocks: Sequence[StreamBlock]
    pictures: int
    sample: int
    near_one: float
    optimised: OptimisedStream | None


def stream_of(atlas: Atlas) -> Stream | None:
    """The atlas's residual stream; None where it was not read."""
    report = atlas.store.tables.read_json("stream.json")
    if not report:
        return None
    near_one = float(report["near_one"])
    blocks = [_block(atlas, block, near_one) for block in report["blocks"] if atlas.has(block["block"])]
    blocks = [block for block in blocks if "mix_ratio" in block.arrays]
    if not blocks:
        return None
    return Stream(blocks, report["pictures"], report["sample"], near_one, _optimised(atlas))


def _block(atlas: Atlas, data: Mapping[str, Any], near_one: float) -> StreamBlock:
    layer = atlas.layer(data["block"])
    row, column = data["centre"]
    return StreamBlock(
        info=layer.info,
        arrays=layer.arrays,
        dead=np.array(layer.dead),
        near_one=near_one,
        input=data["input"],
        branch=data["branch"],
        identity=data["identity"],
        centre=(row, column),
        tests=tests_from_json(data["tests"]),
    )


def _optimised(atlas: Atlas) -> OptimisedStream | None:
    report = atlas.store.tables.read_json("stream_optimised.json")
    if not report:
        return None
    tests = {block["block"]: tests_from_json(block["tests"]) for block in report.get("blocks", ())}
    return OptimisedStream(report.get("steps", 0), tests)


def stream_blocks(atlas: Atlas) -> Sequence[StreamBlock]:
    """The blocks whose stream was read, in forward order."""
    stream = stream_of(atlas)
    return stream.blocks if stream else ()


# -- one channel -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ContributionBar:
    """What the shortcut and the branch contribute to one of the nine units. filled: the shortcut's part, in 96ths of
    the two parts' sizes; negative: the part that reduces the sum ('a' the shortcut's, 'b' the branch's, '' none)."""

    filled: int
    negative: Literal["a", "b", ""]
    shortcut: float
    branch: float


@dataclass(frozen=True)
class ChannelStream:
    """What a channel's page says about the residual stream."""

    reading: str
    bars: Sequence[ContributionBar]
    numbers: Sequence[tuple[Measure, float]]


def channel_stream(block: StreamBlock, channel: int) -> ChannelStream:
    values = ((BY_KEY[key], float(block.values(key)[channel])) for key in LISTED)
    return ChannelStream(
        reading=stream_sentence(block, channel),
        bars=contribution_bars(block, channel),
        numbers=[(measure, value) for measure, value in values if np.isfinite(value)],
    )


OUTCOMES: Mapping[Kind, str] = {
    "skips": "pictures that drive the shortcut give higher outputs than pictures that drive the branch",
    "mixes": "pictures that drive the shortcut and pictures that drive the branch give similar outputs",
    "is overwritten": "pictures that drive the shortcut give lower outputs than pictures that drive the branch",
}


def stream_sentence(block: StreamBlock, channel: int) -> str:
    """What the channel's numbers say, in one or two sentences; '' without them."""
    share, ratio = float(block.values("shortcut_share")[channel]), float(block.ratio[channel])
    sentences = []
    if np.isfinite(share):
        sentences.append(
            f"At its strongest units the branch supplies {percent_fixed(1 - share)} % of the positive input and the "
            f"shortcut {percent_fixed(share)} %, on average."
        )
    if kind := block.kind(ratio):
        limit = round_number(block.near_one)
        called = f"1/{limit} to {limit} is called mixed" if kind == "mixes" else f"the channel {kind}"
        sentences.append(
            f"At the neuron in the middle of the map, {OUTCOMES[kind]} (mix ratio {correlation(ratio)}; {called})."
        )
    return " ".join(sentences)


def contribution_bars(block: StreamBlock, channel: int) -> list[ContributionBar]:
    """A bar for each of the channel's nine units."""
    images, shortcuts, branches = (
        block.arrays[key][channel].tolist() for key in ("top_image", "top_shortcut", "top_branch")
    )
    return [
        _bar(shortcut, branch)
        for image, shortcut, branch in zip(images, shortcuts, branches, strict=True)
        if image >= 0
    ]


def _bar(shortcut: float, branch: float) -> ContributionBar:
    size = abs(shortcut) + abs(branch)
    filled = round(96 * abs(shortcut) / size) if size else 0
    return ContributionBar(filled, "a" if shortcut < 0 else "b" if branch < 0 else "", shortcut, branch)
