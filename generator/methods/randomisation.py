"""Cascading randomisation (Adebayo et al., arXiv:1810.03292, section 3): whether gradient pictures depend on what the
network has learnt.

The weights are replaced by random ones, from a unit's layer downwards, and the unit's gradient picture is compared with
that of the network as it is. A kind of picture that hardly changes shows the picture, not what the network learnt."""

from __future__ import annotations

import zlib
from collections.abc import Collection
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from scipy.ndimage import uniform_filter
from torch import Tensor

from generator.core.ordering import average_ranks
from generator.methods.resampling import SEED
from generator.network.graph import Graph
from generator.network.ops import Step

WINDOW = 7  # px; side of the windows in which two pictures are compared by SSIM


def randomised(graph: Graph, steps: Collection[int], drawn: dict[int, Step] | None = None) -> Graph:
    """The graph with other numbers in these steps, the same ones whichever other steps change too; `drawn` keeps the
    changed steps from one call to the next.

    A convolution or linear layer gets normal random weights of mean zero. Each output channel keeps no numbers of its
    own: it takes the root mean square of its weights, and its bias, from another channel chosen at random, so that the
    layer's activations stay about as large as they were. Scales, shifts and other numbers by channel are shuffled, and
    so are those of operations that torch runs, if they have weights of several dimensions: these become random as a
    convolution's do.
    """
    drawn = {} if drawn is None else drawn
    for index in steps:
        if index not in drawn:
            drawn[index] = _redrawn(graph.steps[index], index)
    chosen = set(steps)
    kept = enumerate(graph.steps)
    return Graph(tuple(drawn[index] if index in chosen else step for index, step in kept), graph.channels)


def _redrawn(step: Step, index: int) -> Step:
    if not step.tensors:
        return step
    random = np.random.default_rng([SEED, zlib.crc32(b"randomised"), index])
    weight, bias = step.weight, step.bias
    order = _order(random, weight if weight is not None else bias)
    call = step.call
    if call is not None:
        call = replace(call, tensors=tuple(_other(tensor, random) for tensor in call.tensors))
    return replace(
        step,
        weight=None if weight is None else _drawn(weight, order, random),
        bias=None if bias is None else bias[order],
        call=call,
        raw=None,
    )


def _order(random: np.random.Generator, tensor: Tensor | None) -> Tensor:
    return torch.from_numpy(random.permutation(0 if tensor is None else len(tensor)))


def _drawn(weight: Tensor, order: Tensor, random: np.random.Generator) -> Tensor:
    """Other weights: shuffled where there is one a channel, else normal."""
    if weight.ndim < 2:
        return weight[order] if len(weight) == len(order) else weight
    size = weight.double().square().flatten(1).mean(1).sqrt()[order]  # (C_out,)
    numbers = torch.from_numpy(random.standard_normal(tuple(weight.shape)))
    return (numbers * size.reshape(-1, *[1] * (weight.ndim - 1)).cpu()).to(weight)


def _other(tensor: Tensor, random: np.random.Generator) -> Tensor:
    """As _drawn, for a tensor of an operation that torch runs; whole numbers are no weights."""
    if not tensor.is_floating_point() or not tensor.ndim:
        return tensor
    return _drawn(tensor, _order(random, tensor), random)


# -- how alike two gradient pictures are -------------------------------------------------------------------------------


def strengths(gradients: np.ndarray) -> np.ndarray:
    """Gradients (U, C, h, w) → the sums of their absolute values over the colours, (U, h, w) float64."""
    summed: np.ndarray = np.abs(gradients.astype(np.float64)).sum(1)
    return summed


class Strengths:
    """A picture of strengths, (h, w), with what comparisons take of it, each computed once: a picture is compared with
    several others. seen: (h, w) bool, the pixels whose ranks are compared."""

    def __init__(self, picture: np.ndarray, seen: np.ndarray) -> None:
        self._seen, self.picture = picture[seen], picture

    @cached_property
    def ranks(self) -> np.ndarray:
        """(n,) float64: the rank of every seen pixel; all NaN where one of their values is."""
        ranks = average_ranks(self._seen, np.argsort(self._seen))
        return np.full_like(ranks, np.nan) if np.isnan(self._seen).any() else ranks

    @cached_property
    def scaled(self) -> np.ndarray | None:
        """(h, w): scaled to a largest value of one; None where all is zero."""
        return self.picture / self.picture.max() if self.picture.max() > 0 else None

    @cached_property
    def windows(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of the scaled picture in the window around every pixel, (h, w) each."""
        assert self.scaled is not None
        mean = self.window_means(self.scaled)
        return mean, self.spread(self.window_means(self.scaled * self.scaled) - mean**2)

    @property
    def window(self) -> int:
        """Side of the windows in px: odd, and no larger than the picture."""
        side = min(WINDOW, *self.picture.shape)
        return side - 1 + side % 2

    def window_means(self, values: np.ndarray) -> np.ndarray:
        """The mean of (h, w) values in the window around every pixel."""
        means: np.ndarray = uniform_filter(values, self.window)
        return means

    def spread(self, deviations: np.ndarray) -> np.ndarray:
        """Variances or covariances of samples, as scikit-image has them, from means of products of deviations."""
        count = self.window**2
        spread: np.ndarray = count / max(1, count - 1) * deviations
        return spread


def rank_agreement(one: Strengths, other: Strengths) -> float:
    """Spearman's rank correlation of two pictures of strengths over the pixels that are seen; NaN where one of them is
    constant there."""
    if np.ptp(one.ranks) == 0 or np.ptp(other.ranks) == 0:
        return float("nan")
    return float(np.corrcoef(one.ranks, other.ranks)[0, 1])


def structural_similarity(one: Strengths, other: Strengths) -> float:
    """SSIM (Wang et al. 2004, doi:10.1109/TIP.2003.819861) of two pictures of strengths, each scaled to a largest value
    of one, in windows of 7 × 7 px (smaller where the picture is), of equal weight; NaN where one of them is zero."""
    if one.scaled is None or other.scaled is None:
        return float("nan")
    (mean_x, var_x), (mean_y, var_y) = one.windows, other.windows
    both = one.spread(one.window_means(one.scaled * other.scaled) - mean_x * mean_y)
    c1, c2 = 0.01**2, 0.03**2
    similarity = ((2 * mean_x * mean_y + c1) * (2 * both + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    )
    edge = one.window // 2  # windows that hang over the border do not count
    height, width = one.picture.shape
    return float(similarity[edge : height - edge, edge : width - edge].mean())
