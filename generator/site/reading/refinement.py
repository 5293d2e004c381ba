"""Refinement as an atlas holds it: what channels do between two blocks of a stage, with intervals over pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from generator.site.formats import integer, signed

Kind = Literal["refine", "unclear", "blur", "other"]
# In the order in which bars and tables show them.
KINDS: tuple[Kind, ...] = ("refine", "unclear", "blur", "other")
VERDICTS: Mapping[int, Kind] = {2: "refine", 1: "blur", 0: "unclear"}  # by code of `change_…`
NAMES: Mapping[Kind, str] = {
    "refine": "refines", "unclear": "no clear change", "blur": "blurs", "other": "other pictures"
}  # fmt: skip
VERBS: Mapping[Kind, str] = {
    "refine": "Refines",
    "blur": "Blurs",
    "unclear": "No clear change",
    "other": "Other pictures",
}


@dataclass(frozen=True)
class Estimate:
    """A number and its interval, which reaches `reach` to each side."""

    value: float
    reach: float

    @property
    def low(self) -> float:
        return self.value - self.reach

    @property
    def high(self) -> float:
        return self.value + self.reach

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Gains:
    """What becomes of label agreement between two blocks. before, after: means over channels; gain: their difference;
    directions: the same of random directions of the two blocks; excess: gain less directions, with an interval for all
    comparisons of the network together; above, below: channels whose own interval lies above and below zero; repeats:
    how far single gains repeat on other pictures; half, other_half: mean gain of the channels that gain most on one
    half of the pictures, there and on the other half."""

    before: float
    after: float
    gain: Estimate
    directions: Estimate
    excess: Estimate
    above: float | None
    below: float | None
    repeats: float | None
    half: float | None
    other_half: float | None


@dataclass(frozen=True)
class Comparison:
    """Two blocks of a stage, neighbours or its first and last. channels: active in both; identity: of them, those that
    keep their pictures; judged: of those, with label agreements in both; refines, blurs: verdicts; above, below: whose
    interval of the gain lies above and below zero; kept: mean of nine; *_untied: means of channels of other numbers;
    overlap_limit: what 99 % of those do not exceed; keeping: share of the channels that keep their pictures; again: of
    those that keep them on one half, the share that does on the other; rho: mean; overlap: by share of the highest
    pictures; overlap5: at 5 %; gains: None without labels; reliability: split-half, by measure."""

    source: str
    target: str
    stage: int
    whole: bool
    channels: int
    identity: int
    keeping: Estimate | None
    again: float | None
    judged: int
    refines: int
    blurs: int
    above: int
    below: int
    kept: Estimate | None
    kept_untied: float | None
    rho: Estimate | None
    rho_untied: float | None
    overlap: Sequence[float | None]
    overlap5: Estimate | None
    overlap_untied: Sequence[float | None]
    overlap_limit: float | None
    gains: Gains | None
    reliability: Mapping[str, float | None]

    @property
    def unclear(self) -> int:
        """Channels that keep their pictures and neither refine nor blur."""
        return self.identity - self.refines - self.blurs

    def repeats(self, reliable: float) -> bool:
        """Whether gains of single channels repeat on other pictures, so that channels can be ranked by them."""
        return self.gains is not None and self.gains.repeats is not None and self.gains.repeats >= reliable

    @property
    def counts(self) -> Mapping[Kind, int]:
        """Channels by kind."""
        other = self.channels - self.identity
        return {"refine": self.refines, "unclear": self.unclear, "blur": self.blurs, "other": other}

    @property
    def address(self) -> str:
        """Of its page, below the network's folder."""
        return f"{self.target}/refinement.html" if not self.whole else f"{self.target}/refinement-stage.html"


@dataclass(frozen=True)
class Refinement:
    """What refinement.json holds. pictures: whose scores are kept; halvings: of the pictures; bound: standard errors of
    an interval; reliable: from where on a measure repeats; false_share: of the
    verdicts on channels that may be false; comparisons: whose intervals hold together; overlaps: shares
    of the pictures; featured: channels of `half`; neighbours, stages: pairs of blocks, and first with last blocks."""

    pictures: int
    halvings: int
    bound: float
    simultaneous_bound: float
    reliable: float
    false_share: float
    comparisons: int
    overlaps: Sequence[float]
    featured: int
    neighbours: Sequence[Comparison]
    stages: Sequence[Comparison]

    def between(self, source: str, target: str) -> Comparison | None:
        """The comparison of two neighbouring blocks."""
        return next(
            (pair for pair in self.neighbours if (pair.source, pair.target) == (source, target)), None
        )


def refinement_from_json(report: Mapping[str, Any], is_shown: Callable[[str], bool]) -> Refinement | None:
    """From refinement.json, the comparisons of the blocks that are shown; None where there is none."""
    pairs = [_comparison(pair, report) for pair in report.get("pairs", ())]
    shown = [pair for pair in pairs if is_shown(pair.source) and is_shown(pair.target)]
    if not shown:
        return None
    names = {field.name for field in dataclasses.fields(Refinement)} & report.keys()
    return Refinement(
        **{name: report[name] for name in names},
        neighbours=[pair for pair in shown if not pair.whole],
        stages=[pair for pair in shown if pair.whole],
    )


def _comparison(data: Mapping[str, Any], report: Mapping[str, Any]) -> Comparison:
    names = {field.name for field in dataclasses.fields(Comparison)} - {
        "whole",
        "kept",
        "rho",
        "keeping",
        "again",
        "overlap5",
        "gains",
        "reliability",
    }
    return Comparison(
        **{name: data[name] for name in names},
        whole=data["kind"] == "stage",
        kept=_estimate(data, "kept", report["bound"]),
        keeping=_share(data, report["bound"]),
        again=data["identity_again"],
        rho=_estimate(data, "rho", report["normal"]),
        overlap5=_overlap(data, report["bound"]),
        reliability=data["reliability"],
        gains=_gains(data, report),
    )


def _estimate(data: Mapping[str, Any], name: str, bound: float) -> Estimate | None:
    value, error = data.get(name), data.get(f"{name}_error")
    return None if value is None or error is None else Estimate(value, bound * error)


def _share(data: Mapping[str, Any], bound: float) -> Estimate | None:
    error = data["identity_error"]
    return (
        None
        if error is None or not data["channels"]
        else Estimate(data["identity"] / data["channels"], bound * error)
    )


def _overlap(data: Mapping[str, Any], bound: float) -> Estimate | None:
    value, error = data["overlap"][1], data["overlap_error"]
    return None if value is None or error is None else Estimate(value, bound * error)


def _gains(data: Mapping[str, Any], report: Mapping[str, Any]) -> Gains | None:
    gain = _estimate(data, "gain", report["bound"])
    directions = _estimate(data, "gain_directions", report["bound"])
    excess = _estimate(data, "excess", report["simultaneous_bound"])
    if gain is None or directions is None or excess is None:
        return None
    return Gains(
        before=data["before"],
        after=data["after"],
        gain=gain,
        directions=directions,
        excess=excess,
        above=data["directions_above"],
        below=data["directions_below"],
        repeats=data["repeats"],
        half=data["featured_half"],
        other_half=data["featured_other_half"],
    )


def stage_statement(pair: Comparison) -> str:
    """What two blocks show of label agreement, without the full stop; '' without labels."""
    gains = pair.gains
    if gains is None:
        return ""
    excess = gains.excess
    numbers = f"{signed(excess.value, 3)}, interval {signed(excess.low, 3)} to {signed(excess.high, 3)}"
    if not excess.excludes_zero:
        return f"No clear change in label agreement beyond that of random directions ({numbers})"
    more = "rises more than" if excess.value > 0 else "rises less than"
    return f"Label agreement {more} that of random directions ({numbers})"


def expected_by_chance(pair: Comparison) -> str:
    """How many intervals would exclude zero on each side if nothing changed."""
    return integer(round(0.025 * pair.judged))
