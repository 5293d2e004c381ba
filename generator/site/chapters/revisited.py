"""The page "The paper, revisited": the figures of arXiv:1701.02362 from this atlas, claim by claim.

Channel numbers mean the paper's channels only for the original Caffe weights, so the page is made for that
network alone, and says whether its weights are the original ones. Every verdict follows from the atlas's numbers by a
rule that stands beside it; what the numbers cannot decide stays undecided.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from generator.site.chapters.chapter import Chapter
from generator.site.chapters.first_layer_pages import first_layers_of
from generator.site.formats import correlation, percent, significant
from generator.site.reading.atlas import Atlas
from generator.site.reading.layer import kernel_sheet
from generator.site.reading.tiles import tile_data
from generator.site.writing import Site

PAPERS_MODEL = "resnet50-caffe"
KERNEL_FIGURE = 8  # of the paper: the kernels of conv1


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


BORNE_OUT, PARTLY, NOT_BORNE_OUT, UNDECIDED = "borne out", "partly borne out", "not borne out", "undecided"
WORDS = (BORNE_OUT, PARTLY, NOT_BORNE_OUT, UNDECIDED)


@dataclass(frozen=True)
class Verdict:
    """word: one of WORDS; why: the numbers behind it, or what is missing."""

    word: str
    why: str


@dataclass(frozen=True)
class Claim:
    """One of the paper's statements. layers: that its figure shows; needed: those that the rule speaks of; rule: the
    threshold in words, shown on the page beside the verdict; judge: the rule, called where all needed layers are there.
    """

    figure: int
    channel: int
    layers: tuple[str, ...]
    needed: tuple[str, ...]
    text: str
    rule: str
    judge: Callable[[Numbers], Verdict]

    def verdict(self, numbers: Numbers) -> Verdict:
        """What the rule says of these numbers; undecided where the atlas lacks a layer that it speaks of."""
        missing = [name for name in self.needed if name not in numbers.layers]
        if missing:
            return Verdict(UNDECIDED, f"the atlas does not hold {' or '.join(missing)}")
        silent = dict(zip(numbers.layers, numbers.dead, strict=True))
        dead = [name for name in self.needed if silent[name]]
        if dead and self.judge is not _nothing_at_first:
            return Verdict(UNDECIDED, f"no picture of this atlas activates it in {' or '.join(dead)}")
        return self.judge(numbers)


# The thresholds of the rules.
FALLS, FALLS_A_LITTLE = 0.10, 0.05  # of the share of active positions
SHARES, SHARES_SOME, RANKED_ALIKE = 6, 3, 0.7  # pictures of nine, and a rank correlation
CHANGES_AT_MOST = 3  # of nine pictures shared
SILENT, QUIET = 1 / 3, 2 / 3  # strongest value as a share of the layer's median channel's
KEEPS = (1, 7)  # of nine pictures
FURTHER = 1.2  # times as far


def _listed(values: tuple[Any, ...], form: Callable[[Any], str] = str) -> str:
    return ", ".join(form(value) for value in values)


def _in_common(n: Numbers) -> str:
    known = all(np.isfinite(rho) for rho in n.rho)
    rho = f"; rank correlation {_listed(n.rho, correlation)}" if known else "; no rank correlation"
    return f"neighbouring blocks share {_listed(n.shared)} of nine pictures{rho}"


def _reaches(n: Numbers) -> str:
    if not np.isfinite(n.reach[:2]).all():
        return "the atlas shows no guided gradients of it"
    return f"the gradient reaches {_listed(n.reach[:2], lambda r: f'{r:.1f}')} px in {_listed(n.layers[:2])}"


def _of_two(first: bool, n: Numbers, why: str) -> Verdict:
    """Both conditions, one, or none; the second is whether the gradients of the second block reach FURTHER than those
    of the first. Undecided where the atlas shows no gradients: the second condition is then unknown."""
    why = f"{why}; {_reaches(n)}"
    if not np.isfinite(n.reach[:2]).all():
        return Verdict(UNDECIDED, why)
    return Verdict((NOT_BORNE_OUT, PARTLY, BORNE_OUT)[first + (n.reach[1] >= FURTHER * n.reach[0])], why)


def _more_discriminative(n: Numbers) -> Verdict:
    before, after = n.active[:2]
    if not np.isfinite([before, after]).all() or before <= 0:
        return Verdict(
            UNDECIDED, f"the share of active positions in {_listed(n.layers[:2])} is not known, or zero"
        )
    shares = _listed(n.active[:2], lambda share: f"{100 * share:.1f}")
    why = f"active at {shares} % of the positions in {_listed(n.layers[:2])}"
    fall = round(1 - after / before, 9)  # so that a fall by just the threshold counts
    return Verdict(BORNE_OUT if fall >= FALLS else PARTLY if fall >= FALLS_A_LITTLE else NOT_BORNE_OUT, why)


def _hardly_changes(n: Numbers) -> Verdict:
    why = _in_common(n)
    if min(n.shared) >= SHARES:
        return Verdict(BORNE_OUT, why)
    alike = all(rho >= RANKED_ALIKE for rho in n.rho)  # false where one is not known
    return Verdict(PARTLY if min(n.shared) >= SHARES_SOME or alike else NOT_BORNE_OUT, why)


def _changes(n: Numbers) -> Verdict:
    why = f"neighbouring blocks share {_listed(n.shared)} of nine pictures"
    return _of_two(min(n.shared) <= CHANGES_AT_MOST, n, why)


def _nothing_at_first(n: Numbers) -> Verdict:
    why = (
        "strongest value as a share of the layer's median channel's: "
        f"{_listed(n.strongest, percent)} % in {_listed(n.layers)}"
    )
    if n.dead[0] or n.strongest[0] <= SILENT:
        return Verdict(BORNE_OUT, why)
    return Verdict(PARTLY if n.strongest[0] <= QUIET else NOT_BORNE_OUT, why)


def _gains_surroundings(n: Numbers) -> Verdict:
    first, second = n.layers[:2]
    why = f"{second} keeps {n.shared[0]} of the nine pictures of {first}"
    return _of_two(KEEPS[0] <= n.shared[0] <= KEEPS[1], n, why)


RES2, RES3 = ("res2a", "res2b", "res2c"), ("res3a", "res3b", "res3c")

CLAIMS: tuple[Claim, ...] = (
    Claim(
        2, 12, RES2, RES2[:2],
        "Complex lined patterns in 2a; in 2b the channel is more discriminative.",
        "The rule speaks of the second half alone: borne out if the share of positions at which the channel is active "
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
        "The rule cannot see curves; it asks whether the channel changes and depends on longer things: borne out if "
        f"some neighbouring blocks share at most {CHANGES_AT_MOST} of nine pictures and the gradient reaches at least "
        f"{FURTHER} times as far in res2b as in res2a; partly if one of the two.",
        _changes,
    ),
    Claim(
        3, 210, RES2, RES2[:1],
        "Nothing in 2a; parallel lines in 2b and 2c.",
        "The rule speaks of the first half alone: borne out if the strongest value in res2a is at most a third of the "
        "layer's median channel's; partly up to two thirds.",
        _nothing_at_first,
    ),
    Claim(
        4, 400, RES3, RES3[:2],
        "A spot of light in 3a, then the spot with its surroundings.",
        "The rule cannot see spots; it asks whether the channel keeps part of its pictures and depends on more around "
        f"them: borne out if res3b keeps between {KEEPS[0]} and {KEEPS[1]} of the nine pictures of res3a and its "
        f"gradient reaches at least {FURTHER} times as far; partly if one of the two.",
        _gains_surroundings,
    ),
)  # fmt: skip

# SHA-256 of the file that holds the original weights of He et al. under torchvision's names: the paper's own network.
ORIGINAL = "e122d62c7db2927a601d6d491ef38eb3251c66ee31b27a29d527487140453785"
GRADIENT = "guided"
GROUND = 128  # the zero of a gradient picture, as the format has it
FAINT = 16  # of 255: differences from the ground below this are the encoder's


def gradient_reach(atlas: Atlas, layer: str, channel: int) -> float:
    """How far the channel's gradients reach, in px of the input: the radius around the middle of a gradient's
    energy that holds nine tenths of it, the mean of the nine. NaN where the atlas does not show them."""
    sprite, numbers = atlas.manifest.sprites[layer], atlas.layer(layer)
    path = atlas.store.pictures.sprite_path(layer, channel)
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
    entries: list[dict[str, Any]] = []
    left_out: list[int] = []
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
        if not any(claim.channel in atlas.layer(name).pictured for name in numbers.layers):
            left_out.append(claim.channel)  # not among the channels that this atlas pictures
            continue
        entries.append(
            {
                "claim": claim,
                "rows": rows,
                "verdict": claim.verdict(numbers),
                "missing": [name for name in claim.layers if name not in numbers.layers],
            }
        )
    if not entries:
        return None
    weights = atlas.manifest.weights
    return {
        "entries": entries,
        "figures": list(dict.fromkeys(entry["claim"].figure for entry in entries)),
        "left_out": left_out,
        "original": weights.sha256 == ORIGINAL,
        "random": weights.random,
        "weights": weights.source,
        "counts": [(word, sum(entry["verdict"].word == word for entry in entries)) for word in WORDS],
    }


def write(site: Site, atlas: Atlas) -> None:
    page = revisited_page(atlas)
    if page is None:
        return
    for entry in page["entries"]:
        alive = [row["layer"] for row in entry["rows"] if not row["absent"]]
        entry["data"] = tile_data(atlas, alive, entry["claim"].channel)
    first = next(iter(atlas.manifest.sprites.values()))
    more = {
        "panels": first.panels,
        "kernels": atlas.has("conv1") and kernel_sheet(atlas, atlas.manifest.layer("conv1")) is not None,
        "kernel_figure": KERNEL_FIGURE,
        "kernel_counts": next((layer.counts() for layer in first_layers_of([atlas]) if layer.own), None),
        "pictures_count": atlas.manifest.pictures.count,
    }
    CHAPTER.write_page(site, atlas, page, more)


CHAPTER = Chapter(
    name="revisited",
    title="The paper, revisited",
    template="revisited.html",
    summary="the figures of “Visualizing Residual Networks” from this atlas, claim by claim",
    present=lambda atlas: revisited_page(atlas) is not None,
    write=write,
)
