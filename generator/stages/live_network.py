"""The network as a file that runs in the reader's browser, for the page *Your picture*: written from the same graph as
all numbers of the atlas, with what rounding its weights changes."""

from __future__ import annotations

import contextlib
import io
import math
from dataclasses import asdict, dataclass
from decimal import ROUND_CEILING, Context
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from generator.core.head import Head, HeadKind
from generator.core.rounding import Rounding
from generator.core.store import fingerprint
from generator.engine.device import one_thread_each, use_tf32
from generator.engine.rounds import in_rounds
from generator.engine.scan.moments import channel_maxima
from generator.network.network import Network
from generator.network.onnx_model import NotInOnnx, halved, onnx_bytes
from generator.pictures.batch_reader import PictureBatch
from generator.pictures.reading import evenly_spaced
from generator.stages import keys
from generator.stages.checkpointed_pass import halving
from generator.stages.inputs import Inputs
from generator.stages.picture_reading import read_again, usable_files
from generator.stages.run import Run

CODE = 3  # raise it when a change of this file or of network/onnx_model.py changes a file
FILE = "live/live.json"
# Pictures at most, evenly spaced, on which the rounded weights are compared: the cost is bounded.
CHECKED = 200
EXAMPLES = 12  # pictures of the set that the page offers, evenly spaced, without loss
DIGITS = 3  # of the errors that are stated


@dataclass(frozen=True)
class Check:
    """What the published network says of one picture of those that the page offers, by which a browser can tell whether
    its graphics card computes what it should. picture: its number in images.csv; maxima: of the channels, in the order
    of the model's output; scores: () without outputs."""

    picture: int
    maxima: tuple[float, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True)
class LiveNetwork:
    """The content of live/live.json.

    absent: why the network cannot run in a browser, '' where it can; half: whether the weights are stored in half
    precision; rounding: what that changes, also where it changes too much; layers: names of the layers whose channels
    the model's outputs list, in this order; bytes: size of the model; examples: numbers in images.csv of the pictures
    in live/pictures/; check: of the first of them, None where there are none.
    """

    absent: str = ""
    half: bool = False
    rounding: Rounding | None = None
    layers: tuple[str, ...] = ()
    bytes: int = 0
    examples: tuple[int, ...] = ()
    check: Check | None = None


def is_wanted(inputs: Inputs) -> bool:
    """Whether the profile asks for it."""
    return inputs.profile.site.live


def key(inputs: Inputs) -> str:
    """The whole graph, the preprocessing, the order of the layers, and the pictures."""
    network = inputs.network
    return fingerprint(
        "live network",
        CODE,
        keys.scan(inputs),
        network.graph.digest([len(network.graph) - 1, *network.steps]),
        [layer.name for layer in network.layers],
        None if network.head is None else network.head.kind,
        inputs.profile.site.live,
        inputs.profile.site.publish_patches,
    )


def write_live_network(inputs: Inputs, run: Run) -> None:
    """Write live/network.onnx, the pictures that the page offers, and live/live.json."""
    run.store.drop_folder("live")
    run.store.tables.write_json(FILE, asdict(_live_network(inputs, run)))


def _live_network(inputs: Inputs, run: Run) -> LiveNetwork:
    network = _shown(inputs.network)
    if network.preprocessing.channels not in (1, 3):
        read = network.preprocessing.channels_words
        return LiveNetwork(absent=f"the network reads {read}, and a browser gives red, green and blue")
    try:
        half = onnx_bytes(network, half=True)
    except NotInOnnx as error:
        return LiveNetwork(absent=str(error))
    files = usable_files(inputs, run)
    rounding = _rounding(inputs, run, network, files[evenly_spaced(len(files), CHECKED)])
    keeps = rounding.is_small
    content = half if keeps else onnx_bytes(network, half=False)
    run.store.pictures.write(run.store.pictures.live_path("network.onnx"), content)
    examples: tuple[int, ...] = ()
    check = None
    if inputs.profile.site.publish_patches:
        examples = _write_examples(inputs, run, files)
        check = _check(inputs, run, halved(network) if keeps else network, files, examples[0])
    return LiveNetwork(
        half=keeps,
        rounding=rounding,
        layers=tuple(layer.name for layer in network.layers),
        bytes=len(content),
        examples=examples,
        check=check,
    )


def _shown(network: Network) -> Network:
    """The network with the layers that the page shows: those inside blocks only where there are no others."""
    return network.keep(
        [layer.name for layer in network.layers if not layer.is_inner]
        or [layer.name for layer in network.layers]
    )


def _write_examples(inputs: Inputs, run: Run, files: np.ndarray) -> tuple[int, ...]:
    """Write some pictures as the network sees them, without loss; returns their numbers."""
    numbers = evenly_spaced(len(files), EXAMPLES)
    pixels = [one for batch in read_again(inputs, run, files[numbers]) for one in batch.pixels.numpy()]
    for number, picture in zip(numbers.tolist(), pixels, strict=True):
        encoded = io.BytesIO()
        grey = picture.shape[2] == 1
        Image.fromarray(picture[:, :, 0] if grey else picture).save(
            encoded, "WEBP", lossless=True, quality=80
        )
        run.store.pictures.write(run.store.pictures.live_path(f"pictures/{number}.webp"), encoded.getvalue())
    return tuple(numbers.tolist())


def _check(inputs: Inputs, run: Run, network: Network, files: np.ndarray, picture: int) -> Check:
    use_tf32(False)
    (batch,) = read_again(inputs, run, files[[picture]])
    outputs = _outputs(network.to(run.device, torch.float32), batch.pixels)
    return Check(picture, _numbers(torch.cat(outputs.maxima, 1)), _numbers(outputs.scores))


def _numbers(values: Tensor) -> tuple[float, ...]:
    """As many digits as float32 has."""
    return tuple(float(f"{value:.9g}") for value in values.flatten().tolist())


# -- what rounding the weights changes ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Outputs:
    """Of one batch. scores: (n, K), K = 0 without a classifier; maxima: by layer, (n, C)."""

    scores: Tensor
    maxima: list[Tensor]


def _rounding(inputs: Inputs, run: Run, network: Network, files: np.ndarray) -> Rounding:
    use_tf32(False)
    exact = network.to(run.device, torch.float32)
    rounded = halved(network).to(run.device, torch.float32)
    change = Change()

    def work(batch: PictureBatch) -> Change:
        return halving(run, inputs.forward, partial(change_of, exact, rounded, batch.pixels))

    with contextlib.ExitStack() as opened:
        threads = opened.enter_context(one_thread_each(run.device))
        advance = opened.enter_context(run.reporter.stage("live network", len(files), "pictures"))
        for finished in in_rounds(work, read_again(inputs, run, files, batch=inputs.forward), threads):
            for batch, more in finished:
                change = change.joined(more)
                advance(len(batch.pixels))
    return stated(change, len(files), exact.head)


def stated(change: Change, pictures: int, head: Head | None) -> Rounding:
    """The change as it is stored and stated."""
    overflows = not (math.isfinite(change.scores) and math.isfinite(change.maxima))
    return Rounding(
        pictures,
        None if head is None or head.kind == "none" else change.predictions,
        None if overflows or head is None else _short(change.scores),
        None if overflows else _short(change.maxima),
        overflows,
    )


def _short(error: float) -> float:
    """Rounded up: what is stated is a bound."""
    return float(Context(prec=DIGITS, rounding=ROUND_CEILING).create_decimal_from_float(error))


@dataclass(frozen=True)
class Change:
    """predictions: of how many pictures another; scores, maxima: the largest differences, infinite where a number is
    not finite."""

    predictions: int = 0
    scores: float = 0.0
    maxima: float = 0.0

    def joined(self, other: Change) -> Change:
        """Of the pictures of both."""
        return Change(
            self.predictions + other.predictions,
            max(self.scores, other.scores),
            max(self.maxima, other.maxima),
        )


def change_of(exact: Network, rounded: Network, pixels: Tensor, forward: int) -> Change:
    """How the outputs and the channels' largest values for these pictures differ."""
    change = Change()
    for part in torch.split(pixels, forward):
        one, other = _outputs(exact, part), _outputs(rounded, part)
        kind = None if exact.head is None else exact.head.kind
        predictions = 0 if kind is None else other_predictions(kind, one.scores, other.scores)
        scores = 0.0 if kind is None else _difference(one.scores, other.scores)
        maxima = max(map(_difference, one.maxima, other.maxima))
        change = change.joined(Change(predictions, scores, maxima))
    return change


def other_predictions(kind: HeadKind, one: Tensor, other: Tensor) -> int:
    """Of how many pictures the prediction is another; scores that are not of classes predict nothing."""
    if kind == "none":
        return 0
    if kind == "sigmoid":
        return int(((one > 0) != (other > 0)).any(1).sum())
    return int((one.argmax(1) != other.argmax(1)).sum())


def _difference(one: Tensor, other: Tensor) -> float:
    """The largest difference of a row's numbers, in the row's largest number without its sign; infinite where one of
    the numbers is not finite."""
    largest = one.abs().amax(1).clamp_min(torch.finfo(one.dtype).tiny)
    difference = float(((one - other).abs().amax(1) / largest).max())  # torch's maxima keep a NaN
    return difference if math.isfinite(difference) else math.inf


@torch.no_grad()
def _outputs(network: Network, pixels: Tensor) -> _Outputs:
    last = len(network.graph) - 1
    prepared = network.prepare(pixels.to(network.device, non_blocking=True))
    maxima: dict[int, Tensor] = {}
    scores = torch.empty(len(pixels), 0)
    for step, output in network.graph.visit(prepared, {*network.steps, last}):
        if step in network.steps:
            maxima[step] = channel_maxima(output).cpu()
        if step == last and network.outputs is not None:
            scores = output.flatten(1).clone().cpu()
    return _Outputs(scores, [maxima[step] for step in network.steps])
