"""The chapter "The paper, revisited": the figures of arXiv:1701.02362 from this atlas, claim by claim.

Channel numbers mean the paper's channels only for the original Caffe weights. The page is therefore made for that
network alone, and says whether its weights are the original ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from generator.core.sprites import seen_side
from generator.site.chapters.chapter import Chapter
from generator.site.chapters.first_layers import KernelCounts, first_layers_of
from generator.site.chapters.paper_claims import CLAIMS, WORDS, Claim, Evidence, Verdict
from generator.site.reading.atlas import Atlas
from generator.site.reading.layer import kernel_sheet
from generator.site.reading.tiles import json_in_page, tile_data
from generator.site.reading.whole_pictures import WholePicture, whole_pictures
from generator.site.writing import Site

PAPERS_MODEL = "resnet50-caffe"
KERNEL_FIGURE, KERNEL_LAYER = 8, "conv1"  # of the paper: the kernels of the first convolution
# SHA-256 of the file that holds the original weights of He et al. under torchvision's names: the paper's own network.
ORIGINAL = "e122d62c7db2927a601d6d491ef38eb3251c66ee31b27a29d527487140453785"
GRADIENT = "guided"
ZERO = 128  # grey value of a gradient of zero
FAINT = 16  # of 255: smaller differences from ZERO come from the encoder
REACHED = 0.9  # share of a gradient's energy inside the radius that it reaches
NAN = float("nan")


@dataclass(frozen=True)
class ClaimRow:
    """A channel in one block. absent: why it shows no pictures, or ''; wholes: in place of tiles; shared, rho: with the
    block before, None for the first; value: its strongest activation; active: share of active positions; reach: of its
    gradient, in px of the input. None where it is not known."""

    layer: str
    absent: str
    wholes: Sequence[WholePicture]
    shared: int | None
    rho: float | None
    value: float
    active: float | None
    reach: float | None


@dataclass(frozen=True)
class ClaimSection:
    """A claim with its verdict. missing: the layers of the paper's figure that the atlas lacks; data: JSON of the
    tiles, for the script that draws them."""

    claim: Claim
    verdict: Verdict
    rows: Sequence[ClaimRow]
    missing: Sequence[str]
    data: str


@dataclass(frozen=True)
class RevisitedPage:
    """The variables of revisited.html.

    figures: of the paper, in order; left_out: channels that the atlas does not picture; counts: of the verdicts, by
    word; is_original, is_random, weights: whether the weights are the paper's, whether they are random, and their
    source; kernels: whether the atlas shows the kernels of the first convolution, and kernel_counts: of them, where
    known; panels: of the sprites.
    """

    sections: Sequence[ClaimSection]
    figures: Sequence[int]
    left_out: Sequence[int]
    counts: Sequence[tuple[str, int]]
    is_original: bool
    is_random: bool
    weights: str
    pictures_count: int
    panels: Sequence[str]
    kernels: bool
    kernel_figure: int
    kernel_counts: KernelCounts | None


# -- evidence --------------------------------------------------------------------------------------------------


def gradient_reach(atlas: Atlas, layer: str, channel: int) -> float:
    """How far the channel's guided gradients reach, in px of the input: the radius around a gradient's centre of energy
    that holds nine tenths of the energy in its tile, mean over the top-9 pictures. NaN where the atlas does not show
    them."""
    sprite, numbers = atlas.manifest.sprites[layer], atlas.layer(layer)
    path = atlas.store.pictures.sprite_path(layer, channel, sprite.format)
    if GRADIENT not in sprite.panels or numbers.absence(channel) or not path.is_file():
        return NAN
    with Image.open(path) as sheet:
        pixels = np.asarray(sheet.convert("RGB"), np.float64)
    side = sprite.tile
    panel = 3 * side * sprite.panels.index(GRADIENT)
    field = seen_side(numbers.info.receptive_field.side, atlas.input_size)
    focus = numbers.focus_of(channel)
    radii = []
    for rank in range(len(numbers.nine(channel))):
        top, left = rank // 3 * side, panel + rank % 3 * side
        shown = focus[rank][2] or field
        radii.append(_energy_radius(pixels[top : top + side, left : left + side]) * shown / side)
    return float(np.mean(radii)) if radii else NAN


def _energy_radius(tile: np.ndarray) -> float:
    """The radius in px of the tile around the centre of energy that holds nine tenths of the energy, which is the
    squared difference from ZERO. tile: (side, side, 3)."""
    difference = tile - ZERO
    difference[np.abs(difference) < FAINT] = 0
    energy = (difference**2).sum(-1)
    total = max(float(energy.sum()), 1e-9)
    rows, columns = np.indices(energy.shape)
    radius = np.hypot(
        rows - (energy * rows).sum() / total, columns - (energy * columns).sum() / total
    ).ravel()
    order = np.argsort(radius, kind="stable")
    inside = np.cumsum(energy.ravel()[order])
    return float(radius[order][np.searchsorted(inside, REACHED * inside[-1])])


def evidence_of(atlas: Atlas, layers: Sequence[str], channel: int) -> Evidence:
    """A channel's numbers in those of the layers that the atlas holds."""
    held = tuple(name for name in layers if atlas.has(name) and channel < atlas.manifest.layer(name).channels)
    dead, strongest, active, shared, rho, reach = [], [], [], [], [], []
    for number, name in enumerate(held):
        layer = atlas.layer(name)
        top = layer.arrays["top_value"][:, 0]
        median = float(np.median(top[top > 0])) if (top > 0).any() else 1.0
        dead.append(layer.dead[channel])
        strongest.append(float(top[channel]) / median)
        active.append(_number(layer.arrays.get("active_positions"), channel))
        reach.append(gradient_reach(atlas, name, channel))
        if number:
            shared.append(atlas.shared(name, held[number - 1])[channel])
            rho.append(_number(layer.arrays.get("spearman_previous"), channel))
    return Evidence(
        held, tuple(dead), tuple(shared), tuple(rho), tuple(strongest), tuple(active), tuple(reach)
    )


def _number(values: np.ndarray | None, channel: int) -> float:
    return NAN if values is None else float(values[channel])


# -- the page --------------------------------------------------------------------------------------------------


def _is_pictured(atlas: Atlas, claim: Claim) -> bool:
    return any(not atlas.layer(name).absence(claim.channel) for name in claim.layers if atlas.has(name))


def _has_numbers(atlas: Atlas, claim: Claim) -> bool:
    return any(
        atlas.has(name) and claim.channel < atlas.manifest.layer(name).channels for name in claim.layers
    )


def claims_shown(atlas: Atlas) -> list[Claim]:
    """The claims that the atlas has numbers and pictures for; none for networks other than the paper's."""
    if atlas.manifest.model != PAPERS_MODEL:
        return []
    return [claim for claim in CLAIMS if _has_numbers(atlas, claim) and _is_pictured(atlas, claim)]


def revisited_page(atlas: Atlas) -> RevisitedPage | None:
    """None where the atlas shows none of the claims."""
    shown = claims_shown(atlas)
    if not shown:
        return None
    sections = [_section(atlas, claim) for claim in shown]
    verdicts = Counter(section.verdict.word for section in sections)
    weights = atlas.manifest.weights
    kernel_layer = atlas.manifest.layer(KERNEL_LAYER) if atlas.has(KERNEL_LAYER) else None
    return RevisitedPage(
        sections=sections,
        figures=list(dict.fromkeys(claim.figure for claim in shown)),
        left_out=[
            claim.channel for claim in CLAIMS if _has_numbers(atlas, claim) and not _is_pictured(atlas, claim)
        ],
        counts=[(word, verdicts[word]) for word in WORDS],
        is_original=weights.sha256 == ORIGINAL,
        is_random=weights.random,
        weights=weights.source,
        pictures_count=atlas.manifest.pictures.count,
        panels=next(iter(atlas.manifest.sprites.values())).panels,
        kernels=kernel_layer is not None and kernel_sheet(atlas, kernel_layer) is not None,
        kernel_figure=KERNEL_FIGURE,
        kernel_counts=next((layer.counts() for layer in first_layers_of([atlas]) if layer.own), None),
    )


def _section(atlas: Atlas, claim: Claim) -> ClaimSection:
    evidence = evidence_of(atlas, claim.layers, claim.channel)
    rows = [
        ClaimRow(
            layer=name,
            absent=atlas.layer(name).absence(claim.channel),
            wholes=whole_pictures(atlas, name, claim.channel),
            shared=evidence.shared[number - 1] if number else None,
            rho=_known(evidence.rho[number - 1]) if number else None,
            value=float(atlas.layer(name).arrays["top_value"][claim.channel, 0]),
            active=_known(evidence.active[number]),
            reach=_known(evidence.reach[number]),
        )
        for number, name in enumerate(evidence.layers)
    ]
    return ClaimSection(
        claim,
        claim.verdict(evidence),
        rows,
        missing=[name for name in claim.layers if name not in evidence.layers],
        data=json_in_page(tile_data(atlas, [row.layer for row in rows if not row.absent], claim.channel)),
    )


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def write(site: Site, atlas: Atlas) -> None:
    page = revisited_page(atlas)
    if page is not None:
        CHAPTER.write_page(site, atlas, page)


CHAPTER = Chapter(
    name="revisited",
    title="The paper, revisited",
    template="revisited.html",
    summary="the figures of “Visualizing Residual Networks” from this atlas, claim by claim",
    present=lambda atlas: bool(claims_shown(atlas)),
    write=write,
)
