"""The setting shared by all trainings of an experiment."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi

from generator.network.models.study import STUDY_SIDE, STUDY_WIDTH
from generator.pictures.drawn.world import CLASSES

DEPTHS = (8, 20, 32, 56)  # of the plain and residual networks
SEEDS = tuple(range(10))


@dataclass(frozen=True)
class Setting:
    """The setting shared by all trainings of an experiment.

    pictures, held_out: drawings to train on and to test on; every: the drawn world's classes of which one is used, 4:
    every fourth class; side: px to which the drawings are reduced; width: channels of the first stage; depths: of the
    plain and residual networks; rate: learning rate of SGD with momentum, which rises over `warm` epochs and then falls
    to zero along half a cosine over all epochs; decay: weight decay; shift: px by which a drawing is padded on each
    side before a crop of its own size is taken at random, and half of the drawings are mirrored (0: neither); tested:
    epochs between two tests on the held-out drawings."""

    pictures: int = 1100
    held_out: int = 550
    every: int = 4
    side: int = STUDY_SIDE
    width: int = STUDY_WIDTH
    depths: tuple[int, ...] = DEPTHS
    seeds: tuple[int, ...] = SEEDS
    epochs: int = 48
    batch: int = 32
    rate: float = 0.05
    warm: float = 4
    decay: float = 1e-4
    shift: int = 2
    tested: int = 5

    @property
    def classes(self) -> int:
        """How many of the drawn world's classes there are."""
        return len(range(0, len(CLASSES), self.every))

    def share(self, epoch: float) -> float:
        """The learning rate at a time in epochs from the start, as a fraction of `rate`."""
        return min(1.0, epoch / self.warm) * (0.5 + 0.5 * cos(pi * epoch / self.epochs))

    def is_tested(self, epoch: int) -> bool:
        """Whether the network is tested after this epoch, counted from 1."""
        return epoch % self.tested == 0 or epoch == self.epochs


QUICK = Setting(
    pictures=88,
    held_out=44,
    every=1,
    side=12,
    width=2,
    depths=(8, 14),
    seeds=(0,),
    epochs=2,
    batch=22,
    warm=0.5,
    shift=1,
    tested=1,
)
