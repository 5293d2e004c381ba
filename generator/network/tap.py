"""Where a network is read, and the names of a residual network's blocks."""

from __future__ import annotations

from dataclasses import dataclass

from generator.core.records import LayerKind


@dataclass(frozen=True)
class Tap:
    """A layer to be read: the Caffe name for a module path. A convolution is read after its BatchNorm and ReLU, a block
    after its last operation; step: where, if the graph's step is known (network/layers.py)."""

    name: str
    path: str
    kind: LayerKind
    block: str
    stage: int
    step: int | None = None


def block_names(stage: int, count: int, numbered: bool) -> list[str]:
    """Caffe's names of a stage's blocks."""
    if numbered:
        return [f"res{stage}a", *(f"res{stage}b{number}" for number in range(1, count))]
    assert count <= 26, "more blocks than letters: number them"
    return [f"res{stage}{chr(ord('a') + number)}" for number in range(count)]
