"""The page that shows first layers of networks side by side: every atlas's own, and those that its profile names."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from generator.core.records import WeightsInfo
from generator.site.chapters.chapter import SharedChapter
from generator.site.citation import FINGERPRINT
from generator.site.figures.axis import Axis
from generator.site.figures.svg_plots import Bar, Plot
from generator.site.formats import fixed, percent, significant
from generator.site.reading.atlas import Atlas, sheet_layout
from generator.site.writing import Site

COLOURED = 0.5  # share of colour from which on a kernel counts as coloured
DIRECTED = 0.5  # coherence from which on a kernel has a direction
FAINT = 0.1  # of the network's largest norm; below, a kernel hardly does anything
SMALL = 5  # px; kernels narrower than this are shown enlarged too
LEAST_BARS = 8  # kernels with a direction, below which a histogram of them says little
HALF_TURN, BIN, BAR, TICK = 180, 15, 12, 45  # degrees, of the histogram of directions
SORTS = {
    "kind": "kind: grey by direction, coloured by hue, faint",
    "channel": "channel",
    "norm": "norm, largest first",
    "colour": "share of colour, largest first",
    "coherence": "coherence, largest first",
}


@dataclass(frozen=True)
class KernelCounts:
    """How many kernels there are; how many of them have a direction, a colour (None: they read no colours), a faint
    response, a negative gain."""

    all: int
    directed: int
    coloured: int | None
    faint: int
    negative: int


@dataclass(frozen=True)
class FirstLayer:
    """A first layer in an atlas. number: its place in first_layers/index.json; own: whether it is of the atlas's own
    network; layer: its name in that network; path: of its module."""

    atlas: Atlas
    number: int
    model: str
    weights: WeightsInfo
    path: str
    stride: int
    padding: int
    own: bool
    layer: str

    @classmethod
    def read(cls, atlas: Atlas, number: int, entry: Mapping[str, Any]) -> FirstLayer:
        """entry: of first_layers/index.json."""
        return cls(
            atlas,
            number,
            model=entry["model"],
            weights=WeightsInfo(**entry["weights"]),
            path=entry["path"],
            stride=entry["stride"],
            padding=entry["padding"],
            own=entry["own"],
            layer=entry["layer"],
        )

    @property
    def key(self) -> str:
        """The same for the same weights of the same network, also in another atlas; names its files."""
        text = f"{self.model} {self.weights.sha256}"
        return hashlib.sha256(text.encode()).hexdigest()[:FINGERPRINT]

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """kernels (C, channels, side, side), and of each kernel norm, colour, hue, coherence, direction and gain."""
        return self.atlas.store.arrays.first_layer(self.number)

    @property
    def side(self) -> int:
        """Of a kernel, in px."""
        return int(self.arrays["kernels"].shape[-1])

    @property
    def channels(self) -> int:
        """How many channels every kernel reads."""
        return int(self.arrays["kernels"].shape[1])

    @property
    def faint(self) -> np.ndarray:
        """(C,) bool"""
        norm = self.arrays["norm"]
        faint: np.ndarray = norm < FAINT * norm.max()
        return faint

    @property
    def coloured(self) -> np.ndarray:
        """(C,) bool"""
        return ~self.faint & (self.arrays["colour"] >= COLOURED)

    @property
    def directed(self) -> np.ndarray:
        """(C,) bool"""
        return ~self.faint & (self.arrays["coherence"] >= DIRECTED)

    def counts(self) -> KernelCounts:
        return KernelCounts(
            all=len(self.faint),
            directed=int(self.directed.sum()),
            coloured=int(self.coloured.sum()) if self.channels == 3 else None,
            faint=int(self.faint.sum()),
            negative=int((self.arrays["gain"] < 0).sum()),
        )

    def files(self) -> dict[str, Path]:
        """The sheets of kernels, by their address below networks/."""
        path = self.atlas.store.arrays.first_layer_path
        return {
            f"first-layers/{self.key}{kind}.webp": path(f"{self.number}{kind}.webp")
            for kind in ("", "-common", *(("-planes",) if self.channels == 3 else ()))
        }

    def orders(self) -> dict[str, list[int]]:
        """The channels in the order of each of SORTS."""
        numbers = {name: np.nan_to_num(values) for name, values in self.arrays.items()}
        # Four runs: grey with a direction by it, grey without by norm, coloured by hue, and the faint.
        run = np.select([self.faint, self.coloured, self.directed], [3, 2, 0], 1)
        within = np.select([run == 0, run == 2], [numbers["direction"], numbers["hue"]], -numbers["norm"])
        return {
            "kind": np.lexsort((within, run)).tolist(),
            "channel": list(range(len(run))),
            **{
                name: np.argsort(-numbers[name], kind="stable").tolist()
                for name in ("norm", "colour", "coherence")
            },
        }


def first_layers_of(atlases: Sequence[Atlas]) -> list[FirstLayer]:
    """Every first layer once: the atlases' own, then the others. Atlases made before there were first layers have none,
    and those of the experiments' many networks are left out."""
    layers: dict[str, FirstLayer] = {}
    for own in (True, False):
        for atlas in [atlas for atlas in atlases if not atlas.is_study]:
            entries = atlas.store.tables.read_json("first_layers/index.json") or []
            for number, entry in enumerate(entries):
                layer = FirstLayer.read(atlas, number, entry)
                if layer.own == own:
                    layers.setdefault(layer.key, layer)
    return list(layers.values())


# -- the page --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kernel:
    """x, y: its tile on the sheets, in tiles; words: its numbers; href: of its channel's page, '' for none."""

    channel: int
    x: int
    y: int
    words: Sequence[str]
    href: str


@dataclass(frozen=True)
class FirstLayerSection:
    """One first layer on the page. atlas, atlas_title: of the atlas whose own it is, '' for none; source: of the
    weights; sha: beginning of their SHA-256; channels: that a kernel reads; share: of coloured kernels; columns,
    rows: of the sheets; enlarged: whether the kernels are shown enlarged too; plot: the histogram of directions, ''
    for none."""

    key: str
    model: str
    atlas: str
    atlas_title: str
    path: str
    side: int
    channels: int
    stride: int
    padding: int
    source: str
    is_random: bool
    sha: str
    counts: KernelCounts
    share: float
    columns: int
    rows: int
    kernels: Sequence[Kernel]
    enlarged: bool
    plot: Markup | str


@dataclass(frozen=True)
class FirstLayersPage:
    """The variables of first_layers.html. sorts: the orders to choose from, in words; coloured, faint: the limits of
    these words; orders: by key of a first layer, its channels in each order."""

    layers: Sequence[FirstLayerSection]
    sorts: Mapping[str, str]
    coloured: float
    faint: float
    orders: Mapping[str, Mapping[str, Sequence[int]]]


def first_layers_page(layers: Sequence[FirstLayer]) -> FirstLayersPage:
    """layers: at least one."""
    return FirstLayersPage(
        layers=[_section(layer) for layer in layers],
        sorts=SORTS,
        coloured=COLOURED,
        faint=FAINT,
        orders={layer.key: layer.orders() for layer in layers},
    )


def _section(layer: FirstLayer) -> FirstLayerSection:
    atlas, counts = layer.atlas, layer.counts()
    columns, rows = sheet_layout(atlas.store.arrays.first_layer_path(f"{layer.number}.webp"), layer.side)
    pages = atlas.manifest.layer(layer.layer).channels if atlas.has(layer.layer) else 0
    return FirstLayerSection(
        key=layer.key,
        model=layer.model,
        atlas=atlas.name if layer.own else "",
        atlas_title=atlas.manifest.title if layer.own else "",
        path=layer.path,
        side=layer.side,
        channels=layer.channels,
        stride=layer.stride,
        padding=layer.padding,
        source="random, not trained" if layer.weights.random else layer.weights.source,
        is_random=layer.weights.random,
        sha=layer.weights.sha256[:FINGERPRINT],
        counts=counts,
        share=float(layer.coloured.mean()),
        columns=columns,
        rows=rows,
        kernels=[_kernel(layer, c, columns, linked=c < pages) for c in layer.orders()["kind"]],
        enlarged=layer.side < SMALL,
        plot=directions(layer).svg() if counts.directed >= LEAST_BARS else "",
    )


def _kernel(layer: FirstLayer, channel: int, columns: int, *, linked: bool) -> Kernel:
    numbers = {name: float(values[channel]) for name, values in layer.arrays.items() if values.ndim == 1}
    words = [f"norm {significant(numbers['norm'])}"]
    if np.isfinite(numbers["colour"]):
        words.append(f"colour {percent(numbers['colour'])} %")
    if layer.directed[channel]:
        words.append(f"direction {fixed(numbers['direction'], 0)}°")
    if numbers["gain"] < 0:
        words.append("negative gain")
    href = f"../{layer.atlas.name}/{layer.layer}/{channel}.html" if linked else ""
    return Kernel(channel, channel % columns, channel // columns, words, href)


def directions(layer: FirstLayer) -> Plot:
    """The number of kernels by the direction of their lines, in bins of BIN degrees centred at 0, 15, …"""
    direction = layer.arrays["direction"][layer.directed]
    bins = HALF_TURN // BIN
    counts = np.bincount(np.round(direction / BIN).astype(int) % bins, minlength=bins)
    marks = [(float(degrees), f"{degrees}°") for degrees in range(0, HALF_TURN, TICK)]
    x = Axis(-BIN / 2, HALF_TURN - BIN / 2, "direction of the lines", marks)
    y = Axis(0, max(1.0, 1.05 * counts.max()), "kernels")
    plot = Plot(f"Directions in the first layer of {layer.model}", x, y, 150)
    plot.bars(
        [
            Bar(
                centre - BAR / 2,
                centre + BAR / 2,
                float(count),
                f"#n{layer.key}",
                f"{centre}°: {count} kernels",
            )
            for centre, count in zip(range(0, HALF_TURN, BIN), counts.tolist(), strict=True)
        ]
    )
    return plot


def write(site: Site, atlases: Sequence[Atlas]) -> None:
    layers = first_layers_of(atlases)
    for layer in layers:
        for address, path in layer.files().items():
            site.copy(path, f"networks/{address}")
    CHAPTER.write_page(site, first_layers_page(layers))


CHAPTER = SharedChapter(
    name="first-layers",
    title="First layers",
    template="first_layers.html",
    present=lambda atlases: bool(first_layers_of(atlases)),
    write=write,
    styles=("kernels",),
)
