"""An explanation of the network's output for one picture: class saliency (arXiv:1312.6034), guided backpropagation of
the class (arXiv:1412.6806), and the channels of the last block that contribute most."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from generator.core.errors import AtlasError
from generator.core.head import Head
from generator.core.records import LayerInfo
from generator.core.sprites import as_colours, gradient_pixels, saliency_pixels
from generator.engine.ascent.windowed_forward import WindowedForward
from generator.engine.relu_rules import ReluRule
from generator.network.network import Network
from generator.pictures.decoding import PictureError, read_picture

CHANNELS = 10  # shown of those that contribute most
PREDICTIONS = 5  # shown


@dataclass(frozen=True)
class Contribution:
    """A channel of the last block. share: Σ over the map of gradient × activation, in units of the class score: how
    much the score would change to first order without the channel; strongest: its largest activation."""

    channel: int
    share: float
    strongest: float


@dataclass(frozen=True)
class Explanation:
    """pixels: (H, W, 3) uint8, what the network saw, as colours; saliency: (H, W) uint8, white where the class's
    gradient is largest; guided: (H, W, 3) uint8, zero is mid-grey; head: how the outputs are read; predictions:
    (output, name, probability; or score, where the head gives none), largest first; chosen: the output explained, with
    its name; score: of that output before any softmax or sigmoid; contributions: the largest first; layer: where they
    lie."""

    pixels: np.ndarray
    saliency: np.ndarray
    guided: np.ndarray
    head: Head
    predictions: tuple[tuple[int, str, float], ...]
    chosen: tuple[int, str]
    score: float
    layer: LayerInfo
    contributions: tuple[Contribution, ...]

    @property
    def answer(self) -> str:
        """The network's prediction in a few words."""
        if self.head.is_multi_label:
            likely = [f"{name}, {value:.1%}" for _, name, value in self.predictions if value > 0.5]
            none = f"no class above 50 %; the most probable is {self.predictions[0][1]}, {self.predictions[0][2]:.1%}"
            return "; ".join(likely) or none
        _, name, value = self.predictions[0]
        if self.head.is_binary:
            return f"p({name}) = {value:.1%}"
        return f"{name}, {value:.4g}" if self.head.kind == "none" else f"{name}, {value:.1%}"


def explain(network: Network, picture: Path, chosen: str | None = None) -> Explanation:
    """Explain the output with the largest score, or the chosen one (its name, the beginning of its name, or its
    number).

    network: on its device and in its dtype. Raises AtlasError for a network without a classifier, for a class that it
    does not know, and for a file that is no picture.
    """
    try:
        pixels = read_picture(picture, network.preprocessing).pixels
    except PictureError as error:
        raise AtlasError(f"the picture cannot be used: {error}", picture) from error
    top = len(network.graph) - 1
    if network.outputs is None:
        raise AtlasError(
            f"no score to explain: {network.without_outputs}",
            network.model,
            "choose a network with a classifier, and weights that hold it",
        )
    blocks = [layer for layer in network.layers if layer.kind in ("block", "layer")]
    last = (blocks or list(network.layers))[-1]
    x = network.prepare(torch.from_numpy(pixels)[None])
    forward = WindowedForward(network.graph, top, network.preprocessing.size)
    with torch.no_grad():
        scores = forward(x)[0].flatten()  # of a last convolution (classes, 1, 1)
    head = network.head
    assert head is not None
    number = int(scores.argmax()) if chosen is None else _class(chosen, network.classes, head)
    gradient, activation, inner = class_gradients(forward, x, number, "plain", network.step(last.name))
    assert activation is not None
    assert inner is not None
    guided, _, _ = class_gradients(forward, x, number, "guided")
    share = (inner * activation)[0].sum((1, 2))
    strongest = activation[0].amax((1, 2))
    best = share.argsort(descending=True, stable=True)[:CHANNELS].tolist()
    readings = head.readings(scores.double().numpy())
    order = np.argsort(-readings, kind="stable")[:PREDICTIONS].tolist()
    return Explanation(
        as_colours(pixels),
        saliency_pixels(gradient[0].abs().amax(0).float().cpu().numpy()),
        gradient_pixels(guided[0].permute(1, 2, 0).float().cpu().numpy()),
        head,
        tuple((i, head.name(network.classes, i), float(readings[i])) for i in order),
        (number, head.name(network.classes, number)),
        float(scores[number]),
        last,
        tuple(Contribution(c, float(share[c]), float(strongest[c])) for c in best),
    )


def class_gradients(
    forward: WindowedForward, x: Tensor, number: int, rule: ReluRule, step: int | None = None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """The gradient of a class's score, before the softmax, at the network's input, (1, C, H, W); with a step, also its
    map and the gradient there, (1, C, h, w) each."""
    x = x.detach().requires_grad_(True)
    watched = {} if step is None else {step: x}
    score = forward(x, rule, watched)[0].flatten()[number]
    if step is None:
        return torch.autograd.grad(score, x)[0], None, None
    at_input, inside = torch.autograd.grad(score, (x, watched[step]))
    return at_input, watched[step].detach(), inside


def _class(chosen: str, classes: tuple[str, ...], head: Head) -> int:
    count = head.outputs
    if chosen.isdecimal() and int(chosen) < count:
        return int(chosen)
    if count == 1 and len(classes) == 2:
        if chosen.casefold() in (classes[1].casefold(), "1"):
            return 0
        if chosen.casefold() == classes[0].casefold():
            raise AtlasError(
                f"the network's one output stands for {classes[1]!r}",
                chosen,
                "leave --class out to explain that",
            )
    names = [name.casefold() for name in classes]
    wanted = chosen.casefold()
    if wanted in names:
        return names.index(wanted)
    begun = [number for number, name in enumerate(names) if name.startswith(wanted)]
    if len(begun) == 1:
        return begun[0]
    several = "several classes begin like this" if begun else "the network knows no such class"
    numbers = f"its number, 0 to {count - 1}" if count > 1 else "leave --class out: there is one output"
    raise AtlasError(several, chosen, f"give a class's whole name, or {numbers}")
