"""What an atlas is made from, and what follows from that alone: how large tiles are, how many channels get pictures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from generator.core.blueprint import Blueprint
from generator.core.hierarchy import Hierarchy, imagenet_hierarchy, read_hierarchy
from generator.core.records import TOP, LayerInfo, SpriteInfo
from generator.core.sprites import enlargement, is_focused, native_side, tile_side, writes_avif
from generator.engine.scan.plan import ScanPlan, forward_batch
from generator.engine.scan.stream import StreamPlan
from generator.methods.kernels import FirstLayer
from generator.methods.strips import QUANTILES
from generator.network.architecture import blueprint
from generator.network.network import Network
from generator.pictures.reading import PictureSet, evenly_spaced, rows_of
from generator.stages.accuracy import AccuracyBasis, accuracy_basis
from generator.stages.profile import Profile

# Channels with pictures, above which sprites are AVIF unless the profile says otherwise: as WebP their site would not
# fit on GitHub Pages, which takes 1 GB (a channel of ResNet-50 takes 22 to 46 KB, tools/site_sizes.py).
MANY_CHANNELS = 20_000


@dataclass(frozen=True)
class Start:
    """A picture that dreams start from. number: in images.csv, or None for a file that the profile names; path: of that
    file; sha256: of its bytes, '' for a numbered one."""

    number: int | None
    path: Path | None = None
    sha256: str = ""


@dataclass(frozen=True, eq=False)
class Inputs:
    """Everything that an atlas's numbers and pictures depend on.

    network: on the CPU in float64, with the profile's layers only; digest: of the picture files' paths and bytes, not
    of their labels; arithmetic: what decides the last bits (keys.arithmetic); contents: (N, 32) uint8, SHA-256 of each
    file when the run began, None where files are not watched; other_layers: the first layers of the networks that the
    profile compares with this one; starts: what dreams start from.
    """

    profile: Profile
    network: Network
    pictures: PictureSet
    digest: str
    arithmetic: tuple[str, ...]
    contents: np.ndarray | None = None
    other_layers: tuple[FirstLayer, ...] = ()
    starts: tuple[Start, ...] = ()

    # -- plans of the passes -------------------------------------------------------------------------------------------

    @cached_property
    def forward(self) -> int:
        """Pictures per forward, the same for every pass: it decides the last bits."""
        return forward_batch(self.network, self.arithmetic[0])

    @property
    def forwards(self) -> int:
        """Forward passes over the picture set, the last of which may have fewer pictures."""
        return -(-len(self.pictures.files) // self.forward)

    def span(self, number: int) -> np.ndarray:
        """The places of the files of one forward pass, by its number."""
        return np.arange(number * self.forward, min((number + 1) * self.forward, len(self.pictures.files)))

    @property
    def scan_plan(self) -> ScanPlan:
        """What the scan reads of each picture."""
        return ScanPlan.of(self.network, self.forward, self.profile.compute.precision)

    @property
    def stream_plan(self) -> StreamPlan:
        """Where the residual stream is read."""
        return StreamPlan.of(self.network, self.forward)

    @cached_property
    def sample(self) -> np.ndarray:
        """Places of the pictures whose scores are kept: all, or as many as the profile allows, evenly spaced."""
        return evenly_spaced(len(self.pictures.files), self.profile.compute.score_pictures)

    @cached_property
    def sample_rows(self) -> np.ndarray:
        """For every file its row among those of `sample`, −1 where it is none of them, (N,) int64."""
        return rows_of(self.sample, len(self.pictures.files))

    @property
    def reads_stream(self) -> bool:
        """Whether the profile wants the residual stream read and the network has one."""
        return self.profile.stream.enabled and bool(self.stream_plan.blocks)

    @property
    def optimised_layers(self) -> tuple[LayerInfo, ...]:
        """The layers whose channels get optimised pictures; a layer that the atlas leaves out gets none."""
        if self.profile.ascent is None:
            return ()
        which = self.profile.ascent.layers
        if which == "all":
            return self.network.layers
        if which == "blocks":
            return tuple(layer for layer in self.network.layers if layer.kind in ("block", "layer"))
        return tuple(layer for layer in self.network.layers if {layer.name, layer.path} & set(which))

    # -- classes -------------------------------------------------------------------------------------------------------

    @property
    def draws_pictures(self) -> bool:
        """Whether the pictures are the program's own drawings."""
        return self.profile.pictures.drawn is not None and self.profile.pictures.folder is None

    @cached_property
    def hierarchy(self) -> Hierarchy:
        """The class hierarchy that holds if the pictures' labels are in it: the profile's, else the drawn world's own,
        else WordNet's."""
        given = self.profile.pictures.hierarchy
        if given is not None:
            return read_hierarchy(Path(given))
        from generator.pictures.drawn.families import drawn_hierarchy

        return drawn_hierarchy() if self.draws_pictures else imagenet_hierarchy()

    @cached_property
    def accuracy_basis(self) -> AccuracyBasis:
        """How the pictures' labels are matched with the network's outputs, or why not."""
        return accuracy_basis(self.network, self.pictures)

    # -- what is drawn -------------------------------------------------------------------------------------------------

    @cached_property
    def blueprint(self) -> Blueprint:
        """The whole network as it is drawn, also where the weights end before it does."""
        network = self.network
        whole = network.graph if network.last is None else None
        return blueprint(network.model, network.module, network.taps, network.preprocessing.size, whole)

    @property
    def panels(self) -> tuple[str, ...]:
        """The panels of a sprite; without patches where the profile may not publish any."""
        patches = ("patches",) if self.profile.site.publish_patches else ()
        return (*patches, *self.profile.gradients)

    def slots(self, layer: LayerInfo) -> int:
        """How many tiles a channel of this layer can have: of its top-9, and where the profile wants them of its
        strips, of which the first is the top-9."""
        return TOP * len(QUANTILES) if self.pictures_strips(layer) else TOP

    def pictures_strips(self, layer: LayerInfo) -> bool:
        """Whether the units of this layer's strips are pictured."""
        return self.profile.range.gradients and layer.name in {
            located.name for located in self.scan_plan.located
        }

    def wanted_side(self, layer: LayerInfo) -> int:
        """The side in px that the profile wants for this layer's tiles."""
        return self.profile.sprites.inner_tile if layer.is_inner else self.profile.sprites.tile

    def native(self, layer: LayerInfo) -> int:
        """Side in px at which this layer's tiles are kept."""
        size = self.network.preprocessing.size
        return native_side(layer.receptive_field.side, size, self.wanted_side(layer))

    def is_focused(self, layer: LayerInfo) -> bool:
        """Whether this layer's tiles show the focus of each unit."""
        return is_focused(layer.receptive_field.side, self.network.preprocessing.size)

    def sprite_info(self, layer: LayerInfo) -> SpriteInfo:
        """How the layer's sprites are divided into panels and tiles."""
        native = self.native(layer)
        side = native * enlargement(native, self.wanted_side(layer))
        return SpriteInfo(self.panels, tile_side(side), side, self.sprite_format)

    @cached_property
    def sprite_format(self) -> str:
        """'webp' or 'avif', as the profile says; where it leaves that open, AVIF for many channels if Pillow writes
        it."""
        wanted = self.profile.sprites.format
        if wanted != "auto":
            return wanted
        return "avif" if self.pictured > MANY_CHANNELS and writes_avif() else "webp"

    @property
    def avif_quality(self) -> int | None:
        """The quality of sprites in AVIF; None where they are WebP."""
        return self.profile.sprites.avif_quality if self.sprite_format == "avif" else None

    @property
    def pictured(self) -> int:
        """How many channels of all layers get pictures."""
        return sum(self.channels(layer) for layer in self.network.layers)

    def channels(self, layer: LayerInfo) -> int:
        """How many of the layer's channels get pictures."""
        return min(layer.channels, self.profile.layers.channels or layer.channels)
