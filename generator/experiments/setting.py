"""What the experiments' trainings have in common."""

from __future__ import annotations

from dataclasses import dataclass

from generator.network.models.study import STUDY_SIDE, STUDY_WIDTH


@dataclass(frozen=True)
class Setting:
    """What all trainings of the experiments have in common. side: px to which the drawings are reduced; width:
    channels of the first stage; rate: of SGD with momentum 0.9, falling in a straight line to zero; decay: of
    weights."""

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
