"""The description of a class of drawings: its name, its family and how its objects are placed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from generator.pictures.drawn.canvas import Canvas
from generator.pictures.drawn.palette import Palette

Painter = Callable[[Canvas, Palette, np.random.Generator], None]


@dataclass(frozen=True)
class Kind:
    """A class of drawings. paint: fills the canvas's box −1 … 1 with colours of the palette, and takes its random
    choices from the generator."""

    name: str
    family: str
    paint: Painter
    turn: float = 12.0  # degrees, the largest rotation in either direction
    scales: tuple[float, float] = (
        0.42,
        0.95,
    )  # smallest and largest size, as fractions of the picture's side
    mirror: bool = True  # whether the mirror image belongs to the same class
    clutter: int = 9  # the largest number of small shapes of no class around the object
    night: bool = False  # drawn on a dark background
    flat: bool = False  # without raised edges and cast shadow, for lights and scenery
