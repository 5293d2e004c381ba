"""What single channels do from a block to the next of its stage: their numbers, and those that stand out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from generator.site.csv_tables import csv_text, field
from generator.site.reading.atlas import Atlas
from generator.site.reading.layer_pairs import LayerPair
from generator.site.reading.relations import CODES, number, stage_pairs

CSV_COLUMNS = (
    "layer", "channel", "previous", "kind", "refinement", "shared", "places", "rho",
    "agreement_before", "agreement", "purity_before", "purity", "group_purity_before", "group_purity",
)  # fmt: skip


@dataclass(frozen=True)
class ChannelChange:
    """A channel that is active in both blocks of a pair.

    before, layer: the two blocks; kind: one of CODES; score: refinement score; shared, places: pictures of nine kept,
    and kept at the same place; rho: rank correlation; agreement_before, agreement: label agreements. None where not
    known.
    """

    before: str
    layer: str
    channel: int
    kind: str
    score: float | None
    shared: int
    places: int
    rho: float | None
    agreement_before: float | None
    agreement: float | None

    @property
    def gain(self) -> float | None:
        if self.agreement is None or self.agreement_before is None:
            return None
        return self.agreement - self.agreement_before


@dataclass(frozen=True)
class Frame:
    """A channel in one block. absent: why it is not pictured there, or ''."""

    layer: str
    absent: str


@dataclass(frozen=True)
class ListedChannel:
    change: ChannelChange
    frames: Sequence[Frame]


@dataclass(frozen=True)
class ChannelList:
    """The channels that a rule ranks first. left_out: count of channels that rank before the last of them and are not
    listed, because the atlas does not picture them in both blocks."""

    name: str
    rule: str
    entries: Sequence[ListedChannel]
    left_out: int


def channel_changes(atlas: Atlas, pair: LayerPair) -> list[ChannelChange]:
    """The pair's channels that are active in both blocks, in order."""
    arrays = atlas.layer(pair.target).arrays
    return [
        ChannelChange(
            before=pair.source,
            layer=pair.target,
            channel=channel,
            kind=CODES[code],
            score=_known(float(arrays["refinement_previous"][channel])),
            shared=int(arrays["shared_previous"][channel]),
            places=int(arrays["places_previous"][channel]),
            rho=_known(float(arrays["spearman_previous"][channel])),
            agreement_before=_known(number(atlas, pair.source, "label_agreement", channel)),
            agreement=_known(number(atlas, pair.target, "label_agreement", channel)),
        )
        for channel, code in enumerate(arrays["change_previous"].tolist())
        if code >= 0
    ]


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def channel_lists(
    atlas: Atlas, pairs: Sequence[LayerPair], length: int, *, pictured: bool = False
) -> list[ChannelList]:
    """The most refined, the steadiest and the most changed channels of these pairs.

    length: of each list at most; pictured: list only channels that the atlas pictures in both blocks.
    """
    changes = [change for pair in pairs for change in channel_changes(atlas, pair)]
    scored = [((-change.score,), change) for change in changes if change.score is not None]
    correlated = [(change.rho, change) for change in changes if change.rho is not None]
    steady = [((-change.shared, -change.places, -rho), change) for rho, change in correlated]
    changed = [((change.shared, rho), change) for rho, change in correlated]

    def first(name: str, rule: str, ranked: Sequence[tuple[tuple[float, ...], ChannelChange]]) -> ChannelList:
        # Among equals, sorted() keeps the order of the pairs and of their channels.
        ordered = [change for _, change in sorted(ranked, key=lambda item: item[0])]
        entries = [ListedChannel(change, _frames(atlas, change)) for change in ordered]
        shown = [
            place
            for place, entry in enumerate(entries)
            if not pictured or not any(frame.absent for frame in entry.frames)
        ][:length]
        left_out = shown[-1] + 1 - len(shown) if shown else len(entries)
        return ChannelList(name, rule, [entries[place] for place in shown], left_out)

    return [
        first("Most refined", "highest refinement score", scored),
        first("Steadiest", "most pictures kept, then most places, then ρ", steady),
        first("Most changed", "fewest pictures kept, then lowest ρ", changed),
    ]


def _frames(atlas: Atlas, change: ChannelChange) -> tuple[Frame, Frame]:
    before, after = (
        Frame(layer, atlas.layer(layer).absence(change.channel)) for layer in (change.before, change.layer)
    )
    return before, after


def refinement_csv(atlas: Atlas) -> str:
    """A row per channel and pair of neighbouring blocks, in full precision."""
    rows = []
    for pair in stage_pairs(atlas):
        for change in channel_changes(atlas, pair):
            labels = [
                field(number(atlas, layer, key, change.channel))
                for key in ("label_agreement", "label_purity", "group_purity")
                for layer in (pair.source, pair.target)
            ]
            rows.append(
                [change.layer, change.channel, change.before, change.kind, field(change.score),
                 change.shared, change.places, field(change.rho), *labels]
            )  # fmt: skip
    return csv_text(CSV_COLUMNS, rows)
