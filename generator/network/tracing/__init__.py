"""From a torch module to the graph of its steps, by torch.export.

`trace` takes a module and the size of a picture and returns a Graph; nothing else depends on how a module is read.
exported.py lets torch write the module down as calls of its operations (ATen), reading.py turns each call into a Step,
positions.py knows where the positions of a map lie in the output of an operation that has no class of its own, and
folding.py folds fixed norms into the convolutions before them."""

from __future__ import annotations

from torch import nn

from generator.core.records import Size
from generator.network.graph import Graph
from generator.network.tracing.exported import exported
from generator.network.tracing.folding import folded
from generator.network.tracing.reading import steps_of

__all__ = ["trace"]

PICTURE = (224, 224)


def trace(module: nn.Module, size: Size = PICTURE, channels: int | None = None) -> Graph:
    """The steps of a module in eval mode, up to its output, BatchNorms folded.

    size: height and width of a picture in px; operations that depend on sizes are those of this size. channels: of a
    picture; left out, as many as the module's first convolution reads. Of several outputs the first counts. Raises
    AtlasError where torch cannot write the module down, or where a norm has no fixed statistics.
    """
    if channels is None:
        channels = next((part.in_channels for part in module.modules() if isinstance(part, nn.Conv2d)), 3)
    steps, output = steps_of(exported(module, (channels, *size)))
    return folded(Graph(steps, channels).until(output))
