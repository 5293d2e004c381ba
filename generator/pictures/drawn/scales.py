"""Drawings of every class at several sizes, all else held fast: where the true size of a thing is known."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from generator.core.processes import in_processes
from generator.pictures.drawn import world
from generator.pictures.drawn.canvas import SIDE
from generator.pictures.drawn.gallery import REMEDY

SCALE_SEED = 3_000_003  # of pictures that neither training nor the atlas has seen
SCALES = tuple(0.2 * 2 ** (step / 2) for step in range(5))  # of the picture's side: two octaves in halves
NOTHING = 0.01  # the same picture with the thing shrunk to a pixel: what its ground alone gives
OCTAVE = 3  # neighbouring sizes that span an octave


def draw_scales(
    drawings: int, workers: int | None = None, progress: Callable[[int], object] = lambda done: None
) -> NDArray[np.uint8]:
    """So many drawings of each class: (classes, drawings, 1 + sizes, 96, 96, 3), the first without the thing, then
    from small to large. The same bytes for any number of workers; progress is called with the pictures drawn since."""
    tasks = [(label, number) for label in range(len(world.CLASSES)) for number in range(drawings)]
    found = np.empty((len(world.CLASSES), drawings, 1 + len(SCALES), SIDE, SIDE, 3), np.uint8)
    processes = workers or os.cpu_count() or 1
    for (label, number), sizes in in_processes(
        _sizes, tasks, processes, doing="draws pictures", remedy=REMEDY
    ):
        found[label, number] = sizes
        progress(1 + len(SCALES))
    return found


def _sizes(task: tuple[int, int]) -> NDArray[np.uint8]:
    label, number = task
    index = number * len(world.CLASSES) + label
    pictures = [world.draw_at_scale(label, scale, index, SCALE_SEED).image for scale in (NOTHING, *SCALES)]
    return np.stack([np.asarray(picture) for picture in pictures])
