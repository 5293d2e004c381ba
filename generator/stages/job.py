"""What every stage needs to know."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from generator.core.blueprint import Blueprint
from generator.core.checksums import file_digest
from generator.core.errors import AtlasError
from generator.core.hierarchy import Hierarchy, imagenet_hierarchy, read_hierarchy
from generator.core.progress import Reporter
from generator.core.records import SCHEMA, LayerInfo, SpriteInfo, to_json
from generator.core.sprites import enlargement, native_side, tile_side
from generator.core.store import Store, fingerprint
from generator.engine.device import free_memory
from generator.engine.loops.compiled import kind
from generator.engine.scan.scan import FORWARD, ScanPlan
from generator.engine.scan.stream import StreamPlan
from generator.methods.kernels import FirstLayer, first_layer
from generator.network import models
from generator.network.architecture import blueprint
from generator.network.network import Network
from generator.pictures.reading import PictureBatch, PictureSet, read_batches
from generator.stages.accuracy import AccuracyBasis, accuracy_basis
from generator.stages.profile import Profile
from generator.stages.ranks import Ranks

CODE = 5  # raise it when a change of the code changes any number or picture of an atlas: old work is then done anew
RELATIONS = 2  # likewise, of what stages/correspondence.py writes alone

DREAMS = 1  # likewise, of what stages/dreams.py writes
FIRST_LAYERS = 1  # likewise, of what stages/first_layers.py writes
EMBEDDING = 3  # likewise, of the map of the pictures

STREAM_CODE = 2  # likewise, of what is read in the residual stream


@dataclass(frozen=True)
class Start:
    """A picture that dreams begin at. number: in images.csv, or None for a file of its own; path: of that file; sha256:
    of the file's bytes, '' for a numbered one."""

    number: int | None
    path: Path | None = None
    sha256: str = ""


@dataclass(frozen=True)
class Job:
    """One atlas being made. network: on the CPU in float64, with the layers of the profile alone."""

    profile: Profile
    network: Network
    pictures: PictureSet
    digest: str  # of the picture files' paths and bytes, not of their labels
    store: Store
    device: torch.device
    reporter: Reporter
    ranks: Ranks
    contents: np.ndarray | None = (
        None  # (N, 32) uint8: SHA-256 of each file as the run began; None: not watched
    )
    other_layers: tuple[FirstLayer, ...] = ()  # the first layers of the networks set beside this one
    starts: tuple[Start, ...] = ()  # what dreams begin at

    # Each key holds all that a stage's result depends on, and nothing else: a change makes anew exactly what hangs on
    # it. No key holds a model's name for what the model does; the graph says that.

    @cached_property
    def scan_key(self) -> str:
        """Fingerprint of all that the scan's numbers depend on: of the pictures their paths and bytes, not their
        labels; of the network what leads to its layers."""
        return fingerprint(
            [SCHEMA, CODE],  # work of another schema lies elsewhere in the folder
            self.network.graph.digest(self.network.steps),
            self.network.preprocessing.settings,
            asdict(self.scan_plan),
            self.digest,
            self.profile.compute.score_pictures,
            self._where,
        )

    @property
    def _where(self) -> list[str]:
        """On what the numbers are computed: it decides their last bits."""
        return [self.device.type, torch.__version__, *([kind()] if self.device.type == "cpu" else [])]

    @property
    def scan_plan(self) -> ScanPlan:
        return ScanPlan.of(self.network, FORWARD, self.profile.compute.precision)

    @cached_property
    def labels_key(self) -> str:
        """Fingerprint of what the pictures are said to show."""
        digest = hashlib.sha256()
        for file, wnid in zip(self.pictures.files, self.pictures.wnids(), strict=True):
            digest.update(f"{file.label_id}\0{file.label}\0{wnid}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    @property
    def _taps(self) -> list[tuple[str, str, str, int]]:
        """What the layers are to each other, as far as the graph does not say it."""
        return [(layer.name, layer.kind, layer.block, layer.stage) for layer in self.network.layers]

    @cached_property
    def stream_key(self) -> str:
        """Fingerprint of all that the residual stream's numbers depend on."""
        stream = self.profile.stream
        magnitudes = {
            name: [_array_digest(found.convolution), _array_digest(found.norm), found.folded]
            for name, found in self.network.magnitudes.items()
        }
        return fingerprint(
            STREAM_CODE, self.scan_key, self._taps, magnitudes, stream.enabled, stream.rescaled
        )

    @cached_property
    def optimised_key(self) -> str:
        """Fingerprint of all that the stream's numbers at optimised pictures depend on: no picture of the set."""
        stream, network = self.profile.stream, self.network
        computed = [self.device.type, torch.__version__]
        what = [network.graph.digest(network.steps), network.preprocessing.settings, self._taps]
        how = [self.profile.layers.channels, stream.enabled, stream.optimised_steps]
        return fingerprint("optimised", [SCHEMA, STREAM_CODE], computed, what, how)

    @property
    def draws_pictures(self) -> bool:
        """Whether the pictures are the program's own drawings."""
        return self.profile.pictures.drawn is not None and self.profile.pictures.folder is None

    @cached_property
    def truth_key(self) -> str:
        """Fingerprint of all that the numbers of drawn things at known sizes depend on."""
        return fingerprint("truth", self.stream_key, self.draws_pictures)

    @property
    def stream_plan(self) -> StreamPlan:
        return StreamPlan.of(self.network, FORWARD, self.profile.stream.rescaled)

    @cached_property
    def tiles_key(self) -> str:
        """Fingerprint of all that patches, gradients and the pictures beside them depend on."""
        sprites = self.profile.sprites
        return fingerprint(
            self.scan_key,
            self.panels,
            [(layer.name, self.native(layer), self.channels(layer)) for layer in self.network.layers],
            [sprites.picture, sprites.quality] if "patches" in self.panels else None,
        )

    @cached_property
    def sprites_key(self) -> str:
        """Fingerprint of all that the sprites depend on."""
        factors = [enlargement(self.native(layer), self.wanted(layer)) for layer in self.network.layers]
        return fingerprint(self.tiles_key, factors, self.profile.sprites.quality)

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
    def relations_key(self) -> str:
        """Fingerprint of all that relations.json and its numbers depend on: the scan, the labels, and the classes'
        hierarchy with its names."""
        tree = self.hierarchy
        names = [sorted(tree.titles.items()), tree.source]
        return fingerprint(self._classes_key, RELATIONS, names, self._taps)

    @cached_property
    def _classes_key(self) -> str:
        """Fingerprint of all that what a channel's pictures say about classes depends on."""
        given = self.profile.pictures.hierarchy is not None
        return fingerprint(self.scan_key, self.labels_key, given, sorted(self.hierarchy.parents.items()))

    @cached_property
    def rules_key(self) -> str:
        """Fingerprint of all that the gradient rules' comparison depends on; which channels it shows follows from their
        labels."""
        layers = [layer for layer in self.network.layers if not layer.is_inner]
        return fingerprint(
            "rules",
            RELATIONS,
            self._classes_key,
            [(layer.name, layer.stage, self.native(layer), self.wanted(layer)) for layer in layers],
            self.profile.layers.channels,
            self.profile.sprites.quality,
            self.profile.site.publish_patches,
        )

    @cached_property
    def features_key(self) -> str:
        """Fingerprint of all that the vectors before the classifier depend on, '' where there is to be no map."""
        embedding, vector = self.profile.embedding, self.network.last_vector
        if not embedding.enabled or vector is None:
            return ""
        leads = self.network.graph.digest([vector[0]])
        return fingerprint("features", EMBEDDING, self.scan_key, leads, embedding.pictures)

    @cached_property
    def accuracy_basis(self) -> AccuracyBasis:
        """How the pictures' labels are matched with the network's outputs, or why not."""
        return accuracy_basis(self.network, self.pictures)

    @cached_property
    def predictions_key(self) -> str:
        """Fingerprint of all that the classifier's outputs depend on; '' where there is no classifier, or where neither
        an accuracy nor a map asks for a forward that goes so far."""
        network = self.network
        asked = network.last_vector is not None or self.accuracy_basis.numbers is not None
        if network.outputs is None or not asked:
            return ""
        return fingerprint("predictions", self.scan_key, network.graph.digest([len(network.graph) - 1]))

    @cached_property
    def embedding_key(self) -> str:
        """Fingerprint of all that the map of the pictures depends on, '' where there is to be none."""
        if not self.features_key:
            return ""
        vector = self.network.last_vector
        assert vector is not None
        return fingerprint(
            self.features_key,
            self.network.graph.module_of(vector[0]),
            self.profile.embedding.model_dump(),
            [self.profile.site.publish_patches, self.profile.sprites.quality],
            version("scikit-learn"),
        )

    @cached_property
    def ascent_key(self) -> str:
        """Fingerprint of all that the optimised pictures depend on, '' where the profile wants none."""
        if self.profile.ascent is None:
            return ""
        return fingerprint(
            self.scan_key,
            self.profile.ascent.model_dump(),
            [layer.name for layer in self.ascent_layers],
            self.profile.layers.channels,
            self.profile.sprites.quality,
            self.profile.site.publish_patches,
        )

    @cached_property
    def first_layers_key(self) -> str:
        """Fingerprint of all that the page on first layers depends on."""
        own = [] if self.network.kernels is None else [first_layer(self.network)]
        first = self.network.layers[0]

        def numbers(layer: FirstLayer) -> list[str]:
            return [_array_digest(layer.kernels), _array_digest(layer.gain)]

        return fingerprint(
            FIRST_LAYERS,
            [
                [layer.model, to_json(layer.weights), layer.path, layer.stride, layer.padding, numbers(layer)]
                for layer in (*own, *self.other_layers)
            ],
            [len(own), first.name, first.kind],
        )

    @cached_property
    def dreams_key(self) -> str:
        """Fingerprint of all that the dreams depend on, '' where the profile wants none."""
        if self.profile.deepdream is None:
            return ""
        numbered = any(start.number is not None for start in self.starts)  # labels stand below these
        return fingerprint(
            DREAMS,
            self.scan_key,
            self._taps,
            self.labels_key if numbered else "",
            self.profile.deepdream.model_dump(exclude={"pictures"}),
            [(start.number, start.path and start.path.name, start.sha256) for start in self.starts],
            self.profile.site.publish_patches,
        )

    @cached_property
    def blueprint(self) -> Blueprint:
        """The whole network as it is drawn, also where the weights end before it does."""
        network = self.network
        module = models.blank(network.model, network.outputs)
        taps = models.find(network.model).taps(module)
        return blueprint(network.model, module, taps, network.preprocessing.crop)

    @property
    def ascent_layers(self) -> tuple[LayerInfo, ...]:
        """The layers whose channels get optimised pictures; a layer that the atlas leaves out gets none."""
        if self.profile.ascent is None:
            return ()
        which = self.profile.ascent.layers
        if which == "all":
            return self.network.layers
        if which == "blocks":
            return tuple(layer for layer in self.network.layers if layer.kind in ("block", "layer"))
        return tuple(layer for layer in self.network.layers if {layer.name, layer.path} & set(which))

    @property
    def panels(self) -> tuple[str, ...]:
        """The panels of a sprite; without patches where the profile may not publish any."""
        patches = ("patches",) if self.profile.site.publish_patches else ()
        return (*patches, *self.profile.gradients)

    def native(self, layer: LayerInfo) -> int:
        """Side in px at which this layer's tiles are kept."""
        return native_side(layer.receptive_field.side, self.network.preprocessing.crop, self.wanted(layer))

    def sprite_info(self, layer: LayerInfo) -> SpriteInfo:
        native = self.native(layer)
        side = native * enlargement(native, self.wanted(layer))
        return SpriteInfo(self.panels, tile_side(side), side)

    def channels(self, layer: LayerInfo) -> int:
        """How many of the layer's channels are pictured."""
        return min(layer.channels, self.profile.layers.channels or layer.channels)

    @property
    def workers(self) -> int:
        """Decoding processes: the profile's number, or enough to keep the device busy without crowding it out."""
        if self.profile.compute.workers is not None:
            return self.profile.compute.workers
        cores = (os.cpu_count() or 1) // self.ranks.local_world
        return max(1, cores - 1 if self.device.type == "cuda" else cores // 4)

    @property
    def forwards(self) -> int:
        """How many forwards' pictures are read at a time."""
        return max(1, -(-self.profile.compute.batch // FORWARD))

    def smaller(self, size: int, remedy: str | None = None) -> int:
        """Half of a number of things done at once, for a device whose memory did not suffice; said once a job. Raises
        AtlasError where it was one already; remedy: what to do then, where it is not to give smaller pictures."""
        if size == 1:
            raise AtlasError(
                "there is not enough memory for a single picture",
                str(self.device),
                remedy or "give smaller pictures (crop), or another --device",
            )
        note = (
            f"out of memory on {self.device}: less is computed at once from here on. Nothing is lost; last digits may "
            "differ from those of a machine with more memory"
        )
        if note not in self.reporter.notes:
            self.reporter.note(note)
        free_memory(self.device)
        return size // 2

    @property
    def processes(self) -> int:
        """Processes that encode sprites, on this machine, for this rank: a core each, and no more than the profile's
        workers."""
        cores = max(1, (os.cpu_count() or 1) // self.ranks.local_world)
        workers = self.profile.compute.workers
        return cores if workers is None else max(1, min(cores, workers))

    def files(self) -> np.ndarray:
        """For every picture of images.csv its place in the picture set, (N,) int64: unusable files have no number."""
        scan = self.store.tables.read_json("scan.json")
        if scan is None:
            raise AtlasError("scan.json cannot be read", self.store.folder, "run the same command again")
        skipped = {path for path, _ in scan["skipped"]}
        return np.flatnonzero([file.path not in skipped for file in self.pictures.files])

    def read(self, files: Sequence[int] | np.ndarray, batch: int | None = None) -> Iterator[PictureBatch]:
        """Decode files, by their places in the picture set, in order, in batches of whole forwards or of another size.

        Raises AtlasError where a file is no longer what it was when the run began.
        """
        size = batch or self.forwards * FORWARD
        for found in read_batches(
            self.pictures,
            files,
            self.network.preprocessing,
            batch=size,
            workers=self.workers if len(files) > size else 0,
            pin=self.device.type == "cuda",
        ):
            self._refuse_changed(found)
            yield found

    def read_again(
        self, files: Sequence[int] | np.ndarray, batch: int | None = None
    ) -> Iterator[PictureBatch]:
        """As `read`, of pictures that the scan could use: one that cannot be decoded now has changed."""
        for found in self.read(files, batch):
            if found.skipped:
                raise picture_changed(self.pictures.files[found.skipped[0][0]].path)
            yield found

    def _refuse_changed(self, batch: PictureBatch) -> None:
        if self.contents is None:
            return
        read = dict(zip(batch.indices.tolist(), batch.digests, strict=True))
        read |= {
            place: file_digest(self.pictures.root / self.pictures.files[place].path)
            for place, _ in batch.skipped
        }
        for place, digest in read.items():
            if digest != self.contents[place].tobytes().hex():
                raise picture_changed(self.pictures.files[place].path)

    def wanted(self, layer: LayerInfo) -> int:
        """The side in px that the profile wants for this layer's tiles."""
        return self.profile.sprites.inner_tile if layer.is_inner else self.profile.sprites.tile


def _array_digest(array: np.ndarray | torch.Tensor | None) -> str:
    """SHA-256 of an array's shape and numbers, as float32."""
    if array is None:
        return ""
    numbers = np.ascontiguousarray(array, np.float32)
    return hashlib.sha256(str(numbers.shape).encode() + numbers.tobytes()).hexdigest()


def picture_changed(path: Path | str) -> AtlasError:
    """The sentence for a picture that is no longer what it was when the run began."""
    return AtlasError("a picture changed or vanished during the run", path, "run the same command again")
