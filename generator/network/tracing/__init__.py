"""From a torch module to the graph of its steps, by torch.export.

`trace` takes a module and the size of a picture and returns a Graph; nothing else depends on how a module is read.
exported.py lets torch write the module down as calls of its operations (ATen), reading.py turns each call into a Step:
by the reader of its operation (readers.py), or as a call that torch runs (by_torch.py), for which positions.py knows
where the positions of a map lie in its output. folding.py folds fixed norms into the convolutions before them."""

from __future__ import annotations

from torch import nn

from generator.core.errors import AtlasError
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
    first = next((part.in_channels for part in module.modules() if isinstance(part, nn.Conv2d)), 3)
    # Behind a rearrangement of the pixels the first convolution reads more channels than a picture has.
    candidates = dict.fromkeys((first, 3, 1)) if channels is None else (channels,)
    failures: list[AtlasError] = []
    for channels in candidates:
        try:
            steps, output = steps_of(exported(module, (channels, *size)))
        except AtlasError as error:
            failures.append(error)
        else:
            return folded(Graph(steps, channels).until(output))
    raise failures[0]
