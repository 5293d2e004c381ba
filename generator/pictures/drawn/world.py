"""The drawn world: pictures of 96×96 pixels in classes and families, made from a seed and nothing else.

Each picture is decided by (seed, index) alone, in whichever process and order it is drawn. Place, paint,
ground and finish each have a stream of random numbers of their own, so one can be held while another changes:
`draw_at_scale` uses this to change an object's size and leave everything else as it was.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from generator.core.csv_tables import csv_bytes
from generator.core.files import write_atomically
from generator.pictures.drawn import built, figures, indoors, light, palette, surfaces, swatches
from generator.pictures.drawn.canvas import SIDE, Canvas, Place
from generator.pictures.drawn.kinds import Kind

TRAIN_SEED = 1  # the pictures that the network is trained on
HELD_OUT_SEED = 1_000_003  # the pictures that its accuracy is measured on
ATLAS_SEED = 2_000_003  # the pictures that the atlas looks through

KINDS: tuple[Kind, ...] = built.KINDS + figures.KINDS + indoors.KINDS + swatches.KINDS
CLASSES: tuple[str, ...] = tuple(kind.name for kind in KINDS)
FAMILIES: dict[str, tuple[str, ...]] = {
    family: tuple(kind.name for kind in KINDS if kind.family == family)
    for family in dict.fromkeys(kind.family for kind in KINDS)
}

_TRUTH = ("path", "label", "class", "scale", "row", "column", "rotation")


@dataclass(frozen=True)
class Drawing:
    """A picture and the truth about it."""

    image: Image.Image  # RGB, 96×96
    label: int  # index into CLASSES
    scale: float  # the object's size as a share of the picture's side
    row: float  # pixels, the object's centre from the top
    column: float  # pixels, the object's centre from the left
    rotation: float  # degrees, clockwise


def draw(index: int, seed: int = 0) -> Drawing:
    """The picture of that index: its class is `index % len(CLASSES)`, all else comes from (seed, index).

    Raises:
        ValueError: if the index or the seed is negative.
    """
    kind = KINDS[index % len(KINDS)]
    return _drawing(kind, index, seed, scale=None)


def draw_at_scale(label: int, scale: float, index: int, seed: int = 0) -> Drawing:
    """A drawing of the class `label` whose object has the size `scale`, a share of the picture's side.

    Place, rotation, colours, ground and light come from (seed, index) and do not depend on the scale; a large
    object may hang over the picture's border. With the index's own label and scale it is `draw(index, seed)`.

    Raises:
        ValueError: if the scale is not above 0, or the index or the seed is negative.
    """
    if not scale > 0:
        raise ValueError(f"scale must be above 0, not {scale}")
    return _drawing(KINDS[label], index, seed, scale)


def _drawing(kind: Kind, index: int, seed: int, scale: float | None) -> Drawing:
    placing, painting, grounding, finishing = np.random.default_rng([seed, index]).spawn(4)
    place = _place(kind, placing)
    if scale is not None:
        place = replace(place, scale=scale)
    ink = palette.choose(grounding, kind.night)
    lamp = light.choose(grounding)
    picture = surfaces.ground(ink, grounding, kind.night)
    bits = surfaces.clutter(ink, grounding, kind.clutter)
    if bits is not None:
        picture = light.lay(picture, bits, replace(lamp, depth=1.0, softness=1.0))
    sheet = Canvas(place)
    kind.paint(sheet, ink, painting)
    picture = light.lay(picture, sheet, lamp, kind.flat)
    image = light.finish(picture, finishing)
    return Drawing(image, KINDS.index(kind), place.scale, place.row, place.column, place.rotation)


def _place(kind: Kind, rng: np.random.Generator) -> Place:
    """Sizes spread evenly by ratio; the centre moves as far as keeps the object about inside the picture."""
    small, large = np.log(kind.scales)
    scale = float(np.exp(rng.uniform(small, large)))
    room = max(1 - scale, 0) / 2 + 0.03
    row, column = (0.5 + room * rng.uniform(-1, 1, 2)) * SIDE
    rotation = float(rng.uniform(-kind.turn, kind.turn))
    mirrored = bool(rng.random() < 0.5) and kind.mirror
    return Place(float(row), float(column), scale, rotation, mirrored)


def picture_path(index: int) -> Path:
    """Where the picture of that index lies in a folder of drawings: `<class name>/<index>.png`."""
    return Path(CLASSES[index % len(CLASSES)]) / f"{index:06d}.png"


def write_pictures(
    folder: str | os.PathLike[str],
    count: int,
    seed: int = ATLAS_SEED,
    progress: Callable[[], object] = lambda: None,
) -> int:
    """Draw pictures 0 … count − 1 as `folder/<class name>/<index>.png`; the truth goes to `folder/truth.csv`.

    Pictures that are there already are left as they are, so an interrupted call can simply be repeated; the
    truth is written for all. Every file appears whole or not at all. gallery.draw_pictures does the same in
    several processes. `progress` is called after each picture.

    Returns:
        The number of pictures written by this call.
    """
    root = Path(folder)
    written = 0
    for index in range(count):
        if not (root / picture_path(index)).exists():
            written += write_drawings(root, [index], seed)
        progress()
    write_truth(root, count, seed)
    return written


def write_drawings(folder: Path, indices: Sequence[int], seed: int = ATLAS_SEED) -> int:
    """Draw these pictures into the folder; returns how many."""
    for index in indices:
        buffer = io.BytesIO()
        draw(index, seed).image.save(buffer, format="PNG")
        write_atomically(folder / picture_path(index), buffer.getvalue())
    return len(indices)


def write_truth(folder: Path, count: int, seed: int = ATLAS_SEED) -> None:
    """Write truth.csv for pictures 0 … count − 1."""
    rows = []
    for index in range(count):
        kind = KINDS[index % len(KINDS)]
        # The place is the first thing drawn from the seed, so the truth of a picture costs no drawing.
        place = _place(kind, np.random.default_rng([seed, index]).spawn(1)[0])
        rows.append((picture_path(index).as_posix(), index % len(KINDS), kind.name, *_numbers(place)))
    write_atomically(folder / "truth.csv", csv_bytes(_TRUTH, rows))


def _numbers(place: Place) -> tuple[str, ...]:
    return (f"{place.scale:.5f}", f"{place.row:.3f}", f"{place.column:.3f}", f"{place.rotation:.3f}")
