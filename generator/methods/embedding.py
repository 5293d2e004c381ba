"""Pictures on a plane: principal components, t-SNE (van der Maaten and Hinton 2008, JMLR 9), nearest neighbours.

Everything is computed in one thread a piece of work, so that no sum depends on how many cores a machine has.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

COMPONENTS = 50  # what t-SNE is given; most of what more would add is noise, and distances cost as much again
FEWEST = 8  # pictures; of fewer there is no map
NEAREST = 10  # of the pictures that t-SNE placed, beside which another one is put
CHUNK = 512  # pictures whose distances to all others are held at once: 100 MB at 50,000


@dataclass(frozen=True)
class Components:
    """positions: (N, k) float32 along the first k principal axes; explained: (k,) float64, each axis's share of the
    variance."""

    positions: np.ndarray
    explained: np.ndarray


@dataclass(frozen=True)
class Placed:
    """A t-SNE map. positions: (N, 2) float32; divergence: Kullback–Leibler, of the pictures that t-SNE placed itself;
    exact: (N,) bool, which those are; perplexity: as used, lower than asked for where there are few pictures."""

    positions: np.ndarray
    divergence: float
    exact: np.ndarray
    perplexity: float


def components(features: np.ndarray, most: int = COMPONENTS) -> Components | None:
    """The first principal components of (N, F) features, centred and not scaled; None where fewer than two axes hold
    any variance, or there are fewer than eight pictures.

    scikit-learn's PCA, exact: by the covariance where there are more pictures than features, else by singular values.
    """
    from sklearn.decomposition import PCA

    count, length = features.shape
    if count < FEWEST or length < 2:
        return None
    solver = "covariance_eigh" if count >= length else "full"
    with threadpool_limits(1):
        model = PCA(min(most, count, length), svd_solver=solver)
        with np.errstate(invalid="ignore", divide="ignore"):
            positions = model.fit_transform(features)
    explained = model.explained_variance_ratio_.astype(np.float64)
    if not np.isfinite(explained).all() or explained[1] <= 1e-6:
        return None
    return Components(positions.astype(np.float32), explained)


def t_sne(positions: np.ndarray, *, perplexity: float, seed: int, exact: int) -> Placed:
    """Two dimensions of (N, k) principal components, by scikit-learn's Barnes–Hut t-SNE begun at the first two.

    Of more than `exact` pictures so many, drawn by the seed, are placed by t-SNE, and every other one at the median of
    the places of its ten nearest among those, in all k dimensions (the start of openTSNE's `transform`; Poličar,
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
        found = np.zeros((count, 2), np.float32)
        found[chosen] = model.fit_transform(positions[chosen])
        if count > exact:
            near = NearestNeighbors(n_neighbors=NEAREST, algorithm="brute", n_jobs=1).fit(positions[chosen])
            beside = near.kneighbors(positions[~chosen], return_distance=False)  # (N − exact, 10)
            found[~chosen] = np.median(found[chosen][beside], axis=1)
    return Placed(found, float(model.kl_divergence_), chosen, float(used))


def nearest(
    features: np.ndarray, count: int, threads: int = 1, advance: Callable[[int], None] = lambda done: None
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest others of every row of (N, F) features by Euclidean distance, the nearer first, equal ones by their
    number: rows (N, k) int32 and distances (N, k) float32, k = min(count, N − 1).

    Every pair is compared: in float32 first, and what comes near in float64. advance: told how many rows are done.
    """
    rows = len(features)
    kept = min(count, rows - 1)
    tried = min(2 * count + 8, rows - 1)
    centred = features - features.mean(0, dtype=np.float64).astype(
        np.float32
    )  # distances cancel fewer digits
    squares = np.einsum("nf,nf->n", centred, centred)
    which, how_far = np.zeros((rows, kept), np.int32), np.zeros((rows, kept), np.float32)

    def one(start: int) -> int:
        end = min(start + CHUNK, rows)
        rough = squares[None] - 2 * (centred[start:end] @ centred.T)  # (n, N), less the row's own square
        rough[np.arange(end - start), np.arange(start, end)] = np.inf
        near = np.sort(np.argpartition(rough, tried - 1, axis=1)[:, :tried], axis=1)
        for row in range(start, end):
            others = near[row - start]
            exact = np.linalg.norm(features[others].astype(np.float64) - features[row], axis=1)
            order = np.argsort(exact, kind="stable")[:kept]
            which[row], how_far[row] = others[order], exact[order]
        return end - start

    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        for done in pool.map(one, range(0, rows, CHUNK)):
            advance(done)
    return which, how_far
