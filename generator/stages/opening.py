"""What goes in: the network and the pictures that a profile names."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from generator import models
from generator.checksums import UNREADABLE, file_digests
from generator.errors import AtlasError
from generator.hierarchy import nodes_of, read_hierarchy
from generator.methods.kernels import FirstLayer, first_layer
from generator.network import Network
from generator.pictures import PictureSet, find_pictures
from generator.profile import Profile
from generator.progress import Reporter
from generator.ranks import Ranks
from generator.stages.preparing import prepared


@dataclass(frozen=True)
class Opened:
    """The pictures of a run as it began. digest: SHA-256 over every file's path and bytes, what the
    scan is valid for; contents: (N, 32) uint8, SHA-256 of each file's bytes, zeros where it cannot be read."""

    pictures: PictureSet
    digest: str
    contents: np.ndarray


def open_network(profile: Profile) -> Network:
    """The profile's network with its weights, picture size and layers."""
    section = profile.network
    classes = None if section.classes is None else Path(section.classes)
    network = models.load(
        section.model, section.weights, seed=section.seed, classes=classes, head=section.head
    )
    network = prepared(network, profile.pictures)
    if profile.deepdream is not None and not isinstance(profile.deepdream.layers, str):
        for name in profile.deepdream.layers:
            network.layer(name)  # an unknown one is said now, not hours later
    which = profile.layers.which
    if which == "all":
        return network
    if which == "blocks":
        return network.keep([layer.name for layer in network.layers if not layer.is_inner])
    return network.keep(which)


def open_other_layers(profile: Profile, reporter: Reporter) -> tuple[FirstLayer, ...]:
    """The first layers of the further networks that the profile names, each once."""
    found: dict[tuple[str, str], FirstLayer] = {}
    others = profile.kernels.others
    if others:
        with reporter.stage("other networks", len(others), "networks") as advance:
            for other in others:
                layer = first_layer(models.load(other.model, other.weights))
                found[layer.model, layer.weights.sha256] = layer
                advance()
    return tuple(found.values())


def open_pictures(profile: Profile, folder: Path, reporter: Reporter, ranks: Ranks) -> Opened:
    """The profile's pictures and their fingerprints; drawn ones are drawn first."""
    section = profile.pictures
    if section.folder is not None:
        source, labels = Path(section.folder), None if section.labels is None else Path(section.labels)
    elif section.drawn is not None:
        source, labels = draw(section.drawn, folder, reporter, ranks), None
    else:
        raise AtlasError("the profile names no pictures", profile.name, "give a folder with --images")
    pictures = find_pictures(source, labels=labels, limit=section.limit)
    if pictures.passed_over and ranks.leads:
        first, count = pictures.passed_over[0], len(pictures.passed_over)
        reporter.note(
            f"{count:,} {'file is' if count == 1 else 'files are'} passed over, the first "
            f"{first.path}: {first.reason}; manifest.json lists them"
        )
    if section.hierarchy is not None:
        named = [(file.label, file.path) for file in pictures.files]
        nodes_of(read_hierarchy(Path(section.hierarchy)), named, strict=True, wnids=pictures.wnids())
    return _fingerprinted(pictures, reporter)


def draw(count: int, folder: Path, reporter: Reporter, ranks: Ranks) -> Path:
    """The drawn world as picture files, beside the atlas in `folder` so that several atlases share them."""
    from generator.demo.gallery import draw_pictures

    target = folder.absolute().parent / "drawn" / f"world-{count}"
    if ranks.leads:
        with reporter.stage("drawing pictures", count, "pictures") as advance:
            draw_pictures(target, count, progress=advance)
    ranks.meet()
    return target


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
