"""Which channel of one layer corresponds to a channel of another: by their top-9 images, and by all scores.

SciPy is imported where it is used, because it takes a second to load and most renderings of a site do not need it.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from generator.core.ordering import TiedOrder
from generator.core.records import TOP, LayerInfo

STRONG_PICTURES = 3  # shared pictures; fewer never make two channels a match or the same
SEED = 20170106  # of everything drawn at random, the day of arXiv:1701.02362
CHUNK = 256  # channels at a time whose correlations are computed
RANKED = 64  # channels at a time that one thread ranks


@dataclass(frozen=True)
class Pair:
    """Two layers to compare.

    tie: 'stage' (neighbouring blocks of a stage: the addition ties channels of equal number), 'added' (a summand of a
    block's output, and this output), 'boundary' (blocks of neighbouring stages; the stem and the first block), 'plain'
    (neighbouring layers of a network without blocks) or 'inside' (two convolutions of a block).
    """

    source: str
    target: str
    tie: str

    @property
    def name(self) -> str:
        """The pair's name in file names and addresses."""
        return f"{self.source}--{self.target}"


def layer_pairs(layers: Sequence[LayerInfo]) -> list[Pair]:
    """The pairs worth comparing, in forward order of their targets.

    Along the network, every layer outside blocks with the next one. Inside a block, the block before with the first
    convolution, each convolution with the next, and the last convolution and the projection with the block's output, to
    whose channels of equal number they are added. Other pairs (2a with 2c) would add nothing to these.
    """
    pairs = []
    trunk = [layer for layer in layers if not layer.is_inner]
    for before, after in itertools.pairwise(trunk):
        tied = before.kind == after.kind == "block" and before.stage == after.stage
        plain = "block" not in (before.kind, after.kind)
        same = before.channels == after.channels
        tie = "stage" if tied and same else "plain" if plain else "boundary"
        pairs.append(Pair(before.name, after.name, tie))
    for number, layer in enumerate(trunk):
        inner = [x for x in layers if x.is_inner and x.block == layer.name]
        branch = [x for x in inner if x.kind == "branch"]
        if branch and number:
            pairs.append(Pair(trunk[number - 1].name, branch[0].name, "inside"))
        pairs += [Pair(a.name, b.name, "inside") for a, b in itertools.pairwise(branch)]
        ends = [*branch[-1:], *(x for x in inner if x.kind == "projection")]
        pairs += [Pair(x.name, layer.name, "added") for x in ends if x.channels == layer.channels]
    order = {layer.name: place for place, layer in enumerate(layers)}
    return sorted(pairs, key=lambda pair: (order[pair.target], order[pair.source]))


def centred_ranks(scores: np.ndarray) -> np.ndarray:
    """(N, C) scores → (N, C) int32: twice each picture's average rank within its channel, minus the mean; exact.

    Channels are ranked in as many threads as there are cores: sorting lets other threads work.
    """
    ranks = np.empty(scores.shape, np.int32)

    def rank(first: int) -> None:
        part = slice(first, first + RANKED)
        ranks[:, part] = TiedOrder.of(scores[:, part]).centred_ranks.T

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(rank, range(0, scores.shape[1], RANKED)))
    return ranks


def rank_correlations(ranks: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Spearman's ρ of every two channels from their centred ranks, (N, A), (N, B) → (A, B) float32; NaN where a channel
    is constant. The sums are of whole numbers, so the result does not depend on their order."""
    result = np.empty((ranks.shape[1], other.shape[1]), np.float32)
    right = other.astype(np.float64)
    squares = (right * right).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        for first in range(0, ranks.shape[1], CHUNK):
            left = ranks[:, first : first + CHUNK].astype(np.float64)
            scale = np.sqrt((left * left).sum(axis=0))[:, None] * np.sqrt(squares)
            result[first : first + CHUNK] = (left.T @ right) / scale  # 0 / 0 where one is constant
    return np.clip(result, -1, 1, out=result)


def shared_pictures(top_image: np.ndarray, other_top_image: np.ndarray) -> np.ndarray:
    """How many of each channel's strongest pictures are in the other list too; (C, 9), (C, 9) → (C,) int32."""
    same = (top_image[:, :, None] == other_top_image[:, None, :]) & (top_image[:, :, None] >= 0)  # (C, 9, 9)
    counts: np.ndarray = same.any(axis=2).sum(axis=1).astype(np.int32)
    return counts


def shared_counts(top_image: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How many of their top-9 images every two channels share; (A, 9), (B, 9) → (A, B) int16."""
    counts: np.ndarray = shared_counts_of_sets(top_image[None], other[None])[0]
    return counts


def shared_counts_of_sets(top_image: np.ndarray, other: np.ndarray) -> np.ndarray:
    """`shared_counts` for P sets of images, each with lists of its own: (P, A, 9), (P, B, 9) → (P, A, B) int16."""
    from scipy.sparse import csr_array

    images = 1 + max(0, int(top_image.max(initial=-1)), int(other.max(initial=-1)))
    sets, channels, others = len(top_image), top_image.shape[1], other.shape[1]

    def listed(lists: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        number, channel, place = np.nonzero(lists >= 0)
        return number, channel, images * number + lists[number, channel, place]

    # One product for all sets: an image of one set and the same image of another are different columns.
    number, channel, image = listed(top_image)
    left = csr_array(
        (np.ones(len(image), np.int16), (channels * number + channel, image)),
        (sets * channels, sets * images),
    )
    _, channel, image = listed(other)
    right = csr_array((np.ones(len(image), np.int16), (image, channel)), (sets * images, others))
    return np.asarray((left @ right).toarray(), np.int16).reshape(sets, channels, others)


@dataclass(frozen=True)
class Similarity:
    """How similar every two channels of two layers are; (A, B) each.

    shared: pictures in both top-9 lists; rho: Spearman's ρ, NaN where a channel is constant; strength: the mean of
    shared / 9 and of ρ, where it is positive, from 0 to 1.
    """

    shared: np.ndarray
    rho: np.ndarray
    strength: np.ndarray

    @classmethod
    def of(cls, shared: np.ndarray, rho: np.ndarray) -> Similarity:
        """The similarity that follows from shared pictures and rank correlations, (A, B) each."""
        return cls(shared, rho, strengths(shared, rho))

    def transposed(self) -> Similarity:
        """The similarity of the second layer's channels to the first one's."""
        return Similarity(self.shared.T, self.rho.T, self.strength.T)


def strengths(shared: np.ndarray, rho: np.ndarray) -> np.ndarray:
    """The mean of shared / 9 and of a rank correlation where it is positive, (A, B) float32 from 0 to 1."""
    positive = np.maximum(np.nan_to_num(rho), 0)
    strength: np.ndarray = ((shared / np.float32(TOP) + positive) / 2).astype(np.float32)
    return strength


@dataclass(frozen=True)
class LayerResponses:
    """A layer's top-9 images, (C, 9), −1 where there are fewer, and the centred ranks of its scores, (N, C)."""

    top_image: np.ndarray
    ranks: np.ndarray

    @property
    def active(self) -> np.ndarray:
        """(C,) bool: whether any picture activates the channel."""
        return self.top_image[:, 0] >= 0

    def similarity(self, other: LayerResponses) -> Similarity:
        """How similar this layer's channels are to the other's."""
        return Similarity.of(
            shared_counts(self.top_image, other.top_image), rank_correlations(self.ranks, other.ranks)
        )


def strongest_match(strength: np.ndarray) -> np.ndarray:
    """The column of each row's largest value, the first of several; (A, B) → (A,) int64."""
    indices: np.ndarray = strength.argmax(axis=1)
    return indices
