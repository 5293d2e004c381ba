"""Why the network says what it says of one picture: class saliency, guided backpropagation of the class, and the
channels of the last block that contribute most."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from generator.cone_walk import ConeWalk, ReluRule
from generator.decoding import PictureError, read_picture
from generator.errors import AtlasError
from generator.network import Network
from generator.records import LayerInfo
from generator.sprites import gradient_pixels, saliency_pixels

CHANNELS = 10  # shown of those that contribute most


@dataclass(frozen=True)
class Contribution:
    """A channel of the last block. share: Σ over the map of gradient × activation, in units of the class score: how
    much the score would change to first order without the channel; strongest: its largest activation."""

    channel: int
    share: float
    strongest: float


@dataclass(frozen=True)
class Explanation:
    """pixels: (H, W, 3) uint8, what the network saw; saliency: (H, W) uint8, white where the class's gradient is
    largest; guided: (H, W, 3) uint8, zero is mid-grey; predictions: (class, name, probability), most probable first;
    chosen: the class explained, with its name; score: of that class before the softmax; contributions: the largest
    first; layer: where they lie."""

    pixels: np.ndarray
    saliency: np.ndarray
    guided: np.ndarray
    predictions: tuple[tuple[int, str, float], ...]
    chosen: tuple[int, str]
    score: float
    layer: LayerInfo
    contributions: tuple[Contribution, ...]


def explain(network: Network, picture: Path, chosen: str | None = None) -> Explanation:
    """Explain the most probable class, or the chosen one (its name, the beginning of its name, or its number).

    Raises AtlasError for a network without a classifier, a class that it does not know, a file that is no picture.
    """
    try:
        pixels = read_picture(picture, network.preprocessing).pixels
    except PictureError as error:
        raise AtlasError(f"the picture cannot be used: {error}", picture) from error
    top = len(network.graph) - 1
    if network.graph.steps[top].op != "linear":
        raise AtlasError(
            "the network has no classifier", network.model, "bring weights that hold the last layer"
        )
    blocks = [layer for layer in network.layers if layer.kind in ("block", "layer")]
    last = (blocks or list(network.layers))[-1]
    x = network.prepare(torch.from_numpy(pixels)[None])
    walk = ConeWalk(network.graph, top, network.preprocessing.crop)
    with torch.no_grad():
        scores = walk(x)[0]
    number = int(scores.argmax()) if chosen is None else _class(chosen, network.classes, len(scores))
    gradient, activation, inner = class_gradients(walk, x, number, "plain", network.step(last.name))
    assert activation is not None
    assert inner is not None
    guided, _, _ = class_gradients(walk, x, number, "guided")
    share = (inner * activation)[0].sum((1, 2))
    strongest = activation[0].amax((1, 2))
    best = share.argsort(descending=True, stable=True)[:CHANNELS].tolist()
    probabilities = scores.double().softmax(0)
    order = probabilities.argsort(descending=True, stable=True)[:5].tolist()
    return Explanation(
        pixels,
        saliency_pixels(gradient[0].abs().amax(0).float().cpu().numpy()),
        gradient_pixels(guided[0].permute(1, 2, 0).float().cpu().numpy()),
        tuple((i, _name(network.classes, i), float(probabilities[i])) for i in order),
        (number, _name(network.classes, number)),
        float(scores[number]),
        last,
        tuple(Contribution(c, float(share[c]), float(strongest[c])) for c in best),
    )


def class_gradients(
    walk: ConeWalk, x: Tensor, number: int, rule: ReluRule, step: int | None = None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """The gradient of a class's score (before the softmax) at the network's input, (1, 3, H, W); with a step, its map
    and the gradient there too, (1, C, h, w) each."""
    x = x.detach().requires_grad_(True)
    watched = {} if step is None else {step: x}
    score = walk(x, rule, watched)[0, number]
    if step is None:
        return torch.autograd.grad(score, x)[0], None, None
    at_input, inside = torch.autograd.grad(score, (x, watched[step]))
    return at_input, watched[step].detach(), inside


def _name(classes: tuple[str, ...], number: int) -> str:
    return classes[number] if number < len(classes) else f"class {number}"


def _class(chosen: str, classes: tuple[str, ...], count: int) -> int:
    if chosen.isdecimal() and int(chosen) < count:
        return int(chosen)
    names = [name.casefold() for name in classes]
    wanted = chosen.casefold()
    if wanted in names:
        return names.index(wanted)
    begun = [number for number, name in enumerate(names) if name.startswith(wanted)]
    if len(begun) == 1:
        return begun[0]
    several = "several classes begin so" if begun else "the network knows no such class"
    raise AtlasError(several, chosen, f"give a class's whole name or its number, 0 to {count - 1}")
