"""The networks that experiments train: frozen dataclasses, whose fields are part of the key of a stored result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from torch import nn

from generator.experiments.setting import Setting
from generator.network.models import study
from generator.network.models.study.paths import STAGES, equal_width
from generator.network.models.study.stacks import LAYERS
from generator.pictures.drawn.world import CLASSES


class Training(Protocol):
    """A network to train. kind: of the networks in `study`; depth: layers with weights on the longest path."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def kind(self) -> str: ...
    @property
    def depth(self) -> int: ...
    @property
    def seed(self) -> int: ...


def network_of(run: Training, setting: Setting) -> nn.Module:
    """The network of a run, before its weights are initialised."""
    return study.network(run.kind, run.depth, setting.width, setting.side, len(CLASSES))


@dataclass(frozen=True)
class Run:
    """A plain or a residual network (option A). depth: 6 n + 2."""

    residual: bool
    depth: int
    seed: int

    @property
    def kind(self) -> str:
        return "residual" if self.residual else "plain"


def plain_and_residual(setting: Setting) -> list[Run]:
    """Both kinds at every depth of the setting."""
    return [
        Run(residual, depth, seed)
        for seed in setting.seeds
        for depth in setting.depths
        for residual in (False, True)
    ]


@dataclass(frozen=True)
class DesignRun:
    """A residual network whose blocks differ. depth: 6 n + 2."""

    design: str
    depth: int
    seed: int

    @property
    def kind(self) -> str:
        return self.design


@dataclass(frozen=True)
class PathRun:
    """A network of grouped bottlenecks. blocks: per stage; cardinality: paths per block; factor: relative cost of a
    block."""

    blocks: int
    cardinality: int
    factor: int
    seed: int

    @property
    def kind(self) -> str:
        return f"paths{self.cardinality}-cost{self.factor}"

    @property
    def depth(self) -> int:
        return 3 * STAGES * self.blocks + 2

    def widths(self, setting: Setting) -> list[int]:
        """The width of a path in each stage."""
        return [
            equal_width(8 * setting.width * 2**stage, self.cardinality, self.factor)
            for stage in range(STAGES)
        ]


@dataclass(frozen=True)
class StackRun:
    """The network modelled on AlexNet, without residual blocks."""

    seed: int

    kind = "stack"
    depth = len(LAYERS) + 2


@dataclass(frozen=True)
class BareRun:
    """The network of StackRun without the norm of its hidden layer, to show what the norm is for."""

    seed: int

    kind = "stack without hidden norm"
    depth = StackRun.depth


@dataclass(frozen=True)
class ResumedRun:
    """Training of `before` resumed, with new blocks or without. epochs: number of them; rate: from which the learning
    rate falls to zero again."""

    before: StackRun
    blocks: bool
    epochs: int
    rate: float

    depth = StackRun.depth

    @property
    def seed(self) -> int:
        return self.before.seed

    @property
    def kind(self) -> str:
        return "stack resumed with blocks" if self.blocks else "stack resumed"
