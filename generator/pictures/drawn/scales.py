"""Drawings of each class at several sizes with everything else fixed, so that the size of the object is known."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from generator.core.processes import in_processes
from generator.pictures.drawn import world
from generator.pictures.drawn.canvas import DRAWING_SIDE
from generator.pictures.drawn.gallery import DRAWING_REMEDY

SCALE_SEED = 3_000_003  # of pictures that are neither in training nor in the atlas
# Fractions of the picture's side: two octaves in half-octave steps.
SCALES = tuple(0.2 * 2 ** (step / 2) for step in range(5))
BACKGROUND_SCALE = 0.01  # the object shrunk to a pixel: the response to the background alone
OCTAVE = 3  # number of neighbouring sizes that span an octave


def draw_scales(
    drawings: int, workers: int | None = None, progress: Callable[[int], object] = lambda done: None
) -> NDArray[np.uint8]:
    """Drawings of each class at all sizes, (classes, drawings, 1 + sizes, 96, 96, 3) uint8: first the background alone,
    then from small to large.

    drawings: per class; workers: processes, by default one per core, without influence on the result; progress: called
    with the number of pictures drawn since the last call. Raises AtlasError if a process is killed."""
    tasks = [(label, number) for label in range(len(world.CLASSES)) for number in range(drawings)]
    pictures = np.empty(
        (len(world.CLASSES), drawings, 1 + len(SCALES), DRAWING_SIDE, DRAWING_SIDE, 3), np.uint8
    )
    processes = workers or os.cpu_count() or 1
    for (label, number), sizes in in_processes(
        _sizes, tasks, processes, doing="draws pictures", remedy=DRAWING_REMEDY
    ):
        pictures[label, number] = sizes
        progress(1 + len(SCALES))
    return pictures


def _sizes(task: tuple[int, int]) -> NDArray[np.uint8]:
    label, number = task
    index = number * len(world.CLASSES) + label
    drawings = world.draw_at_scales(label, (BACKGROUND_SCALE, *SCALES), index, SCALE_SEED)
    return np.stack([np.asarray(drawing.image) for drawing in drawings])
