"""The page "The paper, revisited": the figures of arXiv:1701.02362 from this atlas, claim by claim.

Channel numbers mean the paper's channels only for the original Caffe weights, so the page is made for that
network alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

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
    reach: tuple[float, ...]  # px of the input; see gradient_reach


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


def _further(n: Numbers) -> bool:
    """Whether the gradients of the second block reach a fifth further than those of the first."""
    return len(n.reach) > 1 and n.reach[1] >= 1.2 * n.reach[0]


def _reaches(n: Numbers) -> str:
    if not np.isfinite(n.reach).all():
        return "the atlas holds no guided gradients"
    return f"the gradient reaches {_listed(n.reach, lambda r: f'{r:.1f}')} px in {_listed(n.layers)}"


def _more_discriminative(n: Numbers) -> Verdict:
    why = f"active at {_listed(n.active, lambda share: f'{100 * share:.1f}')} % of the positions in {_listed(n.layers)}"
    if len(n.active) < 2:
        return Verdict("for the eye", "the atlas holds only one of these blocks")
    if n.active[1] <= 0.9 * n.active[0]:
        return Verdict("borne out", why)
    return Verdict("partly" if n.active[1] <= 0.95 * n.active[0] else "not borne out", why)


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
    why = f"neighbouring blocks share {_listed(n.shared)} of nine pictures; {_reaches(n)}"
    holds = (min(n.shared) <= 3) + _further(n)
    return Verdict(("not borne out", "partly", "borne out")[holds], why)


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
    why = f"3b keeps {n.shared[0]} of the nine pictures of 3a; {_reaches(n)}"
    holds = (1 <= n.shared[0] <= 7) + _further(n)
    return Verdict(("not borne out", "partly", "borne out")[holds], why)


RES2, RES3 = ("res2a", "res2b", "res2c"), ("res3a", "res3b", "res3c")

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "Figure 2", 12, RES2,
        "Complex lined patterns in 2a; in 2b the channel is more discriminative.",
        "The number speaks of the second half only: borne out if the share of positions at which the channel is "
        "active falls by a tenth or more from 2a to 2b, partly by a twentieth.",
        _more_discriminative,
    ),
    Claim(
        "Figure 2", 79, RES2,
        "Hardly changes from block to block.",
        "Borne out if neighbouring blocks share at least six of nine pictures; partly from three, or from a "
        "rank correlation of 0.7.",
        _hardly_changes,
    ),
    Claim(
        "Figure 3", 150, RES2,
        "Curved dark lines in 2a become loops and tight curves.",
        "The numbers can only say that it changes and that it answers to longer things: borne out if some step "
        "shares at most three of nine pictures and the gradient of 2b reaches a fifth further than that of 2a; "
        "partly if one of the two.",
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
        "Borne out if 3b keeps between one and seven of the nine pictures of 3a and its gradient reaches a fifth "
        "further; partly if one of the two.",
        _gains_surroundings,
    ),
)  # fmt: skip

# What a person saw in the pictures, by the fingerprints of the pictures and of the weights, and the channel:
# it holds for these alone.
THE_SAMPLE = (
    "b5b6b828de76b69a7780adb8bbe056e46244256d6d21af34742e57a6903aac15",
    "e122d62c7db2927a601d6d491ef38eb3251c66ee31b27a29d527487140453785",
)
OBSERVED: dict[tuple[str, str], dict[int, str]] = {
    THE_SAMPLE: {
        12: "Lined patterns are there in all three blocks: stripes that fall to the right (a zebra, feathers, wire, "
        "quills, slanted lettering). That 2b is the more selective does not show; in 2c the nine are more mixed "
        "(leaves, stones, a carpet).",
        79: "The same nine patches in the same order in all three blocks, with the same gradients: green and "
        "turquoise areas beside something dark (luminous digits, leaves, a slide).",
        150: "In 2a dark lines that fall to the right, most of them straight; in 2b curves among them (a tyre, the "
        "letter C); in 2c nearly all are tight curves open to the upper right (the C, the tyre, a rim, the ring "
        "around a parrot's eye). Of closed loops there are few.",
        210: "Nothing in 2a. In 2b and 2c the same nine: strokes that rise to the right (script, the f-hole of a "
        "violin, a chain, an arch), and in most gradients two or three of them side by side.",
        400: "In 3a small bright spots (lamps, highlights, white dots, an eye). In 3b and 3c there is still a spot in "
        "the middle of each gradient, now in about half of them with what lies around it: a head's outline, a "
        "headlamp's rim, the edge of a foot or a knob.",
    }
}
GRADIENT = "guided"
GROUND = 128  # the zero of a gradient picture, as the format has it
FAINT = 16  # of 255: differences from the ground below this are the encoder's


def gradient_reach(atlas: Atlas, layer: str, channel: int) -> float:
    """How far the channel's gradients reach, in px of the input: the radius around the middle of a gradient's
    energy that holds nine tenths of it, the mean of the nine. NaN where the atlas does not show them."""
    sprite, numbers = atlas.manifest.sprites[layer], atlas.layer(layer)
    path = atlas.store.sprite_path(layer, channel)
    if GRADIENT not in sprite.panels or numbers.absence(channel) or not path.is_file():
        return float("nan")
    with Image.open(path) as sheet:
        pixels = np.asarray(sheet.convert("RGB"), np.float64)
    side = sprite.tile
    left = 3 * side * sprite.panels.index(GRADIENT)
    seen = min(numbers.info.receptive_field.side, atlas.input_side)
    found = []
    for k in range(len(numbers.nine(channel))):
        top, start = k // 3 * side, left + k % 3 * side
        found.append(_energy_radius(pixels[top : top + side, start : start + side]) * seen / side)
    return float(np.mean(found)) if found else float("nan")


def _energy_radius(tile: np.ndarray) -> float:
    """The radius, in px of the tile, that holds nine tenths of its squared differences from the ground."""
    difference = tile - GROUND
    difference[np.abs(difference) < FAINT] = 0
    energy = (difference**2).sum(-1)
    total = max(float(energy.sum()), 1e-9)
    rows, columns = np.indices(energy.shape)
    radius = np.hypot(
        rows - (energy * rows).sum() / total, columns - (energy * columns).sum() / total
    ).ravel()
    order = np.argsort(radius, kind="stable")
    held = np.cumsum(energy.ravel()[order])
    return float(radius[order][np.searchsorted(held, 0.9 * held[-1])])


def numbers_of(atlas: Atlas, layers: tuple[str, ...], channel: int) -> Numbers:
    held = tuple(name for name in layers if atlas.has(name) and channel < atlas.manifest.layer(name).channels)
    dead, strongest, active, shared, rho, reach = [], [], [], [], [], []
    for number, name in enumerate(held):
        layer = atlas.layer(name)
        top = layer.arrays["top_value"][:, 0]
        median = float(np.median(top[top > 0])) if (top > 0).any() else 1.0
        dead.append(layer.dead[channel])
        strongest.append(float(top[channel]) / median)
        share = layer.arrays.get("active_positions")
        active.append(float(share[channel]) if share is not None else float("nan"))
        reach.append(gradient_reach(atlas, name, channel))
        if number:
            shared.append(atlas.shared(name, held[number - 1])[channel])
            values = layer.arrays.get("spearman_previous")
            rho.append(float(values[channel]) if values is not None else float("nan"))
    return Numbers(
        held, tuple(dead), tuple(shared), tuple(rho), tuple(strongest), tuple(active), tuple(reach)
    )


def revisited_page(atlas: Atlas) -> dict[str, Any] | None:
    """The page's claims with their pictures, numbers and verdicts; None for every other network."""
    if atlas.manifest.model != PAPERS_MODEL:
        return None
    seen = OBSERVED.get((atlas.manifest.pictures.sha256, atlas.manifest.weights.sha256), {})
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
                    "reach": f"{numbers.reach[n]:.1f}" if np.isfinite(numbers.reach[n]) else None,
                    "value": significant(float(atlas.layer(name).arrays["top_value"][claim.channel, 0])),
                    "labels": atlas.labels_of(name, claim.channel)[:3],
                }
            )
        if all(row["absent"] for row in rows):
            continue  # not among the channels that this atlas pictures
        entries.append(
            {
                "claim": claim,
                "rows": rows,
                "verdict": claim.judge(numbers),
                "missing": [name for name in claim.layers if name not in numbers.layers],
                "seen": seen.get(claim.channel, ""),
            }
        )
    return {"entries": entries, "observed": bool(seen)} if entries else None
