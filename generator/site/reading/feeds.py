"""What feeds a channel and what reads it: of which channels its nine units are made, from which its block leads to it
by the weights, and which channels of the next convolutions read it most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from generator.core.records import LayerInfo
from generator.site.reading.atlas import Atlas
from generator.site.reading.layer import Cell, channel_cell
from generator.site.reading.operations import operation_words

# What lies between a layer and a convolution that reads it, in words; padding changes nothing.
_THROUGH = {
    "affine": "a norm",
    "relu": "a ReLU",
    "activation": "an activation",
    "max_pool": "pooling",
    "avg_pool": "pooling",
}


@dataclass(frozen=True)
class Term:
    """A channel of another layer. value: what it adds, or the strength of a weight; sign: of the weight, 0 where
    neither sign outweighs the other; cell: its thumbnail, None where the layer has no pages."""

    channel: int
    value: float
    sign: int
    cell: Cell | None


@dataclass(frozen=True)
class Terms:
    """Channels of one layer. layer: its name, or in words what the channels are where they are of none; layer_number,
    columns: of its thumbnails; through: what lies between, in words, or ''; others: how many channels are not named,
    whose terms add up to `rest`; constant: the folded bias."""

    layer: str
    layer_number: int
    columns: int
    through: str
    terms: Sequence[Term]
    others: int = 0
    rest: float = 0.0
    constant: float = 0.0

    @property
    def has_cut_fields(self) -> bool:
        """Whether fields of units are shown, cut out of whole pictures."""
        return any(term.cell and term.cell.picture is not None for term in self.terms)


@dataclass(frozen=True)
class UnitSum:
    """The mean over the channel's units of the sum before the block's last ReLU, and of its two parts. units: how many;
    identity: whether the shortcut is the block's input; input: the layer that it comes from, '' where that has no
    pages; by_shortcut, by_branch: the channels that the part is made of, None where it is not taken apart; ends_in: the
    operation at the end of the branch then, in words."""

    units: int
    value: float
    shortcut: float
    branch: float
    is_rectified: bool
    identity: bool
    input: str
    by_shortcut: Terms | None
    by_branch: Terms | None
    ends_in: str


@dataclass(frozen=True)
class ChannelFeeds:
    """sum: None where there is none; absent: why a block has none, or ''; along: from which channels of the block's
    input the branch leads most to this one; onward: to which channels of the next block its branch leads most from this
    one; readers: by layer the channels that read it most; raised, lowered: the
    classifier's outputs of the largest and of the smallest weights."""

    sum: UnitSum | None
    absent: str
    along: Terms | None
    onward: Terms | None
    readers: Sequence[Terms]
    raised: Sequence[tuple[str, float]]
    lowered: Sequence[tuple[str, float]]

    @property
    def has_cut_fields(self) -> bool:
        """The same of any of its channels."""
        by_units = (self.sum.by_shortcut, self.sum.by_branch) if self.sum else ()
        shown = [found for found in (*by_units, self.along, self.onward, *self.readers) if found]
        return any(found.has_cut_fields for found in shown)


class LayerFeeds:
    """What feeds and reads the channels of one layer, read once."""

    def __init__(self, atlas: Atlas, info: LayerInfo) -> None:
        self._atlas, self._info, self._layer = atlas, info, atlas.layer(info.name)
        self._arrays = self._layer.arrays
        report = atlas.store.tables.read_json("connections.json") or {}
        self._weights: Mapping[str, Any] = report.get(info.name, {})
        taken_apart = atlas.store.tables.read_json("feeds.json")
        self._is_read = taken_apart is not None
        blocks = (taken_apart or {}).get("blocks", [])
        self._sides: Mapping[str, Any] | None = next((x for x in blocks if x["block"] == info.name), None)
        self._cells: dict[tuple[str, int], Cell] = {}

    def of(self, channel: int) -> ChannelFeeds | None:
        """What the page of a channel shows; None where there is nothing to show."""
        if self._layer.dead[channel]:
            return None
        unit_sum = self._sum(channel)
        readers = [
            found for names in self._weights.get("readers", []) if (found := self._readers(channel, names))
        ]
        raised, lowered = self._outputs(channel)
        along, onward = self._through_branch("along", channel), self._through_branch("onward", channel)
        absent = "" if unit_sum is not None else self._absence()
        if not (unit_sum or along or onward or readers or raised or absent):
            return None
        return ChannelFeeds(unit_sum, absent, along, onward, readers, raised, lowered)

    def _absence(self) -> str:
        if self._info.kind not in ("block", "layer"):
            return ""
        stream = self._atlas.manifest.profile.get("stream") or {}
        if self._info.kind == "block" and not stream.get("enabled", True):
            return "What its units are made of was not read: this atlas leaves out the residual stream."
        if not self._is_read and self._atlas.store.tables.path("stream.json") is not None:
            return ""  # an atlas of a version that did not take units apart
        return "The layer is no sum of a shortcut and a branch, so that its units are not taken apart."

    # -- at the nine units ---------------------------------------------------------------------------------------------

    def _sum(self, channel: int) -> UnitSum | None:
        if self._sides is None or "feed_sum" not in self._arrays:
            return None
        value, by_shortcut, by_branch = self._arrays["feed_sum"][channel].tolist()
        if not np.isfinite(value):
            return None
        branch, shortcut = self._sides["branch"], self._sides["shortcut"]
        source = shortcut["layer"] if self._sides["identity"] and not shortcut["through"] else ""
        return UnitSum(
            units=len(self._layer.nine(channel)),
            value=value,
            shortcut=by_shortcut,
            branch=by_branch,
            is_rectified=self._info.rectified,
            identity=self._sides["identity"],
            input=source if source and self._atlas.has(source) else "",
            by_shortcut=self._terms("shortcut", shortcut, channel),
            by_branch=self._terms("branch", branch, channel),
            ends_in=operation_words([branch["ends_in"]]) if branch["ends_in"] else "",
        )

    def _terms(self, part: str, side: Mapping[str, Any], channel: int) -> Terms | None:
        if not side["terms"]:
            return None
        channels = self._arrays[f"feed_{part}_channels"][channel].tolist()
        values = self._arrays[f"feed_{part}_terms"][channel].tolist()
        named = [(c, value, 1) for c, value in zip(channels, values, strict=True) if c >= 0]
        rest, constant = self._arrays[f"feed_{part}_other"][channel].tolist()
        names = [side["layer"] or f"the inputs of {side['convolution']}", *side["through"]]
        return self._of_layer(names, named, side["terms"] - len(named), rest, constant)

    # -- by the weights ------------------------------------------------------------------------------------------------

    def _through_branch(self, which: str, channel: int) -> Terms | None:
        names = self._weights.get(which)
        if names is None:
            return None
        channels, weights = (
            self._arrays[f"{which}_{key}"][channel].tolist() for key in ("channel", "weight")
        )
        found = [(c, value, 1) for c, value in zip(channels, weights, strict=True) if c >= 0]
        return self._of_layer(names, found) if found else None

    def _readers(self, channel: int, names: Sequence[str]) -> Terms | None:
        rows = (
            self._arrays[f"reader_{key}_{names[0]}"][channel].tolist()
            for key in ("channel", "weight", "sign")
        )
        found = [row for row in zip(*rows, strict=True) if row[0] >= 0]
        return self._of_layer(names, found) if found else None

    def _outputs(self, channel: int) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
        if "classifier_output" not in self._arrays:
            return [], []
        outputs, weights = (
            self._arrays[f"classifier_{key}"][channel].tolist() for key in ("output", "weight")
        )
        head, classes = self._atlas.manifest.head, self._atlas.manifest.classes
        if head is None:
            return [], []
        named = [(head.name(classes, o), weight) for o, weight in zip(outputs, weights, strict=True)]
        raised = (len(named) + 1) // 2
        return named[:raised], named[raised:]

    # -- channels of another layer -------------------------------------------------------------------------------------

    def _of_layer(
        self,
        names: Sequence[str],
        found: Sequence[tuple[int, float, int]],
        others: int = 0,
        rest: float = 0.0,
        constant: float = 0.0,
    ) -> Terms:
        name, *through = names
        words = list(dict.fromkeys(_THROUGH[each] for each in through if each in _THROUGH))
        shown = self._atlas.has(name)
        terms = [Term(c, value, sign, self._cell(name, c) if shown else None) for c, value, sign in found]
        return Terms(
            name,
            self._atlas.layer_numbers[name] if shown else 0,
            self._atlas.thumbnail_sheet(name)[0] if shown else 0,
            " and ".join(words),
            terms,
            others,
            rest,
            constant,
        )

    def _cell(self, name: str, channel: int) -> Cell | None:
        layer = self._atlas.layer(name)
        if channel >= layer.info.channels:
            return None
        if (name, channel) not in self._cells:
            self._cells[name, channel] = channel_cell(self._atlas, layer, channel)
        return self._cells[name, channel]
