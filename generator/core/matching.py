"""Which channel of one layer does what a channel of another does: by their strongest pictures, and by all scores.

No torch here: the site compares networks with each other when it is rendered. SciPy is imported where it is used,
because it takes a second to load and most sites need none of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from generator.core.records import TOP, LayerInfo

MATCHES = 5  # kept of each channel
STRONG_PICTURES, STRONG_CORRELATION = 3, 0.5  # either makes two channels a match
CLEAR_GAIN = 0.05  # from here on a refinement score counts
CHANCE_CHANNELS = 256  # of a layer, that are compared with shuffled pictures
SEED = 20170106  # of every shuffle, the day of arXiv:1701.02362
CHUNK = 256  # channels at a time


@dataclass(frozen=True)
class Pair:
    """Two layers to compare. tie: 'stage' (neighbouring blocks of a stage: the addition ties equal numbers),
    'added' (what is added up to a block's output, and it), 'boundary' (blocks of neighbouring stages, the stem and the
    first block), 'plain' (neighbouring layers of a network without blocks), 'inside' (convolution and convolution)."""

    source: str
    target: str
    tie: str

    @property
    def name(self) -> str:
        return f"{self.source}--{self.target}"


def layer_pairs(layers: Sequence[LayerInfo]) -> list[Pair]:
    """The pairs worth comparing, in forward order of their targets.

    Along the network every layer outside blocks with the next one; inside a block the block before with the first
    convolution, each convolution with the next, and the last one and the projection with the block's output, into
    whose equal channel numbers they are added. Others (2a with 2c) only repeat what these say.
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
    """Twice each picture's average rank within its channel, less the mean; (N, C) → (N, C) int32, exact."""
    from scipy.stats import rankdata

    count = len(scores)
    ranks = np.empty(scores.shape, np.int32)
    for first in range(0, scores.shape[1], CHUNK):
        part = slice(first, first + CHUNK)
        ranks[:, part] = 2 * rankdata(scores[:, part], axis=0) - (count + 1)
    return ranks


def rank_correlations(ranks: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Spearman's ρ of every two channels from their centred ranks; (N, A), (N, B) → (A, B) float32, NaN where a
    channel is constant. The sums are of whole numbers, so the result does not depend on their order."""
    result = np.empty((ranks.shape[1], other.shape[1]), np.float32)
    right = other.astype(np.float64)
    squares = (right * right).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        for first in range(0, ranks.shape[1], CHUNK):
            left = ranks[:, first : first + CHUNK].astype(np.float64)
            scale = np.sqrt((left * left).sum(axis=0))[:, None] * np.sqrt(squares)
            result[first : first + CHUNK] = (left.T @ right) / scale  # 0 / 0 where one is constant
    return np.clip(result, -1, 1, out=result)


def shared_counts(top_image: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How many of their strongest pictures every two channels share; (A, 9), (B, 9) → (A, B) int16."""
    from scipy.sparse import csr_array

    pictures = 1 + max(0, int(top_image.max(initial=-1)), int(other.max(initial=-1)))

    def incidence(lists: np.ndarray) -> csr_array:
        channel, place = np.nonzero(lists >= 0)
        ones = np.ones(len(channel), np.int16)
        return csr_array((ones, (channel, lists[channel, place])), (len(lists), pictures))

    return np.asarray((incidence(top_image) @ incidence(other).T).todense(), np.int16)


@dataclass(frozen=True)
class Likeness:
    """How alike every two channels of two layers are; (A, B) each. shared: pictures of nine; rho: Spearman's, NaN where
    a channel is constant; strength: the mean of shared / 9 and of ρ where it is positive, 0 … 1."""

    shared: np.ndarray
    rho: np.ndarray
    strength: np.ndarray

    @classmethod
    def of(cls, shared: np.ndarray, rho: np.ndarray) -> Likeness:
        positive = np.maximum(np.nan_to_num(rho), 0)
        return cls(shared, rho, ((shared / np.float32(TOP) + positive) / 2).astype(np.float32))

    def turned(self) -> Likeness:
        """The same from the second layer's side."""
        return Likeness(self.shared.T, self.rho.T, self.strength.T)

    def matches(self, keep: int = MATCHES) -> dict[str, np.ndarray]:
        """Each channel's best matches, strongest first, ties by the lower number: channel int32, −1 where there are
        fewer; shared int16, rho float32; (A, keep) each.

        Only strong ones count: three shared pictures or ρ ≥ 0.5.
        """
        keep = min(keep, self.strength.shape[1])
        best = np.argsort(-self.strength, axis=1, kind="stable")[:, :keep]
        shared, rho = (np.take_along_axis(values, best, 1) for values in (self.shared, self.rho))
        with np.errstate(invalid="ignore"):
            strong = (shared >= STRONG_PICTURES) | (rho >= STRONG_CORRELATION)
        return {
            "channel": np.where(strong, best, -1).astype(np.int32),
            "shared": np.where(strong, shared, 0).astype(np.int16),
            "rho": np.where(strong, rho, np.nan).astype(np.float32),
        }


@dataclass(frozen=True)
class Numbers:
    """A layer's strongest pictures (C, 9), −1 where there are fewer, and its centred ranks (N, C)."""

    top_image: np.ndarray
    ranks: np.ndarray

    @property
    def alive(self) -> np.ndarray:
        return self.top_image[:, 0] >= 0

    def likeness(self, other: Numbers) -> Likeness:
        return Likeness.of(
            shared_counts(self.top_image, other.top_image), rank_correlations(self.ranks, other.ranks)
        )

    def some(self, most: int) -> Numbers:
        """At most so many channels that are alive, evenly spaced."""
        alive = np.flatnonzero(self.alive)
        chosen = alive[np.linspace(0, len(alive) - 1, min(most, len(alive))).round().astype(int)]
        return Numbers(self.top_image[chosen], self.ranks[:, chosen])

    def shuffled(self, pictures: int) -> Numbers:
        """The same numbers on pictures in another order: related to nothing any more, each channel as it was."""
        random = np.random.default_rng(SEED)
        order = random.permutation(pictures).astype(self.top_image.dtype)
        moved = np.where(self.top_image >= 0, order[self.top_image], -1)
        return Numbers(moved, self.ranks[random.permutation(len(self.ranks))])


def best(strength: np.ndarray) -> np.ndarray:
    """The first of each row's strongest."""
    indices: np.ndarray = strength.argmax(axis=1)
    return indices


def summary(
    source: Numbers, target: Numbers, likeness: Likeness, pictures: int
) -> dict[str, float | int | None]:
    """How far two layers correspond, over the target's living channels.

    best_rho, best_shared: of each target channel's best match, the mean; chance_rho, chance_shared: the same for at
    most 256 of them when the pictures of the source are shuffled; and, where both have as many channels, same_rho and
    same_shared of equal numbers and same_best, the share of channels whose best match has their own number.
    """
    alive = np.flatnonzero(target.alive)
    nothing = dict.fromkeys(
        ("best_rho", "best_shared", "chance_rho", "chance_shared", "same_rho", "same_shared", "same_best")
    )
    if not len(alive) or not source.alive.any():
        return {"channels": len(alive), **nothing}
    turned = likeness.turned()
    chosen = best(turned.strength[alive])
    some = target.some(CHANCE_CHANNELS)
    chance = some.likeness(source.shuffled(pictures))
    rows = np.arange(len(some.top_image))
    of_chance = best(chance.strength)
    found: dict[str, float | int | None] = {
        "channels": len(alive),
        "best_rho": _mean(turned.rho[alive, chosen]),
        "best_shared": _mean(turned.shared[alive, chosen]),
        "chance_rho": _mean(chance.rho[rows, of_chance]),
        "chance_shared": _mean(chance.shared[rows, of_chance]),
    }
    if len(source.top_image) != len(target.top_image):
        return {**nothing, **found}
    return {
        **nothing,
        **found,
        "same_rho": _mean(turned.rho[alive, alive]),
        "same_shared": _mean(turned.shared[alive, alive]),
        "same_best": _mean(chosen == alive),
    }


def _mean(values: np.ndarray) -> float | None:
    """The mean of those that are numbers, to six digits: what a table needs; None of none."""
    known = values[np.isfinite(values)].astype(np.float64)
    return round(float(known.mean()), 6) if known.size else None
