"""How far a channel's pictures are of one class: purity, entropy, agreement, and entropy above a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array
from scipy.special import gammaln

from generator.core.hierarchy import Hierarchy, similarities

# A channel's positive scores, highest first: the share of them that each threshold leaves above it (arXiv:1701.02362
# looks at the classes of the pictures above a rising threshold).
KEPT_SHARES = (1.0, 0.5, 0.25, 0.1, 0.05, 0.01)
LARGEST_GROUP = 0.125  # share of the pictures: a larger group of the hierarchy is divided into its parts
CHANNELS_AT_ONCE = 256


@dataclass(frozen=True)
class Classes:
    """The pictures' classes. of_picture: (N,) number of the class, −1 without a label; names: (K,); groups: (K,) the
    group of each class, by number, and group_names; None without a hierarchy; similarity: (K, K), of two classes;
    baseline: the mean similarity of two of the labelled pictures."""

    of_picture: np.ndarray
    names: tuple[str, ...]
    similarity: np.ndarray
    baseline: float
    groups: np.ndarray | None = None
    group_names: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, labels: Sequence[tuple[int, str]], nodes: Sequence[str] | None, tree: Hierarchy | None
    ) -> Classes:
        """labels: of every picture, id and text, (−1, '') without; nodes: every picture's class in the tree."""
        known = sorted({label for label in labels if label != (-1, "")})
        number = {label: place for place, label in enumerate(known)}
        of_picture = np.array([number.get(label, -1) for label in labels], np.int64)
        counts = np.bincount(of_picture[of_picture >= 0], minlength=len(known))
        place = {}
        if tree is not None and nodes is not None:
            place = {label: node for label, node in zip(labels, nodes, strict=True) if label in number}
        named = [place.get(label, "") for label in known]
        tree = tree if place else None
        similarity = similarities(tree, named, counts)
        total = int(counts.sum())
        same = float(counts @ similarity @ counts) - float((counts * similarity.diagonal()).sum())
        baseline = same / (total * (total - 1)) if total > 1 else 0.0
        groups = None if tree is None else _groups(tree, named, counts)
        return cls(
            of_picture,
            tuple(label for _, label in known),
            similarity,
            baseline,
            *(() if groups is None else groups),
        )

    def of_rows(self, rows: np.ndarray) -> Classes:
        """The same classes, of some of the pictures. rows: their numbers."""
        return replace(self, of_picture=self.of_picture[rows])

    def scaled(self, similarity: np.ndarray) -> np.ndarray:
        """Mean similarities of pictures as agreements, (s − s₀) / (1 − s₀) with s₀ that of two pictures of the whole
        set; NaN where all are of one class."""
        return (
            (similarity - self.baseline) / (1 - self.baseline) if self.baseline < 1 else similarity * np.nan
        )

    @property
    def labelled(self) -> bool:
        """Whether enough pictures are labelled for any statistic: two pictures and two classes."""
        return len(self.names) > 1 and int((self.of_picture >= 0).sum()) > 1

    @property
    def has_agreement(self) -> bool:
        """Whether two pictures can have similar classes at all."""
        return self.labelled and (self.repeat or self.groups is not None)

    @property
    def repeat(self) -> bool:
        """Whether a class has two pictures; if not, no two pictures share a class."""
        known = self.of_picture[self.of_picture >= 0]
        return self.labelled and len(known) > len(np.unique(known))

    @property
    def group_of_picture(self) -> np.ndarray:
        """(N,): number of each picture's group, −1 without a label."""
        assert self.groups is not None
        return np.where(self.of_picture >= 0, self.groups[self.of_picture], -1)


def _groups(tree: Hierarchy, names: Sequence[str], counts: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Cut the tree, from its root down, into the largest groups that hold at most an eighth of the pictures, or are
    single classes; each class's group by number, and the groups."""
    paths = [tree.path(name)[::-1] for name in names]  # from the root
    below: dict[str, int] = {}
    for path, count in zip(paths, counts.tolist(), strict=True):
        for name in path:
            below[name] = below.get(name, 0) + count
    most = LARGEST_GROUP * float(counts.sum())
    cut = [next((name for name in path if below[name] <= most), path[-1]) for path in paths]
    known = sorted(set(cut))
    return np.array([known.index(name) for name in cut], np.int64), tuple(known)


def classes_of_nine(top_image: np.ndarray, of_picture: np.ndarray) -> np.ndarray:
    """(…, 9) pictures → (…, 9) classes; −1 for all nine where any of them is missing or not labelled."""
    classes = np.where(top_image >= 0, of_picture[top_image], -1)
    return np.where((classes >= 0).all(axis=-1, keepdims=True), classes, -1)


def _counts(nine: np.ndarray) -> np.ndarray:
    """(C, 9) → (C, 9): how many of the nine pictures have each picture's class."""
    return (nine[:, :, None] == nine[:, None, :]).sum(axis=2)


def purity(nine: np.ndarray) -> np.ndarray:
    """The share of the commonest class; (C, 9) → (C,) float32, NaN without nine labelled pictures."""
    share = _counts(nine).max(axis=1) / nine.shape[1]
    return np.where(nine[:, 0] >= 0, share, np.nan).astype(np.float32)


def entropy(nine: np.ndarray) -> np.ndarray:
    """The entropy of the classes of the top nine in bits, 0 … log2 9; (C, 9) → (C,) float32, NaN as in `purity`."""
    # A class of c pictures is counted at each of its c pictures: the mean over pictures is the sum over classes.
    bits = -np.log2(_counts(nine) / nine.shape[1]).mean(axis=1)
    return np.where(nine[:, 0] >= 0, np.abs(bits), np.nan).astype(np.float32)


def agreement(nine: np.ndarray, classes: Classes) -> np.ndarray:
    """How similar the classes of the top nine are; (C, 9) → (C,) float32, NaN as in `purity`.

    (s − s₀) / (1 − s₀): s is the mean similarity of the 36 pairs of pictures, s₀ that of two pictures of the whole set.
    1 where all nine are of one class, 0 where they are as similar as pictures drawn at random, below 0 where less.
    """
    pairs = np.triu_indices(nine.shape[1], 1)
    mean = classes.similarity[nine[:, pairs[0]], nine[:, pairs[1]]].mean(axis=1)
    return np.where(nine[:, 0] >= 0, classes.scaled(mean), np.nan).astype(np.float32)


def expected_entropies(counts: np.ndarray) -> np.ndarray:
    """The mean entropy in bits of the classes of n pictures drawn without replacement; counts: (K,) pictures of each
    class; (N + 1,) float64, by n."""
    total = int(counts.sum())
    drawn = np.arange(total + 1)
    result = np.zeros(total + 1)
    sizes, often = np.unique(counts[counts > 0], return_counts=True)
    for size, number in zip(sizes.tolist(), often.tolist(), strict=True):
        hits = np.arange(1, size + 1)[:, None]
        share = np.minimum(hits / np.maximum(drawn, 1), 1.0)
        result += number * (_hypergeometric(hits, total, size, drawn) * -share * np.log2(share)).sum(axis=0)
    return result


def _hypergeometric(hits: np.ndarray, total: int, size: int, drawn: np.ndarray) -> np.ndarray:
    """The probability that `drawn` of `total` pictures include `hits` of the `size` pictures of a class.

    SciPy's function takes minutes for this table."""
    possible = (hits <= drawn) & (drawn - hits <= total - size)
    rest = np.where(possible, drawn - hits, 0)
    counted = np.where(possible, hits, 0)
    logs = _choose(size, counted) + _choose(total - size, rest) - _choose(total, drawn)
    return np.where(possible, np.exp(np.where(possible, logs, 0.0)), 0.0)


def _choose(n: int, k: np.ndarray) -> np.ndarray:
    """The logarithm of the binomial coefficient n over k."""
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)


@dataclass(frozen=True)
class ThresholdEntropies:
    """The classes of the pictures above each of T thresholds, (C, T) float32 each.

    entropy: in bits; by_chance: the mean entropy of as many pictures drawn at random. NaN where fewer than two pictures
    are above the threshold.
    """

    entropy: np.ndarray
    by_chance: np.ndarray


def threshold_entropies(
    scores: np.ndarray, of_picture: np.ndarray, expected: np.ndarray, *, signed: bool = False
) -> ThresholdEntropies:
    """The entropy of the classes above a rising threshold, by channel.

    scores: (N, C); of_picture: (N,) classes, −1 without one; expected: expected_entropies of those classes. The
    thresholds leave the KEPT_SHARES highest of a channel's positive scores, rounded up; equal scores stay together.
    signed: whether the layer has no ReLU, so that every score counts.
    """
    scores = scores[of_picture >= 0]
    classes = of_picture[of_picture >= 0]
    count, channels = scores.shape
    kinds = int(classes.max(initial=-1)) + 1
    member = csr_array((np.ones(count, np.float32), (classes, np.arange(count))), (kinds, count))
    bits = np.full((channels, len(KEPT_SHARES)), np.nan)
    often = np.zeros((channels, len(KEPT_SHARES)), np.int64)
    for first in range(0, channels, CHANNELS_AT_ONCE):
        part = np.asarray(scores[:, first : first + CHANNELS_AT_ONCE])
        falling = -np.sort(-part, axis=0)
        counted = np.full(part.shape, True) if signed else part > 0
        positive = counted.sum(axis=0)
        for step, share in enumerate(KEPT_SHARES):
            kept = np.maximum(np.ceil(share * positive).astype(np.int64), 1)
            threshold = np.take_along_axis(falling, kept[None] - 1, 0)
            above = (part >= threshold) & counted  # (N, c)
            counts = member @ above.astype(np.float32)  # (K, c), whole numbers
            total = counts.sum(axis=0)
            parts = counts / np.maximum(total, 1)
            logs = np.log2(parts, out=np.zeros_like(parts), where=parts > 0)
            bits[first : first + CHANNELS_AT_ONCE, step] = np.where(
                total > 1, np.abs((parts * logs).sum(axis=0)), np.nan
            )
            often[first : first + CHANNELS_AT_ONCE, step] = total
    chance = np.where(often > 1, expected[often], np.nan)
    return ThresholdEntropies(bits.astype(np.float32), chance.astype(np.float32))
