"""The page that sets the first layers of networks side by side: every atlas's own, and those that its profile names."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from generator.site.chapters.chapter import SharedChapter
from generator.site.citation import FINGERPRINT
from generator.site.figures.axis import Axis
from generator.site.figures.svg_plots import Bar, Plot
from generator.site.formats import percent, significant
from generator.site.reading.atlas import Atlas, sheet_layout
from generator.site.writing import Site

COLOURED = 0.5  # share of colour from which on a kernel counts as coloured
DIRECTED = 0.5  # coherence from which on a kernel has a direction
FAINT = 0.1  # of the network's largest norm; below, a kernel hardly does anything
SMALL = 5  # px; kernels narrower than this are shown enlarged too
LEAST_BARS = 8  # kernels with a direction, below which a histogram of them says little
BIN = 15  # degrees, of the histogram of directions
SORTS = {
    "kind": "kind: grey by direction, coloured by hue, faint",
    "channel": "channel",
    "norm": "norm, largest first",
    "colour": "share of colour, largest first",
    "coherence": "coherence, largest first",
}


@dataclass(frozen=True)
class Shown:
    """A first layer on the page. atlas: whose folder holds it; entry: of its list; number: its place there."""

    atlas: Atlas
    entry: dict[str, Any]
    number: int

    @property
    def key(self) -> str:
        """The same for the same weights of the same network, also in another atlas; names its files."""
        text = f"{self.entry['model']} {self.entry['weights']['sha256']}"
        return hashlib.sha256(text.encode()).hexdigest()[:FINGERPRINT]

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        return self.atlas.store.arrays.first_layer(self.number)

    @property
    def faint(self) -> np.ndarray:
        norm = self.arrays["norm"]
        return norm < FAINT * norm.max()

    @property
    def coloured(self) -> np.ndarray:
        return ~self.faint & (self.arrays["colour"] >= COLOURED)

    @property
    def directed(self) -> np.ndarray:
        return ~self.faint & (self.arrays["coherence"] >= DIRECTED)

    def counts(self) -> dict[str, int]:
        """How many kernels there are, and how many of them have a direction or a colour."""
        return {
            "count": len(self.faint),
            "directed": int(self.directed.sum()),
            "coloured": int(self.coloured.sum()),
        }

    def files(self) -> dict[str, Path]:
        """The sheets, by their address below networks/."""
        path = self.atlas.store.arrays.first_layer_path
        return {
            f"first-layers/{self.key}{kind}.webp": path(f"{self.number}{kind}.webp")
            for kind in ("", "-common", "-planes")
        }

    def orders(self) -> dict[str, list[int]]:
        """The channels in the order of each of SORTS."""
        a = {name: np.nan_to_num(values) for name, values in self.arrays.items()}
        # Four runs: grey with a direction by it, grey without by norm, coloured by hue, and the faint.
        run = np.select([self.faint, self.coloured, self.directed], [3, 2, 0], 1)
        within = np.select([run == 0, run == 2], [a["direction"], a["hue"]], -a["norm"])
        return {
            "kind": np.lexsort((within, run)).tolist(),
            "channel": list(range(len(run))),
            **{
                name: np.argsort(-a[name], kind="stable").tolist() for name in ("norm", "colour", "coherence")
            },
        }


def shown_layers(atlases: Sequence[Atlas]) -> list[Shown]:
    """Every first layer once: the atlases' own, then the others; none of atlases that were made before there were
    any, nor of the experiments' many networks."""
    found: dict[str, Shown] = {}
    for own in (True, False):
        for atlas in [atlas for atlas in atlases if not atlas.is_study]:
            entries = atlas.store.tables.read_json("first_layers/index.json") or []
            for number, entry in enumerate(entries):
                one = Shown(atlas, entry, number)
                if entry["own"] == own:
                    found.setdefault(one.key, one)
    return list(found.values())


def first_layers_page(shown: Sequence[Shown]) -> dict[str, Any]:
    """Everything the page says, for at least one first layer."""
    return {
        "networks": [_network(one) for one in shown],
        "sorts": SORTS,
        "coloured": percent(COLOURED),
        "directed": DIRECTED,
        "faint": percent(FAINT),
        "orders": {one.key: one.orders() for one in shown},
    }


def _network(one: Shown) -> dict[str, Any]:
    kernels, entry = one.arrays["kernels"], one.entry
    count, side = len(kernels), kernels.shape[-1]
    columns, rows = sheet_layout(one.atlas.store.arrays.first_layer_path(f"{one.number}.webp"), side)
    pages = one.atlas.manifest.layer(entry["layer"]).channels if one.atlas.has(entry["layer"]) else 0
    weights = entry["weights"]
    return {
        "key": one.key,
        "model": entry["model"],
        "atlas": one.atlas.name if entry["own"] else "",
        "title": one.atlas.manifest.title if entry["own"] else "",
        "path": entry["path"],
        "count": count,
        "side": side,
        "stride": entry["stride"],
        "padding": entry["padding"],
        "source": "random, not trained" if weights["random"] else weights["source"],
        "sha": weights["sha256"][:FINGERPRINT],
        "coloured": int(one.coloured.sum()),
        "directed": int(one.directed.sum()),
        "faint": int(one.faint.sum()),
        "negative": int((one.arrays["gain"] < 0).sum()),
        "share": percent(float(one.coloured.mean())),
        "columns": columns,
        "rows": rows,
        "kernels": [_kernel(one, c, columns, linked=c < pages) for c in one.orders()["kind"]],
        "enlarged": side < SMALL,
        "random": weights["random"],
        "plot": directions(one).svg() if one.directed.sum() >= LEAST_BARS else "",
    }


def _kernel(one: Shown, channel: int, columns: int, *, linked: bool) -> dict[str, Any]:
    numbers = {name: float(values[channel]) for name, values in one.arrays.items() if values.ndim == 1}
    said = [f"norm {significant(numbers['norm'])}"]
    if np.isfinite(numbers["colour"]):
        said.append(f"colour {percent(numbers['colour'])} %")
    if one.directed[channel]:
        said.append(f"direction {numbers['direction']:.0f}°")
    if numbers["gain"] < 0:
        said.append("negative gain")
    return {
        "channel": channel,
        "x": channel % columns,
        "y": channel // columns,
        "said": said,
        "href": f"../{one.atlas.name}/{one.entry['layer']}/{channel}.html" if linked else "",
    }


def directions(one: Shown) -> Plot:
    """How many kernels have lines of each direction, in bins of BIN degrees centred at 0, 15, …"""
    found = one.arrays["direction"][one.directed]
    counts = np.bincount(np.round(found / BIN).astype(int) % (180 // BIN), minlength=180 // BIN)
    at = tuple((float(degrees), f"{degrees}°") for degrees in range(0, 180, 45))
    x = Axis(-BIN / 2, 180 - BIN / 2, "direction of the lines", at)
    y = Axis(0, max(1.0, 1.05 * counts.max()), "kernels")
    plot = Plot(f"Directions in the first layer of {one.entry['model']}", x, y, 300, 150)
    plot.bars(
        [
            Bar(BIN * n - 6, BIN * n + 6, float(count), f"#n{one.key}", f"{BIN * n}°: {count} kernels")
            for n, count in enumerate(counts.tolist())
        ]
    )
    return plot


def write(site: Site, atlases: Sequence[Atlas]) -> None:
    shown = shown_layers(atlases)
    for layer in shown:
        for address, path in layer.files().items():
            site.copy(path, f"networks/{address}")
    CHAPTER.write_page(site, first_layers_page(shown))


CHAPTER = SharedChapter(
    name="first-layers",
    title="First layers",
    template="first_layers.html",
    present=lambda atlases: bool(shown_layers(atlases)),
    write=write,
    styles=("kernels",),
)
