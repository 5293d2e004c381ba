"""Verification of an atlas: its files against their checksums, and some of its units computed again."""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from generator.core.checksums import UNREADABLE, digests
from generator.core.errors import AtlasError
from generator.core.input_paths import split_model, with_input_paths
from generator.core.progress import Reporter
from generator.core.records import Manifest, PictureRecord
from generator.core.store import Store
from generator.engine.device import choose_device
from generator.network import models
from generator.network.network import Network
from generator.pictures.reading import PictureFile, PictureSet
from generator.stages import keys, table
from generator.stages import profile as profiles
from generator.stages.inputs import Inputs
from generator.stages.opening import chosen_layers, draw, drawn_pictures, open_network
from generator.stages.preprocessing import prepared
from generator.stages.profile import Profile
from generator.stages.ranks import Ranks
from generator.stages.run import Run
from generator.stages.scan import scan_pictures
from generator.stages.sprites import encode_sprites
from generator.stages.unit_pictures import picture_units

# What another processor, GPU or version of a library may change. Scores: relative, of the largest score of the
# channel; pictures of gradients: mean absolute difference in levels of 255, since a ReLU that sits at zero may switch.
SCORE, LEVELS = 1e-3, 2.0
Chosen = dict[str, list[int]]  # channels by layer


@dataclass
class Report:
    """What `verify` found. units, exact: how many were computed again, and of how many every bit was the same;
    differences: one line each."""

    files: int = 0
    units: int = 0
    exact: int = 0
    differences: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        """Whether nothing differs."""
        return not self.differences


@dataclass(frozen=True)
class Sources:
    """Where the inputs are now, where that is not what the manifest says. model: the file of your own network, with or
    without the name in it; network: itself, where it was given in Python."""

    images: Path | None = None
    weights: str | None = None
    device: str = "auto"
    model: str | None = None
    network: Network | None = None


def verify(
    folder: Path,
    sources: Sources = Sources(),
    *,
    units: int = 45,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> Report:
    """Hash every file of an atlas, and compute some of its units again from the pictures.

    units: about how many, of whole channels chosen at random by the seed; 0: hash only. Raises AtlasError where there
    is no atlas or its pictures or weights cannot be found."""
    store, reporter = Store(folder), reporter or Reporter()
    report = Report()
    manifest = store.manifest()
    _check_files(store, report, reporter)
    if units and report.is_right:
        with tempfile.TemporaryDirectory() as work:
            _check_units(_Sampled(store, manifest, sources, Path(work), reporter), units, seed, report)
    return report


def _check_files(store: Store, report: Report, reporter: Reporter) -> None:
    report.files = len(store.checksums() or ())
    with reporter.stage("checksums", report.files, "files") as advance:
        faults = store.find_faults(advance)
    if faults is None:
        report.notes.append(
            "the atlas has no SHA256SUMS: its files cannot be checked (atlas compute writes them)"
        )
        return
    report.differences += [f"{name}: its bytes have changed" for name in faults.changed]
    report.differences += [f"{name}: missing" for name in faults.missing]
    stray = sorted(set(faults.unlisted) & store.own_files(table.roots()))
    report.differences += [f"{name}: does not belong to the atlas" for name in stray]


# -- computing units again -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Sampled:
    store: Store
    manifest: Manifest
    sources: Sources
    work: Path
    reporter: Reporter


def _check_units(here: _Sampled, units: int, seed: int, report: Report) -> None:
    chosen = _sample(here.store, here.manifest, units, seed)
    if not chosen:
        report.notes.append("no channel of the atlas is active: there is no unit to compute again")
        return
    profile = _profile(here)
    if here.sources.network is None:
        network = open_network(profile)
    else:
        network = chosen_layers(profile, prepared(here.sources.network, profile.pictures))
    if network.weights.sha256 != here.manifest.weights.sha256:
        report.differences.append("the weights are not those that the manifest names (other SHA-256)")
        return
    # As the manifest says, not as the model would have it today: a renamed weights file may no longer be recognised.
    network = network.with_preprocessing(here.manifest.preprocessing)
    root = _folder(here, profile)
    _check_pictures(here, root, report)
    if not report.is_right:
        return
    records = _records(here.store, chosen)
    inputs, run = _run(here, profile, network.keep(list(chosen)), root, records)
    scan_pictures(inputs, run)
    places = {record.index: place for place, record in enumerate(records)}
    same = _compare_lists(here.store, run, chosen, places, report)
    if report.is_right:
        _compare_sprites(here, inputs, run, chosen, same, report)


def _sample(store: Store, manifest: Manifest, units: int, seed: int) -> Chosen:
    """Channels by layer, drawn at random until they have `units` units."""
    alive: list[tuple[str, int, int]] = []
    for layer in manifest.layers:
        count = (store.arrays.layer(layer.name)["top_image"] >= 0).sum(1)
        pictured = store.pictures.sprites(layer.name)
        alive += [
            (layer.name, channel, int(count[channel])) for channel in sorted(pictured) if count[channel]
        ]
    chosen: Chosen = {}
    for place in np.random.default_rng(seed).permutation(len(alive)):
        if units <= 0:
            break
        name, channel, count_ = alive[int(place)]
        chosen.setdefault(name, []).append(channel)
        units -= count_
    return {layer.name: sorted(chosen[layer.name]) for layer in manifest.layers if layer.name in chosen}


def _profile(here: _Sampled) -> Profile:
    """The profile that the atlas was made from, with today's places of weights and pictures, and without what changes
    no unit."""
    sources = here.sources
    images = None if sources.images is None else str(sources.images)
    made_from = with_input_paths(here.manifest.profile, here.store.input_paths()) | {
        "deepdream": None,
        "kernels": {},
    }
    made_from["network"] = {**made_from["network"], "classes": None}
    made_from["pictures"] = {**made_from["pictures"], "labels": None, "hierarchy": None}
    profile = profiles.validated(made_from, f"the manifest of {here.store.folder}").changed(
        network={"weights": sources.weights, "model": _moved(sources.model, here.manifest.profile)},
        pictures={"folder": images},
        compute={"device": sources.device},
        embedding={"enabled": False},
        range={"gradients": False},
    )
    if here.sources.network is None:
        _require_model(profile)
        _require_weights(profile)
    return profile


def _moved(model: str | None, profile: Mapping[str, Any]) -> str | None:
    """Where the network's file is now; a file alone has the network under the name that the profile says."""
    if model is None or split_model(model)[1]:
        return model
    name = split_model(profile["network"]["model"])[1]
    return f"{model}:{name}" if name and model.endswith(".py") else model


def _require_model(profile: Profile) -> None:
    """The file of your own network is asked for where it is not there; so is a network that was given in Python."""
    path, _ = split_model(profile.network.model)
    if path.endswith(".py") and not Path(path).is_file():
        raise AtlasError(
            "the atlas's network is not here", profile.network.model, "say where its file is with --model"
        )
    try:
        models.find(profile.network.model, profile.network.args)
    except AtlasError as error:
        if error.what != "unknown model":
            raise
        raise AtlasError(
            "the atlas's network was given in Python",
            profile.network.model,
            "verify it there: verify(folder, Sources(network=load_network(module)))",
        ) from error


def _require_weights(profile: Profile) -> None:
    """A file of weights that is named and not there is asked for; names of published weights are no files."""
    given = profile.network.weights
    known = {
        "random",
        *(name.lower() for name in models.find(profile.network.model, profile.network.args).weights),
    }
    if given is None or given.rsplit(".", 1)[-1].lower() in known or Path(given).is_file():
        return
    raise AtlasError("the atlas's weights are not here", given, "say where they are with --weights")


def _folder(here: _Sampled, profile: Profile) -> Path:
    section = profile.pictures
    if section.folder is not None:
        root = Path(section.folder)
        if not root.is_dir():
            raise AtlasError("the atlas's pictures are not here", root, "say where they are with --images")
        return root
    if section.drawn is None:
        raise AtlasError("the manifest names no pictures", here.store.folder, "give them with --images")
    sought = drawn_pictures(section.drawn, section.limit, here.store.folder)
    draw(sought, section.drawn, here.reporter, Ranks())
    return sought.pictures.root


def _check_pictures(here: _Sampled, root: Path, report: Report) -> None:
    """The manifest's fingerprint of all pictures, from the files as they are today."""
    records = here.store.tables.images()
    digest = hashlib.sha256()
    with here.reporter.stage("pictures", len(records), "pictures") as advance:
        names = [record.path for record in records]
        for name, content in digests(root, names, advance).items():
            if content == UNREADABLE:
                report.differences.append(f"picture {name}: missing or unreadable in {root}")
            digest.update(f"{name}\0{content}\n".encode("utf-8", "surrogateescape"))
    if report.is_right and digest.hexdigest() != here.manifest.pictures.sha256:
        report.differences.append(
            f"the pictures in {root} are not those that the manifest names (other SHA-256)"
        )


def _records(store: Store, chosen: Chosen) -> list[PictureRecord]:
    """The pictures of the chosen channels' lists, in the order of their index."""
    lists = [store.arrays.layer(layer)["top_image"][channels] for layer, channels in chosen.items()]
    wanted = {int(index) for one in lists for index in one.ravel() if index >= 0}
    return [record for record in store.tables.images() if record.index in wanted]


def _run(
    here: _Sampled, profile: Profile, network: Network, root: Path, records: Sequence[PictureRecord]
) -> tuple[Inputs, Run]:
    """A run for the chosen layers on the chosen pictures alone, in a folder of its own."""
    files = tuple(PictureFile(record.path, record.label_id, record.label) for record in records)
    pictures = PictureSet(here.manifest.pictures.source, root, files, "")
    device = choose_device(profile.compute.device)
    inputs = Inputs(profile, network, pictures, "verify", keys.arithmetic(device))
    return inputs, Run(Store(here.work), device, here.reporter, Ranks(), profile.compute.workers)


def _compare_lists(
    store: Store, run: Run, chosen: Chosen, places: dict[int, int], report: Report
) -> set[str]:
    """Scores, pictures and positions of the chosen channels; returns the channels of which every bit is the same, and
    leaves in the run's folder the atlas's own lists, for the pictures of the same units."""
    same: set[str] = set()
    for layer, channels in chosen.items():
        theirs, ours = store.arrays.layer(layer), run.store.arrays.layer(layer)
        lists = np.full_like(ours["top_image"], -1)
        for channel in channels:
            images = np.array([places.get(int(index), -1) for index in theirs["top_image"][channel]])
            lists[channel] = images
            stored = _List(theirs["top_value"][channel], images, theirs["top_unit"][channel])
            computed = _List(*(ours[key][channel] for key in ("top_value", "top_image", "top_unit")))
            alive = int((images >= 0).sum())
            report.units += alive
            wrong = [slot for slot in range(alive) if not stored.agrees(computed, slot)]
            report.differences += [
                f"{layer}:{channel}, number {slot + 1}: {stored.in_words(slot)} in the atlas, "
                f"{computed.in_words(slot)} computed"
                for slot in wrong
            ]
            if stored.is_same(computed):
                same.add(f"{layer}:{channel}")
        top = {"top_value": ours["top_value"], "top_image": lists, "top_unit": theirs["top_unit"]}
        run.store.arrays.write_layer(layer, "top", top)
    return same


@dataclass(frozen=True)
class _List:
    """The top-9 of a channel: values (9,) float32, pictures (9,) and units (9, 2)."""

    values: np.ndarray
    pictures: np.ndarray
    units: np.ndarray

    def is_same(self, other: _List) -> bool:
        """Whether every bit is the same."""
        return all(
            np.array_equal(getattr(self, name), getattr(other, name))
            for name in ("values", "pictures", "units")
        )

    def agrees(self, other: _List, slot: int) -> bool:
        """Whether rounding alone can make the difference: the value is close, and another picture or position stands
        there only where values are no longer the same."""
        bound = SCORE * float(np.abs(self.values[0]))
        if abs(float(self.values[slot]) - float(other.values[slot])) > bound:
            return False
        if (
            self.pictures[slot] != other.pictures[slot]
        ):  # it may have changed places with a picture of nearly its score
            there = np.flatnonzero(other.pictures == self.pictures[slot])
            return len(there) == 0 or abs(float(other.values[there[0]]) - float(self.values[slot])) <= bound
        exact = self.values[slot] == other.values[slot]
        return not exact or np.array_equal(self.units[slot], other.units[slot])

    def in_words(self, slot: int) -> str:
        """The score and position of one slot, in words."""
        row, column = self.units[slot].tolist()
        return f"{self.values[slot]:.6g} at row {row}, column {column}"


def _compare_sprites(
    here: _Sampled, inputs: Inputs, run: Run, chosen: Chosen, same: set[str], report: Report
) -> None:
    """Patches and gradients of the chosen channels, made again by the stages that made them."""
    picture_units(inputs, run)
    encode_sprites(inputs, run)
    for layer, channels in chosen.items():
        sprite = here.manifest.sprites[layer]
        alive = (here.store.arrays.layer(layer)["top_image"] >= 0).sum(1)
        focus = [store.arrays.layer(layer).get("top_focus") for store in (here.store, run.store)]
        for channel in channels:
            old, new = (
                store.pictures.sprite_path(layer, channel, sprite.format).read_bytes()
                for store in (here.store, run.store)
            )
            if old == new and f"{layer}:{channel}" in same:
                report.exact += int(alive[channel])
            elif old != new and (apart := _apart(old, new, sprite.tile, _near(focus, channel))) > LEVELS:
                report.differences.append(
                    f"{layer}:{channel}: patches or gradients are {apart:.1f} of 255 levels apart on average"
                )


def _near(focus: Sequence[np.ndarray | None], channel: int) -> np.ndarray:
    """(9,) bool: the tiles of a channel that rounding may have cut to another focus: last bits decide whether a square
    holds its share, and then its side differs by one pixel. focus: (C, 9, 3) of the atlas and of this run."""
    old, new = focus
    if old is None or new is None:
        return np.zeros(9, bool)
    other, sides = old[channel] != new[channel], old[channel, :, 2] - new[channel, :, 2]
    near: np.ndarray = other.any(1) & (np.abs(sides) <= 1)
    return near


def _apart(old: bytes, new: bytes, tile: int, other: np.ndarray) -> float:
    """The largest mean absolute difference of any tile, in levels of 255; of different sizes: 255. other: (9,) bool,
    tiles that show something else, in every panel."""
    first, second = (np.asarray(Image.open(io.BytesIO(one)).convert("RGB"), np.float64) for one in (old, new))
    if first.shape != second.shape:
        return 255.0
    rows, columns = first.shape[0] // tile, first.shape[1] // tile
    gap = np.abs(first - second)[: rows * tile, : columns * tile]
    by_tile = gap.reshape(rows, tile, columns, tile, 3).mean((1, 3, 4))
    return float(np.where(np.tile(other.reshape(3, 3), (1, columns // 3)), 0, by_tile).max())
