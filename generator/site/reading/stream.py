"""The residual stream as an atlas holds it: what every block passes on, adds and replaces (arXiv:2407.05340)."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from generator.core.records import LayerInfo
from generator.site.formats import correlation, percent_fixed, significant
from generator.site.reading.atlas import Atlas
from generator.site.reading.interval import Interval
from generator.site.reading.measure import Measure
from generator.site.reading.measures import BY_KEY

Kind = Literal["skips", "mixes", "is overwritten"]
KINDS: tuple[Kind, ...] = ("skips", "mixes", "is overwritten")
NO_KIND: Literal[""] = ""
# The paper's histograms of the mix ratio have bins of 0.25 from 0 to 5; here the limits of the kinds are edges too.
BIN, LAST = 0.25, 5.0
# Of the branch's last BatchNorm: γ, or γ / σ where the statistics are folded in.
NORMS = ("norm_weight", "norm_scale")
# Statistics on a channel's page, in order.
LISTED = (
    "scale_sum",
    "scale_block",
    "scale_input",
    "zoom_invariance",
    "zoom_correlation",
    "scale_truth",
    "scale_gain",
    "mix_overlap",
    "active_share",
    "active_shortcut",
    "active_branch",
    "block_correlation",
    "block_at_input",
    "block_mean",
    *NORMS,
    "convolution_weight",
)


Intervals = Mapping[str, Interval | None]


def intervals_from_json(data: Mapping[str, Any]) -> Intervals:
    return {name: None if ends is None else Interval(**ends) for name, ends in data.items()}


@dataclass(frozen=True)
class StreamBlock:
    """A residual block whose stream was read.

    arrays: the layer's, by name; dead: (C,) bool; near_one: bound of a mixture, M between 1/near_one and near_one;
    input, branch: the layers that the shortcut and the branch come from, '' where the atlas does not name one;
    identity: whether the shortcut is the identity; centre: row and column of the unit in the middle of the map;
    untied_overlap: pictures that the two lists of different channels share on average, None where it is not known;
    repeats: split-half reliability by measure;
    medians: over the channels, by the statistic's key; associations: rank correlations of the mix ratio with other
    statistics; reach: standard errors to each side of an interval, by the statistic's key.
    """

    info: LayerInfo
    arrays: Mapping[str, np.ndarray]
    dead: np.ndarray
    near_one: float
    input: str = ""
    branch: str = ""
    identity: bool = True
    centre: tuple[int, int] = (0, 0)
    untied_overlap: float | None = None
    repeats: Mapping[str, float | None] = field(default_factory=dict)
    medians: Intervals = field(default_factory=dict)
    associations: Intervals = field(default_factory=dict)
    reach: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def _values(self) -> dict[str, np.ndarray]:
        """By key, those that were asked for: every channel's page asks for all of them."""
        return {}

    def values(self, key: str) -> np.ndarray:
        """(C,) float64; NaN where the channel has none or is dead."""
        if key not in self._values:
            array = self.arrays.get(key, np.full(self.info.channels, np.nan))
            self._values[key] = np.where(self.dead, np.nan, array.astype(np.float64))
        return self._values[key]

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

    def ratio_interval(self, channel: int) -> tuple[float, float] | None:
        """The ends of the mix ratio's interval, the upper one infinite where there is none; None without interval."""
        low, high = (float(self.values(f"mix_ratio_{end}")[channel]) for end in ("low", "high"))
        return None if np.isnan(low) or np.isnan(high) else (low, high)

    @cached_property
    def has_intervals(self) -> bool:
        """Whether the atlas holds intervals of the mix ratio."""
        return "mix_ratio_low" in self.arrays and "mix_ratio_high" in self.arrays

    @cached_property
    def certain(self) -> list[bool]:
        """By channel whether the whole interval of the mix ratio is of the channel's kind."""
        low, high = (self.values(f"mix_ratio_{end}").tolist() for end in ("low", "high"))
        return [
            kind != NO_KIND and self.kind(one) == kind == self.kind(other)
            for kind, one, other in zip(self.kinds, low, high, strict=True)
        ]

    def certain_count(self, kind: Kind) -> int:
        return sum(sure and mine == kind for sure, mine in zip(self.certain, self.kinds, strict=True))

    @property
    def counts(self) -> list[tuple[int, int | None]]:
        """Of each kind how many channels, and how many for certain; None where the atlas has no intervals."""
        return [
            (self.count(kind), self.certain_count(kind) if self.has_intervals else None) for kind in KINDS
        ]

    def median(self, key: str) -> Interval | None:
        """Over the channels, with its interval where the atlas has one; None where no channel has a value."""
        if (interval := self.medians.get(key)) is not None:
            return interval
        values = self._known(key)
        return Interval(float(np.median(values))) if len(values) else None

    def mean(self, key: str) -> float | None:
        """Over the channels; None where no channel has a value."""
        values = self._known(key)
        return float(np.mean(values)) if len(values) else None

    def _known(self, key: str) -> np.ndarray:
        values = self.values(key)
        known: np.ndarray = values[np.isfinite(values)]
        return known

    def error_reach(self, key: str, channel: int) -> float | None:
        """How far the interval of a statistic reaches to each side; None where the atlas has none."""
        error, reach = float(self.values(f"{key}_error")[channel]), self.reach.get(key)
        return None if reach is None or np.isnan(error) else reach * error

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
    """What stream_optimised.json holds: steps of the optimisation, and by block the rank correlations of the mix ratio
    at optimised pictures with other statistics."""

    steps: int
    associations: Mapping[str, Mapping[str, float | None]]


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
    reach = report.get("reach", {})
    blocks = [
        _block(atlas, block, near_one, reach) for block in report["blocks"] if atlas.has(block["block"])
    ]
    blocks = [block for block in blocks if "mix_ratio" in block.arrays]
    if not blocks:
        return None
    return Stream(blocks, report["pictures"], report["sample"], near_one, _optimised(atlas))


def _block(atlas: Atlas, data: Mapping[str, Any], near_one: float, reach: Mapping[str, float]) -> StreamBlock:
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
        untied_overlap=data.get("untied_overlap"),
        medians=intervals_from_json(data.get("medians", {})),
        associations=intervals_from_json(data.get("associations", {})),
        reach=reach,
        repeats=data.get("repeats", {}),
    )


def _optimised(atlas: Atlas) -> OptimisedStream | None:
    report = atlas.store.tables.read_json("stream_optimised.json")
    if not report:
        return None
    associations = {block["block"]: block.get("associations", {}) for block in report.get("blocks", ())}
    return OptimisedStream(report.get("steps", 0), associations)


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
class StreamNumber:
    """A statistic of a channel. reach: of its interval to each side, None where there is none."""

    measure: Measure
    value: float
    reach: float | None


@dataclass(frozen=True)
class ChannelStream:
    """What a channel's page says about the residual stream."""

    reading: str
    bars: Sequence[ContributionBar]
    numbers: Sequence[StreamNumber]


def channel_stream(block: StreamBlock, channel: int) -> ChannelStream:
    """What a channel's page shows of the stream: a sentence, bars, and the numbers that are known."""
    values = (
        StreamNumber(BY_KEY[key], float(block.values(key)[channel]), block.error_reach(key, channel))
        for key in LISTED
    )
    return ChannelStream(
        reading=stream_sentence(block, channel),
        bars=contribution_bars(block, channel),
        numbers=[number for number in values if np.isfinite(number.value)],
    )


OUTCOMES: Mapping[Kind, str] = {
    "skips": "pictures that drive the shortcut give higher outputs than pictures that drive the branch",
    "mixes": "pictures that drive the shortcut and pictures that drive the branch give similar outputs",
    "is overwritten": "pictures that drive the shortcut give lower outputs than pictures that drive the branch",
}


def stream_sentence(block: StreamBlock, channel: int) -> str:
    """What the channel's numbers say, in a few sentences; '' without them."""
    share = float(block.values("shortcut_share")[channel])
    sentences = []
    if np.isfinite(share):
        reach = block.error_reach("shortcut_share", channel)
        spread = "" if reach is None else f" (± {percent_fixed(reach)})"
        sentences.append(
            f"At its strongest units the branch supplies {percent_fixed(1 - share)} % of the positive input and the "
            f"shortcut {percent_fixed(share)} %{spread}, on average."
        )
    if kind := block.kinds[channel]:
        sentences += [_ratio_sentence(block, channel, kind), *_overlap_sentence(block, channel)]
    return " ".join(sentences)


def _ratio_sentence(block: StreamBlock, channel: int, kind: Kind) -> str:
    ratio, limits = float(block.ratio[channel]), " to ".join(significant(limit, 2) for limit in block.limits)
    called = f"{limits} is called mixed" if kind == "mixes" else f"the channel {kind}"
    ends = block.ratio_interval(channel)
    start = f"At the neuron in the middle of the map, {OUTCOMES[kind]}"
    if ends is None:
        return f"{start} (mix ratio {correlation(ratio)}; {called})."
    words = f"mix ratio {correlation(ratio)}, 95 % interval {ratio_range(*ends)}"
    if block.certain[channel]:
        return f"{start} ({words}; {called})."
    upper, lower = (KINDS.index(found) for end in reversed(ends) if (found := block.kind(end)))
    others = " or ".join(other for other in KINDS[upper : lower + 1] if other != kind)
    return f"{start} in this set ({words}); whether the channel {kind} or {others} is not certain."


def _overlap_sentence(block: StreamBlock, channel: int) -> list[str]:
    """How many pictures the two lists share, and what that means for the ratio; nothing where it is not known."""
    overlap = float(block.values("mix_overlap")[channel])
    if np.isnan(overlap):
        return []
    expected = block.untied_overlap
    by_others = "" if expected is None else f" (different channels: {correlation(expected)} on average)"
    count = f"{int(overlap)} {'is' if overlap == 1 else 'are'}"
    text = (
        f"Of the nine pictures that drive the shortcut most, {count} also among the branch's nine{by_others}"
    )
    return [f"{text}; shared pictures move the ratio towards 1 by construction." if overlap else f"{text}."]


def ratio_range(low: float, high: float) -> str:
    """The interval of a mix ratio in words.

    >>> ratio_range(0.5, 1.25), ratio_range(3, float("inf"))
    ('0.50 to 1.25', 'from 3.00 up')
    """
    return (
        f"{correlation(low)} to {correlation(high)}" if np.isfinite(high) else f"from {correlation(low)} up"
    )


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
