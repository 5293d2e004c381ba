"""What stands around the content of every page: header, footer and notices."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from generator.core.records import title_of
from generator.site.citation import FINGERPRINT
from generator.site.formats import integer
from generator.site.reading.atlas import Atlas


@dataclass(frozen=True)
class Frame:
    """The variables of frame.html.

    root: relative address of the site's folder ('../'); model: name of the atlas that the page belongs to, '' on a page
    of several; title: of the atlas; several: whether the site holds several atlases; pictures: whether whole pictures
    are shown; sprite_format: of the sprites of the atlas.
    In the footer, each a sentence or '': notice: whose the pictures are; note: a warning about the network; made_from:
    network, weights and pictures. takedown: whether the footer says how to have a picture removed.
    """

    root: str
    model: str
    title: str
    several: bool
    notice: str
    takedown: bool
    note: str
    made_from: str
    pictures: bool
    sprite_format: str

    def at(self, root: str) -> Frame:
        """The same on a page of another folder."""
        return dataclasses.replace(self, root=root)


def frame_of(atlas: Atlas, atlases: Sequence[Atlas], root: str) -> Frame:
    """For a page of one atlas. atlases: all of the site."""
    return Frame(
        root=root,
        model=atlas.name,
        title=atlas.manifest.title,
        several=len(atlases) > 1,
        notice=_notice(atlas),
        takedown=_shows_pictures_of_others(atlas),
        note=_note(atlas),
        made_from=made_from(atlas),
        pictures=atlas.shows_pictures,
        sprite_format=atlas.sprite_format,
    )


def shared_frame(atlases: Sequence[Atlas], root: str) -> Frame:
    """For a page of the folder networks/, which belongs to no atlas: nothing is said about weights and pictures."""
    frame = frame_of(atlases[0], atlases, root)
    model = "" if frame.several else frame.model
    return dataclasses.replace(frame, model=model, notice="", takedown=False, note="", made_from="")


def home_frame(atlases: Sequence[Atlas], root: str) -> Frame:
    """For the site's front page, which shows all atlases."""
    frame = frame_of(atlases[0], atlases, root)
    if not frame.several:
        return dataclasses.replace(frame, note=_named_note(atlases[0]))
    return dataclasses.replace(
        frame,
        model="",
        notice=" ".join(sorted({notice for atlas in atlases if (notice := _notice(atlas))})),
        takedown=any(_shows_pictures_of_others(atlas) for atlas in atlases),
        note=" ".join(note for atlas in atlases if (note := _named_note(atlas))),
        made_from="",
    )


def made_from(atlas: Atlas) -> str:
    """The network, the weights, the pictures and the descriptions that were used: an atlas's title may be any text."""
    manifest = atlas.manifest
    weights, pictures = manifest.weights.sha256[:FINGERPRINT], manifest.pictures.sha256[:FINGERPRINT]
    network = f"{title_of(manifest.model, manifest.weights)} ({weights})"
    files = [f"{file.name} ({file.sha256[:FINGERPRINT]})" for file in atlas.descriptions.files]
    described = f" Descriptions of channels: {', '.join(files)}." if files else ""
    return f"Made from {network} and {integer(manifest.pictures.count)} pictures ({pictures}).{described}"


def _note(atlas: Atlas) -> str:
    is_random = atlas.manifest.weights.random
    return "The weights of this network are random, not trained: a trial." if is_random else ""


def _named_note(atlas: Atlas) -> str:
    note = _note(atlas)
    return f"{atlas.name}: {note}" if note else ""


def _notice(atlas: Atlas) -> str:
    if not atlas.manifest.publish_patches:
        return ""
    if _is_drawn(atlas):
        return "The pictures are drawn by the program itself."
    return f"Pictures: {atlas.manifest.pictures.source}; they remain their owners'."


def _shows_pictures_of_others(atlas: Atlas) -> bool:
    return atlas.manifest.publish_patches and not _is_drawn(atlas)


def _is_drawn(atlas: Atlas) -> bool:
    """Whether the pictures are the program's own drawings, which nobody else has a right to."""
    given = atlas.manifest.profile.get("pictures") or {}
    return bool(given.get("drawn")) and not given.get("folder")
