"""The setting shared by all trainings of the experiments."""

from __future__ import annotations

from dataclasses import dataclass

from generator.network.models.study import STUDY_SIDE, STUDY_WIDTH


@dataclass(frozen=True)
class Setting:
    """The setting shared by all trainings of the experiments.

    pictures, held_out: drawings to train on and to test on; side: px to which the drawings are reduced; width: channels
    of the first stage; depths: of the plain and residual networks; rate: learning rate of SGD with momentum, which
    falls linearly to zero; decay: weight decay."""

    pictures: int = 2200
    held_out: int = 880
    side: int = STUDY_SIDE
    width: int = STUDY_WIDTH
    depths: tuple[int, ...] = (8, 32)
    seeds: tuple[int, ...] = (0, 1, 2)
    epochs: int = 12
    batch: int = 55
    rate: float = 0.1
    decay: float = 1e-4


QUICK = Setting(pictures=88, held_out=44, side=12, width=2, depths=(8, 14), seeds=(0,), epochs=2, batch=22)
