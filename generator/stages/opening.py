"""Opening the network and the pictures that a profile names."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from generator.core.checksums import UNREADABLE, file_digests
from generator.core.errors import AtlasError
from generator.core.hierarchy import nodes_of, read_hierarchy
from generator.core.progress import Reporter
from generator.core.sprites import writes_avif
from generator.core.store import Store
from generator.methods.kernels import FirstLayer, first_layer
from generator.network import models
from generator.network.network import Network
from generator.pictures.labels import from_names
from generator.pictures.reading import PictureSet, find_pictures, listed_pictures
from generator.stages.preprocessing import prepared
from generator.stages.profile import OtherNetwork, PicturesSection, Profile
from generator.stages.ranks import Ranks


@dataclass(frozen=True)
class Sought:
    """The pictures that a profile names, not opened yet. drawn: the numbers of those that are drawn for it and need not
    be there yet; None where the profile names a folder."""

    pictures: PictureSet
    drawn: tuple[int, ...] | None = None

    @property
    def missing(self) -> list[int]:
        """The numbers of drawn pictures that are not there."""
        from generator.pictures.drawn.world import picture_path

        return [n for n in self.drawn or () if not (self.pictures.root / picture_path(n)).exists()]


@dataclass(frozen=True)
class Opened:
    """The pictures of a run as it began. digest: SHA-256 over every file's path and bytes, what the scan is valid for;
    contents: (N, 32) uint8, SHA-256 of each file's bytes, zeros where it cannot be read. Where drawn pictures are not
    there yet, neither is known: '' and None."""

    pictures: PictureSet
    digest: str
    contents: np.ndarray | None


def check_encoder(profile: Profile) -> None:
    """Raises AtlasError where the profile wants sprites in AVIF and Pillow does not write it."""
    if profile.sprites.format == "avif" and not writes_avif():
        raise AtlasError(
            "this Pillow writes no AVIF",
            "[sprites] format",
            "pip install 'pillow>=11.3', or in the profile set format = \"webp\"",
        )


def open_network(profile: Profile) -> Network:
    """The profile's network with its weights, picture size and layers."""
    return chosen_layers(profile, open_whole(profile))


def open_whole(profile: Profile) -> Network:
    """The profile's network with its weights and picture size, and all layers that it has."""
    section = profile.network
    classes = None if section.classes is None else Path(section.classes)
    crop = profile.pictures.crop
    network = models.load(
        section.model,
        section.weights,
        weights_key=section.weights_key,
        seed=section.seed,
        classes=classes,
        head=section.head,
        args=section.args,
        size=(crop[0], crop[1]) if isinstance(crop, list) else crop,
        layers=profile.layers.names,
    )
    return prepared(network, profile.pictures)


def chosen_layers(profile: Profile, network: Network) -> Network:
    """The network with the layers alone that the profile wants."""
    if profile.deepdream is not None and not isinstance(profile.deepdream.layers, str):
        for name in profile.deepdream.layers:
            network.layer(name)  # an unknown layer is an error now, not hours later
    which = profile.layers.which
    if which == "all":
        return network
    if which == "blocks":
        return network.keep([layer.name for layer in network.layers if not layer.is_inner])
    return network.keep(which)


def open_other_layers(others: Sequence[OtherNetwork], reporter: Reporter) -> tuple[FirstLayer, ...]:
    """The first layers of further networks, each once."""
    layers: dict[tuple[str, str], FirstLayer] = {}
    if others:
        with reporter.stage("other networks", len(others), "networks") as advance:
            for other in others:
                layer = first_layer(models.load(other.model, other.weights))
                layers[layer.model, layer.weights.sha256] = layer
                advance()
    return tuple(layers.values())


def seek_pictures(section: PicturesSection, folder: Path, reporter: Reporter) -> Sought:
    """The profile's pictures with their labels, none of them opened; drawn ones need not be there yet. folder: of the
    atlas."""
    if section.folder is not None:
        labels = None if section.labels is None else Path(section.labels)
        with reporter.waiting("looking for pictures", "files") as advance:
            pictures = find_pictures(
                Path(section.folder), labels=labels, limit=section.limit, progress=advance
            )
        sought = Sought(pictures)
    elif section.drawn is not None:
        sought = drawn_pictures(section.drawn, section.limit, folder)
    else:
        raise AtlasError("the profile names no pictures", remedy="give a folder with --images")
    if section.hierarchy is not None:
        named = [(file.label, file.path) for file in sought.pictures.files]
        nodes_of(read_hierarchy(Path(section.hierarchy)), named, strict=True, wnids=sought.pictures.wnids())
    if section.visual_features is not None:
        Store(
            section.visual_features
        ).manifest()  # raises where there is no atlas, before anything is computed
    return sought


def open_pictures(
    sought: Sought, count: int | None, reporter: Reporter, ranks: Ranks, *, dry_run: bool = False
) -> Opened:
    """The pictures and their fingerprints; drawn ones that are not there are drawn first, but not for a dry run: then
    their fingerprints are not known. count: how many drawn pictures the profile has, None for a folder."""
    if sought.drawn is not None and count is not None:
        if dry_run and sought.missing:
            return Opened(sought.pictures, "", None)
        draw(sought, count, reporter, ranks)
    return _fingerprinted(sought.pictures, reporter)


def drawn_pictures(count: int, limit: int | None, folder: Path) -> Sought:
    """The files of drawn pictures, which may not exist yet. They lie next to the atlas's `folder`, so that several
    atlases share them. The limit chooses among them as among the files of a folder; the bytes of a picture do not
    depend on which others are drawn."""
    from generator.pictures.drawn.world import picture_path

    numbers = {picture_path(number).as_posix(): number for number in range(count)}
    root = folder.absolute().parent / "drawn" / f"world-{count}"
    labels = from_names(sorted(numbers, key=os.fsencode))
    pictures = listed_pictures(root, dict.fromkeys(numbers, b""), labels, limit)
    return Sought(pictures, tuple(numbers[file.path] for file in pictures.files))


def draw(sought: Sought, count: int, reporter: Reporter, ranks: Ranks) -> None:
    """Draw those of `count` drawn pictures that are wanted and not there."""
    from generator.pictures.drawn.gallery import draw_pictures

    wanted = sought.drawn or ()
    if ranks.leads:
        with reporter.stage("drawing pictures", len(wanted), "pictures") as advance:
            draw_pictures(sought.pictures.root, count, progress=advance, only=wanted)
    ranks.meet()


def _fingerprinted(pictures: PictureSet, reporter: Reporter) -> Opened:
    digest, contents = hashlib.sha256(), np.zeros((len(pictures.files), 32), np.uint8)
    paths = (pictures.root / file.path for file in pictures.files)
    with reporter.stage("fingerprints", len(pictures.files), "pictures") as advance:
        for place, content in enumerate(file_digests(paths)):
            file = pictures.files[place]
            contents[place] = np.frombuffer(bytes.fromhex(content), np.uint8)
            if content == UNREADABLE:
                content = "unreadable"  # the scan lists it among the files that it skipped, with the reason
            digest.update(f"{file.path}\0{content}\n".encode("utf-8", "surrogateescape"))
            advance()
    return Opened(pictures, digest.hexdigest(), contents)
