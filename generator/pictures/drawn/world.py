"""The drawn world: pictures of 96×96 pixels in classes and families, made only from a seed.

A picture depends only on (seed, index), whatever the process and the order in which it is drawn. Placement, painting,
background and finish have separate streams of random numbers, so that one can change while the others stay fixed:
`draw_at_scales` changes the size of an object and nothing else.
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from generator.core.csv_tables import csv_bytes
from generator.core.files import write_atomically
from generator.pictures.drawn import built, figures, indoors, light, palette, surfaces, swatches
from generator.pictures.drawn.canvas import DRAWING_SIDE, Canvas, Place
from generator.pictures.drawn.kinds import Kind

TRAIN_SEED = 1  # of the pictures on which the demo network is trained
HELD_OUT_SEED = 1_000_003  # of the pictures on which its accuracy is measured
ATLAS_SEED = 2_000_003  # of the pictures of the atlas

DRAWING_KINDS: tuple[Kind, ...] = (
    built.BUILT_KINDS + figures.FIGURE_KINDS + indoors.INDOOR_KINDS + swatches.SURFACE_KINDS
)
CLASSES: tuple[str, ...] = tuple(kind.name for kind in DRAWING_KINDS)
FAMILIES: dict[str, tuple[str, ...]] = {
    family: tuple(kind.name for kind in DRAWING_KINDS if kind.family == family)
    for family in dict.fromkeys(kind.family for kind in DRAWING_KINDS)
}

_TRUTH = ("path", "label", "class", "scale", "row", "column", "rotation")


@dataclass(frozen=True)
class Drawing:
    """A picture with its ground truth."""

    image: Image.Image  # RGB, 96×96
    label: int  # index into CLASSES
    scale: float  # the object's size as a fraction of the picture's side
    row: float  # pixels from the top to the object's centre
    column: float  # pixels from the left to the object's centre
    rotation: float  # degrees, clockwise


def draw(index: int, seed: int = 0) -> Drawing:
    """The picture with this index. Its class is `index % len(CLASSES)`; all else follows from (seed, index).

    Raises:
        ValueError: if the index or the seed is negative.
    """
    (drawing,) = _drawings(DRAWING_KINDS[index % len(DRAWING_KINDS)], index, seed, (None,))
    return drawing


def draw_at_scales(label: int, scales: Sequence[float], index: int, seed: int = 0) -> list[Drawing]:
    """Drawings of the class `label` whose object has each of these sizes, fractions of the picture's side.

    Position, rotation, colours, background and light follow from (seed, index) and do not depend on the scale. A large
    object may extend beyond the picture. With the index's own label and scale, the result is `draw(index, seed)`.

    Raises:
        ValueError: if a scale is not above 0, or the index or the seed is negative.
    """
    for scale in scales:
        if not scale > 0:
            raise ValueError(f"scale must be above 0, not {scale}")
    return _drawings(DRAWING_KINDS[label], index, seed, scales)


def _drawings(kind: Kind, index: int, seed: int, scales: Sequence[float | None]) -> list[Drawing]:
    """A drawing for each of these sizes, None for the picture's own; their background is drawn once."""

    def streams() -> list[np.random.Generator]:
        return np.random.default_rng([seed, index]).spawn(4)

    placing, _, grounding, _ = streams()
    own_place = _place(kind, placing)
    ink = palette.choose(grounding, kind.night)
    lamp = light.choose(grounding)
    ground = surfaces.ground(ink, grounding, kind.night)
    bits = surfaces.clutter(ink, grounding, kind.clutter)
    if bits is not None:
        ground = light.lay(ground, bits, replace(lamp, depth=1.0, softness=1.0))
    drawings = []
    for scale in scales:
        place = own_place if scale is None else replace(own_place, scale=scale)
        _, painting, _, finishing = streams()
        sheet = Canvas(place)
        kind.paint(sheet, ink, painting)
        image = light.finish(light.lay(ground, sheet, lamp, kind.flat), finishing)
        label = DRAWING_KINDS.index(kind)
        drawings.append(Drawing(image, label, place.scale, place.row, place.column, place.rotation))
    return drawings


def _place(kind: Kind, rng: np.random.Generator) -> Place:
    """A random placement: log-uniform in size, with a centre that keeps the object roughly inside the picture."""
    small, large = np.log(kind.scales)
    scale = float(np.exp(rng.uniform(small, large)))
    room = max(1 - scale, 0) / 2 + 0.03
    row, column = (0.5 + room * rng.uniform(-1, 1, 2)) * DRAWING_SIDE
    rotation = float(rng.uniform(-kind.turn, kind.turn))
    mirrored = bool(rng.random() < 0.5) and kind.mirror
    return Place(float(row), float(column), scale, rotation, mirrored)


def picture_path(index: int) -> Path:
    """The path of the picture with this index in a folder of drawings: `<class name>/<index>.png`."""
    return Path(CLASSES[index % len(CLASSES)]) / f"{index:06d}.png"


def write_pictures(
    folder: str | os.PathLike[str],
    count: int,
    seed: int = ATLAS_SEED,
    progress: Callable[[], object] = lambda: None,
) -> int:
    """Draw pictures 0 … count − 1 as `folder/<class name>/<index>.png`; write their truth to `folder/truth.csv`.

    Existing pictures are left as they are, so that an interrupted call can be repeated; the truth is written for all
    pictures. Each file is written completely or not at all. gallery.draw_pictures does the same in several processes.
    progress: called after each picture.

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
    """Draw the pictures with these indices into the folder; returns their number."""
    for index in indices:
        buffer = io.BytesIO()
        # Of zlib's methods the one that looks for runs alone: there is little else to find in grain, so that it takes a
        # quarter of the time for 7 % more bytes.
        draw(index, seed).image.save(buffer, format="PNG", compress_type=zlib.Z_RLE)
        write_atomically(folder / picture_path(index), buffer.getvalue())
    return len(indices)


def write_truth(folder: Path, count: int, seed: int = ATLAS_SEED) -> None:
    """Write truth.csv for pictures 0 … count − 1: path, class, and the size and position of the object."""
    rows = []
    for index in range(count):
        kind = DRAWING_KINDS[index % len(DRAWING_KINDS)]
        # The placement has a random stream of its own, so the truth is known without drawing the picture.
        place = _place(kind, np.random.default_rng([seed, index]).spawn(1)[0])
        rows.append((picture_path(index).as_posix(), index % len(DRAWING_KINDS), kind.name, *_numbers(place)))
    write_atomically(folder / "truth.csv", csv_bytes(_TRUTH, rows))


def _numbers(place: Place) -> tuple[str, ...]:
    return (f"{place.scale:.5f}", f"{place.row:.3f}", f"{place.column:.3f}", f"{place.rotation:.3f}")
