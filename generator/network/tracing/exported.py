"""A module as a list of calls of torch's operations, as torch.export writes it down."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TextIO, cast

import torch
from torch import Tensor, fx, nn
from torch.export import Dim, ExportedProgram, export

from generator.core.errors import AtlasError
from generator.network.user_code import exception_words, place_of

# Views of another tensor's memory: what is written into one is written into the other.
VIEWS = (
    "view", "reshape", "permute", "transpose", "slice", "select", "split", "split_with_sizes", "chunk", "unbind",
    "narrow", "squeeze", "unsqueeze", "expand", "expand_as", "flatten", "getitem", "unflatten", "view_as",
    "reshape_as", "t", "movedim", "swapaxes", "diagonal", "unfold",
)  # fmt: skip


@dataclass(frozen=True)
class Exported:
    """A module written down.

    nodes: the calls that the output depends on, in forward order, the input first; constants: tensors by the node that
    stands for them (weights, statistics, fixed tensors); output: the node of the first output; alone: whether the calls
    hold for a batch of one picture only.
    """

    nodes: Sequence[fx.Node]
    constants: dict[fx.Node, Tensor]
    output: fx.Node
    alone: bool


def exported(module: nn.Module, shape: tuple[int, int, int]) -> Exported:
    """A module in eval mode, for pictures (B, *shape); it may lie on the meta device. Raises AtlasError where torch
    cannot write it down."""
    module = module.eval()
    program, alone = _program(module, shape)
    if _writes_into_views(program.graph):
        program = program.run_decompositions({})  # torch writes it down again without operations in place
    constants, pictures = _placeholders(program)
    output = _first_output(program.graph, module)
    needed = _needed(output)
    nodes = [node for node in program.graph.nodes if node in needed or node is pictures]
    return Exported(nodes, constants, output, alone)


def path_of(node: fx.Node) -> str:
    """torchvision's path of the innermost module that a call belongs to, '' for the network itself."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path = str(stack[-1][0]) if stack else ""
    if path.startswith("_empty_nn_module_stack"):
        return ""
    return re.sub(r"@\d+", "", path)  # the second call of a module that is called twice


def name_of(node: fx.Node) -> str:
    """An operation's name without its overload: `mul` of aten.mul.Tensor and of operator.mul."""
    if isinstance(node.target, torch._ops.OpOverload):
        return node.target._schema.name.partition("::")[2]
    return getattr(node.target, "__name__", str(node.target))


def _program(module: nn.Module, shape: tuple[int, int, int]) -> tuple[ExportedProgram, bool]:
    own = next((tensor for tensor in module.parameters() if tensor.is_floating_point()), torch.zeros(0))
    failures: list[Exception] = []
    # First with a batch of any size, which needs an example of two; then for one picture at a time.
    for size in (2, 1):
        example = torch.zeros(size, *shape, device=own.device, dtype=own.dtype)
        dynamic = ({0: Dim.AUTO},) if size > 1 else None
        try:
            with torch.no_grad(), _quiet():
                program = export(module, (example,), dynamic_shapes=dynamic, strict=False)
        except Exception as error:  # of many types, torch's and the module's; to the user all mean this one
            failures.append(error)
            continue
        if size == 1 or _batch_is_free(program):
            return program, size == 1
    raise _unreadable(module, example, failures[-1]) from failures[-1]


def _unreadable(module: nn.Module, example: Tensor, error: Exception) -> AtlasError:
    """What to say of a module that torch.export cannot write down, by its error."""
    where = ", ".join(filter(None, (type(module).__name__, place_of(error))))
    if "data-dependent" in str(error):
        return AtlasError(
            "the network cannot be read: its forward decides by the numbers of the picture, not by its shape, what to "
            "do next",
            where,
            "write it without that decision, for example with torch.where",
        )
    try:
        with torch.no_grad(), _quiet():
            module(example)
        remedy = "write that part with operations of torch that torch.export takes"
    except Exception:  # the module's own
        shape = ", ".join(map(str, example.shape[1:]))
        remedy = (
            f"check that the module takes pictures of shape ({shape}) in eval mode: "
            f"module.eval()(torch.zeros(1, {shape}))"
        )
    return AtlasError(f"the network cannot be read by torch.export ({exception_words(error)})", where, remedy)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's warnings and log lines about what it tries, and without the graph that it prints where it
    fails."""
    was = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(cast("TextIO", _Muted(sys.stderr))):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(was)


class _Muted:
    """A stream that leaves out what the thread that made it writes; the thread that shows the progress goes on."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.thread = stream, threading.get_ident()

    def write(self, text: str) -> int:
        return len(text) if threading.get_ident() == self.thread else self.stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _batch_is_free(program: ExportedProgram) -> bool:
    _, pictures = _placeholders(program)
    return not isinstance(pictures.meta["val"].shape[0], int)


def _placeholders(program: ExportedProgram) -> tuple[dict[fx.Node, Tensor], fx.Node]:
    """The tensors that stand at the graph's inputs, and the input that is the picture."""
    signature = program.graph_signature
    constants: dict[fx.Node, Tensor] = {}
    pictures = None
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    lifted = signature.inputs_to_lifted_tensor_constants
    for node in program.graph.nodes:
        if node.op != "placeholder":
            continue
        if node.name in names:
            name = names[node.name]
            own = program.state_dict if name in program.state_dict else program.constants
            constants[node] = _detached(own[name])
        elif node.name in lifted:
            constants[node] = _detached(program.constants[lifted[node.name]])
        elif pictures is None:
            pictures = node
    assert pictures is not None
    return constants, pictures


def _detached(tensor: Any) -> Tensor:
    value: Tensor = tensor.detach()
    return value


def _first_output(graph: fx.Graph, module: nn.Module) -> fx.Node:
    (returned,) = next(node for node in graph.nodes if node.op == "output").args
    found = [value for value in returned if isinstance(value, fx.Node)]
    if not found:
        raise AtlasError("the network returns no tensor", type(module).__name__)
    return found[0]


def _needed(output: fx.Node) -> set[fx.Node]:
    needed: set[fx.Node] = set()
    waiting = [output]
    while waiting:
        node = waiting.pop()
        if node not in needed:
            needed.add(node)
            waiting += node.all_input_nodes
    return needed


def _writes_into_views(graph: fx.Graph) -> bool:
    """Whether an operation in place changes memory that is also read under another name."""
    base: dict[fx.Node, fx.Node] = {}  # whose memory a node's value lies in
    for node in graph.nodes:
        if node.op != "call_function" or not node.args or not isinstance(node.args[0], fx.Node):
            continue
        name, first = name_of(node), node.args[0]
        if name in VIEWS:
            base[node] = base.get(first, first)
        elif name.endswith("_") and not name.endswith("__"):
            memory = base.get(first, first)
            if first in base or memory in base.values():
                return True
    return False
