"""The claims of arXiv:1701.02362 about channels, and the rules that decide each from an atlas's numbers.

A verdict follows from the numbers alone. What they cannot decide stays undecided.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from generator.site.formats import correlation, fixed, percent


@dataclass(frozen=True)
class Evidence:
    """A channel's numbers in the blocks that a figure shows, in order.

    shared: pictures of nine shared with the block before, and rho: rank correlation with it, both one shorter than
    layers; strongest: as a share of the layer's median strongest value; active: share of active positions; reach: how
    far the gradient reaches, in px of the input. What is not known is NaN.
    """

    layers: tuple[str, ...]
    dead: tuple[bool, ...]
    shared: tuple[int, ...]
    rho: tuple[float, ...]
    strongest: tuple[float, ...]
    active: tuple[float, ...]
    reach: tuple[float, ...]


BORNE_OUT, PARTLY, NOT_BORNE_OUT, UNDECIDED = "borne out", "partly borne out", "not borne out", "undecided"
WORDS = (BORNE_OUT, PARTLY, NOT_BORNE_OUT, UNDECIDED)


@dataclass(frozen=True)
class Verdict:
    """word: one of WORDS; reason: the numbers behind it, or what is missing."""

    word: str
    reason: str


@dataclass(frozen=True)
class Claim:
    """One of the paper's statements. layers: that its figure shows; needed: those that the rule uses; rule: with its
    thresholds in words, shown next to the verdict; judge: the rule, called where all needed layers are there;
    judges_dead: whether it also judges channels that no picture activates."""

    figure: int
    channel: int
    layers: tuple[str, ...]
    needed: tuple[str, ...]
    text: str
    rule: str
    judge: Callable[[Evidence], Verdict]
    judges_dead: bool = False

    def verdict(self, evidence: Evidence) -> Verdict:
        """The rule applied to the evidence; undecided where the atlas lacks a layer that the rule uses."""
        missing = [name for name in self.needed if name not in evidence.layers]
        if missing:
            return Verdict(UNDECIDED, f"the atlas does not hold {' or '.join(missing)}")
        is_dead = dict(zip(evidence.layers, evidence.dead, strict=True))
        dead = [name for name in self.needed if is_dead[name]]
        if dead and not self.judges_dead:
            return Verdict(UNDECIDED, f"no picture of this atlas activates it in {' or '.join(dead)}")
        return self.judge(evidence)


# Thresholds of the rules.
FALLS, FALLS_A_LITTLE = 0.10, 0.05  # of the share of active positions
SHARES, SHARES_SOME, RANKED_ALIKE = 6, 3, 0.7  # pictures of nine, and a rank correlation
CHANGES_AT_MOST = 3  # of nine pictures shared
SILENT, QUIET = 1 / 3, 2 / 3  # strongest value as a share of the layer's median channel's
KEEPS = (1, 7)  # of nine pictures
FURTHER = 1.2  # times as far


def _listed(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))


def _in_common(evidence: Evidence) -> str:
    known = all(np.isfinite(rho) for rho in evidence.rho)
    rho = f"rank correlation {_listed(map(correlation, evidence.rho))}" if known else "no rank correlation"
    return f"neighbouring blocks share {_listed(evidence.shared)} of nine pictures; {rho}"


def _reach_is_known(evidence: Evidence) -> bool:
    return bool(np.isfinite(evidence.reach[:2]).all())


def _of_two(first: bool, evidence: Evidence, reason: str) -> Verdict:
    """Borne out if both conditions hold, partly if one does. The second is whether the gradients of the second block
    reach FURTHER than those of the first; without gradients it is unknown, and the claim undecided."""
    if not _reach_is_known(evidence):
        return Verdict(UNDECIDED, f"{reason}; the atlas shows no guided gradients of it")
    reaches = _listed(fixed(reach, 1) for reach in evidence.reach[:2])
    second = evidence.reach[1] >= FURTHER * evidence.reach[0]
    return Verdict(
        (NOT_BORNE_OUT, PARTLY, BORNE_OUT)[first + second],
        f"{reason}; the gradient reaches {reaches} px in {_listed(evidence.layers[:2])}",
    )


def _more_discriminative(evidence: Evidence) -> Verdict:
    before, after = evidence.active[:2]
    layers = _listed(evidence.layers[:2])
    if not np.isfinite([before, after]).all() or before <= 0:
        return Verdict(UNDECIDED, f"the share of active positions in {layers} is not known, or zero")
    shares = _listed(fixed(100 * share, 1) for share in (before, after))
    fall = round(1 - after / before, 9)  # so that a fall by just the threshold counts
    word = BORNE_OUT if fall >= FALLS else PARTLY if fall >= FALLS_A_LITTLE else NOT_BORNE_OUT
    return Verdict(word, f"active at {shares} % of the positions in {layers}")


def _hardly_changes(evidence: Evidence) -> Verdict:
    reason = _in_common(evidence)
    if min(evidence.shared) >= SHARES:
        return Verdict(BORNE_OUT, reason)
    alike = all(rho >= RANKED_ALIKE for rho in evidence.rho)  # false where one is not known
    return Verdict(PARTLY if min(evidence.shared) >= SHARES_SOME or alike else NOT_BORNE_OUT, reason)


def _changes(evidence: Evidence) -> Verdict:
    reason = f"neighbouring blocks share {_listed(evidence.shared)} of nine pictures"
    return _of_two(min(evidence.shared) <= CHANGES_AT_MOST, evidence, reason)


def _nothing_at_first(evidence: Evidence) -> Verdict:
    reason = (
        "strongest value as a share of the layer's median channel's: "
        f"{_listed(map(percent, evidence.strongest))} % in {_listed(evidence.layers)}"
    )
    if evidence.dead[0] or evidence.strongest[0] <= SILENT:
        return Verdict(BORNE_OUT, reason)
    return Verdict(PARTLY if evidence.strongest[0] <= QUIET else NOT_BORNE_OUT, reason)


def _gains_surroundings(evidence: Evidence) -> Verdict:
    first, second = evidence.layers[:2]
    kept = evidence.shared[0]
    reason = f"{second} keeps {kept} of the nine pictures of {first}"
    return _of_two(KEEPS[0] <= kept <= KEEPS[1], evidence, reason)


RES2, RES3 = ("res2a", "res2b", "res2c"), ("res3a", "res3b", "res3c")

CLAIMS: tuple[Claim, ...] = (
    Claim(
        2, 12, RES2, RES2[:2],
        "Complex lined patterns in 2a; in 2b the channel is more discriminative.",
        "Tests the second half alone: borne out if the share of positions at which the channel is active "
        f"falls by {percent(FALLS)} % of itself or more from res2a to res2b, partly from {percent(FALLS_A_LITTLE)} %.",
        _more_discriminative,
    ),
    Claim(
        2, 79, RES2, RES2,
        "Hardly changes from block to block.",
        f"Borne out if neighbouring blocks share at least {SHARES} of nine pictures; partly from {SHARES_SOME}, or if "
        f"their rank correlations are all {RANKED_ALIKE} or more.",
        _hardly_changes,
    ),
    Claim(
        3, 150, RES2, RES2,
        "Curved dark lines in 2a become loops and tight curves.",
        "The rule cannot see curves. It tests whether the channel changes and depends on longer structures: borne out "
        f"if some neighbouring blocks share at most {CHANGES_AT_MOST} of nine pictures and the gradient reaches at "
        f"least {FURTHER} times as far in res2b as in res2a; partly if one of the two holds.",
        _changes,
    ),
    Claim(
        3, 210, RES2, RES2[:1],
        "Nothing in 2a; parallel lines in 2b and 2c.",
        "Tests the first half alone: borne out if the strongest value in res2a is at most a third of the "
        "layer's median channel's; partly up to two thirds.",
        _nothing_at_first,
        judges_dead=True,
    ),
    Claim(
        4, 400, RES3, RES3[:2],
        "A spot of light in 3a, then the spot with its surroundings.",
        "The rule cannot see spots. It tests whether the channel keeps part of its pictures and depends on more around "
        f"them: borne out if res3b keeps between {KEEPS[0]} and {KEEPS[1]} of the nine pictures of res3a and its "
        f"gradient reaches at least {FURTHER} times as far; partly if one of the two holds.",
        _gains_surroundings,
    ),
)  # fmt: skip
