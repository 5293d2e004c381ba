"""How one channel changes between two blocks of a stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from generator.core.records import TOP, LayerInfo
from generator.site.formats import correlation, fixed, in_words, or_absent, signed
from generator.site.reading.atlas import Atlas
from generator.site.reading.refinement import VERBS, VERDICTS, Comparison, Estimate, Kind


@dataclass(frozen=True)
class ChannelChange:
    """A channel in a block, compared with the same number of an earlier one. before, layer: the blocks; kind: verdict;
    shared, places: pictures of nine kept, and kept at the same place; rho: rank correlation; overlap: of the highest
    5 %; then, now: label agreements; gain: their difference; half, other_half: the gain on two halves of the pictures;
    kept_half, kept_other_half: pictures of nine kept on each. None where not known."""

    before: str
    layer: str
    channel: int
    kind: Kind
    shared: int
    places: int | None
    rho: float | None
    overlap: float | None
    then: float | None
    now: float | None
    gain: Estimate | None
    half: float | None
    other_half: float | None
    kept_half: float | None
    kept_other_half: float | None

    @property
    def words(self) -> str:
        """Its numbers in a few words, for lists and dots."""
        text = f"keeps {self.shared} of {TOP}, ρ {or_absent(self.rho, correlation, 'nan')}"
        if self.gain is None or self.then is None or self.now is None:
            return text
        return (
            f"{text}, agreement {correlation(self.then)} → {correlation(self.now)} "
            f"({signed(self.gain.low, 2)} to {signed(self.gain.high, 2)})"
        )


def channel_change(atlas: Atlas, pair: Comparison, channel: int, bound: float) -> ChannelChange | None:
    """How the channel changes between the two blocks; None where it is not active in both."""
    arrays, suffix = atlas.layer(pair.target).arrays, "stage" if pair.whole else "previous"

    def read(name: str) -> float | None:
        values = arrays.get(f"{name}_{suffix}")
        value = float("nan") if values is None else float(values[channel])
        return value if np.isfinite(value) else None

    identity = read("identity")
    if identity is None or identity < 0:
        return None
    gain, error = read("gain"), read("gain_error")
    code = read("change")
    kind: Kind = "other" if identity == 0 else VERDICTS.get(-1 if code is None else int(code), "unclear")
    return ChannelChange(
        before=pair.source,
        layer=pair.target,
        channel=channel,
        kind=kind,
        shared=int(read("kept") or 0),
        places=_count(read("places")),
        rho=read("spearman"),
        overlap=read("overlap5"),
        then=read("before"),
        now=read("after"),
        gain=None if gain is None or error is None else Estimate(gain, bound * error),
        half=read("gain_half"),
        other_half=read("gain_other_half"),
        kept_half=read("kept_half"),
        kept_other_half=read("kept_other_half"),
    )


def _count(value: float | None) -> int | None:
    """−1 stands for none."""
    return None if value is None or value < 0 else int(value)


@dataclass(frozen=True)
class ChangeSentence:
    """How a channel changes from an earlier block. verb: links to the definition; layer: the earlier block; text: the
    numbers."""

    verb: str
    layer: str
    text: str


def change_sentences(atlas: Atlas, info: LayerInfo, channel: int) -> Sequence[ChangeSentence]:
    """How the channel changes from the block before, and, in a stage's last block, from its first."""
    random_nines = atlas.random_agreement
    return [
        ChangeSentence(VERBS[change.kind], pair.source, change_text(pair, change, random_nines))
        for pair, change in _changes(atlas, info, channel)
    ]


def _changes(atlas: Atlas, info: LayerInfo, channel: int) -> list[tuple[Comparison, ChannelChange]]:
    refinement = atlas.refinement
    if refinement is None or info.kind != "block":
        return []
    pairs = [pair for pair in refinement.neighbours if pair.target == info.name]
    pairs += (
        [pair for pair in refinement.stages if pair.target == info.name and pair.source != pairs[-1].source]
        if pairs
        else []
    )
    changes = ((pair, channel_change(atlas, pair, channel, refinement.bound)) for pair in pairs)
    return [(pair, change) for pair, change in changes if change is not None]


def change_text(
    pair: Comparison, change: ChannelChange, random_nines: tuple[float, float] | None = None
) -> str:
    """The numbers behind a verdict: pictures kept and expected, places, label agreement with its interval and the band
    of random nines."""
    parts = []
    kept = f"{in_words(change.shared)} of the {in_words(TOP)} pictures {'is' if change.shared == 1 else 'are'} the same"
    if change.shared and change.places is not None:
        kept += (
            ", at the same place"
            if change.places == change.shared == 1
            else f", {in_words(change.places)} at the same place"
        )
    if pair.kept_untied is not None:
        kept += f" ({fixed(pair.kept_untied, 1)} between channels of different numbers)"
    parts.append(kept)
    if change.gain is not None and change.then is not None and change.now is not None:
        gain = change.gain
        text = (
            f"label agreement {correlation(change.then)} → {correlation(change.now)} (difference "
            f"{signed(gain.value, 2)}, 95 % interval {signed(gain.low, 2)} to {signed(gain.high, 2)}"
        )
        if random_nines is not None:
            text += (
                f"; nine random pictures have {signed(random_nines[0], 2)} to {signed(random_nines[1], 2)}"
            )
        parts.append(f"{text})")
    return "; ".join(parts)


def verdict_of(atlas: Atlas, layer: str, channel: int) -> str:
    """'refines' or 'blurs' since the block before, or ''."""
    codes = atlas.layer(layer).arrays.get("change_previous")
    kind = None if codes is None else VERDICTS.get(int(codes[channel]))
    return f"{kind}s" if kind in ("refine", "blur") else ""
