"""A network as the atlas uses it: its graph, its preprocessing, and its layers in forward order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from generator.core.errors import AtlasError
from generator.core.head import Head, HeadKind, head_of
from generator.core.records import LayerInfo, Preprocessing, ReceptiveField, Size, WeightsInfo, find_layer
from generator.network.channels import of_channels
from generator.network.graph import Graph, maps_layout
from generator.network.layers import find_layers, require_maps, step_of, with_names
from generator.network.receptive_field import receptive_fields
from generator.network.residual import Magnitudes, branch_magnitudes
from generator.network.tap import Tap
from generator.network.tracing import trace


@dataclass(frozen=True)
class Network:
    """A traced network.

    graph: folded in float64, on the CPU until `to`; layers: in forward order; steps: the graph step of each layer;
    classes: names of the classifier's outputs, () if unknown; for a single output also the names of both classes, its
    own second; given_head: how the outputs are read, None if not stated; parameters: count of the whole module as
    built; kernels: the first convolution's weight before the fold, (C, channels, k, k), None if it does not read the
    pictures themselves; magnitudes: by the name of a residual block, of the weights at the end of its branch, before
    the fold; module: what was traced, on the CPU; taps: all its layers, also those behind the end of the weights, with
    their steps in the whole graph; last: path of the last block that the weights reach, None for the whole network.
    """

    model: str
    graph: Graph
    layers: tuple[LayerInfo, ...]
    steps: tuple[int, ...]
    preprocessing: Preprocessing
    weights: WeightsInfo
    classes: tuple[str, ...] = ()
    parameters: int = 0
    kernels: Tensor | None = None
    magnitudes: Mapping[str, Magnitudes] = field(default_factory=dict)
    given_head: HeadKind | None = None
    module: nn.Module = field(default_factory=nn.Identity, repr=False)
    taps: tuple[Tap, ...] = ()
    last: str | None = None
    _of_sizes: dict[tuple[Size, torch.device, torch.dtype], Graph] = field(
        default_factory=dict, repr=False, compare=False
    )

    @classmethod
    def from_module(
        cls,
        model: str,
        module: nn.Module,
        taps: Sequence[Tap] | None,
        preprocessing: Preprocessing,
        weights: WeightsInfo,
        *,
        classes: tuple[str, ...] = (),
        last: str | None = None,
        names: Mapping[str, str] | None = None,
    ) -> Network:
        """Trace a module and find its taps.

        taps: None where they are found in the graph (layers.py); last: path of the last usable block; everything behind
        it is left out; names: further names of layers, and the paths of their modules. Raises AtlasError where the
        module cannot be traced, a tap does not exist, or a tap lies behind the global pooling.
        """
        graph, ending = _scores(module, preprocessing.size)
        fitted = of_channels(preprocessing, graph.channels)
        # Of random weights nobody asks what they were trained with.
        preprocessing = replace(fitted, source=preprocessing.source) if weights.random else fitted
        if taps is None:
            require_maps(graph)  # before the shapes, which torch may not know for other networks
            taps = find_layers(graph, graph.shapes(preprocessing.size), module)
        taps = with_names(tuple(replace(tap, step=step_of(graph, tap)) for tap in taps), names or {}, graph)
        number = {index: index for index in range(len(graph))}
        if last is not None:
            kept = graph.leading_to([graph.end_of(last)])
            number = {old: new for new, old in enumerate(kept)}
            graph = graph.keep(kept)
        shapes = graph.shapes(preprocessing.size)
        fields = receptive_fields(graph)
        pairs: list[tuple[int, LayerInfo]] = []
        for tap in taps:
            assert tap.step is not None
            if tap.step not in number:
                continue  # behind the cut
            step = number[tap.step]
            channels, height, width = shapes[step]
            seen = fields[step] or _whole_picture((height, width), preprocessing.size)
            if seen is None:
                raise AtlasError(
                    "the layer lies behind the global pooling, where units have no position",
                    tap.name,
                    "name layers before it",
                )
            rectified = _is_rectified(graph, step)
            layer = LayerInfo(
                tap.name, tap.path, tap.kind, tap.block, tap.stage, channels, height, width, rectified, seen,
                graph.without_windows(step),
            )  # fmt: skip
            pairs.append((step, layer))
        pairs.sort(key=lambda pair: pair[0])
        return cls(
            model,
            graph,
            tuple(layer for _, layer in pairs),
            tuple(step for step, _ in pairs),
            preprocessing,
            weights,
            classes if last is None else (),
            sum(parameter.numel() for parameter in module.parameters()),
            _first_kernels(graph),
            _magnitudes(graph, module, pairs),
            module=module,
            taps=taps,
            last=last,
            given_head=ending,
        )

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._first_weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights, and so of all that is computed."""
        return self._first_weight.dtype

    @property
    def _first_weight(self) -> Tensor:
        tensors = (tensor for step in self.graph.steps for tensor in step.tensors)
        return next(tensor for tensor in tensors if tensor.is_floating_point())

    def layer(self, name: str) -> LayerInfo:
        """The layer with this Caffe name or torchvision path; raises AtlasError where there is none."""
        return find_layer(self.layers, name)

    def step(self, layer: str) -> int:
        """The graph step whose output is this layer's activation map."""
        return self.steps[self.layers.index(self.layer(layer))]

    @property
    def outputs(self) -> int | None:
        """How many outputs the classifier has; None where the steps end before it."""
        if self.graph.before_classifier() is None:
            return None
        return next(len(step.weight) for step in reversed(self.graph.steps) if step.weight is not None)

    @property
    def without_outputs(self) -> str:
        """Why there is no classifier, where there is none."""
        if self.last is not None:
            return "the weights end before the classifier"
        return "the network ends in no classifier: in no linear layer, and no 1 × 1 convolution of globally pooled maps"

    @property
    def head(self) -> Head | None:
        """How the outputs are read; None where the steps end before the classifier."""
        return None if self.outputs is None else head_of(self.outputs, self.given_head)

    @property
    def last_vector(self) -> tuple[int, int] | None:
        """The step whose output is the vector that the classifier reads, and the vector's length; None where the
        weights end before the classifier, or where a convolution lies between the last of these layers and it."""
        vector = self.graph.before_classifier()
        if vector is None:
            return None
        between = self.graph.steps[self.steps[-1] + 1 : vector[0] + 1]
        return None if any(step.op == "conv" for step in between) else vector

    def keep(self, names: Sequence[str]) -> Network:
        """The same network with these layers alone; the graph stays whole, so the classifier can still be read.

        Raises AtlasError for an unknown layer, and for no layers.
        """
        wanted = {self.layer(name).name for name in names}
        pairs = [
            (step, layer) for step, layer in zip(self.steps, self.layers, strict=True) if layer.name in wanted
        ]
        if not pairs:
            raise AtlasError("no layer is left", remedy="name at least one layer")
        return replace(
            self, layers=tuple(layer for _, layer in pairs), steps=tuple(step for step, _ in pairs)
        )

    def with_preprocessing(self, preprocessing: Preprocessing) -> Network:
        """The same network, for pictures that are prepared in another way. For pictures of another size the module is
        read again: its operations may depend on sizes."""
        if preprocessing.size == self.preprocessing.size:
            return replace(self, preprocessing=preprocessing)
        other = Network.from_module(
            self.model,
            self.module,
            self.taps,
            preprocessing,
            self.weights,
            classes=self.classes,
            last=self.last,
        ).keep([layer.name for layer in self.layers])
        return replace(other.to(self.device, self.dtype), given_head=self.given_head)

    def graph_of(self, size: Size, last: int) -> Graph:
        """The graph for pictures of another height and width, with the same steps, up to step `last` at least. Where
        something reads whole maps, the module is read again: operations of torch may depend on sizes.

        Raises AtlasError where the module cannot be read for this size, or has other steps then.
        """
        alike = size == self.preprocessing.size or self.graph.is_local(last)
        if alike or all(step.call is None for step in self.graph.steps[: last + 1]):
            return self.graph
        key = size, self.device, self.dtype
        if key not in self._of_sizes:
            graph, _ = _scores(self.module, size)
            if self.last is not None:
                graph = graph.until(graph.end_of(self.last))
            if [(s.op, s.inputs) for s in graph.steps] != [(s.op, s.inputs) for s in self.graph.steps]:
                raise AtlasError(
                    f"for inputs of {size[0]} × {size[1]} px the network has other operations",
                    remedy=f"choose {self.preprocessing.size[0]} × {self.preprocessing.size[1]} px",
                )
            self._of_sizes[key] = graph.to(self.device, self.dtype)
        return self._of_sizes[key]

    def prepare(self, pictures: Tensor) -> Tensor:
        """Decoded pictures (B, H, W, channels) uint8 → the network's input (B, channels, H, W) in its dtype, laid out
        as graph.maps_layout says."""
        p = self.preprocessing
        mean = torch.tensor(p.mean, device=self.device, dtype=self.dtype)
        std = torch.tensor(p.std, device=self.device, dtype=self.dtype)
        x = pictures.to(self.device, non_blocking=True).to(self.dtype) * (p.value_range / 255)
        layout = maps_layout(self.device, self.dtype)
        x = ((x - mean) / std).permute(0, 3, 1, 2).contiguous(memory_format=layout)
        if layout == torch.channels_last and x.shape[1] == 1:
            # One channel lies alike in both layouts; convolutions tell them apart by the stride along the channels.
            x = x.as_strided(x.shape, (x.stride(0), 1, x.stride(2), x.stride(3)))
        return x

    def to(self, device: torch.device | str, dtype: torch.dtype = torch.float32) -> Network:
        """The same network with its weights on a device."""
        return replace(self, graph=self.graph.to(device, dtype))


def _magnitudes(
    graph: Graph, module: nn.Module, layers: Sequence[tuple[int, LayerInfo]]
) -> dict[str, Magnitudes]:
    blocks = {
        layer.name: branch_magnitudes(graph, module, step) for step, layer in layers if layer.kind == "block"
    }
    return {name: magnitudes for name, magnitudes in blocks.items() if magnitudes is not None}


def _first_kernels(graph: Graph) -> Tensor | None:
    step = next((step for step in graph.steps if step.op == "conv"), None)
    weight = None if step is None else step.weight if step.raw is None else step.raw
    return None if weight is None or weight.shape[1] != graph.channels else weight.clone()


_ENDINGS: Mapping[str, HeadKind] = {"softmax": "softmax", "log_softmax": "softmax", "sigmoid": "sigmoid"}


def _scores(module: nn.Module, size: Size) -> tuple[Graph, HeadKind | None]:
    """A module's graph up to its scores, without the softmax or sigmoid at its end, and which that was: the atlas makes
    probabilities itself (core/head.py)."""
    graph = trace(module, size)
    step = graph.steps[-1]
    kind = None if step.call is None else _ENDINGS.get(step.call.name)
    return (graph, None) if kind is None else (graph.until(len(graph) - 2), kind)


def _whole_picture(positions: Size, size: Size) -> ReceptiveField | None:
    """The field of the units of a map of which only the size tells where they lie: each sees the whole picture. None
    for a map of one position."""
    if max(positions) == 1:
        return None
    stride = max(1, round(max(size) / max(positions)))
    return ReceptiveField(2 * max(size) + 1, stride, (stride - 1) / 2)


def _is_rectified(graph: Graph, index: int) -> bool:
    """Whether no value of the step can be negative because a ReLU (or a pooling of one) made it."""
    step = graph.steps[index]
    if step.op == "relu":
        return True
    return step.op in ("max_pool", "avg_pool") and _is_rectified(graph, step.inputs[0])
