"""The page "The paper, revisited": the figures of arXiv:1701.02362 from this atlas, claim by claim.

Channel numbers mean the paper's channels only for the original Caffe weights, so the page is made for that
network alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from generator.measures import correlation, percent, significant
from generator.pages import Atlas

PAPERS_MODEL = "resnet50-caffe"


@dataclass(frozen=True)
class Numbers:
    """What a verdict may look at: for each block shown, in order."""

    layers: tuple[str, ...]
    dead: tuple[bool, ...]
    shared: tuple[int, ...]  # of nine, with the block before; one fewer than layers
    rho: tuple[float, ...]  # likewise
    strongest: tuple[float, ...]  # as a share of the layer's median strongest value
    active: tuple[float, ...]  # share of positions


@dataclass(frozen=True)
class Verdict:
    """word: 'borne out', 'partly', 'not borne out' or 'for the eye'; why: the numbers behind it, or what
    is missing.
    """

    word: str
    why: str


@dataclass(frozen=True)
class Claim:
    """One of the paper's statements. rule: the threshold in words, shown on the page beside the verdict."""

    figure: str
    channel: int
    layers: tuple[str, ...]
    text: str
    rule: str
    judge: Callable[[Numbers], Verdict]


def _listed(values: tuple[Any, ...], form: Callable[[Any], str] = str) -> str:
    return ", ".join(form(value) for value in values)


def _in_common(n: Numbers) -> str:
    rho = _listed(n.rho, correlation)
    return f"neighbouring blocks share {_listed(n.shared)} of nine pictures; rank correlation {rho}"


def _more_discriminative(n: Numbers) -> Verdict:
    why = f"active at {_listed(n.active, percent)} % of the positions in {_listed(n.layers)}"
    if len(n.active) < 2:
        return Verdict("for the eye", "the atlas holds only one of these blocks")
    if n.active[1] <= 0.9 * n.active[0]:
        return Verdict("borne out", why)
    return Verdict("partly" if n.active[1] < n.active[0] else "not borne out", why)


def _hardly_changes(n: Numbers) -> Verdict:
    if not n.shared:
        return Verdict("for the eye", "the atlas holds only one of these blocks")
    why = _in_common(n)
    if min(n.shared) >= 6:
        return Verdict("borne out", why)
    if min(n.shared) >= 3 or min(n.rho) >= 0.7:
        return Verdict("partly", why)
    return Verdict("not borne out", why)


def _changes(n: Numbers) -> Verdict:
    if not n.shared:
        return Verdict("for the eye", "the atlas holds only one of these blocks")
    why = f"neighbouring blocks share {_listed(n.shared)} of nine pictures"
    if min(n.shared) <= 3:
        return Verdict("borne out", why + ": the pictures change; what they change to is for the eye")
    return Verdict("partly" if min(n.shared) <= 5 else "not borne out", why)


def _nothing_then_lines(n: Numbers) -> Verdict:
    if not n.strongest:
        return Verdict("for the eye", "no values")
    why = (
        "strongest value as a share of the layer's median channel: "
        f"{_listed(n.strongest, percent)} % in {_listed(n.layers)}"
    )
    if n.dead[0] or n.strongest[0] <= 0.33:
        return Verdict("borne out", why)
    return Verdict("partly" if n.strongest[0] <= 0.67 else "not borne out", why)


def _gains_surroundings(n: Numbers) -> Verdict:
    if not n.shared:
        return Verdict("for the eye", "the atlas holds only one of these blocks")
    why = _in_common(n)
    if 1 <= n.shared[0] <= 7:
        return Verdict(
            "borne out", why + ": part of the pictures stays, part is new; the surroundings are for the eye"
        )
    return Verdict("partly" if n.rho[0] >= 0.3 else "not borne out", why)


RES2, RES3 = ("res2a", "res2b", "res2c"), ("res3a", "res3b", "res3c")

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "Figure 2", 12, RES2,
        "Complex lined patterns in 2a; in 2b the channel is more discriminative.",
        "Borne out if the share of positions at which it is active falls by a tenth or more from 2a to 2b; "
        "partly if it falls.",
        _more_discriminative,
    ),
    Claim(
        "Figure 2", 79, RES2,
        "Hardly changes from block to block.",
        "Borne out if neighbouring blocks share at least six of nine pictures; partly from three, or from a "
        "rank "
        "correlation of 0.7.",
        _hardly_changes,
    ),
    Claim(
        "Figure 3", 150, RES2,
        "Curved dark lines in 2a become loops and tight curves.",
        "The numbers can only say whether it changes: borne out if some step shares at most three of nine "
        "pictures; "
        "partly up to five.",
        _changes,
    ),
    Claim(
        "Figure 3", 210, RES2,
        "Nothing in 2a; parallel lines in 2b and 2c.",
        "Borne out if its strongest value in 2a is at most a third of the layer's median channel's; partly "
        "up to two thirds.",
        _nothing_then_lines,
    ),
    Claim(
        "Figure 4", 400, RES3,
        "A spot of light in 3a, then the spot with its surroundings.",
        "Borne out if 3b keeps between one and seven of the nine pictures of 3a; partly if the rank "
        "correlation is 0.3 or more.",
        _gains_surroundings,
    ),
)  # fmt: skip

# What a person saw in the pictures, by the picture set's fingerprint and the channel: it holds for those
# pictures alone.
OBSERVED: dict[tuple[str, int], str] = {}


def numbers_of(atlas: Atlas, layers: tuple[str, ...], channel: int) -> Numbers:
    held = tuple(name for name in layers if atlas.has(name) and channel < atlas.manifest.layer(name).channels)
    dead, strongest, active, shared, rho = [], [], [], [], []
    for number, name in enumerate(held):
        layer = atlas.layer(name)
        top = layer.arrays["top_value"][:, 0]
        median = float(np.median(top[top > 0])) if (top > 0).any() else 1.0
        dead.append(layer.dead[channel])
        strongest.append(float(top[channel]) / median)
        share = layer.arrays.get("active_positions")
        active.append(float(share[channel]) if share is not None else float("nan"))
        if number:
            shared.append(atlas.shared(name, held[number - 1])[channel])
            values = layer.arrays.get("spearman_previous")
            rho.append(float(values[channel]) if values is not None else float("nan"))
    return Numbers(held, tuple(dead), tuple(shared), tuple(rho), tuple(strongest), tuple(active))


def revisited_page(atlas: Atlas) -> dict[str, Any] | None:
    """The page's claims with their pictures, numbers and verdicts; None for every other network."""
    if atlas.manifest.model != PAPERS_MODEL:
        return None
    entries = []
    for claim in CLAIMS:
        numbers = numbers_of(atlas, claim.layers, claim.channel)
        if not numbers.layers:
            continue
        rows = []
        for n, name in enumerate(numbers.layers):
            rows.append(
                {
                    "layer": name,
                    "absent": atlas.layer(name).absence(claim.channel),
                    "panels": atlas.manifest.sprites[name].panels,
                    "shared": numbers.shared[n - 1] if n else None,
                    "rho": correlation(numbers.rho[n - 1]) if n and np.isfinite(numbers.rho[n - 1]) else None,
                    "previous": numbers.layers[n - 1] if n else "",
                    "strongest": percent(numbers.strongest[n]),
                    "active": percent(numbers.active[n]) if np.isfinite(numbers.active[n]) else None,
                    "value": significant(float(atlas.layer(name).arrays["top_value"][claim.channel, 0])),
                    "labels": atlas.labels_of(name, claim.channel)[:3],
                }
            )
        entries.append(
            {
                "claim": claim,
                "rows": rows,
                "verdict": claim.judge(numbers),
                "missing": [name for name in claim.layers if name not in numbers.layers],
                "seen": OBSERVED.get((atlas.manifest.pictures.sha256, claim.channel), ""),
            }
        )
    return {"entries": entries}
