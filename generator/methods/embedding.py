"""Pictures on a plane: principal components, t-SNE (van der Maaten and Hinton 2008, JMLR 9), nearest neighbours and
how evenly these are spread (hubness; Radovanović, Nanopoulos and Ivanović 2010, JMLR 11).

Every piece of work is computed in one thread, so that no sum depends on the number of cores.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from generator.pictures.reading import evenly_spaced

COMPONENTS = 50  # the input of t-SNE; further components are mostly noise
FEWEST = 8  # pictures that a map needs
NEAREST = 10  # a picture that t-SNE did not place lies at the median of this many nearest ones that it did
ROWS_AT_ONCE = 256  # pictures whose neighbours are computed at once
HELD = 250_000  # features of other pictures, or distances, in memory at once: 1 MB
FITTED = 8_000_000  # the most features that PCA is fitted to; beyond it, evenly spaced pictures are taken


class Rows(Protocol):
    """An array (N, F) float32, or a file that gives rows of one."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, rows: Any) -> np.ndarray: ...


@dataclass(frozen=True)
class Components:
    """positions: (N, k) float32 along the first k principal axes; explained: (k,) float64, each axis's share of the
    variance; fitted: to how many of the pictures."""

    positions: np.ndarray
    explained: np.ndarray
    fitted: int


@dataclass(frozen=True)
class Placed:
    """A t-SNE map. positions: (N, 2) float32; exact: (N,) bool, which pictures t-SNE placed itself; divergence:
    Kullback–Leibler, of those; perplexity: as used, lower than the one given where there are few pictures."""

    positions: np.ndarray
    divergence: float
    exact: np.ndarray
    perplexity: float


def components(features: Rows, most: int = COMPONENTS) -> Components | None:
    """The first principal components of (N, F) features, centred and not scaled; None where fewer than two axes hold
    any variance, or there are fewer than eight pictures.

    scikit-learn's PCA, exact: by the covariance where there are more pictures than features, else by singular values.
    Where the features would fill the memory, the axes are fitted to evenly spaced pictures (FITTED), and all pictures
    are placed along them.
    """
    from sklearn.decomposition import PCA

    count, length = features.shape
    if count < FEWEST or length < 2:
        return None
    enough = max(FEWEST, FITTED // length)
    fitted = features[:] if count <= enough else features[evenly_spaced(count, enough)]
    solver = "covariance_eigh" if len(fitted) >= length else "full"
    with threadpool_limits(1):
        model = PCA(min(most, len(fitted), length), svd_solver=solver)
        with np.errstate(invalid="ignore", divide="ignore"):
            model.fit(fitted)
        explained = model.explained_variance_ratio_.astype(np.float64)
        if not np.isfinite(explained).all() or explained[1] <= 1e-6:
            return None
        step = max(1, HELD // length)
        positions = np.empty((count, model.n_components_), np.float32)
        for start in range(0, count, step):
            positions[start : start + step] = model.transform(features[start : start + step])
    return Components(positions, explained, len(fitted))


def t_sne(positions: np.ndarray, *, perplexity: float, seed: int, exact: int) -> Placed:
    """A map of (N, k) principal components in two dimensions, by scikit-learn's Barnes–Hut t-SNE, begun at the first
    two.

    Of more than `exact` pictures, `exact` drawn by the seed are placed by t-SNE. Every other picture is placed at the
    median position of its ten nearest among those, in all k dimensions (the start of openTSNE's `transform`; Poličar,
    Stražar and Zupan 2021).
    """
    from sklearn.manifold import TSNE
    from sklearn.neighbors import NearestNeighbors

    count = len(positions)
    chosen = np.ones(count, bool)
    if count > exact:
        chosen[:] = False
        chosen[np.random.default_rng(seed).choice(count, exact, replace=False)] = True
    # A perplexity is a number of neighbours: t-SNE looks at three times as many.
    used = min(perplexity, (int(chosen.sum()) - 1) / 3)
    with threadpool_limits(1):
        model = TSNE(2, perplexity=used, init="pca", learning_rate="auto", random_state=seed, n_jobs=1)
        placed = np.zeros((count, 2), np.float32)
        placed[chosen] = model.fit_transform(positions[chosen])
        if count > exact:
            near = NearestNeighbors(n_neighbors=NEAREST, algorithm="brute", n_jobs=1).fit(positions[chosen])
            neighbours = near.kneighbors(positions[~chosen], return_distance=False)  # (N − exact, 10)
            placed[~chosen] = np.median(placed[chosen][neighbours], axis=1)
    return Placed(placed, float(model.kl_divergence_), chosen, float(used))


def nearest(
    features: Rows, count: int, threads: int = 1, advance: Callable[[int], None] = lambda done: None
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest others of every row of (N, F) features by cosine similarity of the centred features, the most similar
    first, equal ones by their number: rows (N, k) int32 and similarities (N, k) float32, k = min(count, N − 1).

    The similarity of x and y is ⟨x − m, y − m⟩ / (‖x − m‖ ‖y − m‖) with the mean m of all rows. A row that equals m has
    no direction; its similarity to every other is 0. Features after a ReLU are never negative, so that without centring
    all pictures resemble the mean, and those near to it are in many lists (Suzuki et al. 2013, EMNLP, pages 613–623).

    Every pair is compared: in float32 first, the nearest candidates then in float64. threads: rows are shared among
    this many; advance: called with the number of rows just done.

    Not scikit-learn's NearestNeighbors: that wants all features in memory, and its float32 numbers differ in the last
    bits; of 100,000 pictures with 2,048 features, the features alone would be 800 MB.
    """
    rows, length = features.shape
    if rows * length <= FITTED:
        features = features[:]  # rows of a file are read one by one, and each row is a candidate many times
    size = min(count, rows - 1)
    tried = min(2 * count + 8, rows - 1)
    neighbours, similarities = np.zeros((rows, size), np.int32), np.zeros((rows, size), np.float32)
    middle = _mean(features)
    scales = _inverse_lengths(features, middle)

    def compare(start: int) -> int:
        own = features[start : start + ROWS_AT_ONCE] - middle  # float64
        near = _near(own.astype(np.float32), start, features, middle.astype(np.float32), scales, tried)
        for row, others in enumerate(near):
            similarity = _cosines(features[others] - middle, own[row]).astype(np.float32)
            order = np.argsort(-similarity, kind="stable")[:size]  # candidates come by their number
            neighbours[start + row], similarities[start + row] = others[order], similarity[order]
        return len(own)

    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        for done in pool.map(compare, range(0, rows, ROWS_AT_ONCE)):
            advance(done)
    return neighbours, similarities


def _cosines(others: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Of centred rows (n, F) with one (F,), float64: (n,), 0 where either has no direction. Equal rows get equal
    numbers, which products of matrices do not promise."""
    squares = (others * others).sum(1) * (own * own).sum()
    products = (others * own).sum(1)
    return np.divide(products, np.sqrt(squares), out=np.zeros(len(others)), where=squares > 0)


def _inverse_lengths(features: Rows, middle: np.ndarray) -> np.ndarray:
    """1 / ‖x − middle‖ of every row x, (N,) float32; 0 where x is the middle."""
    rows, length = features.shape
    inverse = np.zeros(rows, np.float32)
    step = max(1, HELD // length)
    for start in range(0, rows, step):
        lengths = np.linalg.norm(features[start : start + step] - middle, axis=1)
        np.divide(1, lengths, out=inverse[start : start + step], where=lengths > 0, casting="unsafe")
    return inverse


def _near(
    own: np.ndarray, first: int, features: Rows, middle: np.ndarray, scales: np.ndarray, tried: int
) -> np.ndarray:
    """For centred rows (n, F), the first of which is row `first`, the candidates for the nearest others by float32
    similarity: (n, tried) row numbers, ascending. scales: 1 / length of every centred row, (N,)."""
    count, (rows, length) = len(own), features.shape
    similarity: np.ndarray = np.zeros((count, 0), np.float32)
    number: np.ndarray = np.zeros((count, 0), np.int32)
    step = max(1, min(HELD // length, HELD // ROWS_AT_ONCE))
    for start in range(0, rows, step):
        others = features[start : start + step] - middle
        rough = own @ others.T * scales[start : start + step]  # times the row's own length
        themselves = np.arange(first, first + count) - start
        inside = (themselves >= 0) & (themselves < len(others))
        rough[inside, themselves[inside]] = -np.inf
        similarity = np.concatenate([similarity, rough], 1)
        numbers = np.arange(start, start + len(others), dtype=np.int32)
        number = np.concatenate([number, np.broadcast_to(numbers, rough.shape)], 1)
        if similarity.shape[1] > tried:
            best = np.argpartition(-similarity, tried - 1, axis=1)[:, :tried]
            similarity = np.take_along_axis(similarity, best, 1)
            number = np.take_along_axis(number, best, 1)
    return np.sort(number, axis=1)


def _mean(features: Rows) -> np.ndarray:
    """The mean of the rows, (F,) float64."""
    rows, length = features.shape
    total = np.zeros(length)
    step = max(1, HELD // length)
    for start in range(0, rows, step):
        total += features[start : start + step].sum(0, dtype=np.float64)
    return total / rows


# -- hubness -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spread:
    """How evenly N rows are spread over each other's lists of neighbours. largest: in how many lists the row is that is
    in most; unlisted: rows that are in none; skewness: third standardised moment of the number of lists, None where all
    are in equally many."""

    largest: int
    unlisted: float
    skewness: float | None


def occurrences(neighbours: np.ndarray) -> np.ndarray:
    """In how many others' lists (N, k) of nearest neighbours each row is, (N,) int32; k on average."""
    return np.bincount(neighbours.ravel(), minlength=len(neighbours)).astype(np.int32)


def spread_of(listed: np.ndarray) -> Spread:
    """Of the numbers of lists (N,) that each row is in."""
    from scipy.stats import skew

    skewness = float(skew(listed)) if np.ptp(listed) else None
    return Spread(int(listed.max()), int((listed == 0).sum()), skewness)


def spread_by_chance(rows: int, size: int) -> Spread:
    """What lists of `size` others, drawn at random for each of the rows, are expected to give: a row is then in a
    binomial number of lists, of N − 1 with probability k / (N − 1). largest: the median, the rows taken as independent;
    unlisted: the mean."""
    from scipy.stats import binom

    in_lists = binom(rows - 1, size / (rows - 1))
    counts = np.arange(rows)
    largest = int(np.searchsorted(rows * in_lists.logcdf(counts), np.log(0.5)))
    skewness = float(in_lists.stats("s")) if size < rows - 1 else None
    return Spread(largest, float(rows * in_lists.pmf(0)), skewness)
