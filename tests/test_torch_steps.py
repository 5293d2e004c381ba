"""Graphs with operations of torch among the steps: what one step overwrites, no other may need."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from generator.network.call import BatchSize, Call, Constant, Source
from generator.network.graph import Graph
from generator.network.ops import Step

X, Y = Source(0), Source(1)


def torch_step(inputs: tuple[int, ...], target: str, *arguments) -> Step:
    return Step("torch", inputs, "", call=Call(target, arguments))


def conv(source: int) -> Step:
    weight = torch.randn(8, 8, 1, 1, generator=torch.Generator().manual_seed(source))
    return Step("conv", (source,), "", weight, torch.zeros(8))


def plainly(steps: list[Step], pictures: Tensor) -> list[Tensor]:
    """Every step's output, with nothing overwritten."""
    outputs = [pictures.clone()]
    for step in steps[1:]:
        outputs.append(step.run(*(outputs[i].clone() for i in step.inputs)))
    return outputs


INPUT = Step("input", (), "")
SHAPED = (BatchSize(1), 8, 36)
BACK = (BatchSize(1), 8, 6, 6)
GRAPHS: dict[str, list[Step]] = {
    "a ReLU behind a view, whose source is read later": [
        INPUT,
        conv(0),
        torch_step((1,), "aten.reshape.default", X, BACK),
        Step("relu", (2,), ""),
        Step("add", (3, 1), ""),
    ],
    "a ReLU of a map of which a view is read later": [
        INPUT,
        conv(0),
        torch_step((1,), "aten.slice.Tensor", X, 1, 0, 8),
        Step("relu", (1,), ""),
        Step("add", (3, 2), ""),
    ],
    "a ReLU of the pictures' view": [
        INPUT,
        torch_step((0,), "aten.reshape.default", X, SHAPED),
        Step("relu", (1,), ""),
    ],
    "a convolution added to a view, whose source is read later": [
        INPUT,
        conv(0),
        torch_step((1,), "aten.slice.Tensor", X, 1, 0, 8),
        conv(1),
        Step("add", (3, 2), ""),
        Step("relu", (4,), ""),
        Step("add", (5, 1), ""),
    ],
    "a convolution added to a map of which a view is read later": [
        INPUT,
        conv(0),
        torch_step((1,), "aten.slice.Tensor", X, 1, 0, 8),
        conv(0),
        Step("add", (3, 1), ""),
        Step("relu", (4,), ""),
        Step("add", (5, 2), ""),
    ],
    "a convolution added to a view of the pictures": [
        INPUT,
        torch_step((0,), "aten.slice.Tensor", X, 1, 0, 8),
        conv(0),
        Step("add", (2, 1), ""),
        Step("relu", (3,), ""),
    ],
    "a ReLU of a flattened map that is read later": [
        INPUT,
        conv(0),
        Step("flatten", (1,), ""),
        Step("relu", (2,), ""),
        Step("flatten", (1,), ""),
        Step("add", (3, 4), ""),
    ],
    "a product as a branch, and a gate laid out otherwise": [
        INPUT,
        conv(0),
        torch_step((1,), "aten.sigmoid.default", X),
        torch_step((1,), "aten.permute.default", X, (0, 2, 3, 1)),
        torch_step((3,), "aten.permute.default", X, (0, 3, 1, 2)),
        torch_step((4,), "aten.clone.default", X),
        torch_step((2, 5), "aten.mul.Tensor", X, Y),
        conv(6),
        Step("add", (7, 0), ""),
        Step("relu", (8,), ""),
    ],
    "channels shuffled between convolutions": [
        INPUT,
        conv(0),
        torch_step((1,), "aten.reshape.default", X, (BatchSize(1), 2, 4, 6, 6)),
        torch_step((2,), "aten.transpose.int", X, 1, 2),
        torch_step((3,), "aten.reshape.default", X, BACK),
        conv(4),
        Step("add", (5, 1), ""),
        Step("relu", (6,), ""),
        conv(7),
        Step("relu", (8,), "", limit=0.5),
    ],
}


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format], ids=["last", "first"])
@pytest.mark.parametrize("name", GRAPHS)
def test_no_step_overwrites_what_another_needs(name: str, layout: torch.memory_format) -> None:
    steps = GRAPHS[name]
    graph = Graph(tuple(steps)).to("cpu", torch.float32)
    pictures = torch.randn(3, 8, 6, 6, generator=torch.Generator().manual_seed(9))
    pictures = pictures.contiguous(memory_format=layout)
    expected, given = plainly(steps, pictures), pictures.clone()
    for index, output in graph.run(pictures):
        torch.testing.assert_close(output, expected[index], rtol=1e-5, atol=1e-5)
    for wanted in ({len(steps) - 1}, {1, len(steps) - 1}, set(range(len(steps)))):
        for index, output in graph.visit(pictures, wanted):
            torch.testing.assert_close(output, expected[index], rtol=1e-5, atol=1e-5)
    assert torch.equal(pictures, given)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_constants_move_with_the_graph(dtype: torch.dtype) -> None:
    scaled = Call("aten.mul.Tensor", (X, Source(0)), tensors=(torch.ones(8, 1, 1),))
    steps = (INPUT, conv(0), Step("torch", (1,), "", call=scaled))
    graph = Graph(steps).to("cpu", dtype)
    (_, output), *_ = graph.visit(torch.ones(1, 8, 2, 2, dtype=dtype), {2})
    assert output.dtype == dtype
    assert graph.steps[2].call is not None and graph.steps[2].call.tensors[0].dtype == dtype
    chosen = Call("aten.index_select.default", (X, 1, Constant(0)), tensors=(torch.tensor([3, 1]),))
    wide = Call("aten.to.dtype", (X, torch.float32))
    graph = Graph((INPUT, Step("torch", (0,), "", call=chosen), Step("torch", (1,), "", call=wide)))
    (_, output), *_ = graph.to("cpu", dtype).visit(torch.arange(8, dtype=dtype).view(1, 8, 1, 1), {2})
    assert output.dtype == dtype and output.flatten().tolist() == [3, 1]
