"""What a class of drawings is: its name, its family and how its objects stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from generator.pictures.drawn.canvas import Canvas
from generator.pictures.drawn.palette import Palette

Painter = Callable[[Canvas, Palette, np.random.Generator], None]


@dataclass(frozen=True)
class Kind:
    """One class. The painter fills the canvas's box −1 … 1 from the palette; choices are the generator's."""

    name: str
    family: str
    paint: Painter
    turn: float = 12.0  # degrees, the object is rotated by up to this much to either side
    scales: tuple[float, float] = (0.42, 0.95)  # smallest and largest size, share of the picture's side
    mirror: bool = True  # whether its mirror image is of the same class
    clutter: int = 9  # at most that many bits that belong to no class lie about
    night: bool = False  # drawn on a dark ground
    flat: bool = False  # no raised edge and no cast shadow: light, or part of the scenery
