"""How often intervals of nominally 95 % cover the truth, on the drawn world, where new pictures can be drawn at will.

    python -m benchmarks.coverage                      # draws 40,000 pictures and reads the demo network on them
    python -m benchmarks.coverage --pictures 8000      # fewer sets
    python -m benchmarks.coverage --pool FOLDER        # keeps the scores there, or takes them from there

Every set of pictures gives each channel a value and an interval. The truth of a channel is the mean of its values over
all sets: what the same statistic gives on another set of that size on average. The share of intervals that hold the
truth is the coverage. Pictures are of seeds that neither training nor an atlas uses.
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from generator.core.correspondence import centred_ranks
from generator.core.hierarchy import Hierarchy
from generator.methods.directions import along, random_directions
from generator.methods.purity import Classes
from generator.methods.refinement import BlockSample, Gains, compare
from generator.methods.resampling import NORMAL, bound, known_mean

SEED = 9_000_003  # of pictures that are neither in training nor in an atlas
SET = 1000  # pictures
AT_ONCE = 100
PAIRS = (
    ("res2a", "res2c"), ("res3a", "res3d"), ("res4a", "res4b"), ("res4a", "res4f"), ("res5a", "res5b"),
    ("res5a", "res5c"),
)  # fmt: skip
LAYERS = tuple(dict.fromkeys(name for pair in PAIRS for name in pair))


def main() -> None:
    """Print the coverage by pair of blocks and statistic."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=40_000)
    parser.add_argument("--set", type=int, default=SET)
    parser.add_argument("--pool", type=Path, default=Path("build/coverage"))
    options = parser.parse_args()
    scores = _pool(options.pool, options.pictures)
    # In the order of their numbers the classes alternate, so that each set would have as many pictures of every class:
    # drawn at will, they do not.
    order = np.random.default_rng(SEED).permutation(options.pictures)
    sets = [np.sort(order[first : first + options.set]) for first in range(0, options.pictures, options.set)]
    print(f"{len(sets)} sets of {options.set} pictures; {bound():.3f} standard errors to each side")
    print("| blocks | channels | statistic | coverage, % | lowest tenth of channels, % | error / true sd |")
    print("|---|---|---|---|---|---|")
    for pair in PAIRS:
        values: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
        for part in sets:
            classes = drawn_classes(part)
            for name, read in _read(tuple(np.asarray(scores[x][part]) for x in pair), classes).items():
                values.setdefault(name, []).append(read)
        for name, reads in values.items():
            _report(pair, name, *(np.stack(column) for column in zip(*reads, strict=True)))


def _report(pair: tuple[str, str], name: str, values: np.ndarray, errors: np.ndarray) -> None:
    """values, errors: (sets, channels)."""
    known = np.isfinite(values) & np.isfinite(errors)
    often = known.sum(axis=0) >= 0.8 * len(values)
    truth = np.nanmean(np.where(np.isfinite(values), values, np.nan)[:, often], axis=0)
    inside = np.abs(values[:, often] - truth) <= bound() * errors[:, often]
    share = np.where(known[:, often], inside, np.nan)
    by_channel = np.nanmean(share, axis=0)
    spread = np.nanstd(values[:, often], axis=0, ddof=1)
    ratio = np.nanmedian(np.nanmean(errors[:, often], axis=0) / np.maximum(spread, 1e-12))
    print(
        f"| {pair[0]} → {pair[1]} | {often.sum()} | {name} | {100 * np.nanmean(share):.1f} | "
        f"{100 * np.quantile(by_channel, 0.1):.0f} | {ratio:.2f} |",
        flush=True,
    )


def _read(
    scores: tuple[np.ndarray, np.ndarray], classes: Classes
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By statistic its values and standard errors over the channels, or over the pair (one value)."""
    before, after = (BlockSample.of(part, classes, signed=False) for part in scores)
    change = compare(before, after, scores, (centred_ranks(scores[0]), centred_ranks(scores[1])))
    mixed = Gains.between(
        *(
            BlockSample.of(along(x, random_directions(x.shape[1])), classes, signed=True, overlaps=False)
            for x in scores
        )
    )
    assert after.agreement is not None
    assert change.gains is not None
    assert mixed is not None
    gains, judged = change.gains, change.judged
    own, kept = gains.halves.mean(judged), change.kept.mean(change.known)
    directions = mixed.halves.mean(np.isfinite(mixed.gain))
    gain = float(known_mean(gains.gain[judged]))
    excess = gain - float(known_mean(mixed.gain))
    return {
        "label agreement": (after.agreement, after.agreement_error),
        "gain": (gains.gain, gains.halves.error),
        "pictures kept": (change.shared.astype(np.float64), change.shared_error),
        "rank correlation": (change.rho.rho, change.rho.error * NORMAL / bound()),
        "overlap at 5 %": (change.overlaps[:, 1], change.overlapped.error),
        "mean ρ": (
            np.array([known_mean(change.rho.rho)]),
            np.array([change.rho.mean_error * NORMAL / bound()]),
        ),
        "mean pictures kept": (
            np.array([change.shared[change.known].mean()]),
            np.array([kept.error]),
        ),
        "mean gain": (np.array([gain]), np.array([own.error])),
        "mean gain beyond directions": (
            np.array([excess]),
            np.array([(own - directions).error]),
        ),
    }


def drawn_classes(pictures: np.ndarray) -> Classes:
    """The classes of pictures of the drawn world by their numbers, with its families."""
    from generator.pictures.drawn.world import CLASSES, FAMILIES

    parents = {name: family for family, names in FAMILIES.items() for name in names} | dict.fromkeys(
        FAMILIES, ""
    )
    labels = [(number % len(CLASSES), CLASSES[number % len(CLASSES)]) for number in pictures.tolist()]
    return Classes.of(labels, [name for _, name in labels], Hierarchy(parents, "the drawn world"))


def _pool(folder: Path, pictures: int) -> dict[str, np.ndarray]:
    """The scores of every layer on the pictures, computed where the folder does not hold them."""
    folder.mkdir(parents=True, exist_ok=True)
    if not all((folder / f"{name}.npy").exists() for name in LAYERS):
        began, parts = time.perf_counter(), []
        with ProcessPoolExecutor(os.cpu_count()) as processes:
            for number, part in enumerate(processes.map(_scores, range(0, pictures, AT_ONCE))):
                parts.append(part)
                done = (number + 1) * AT_ONCE
                left = (time.perf_counter() - began) * (pictures - done) / done
                print(f"\r{done:,} of {pictures:,} pictures, {left:.0f} s left", end="", flush=True)
        print()
        for name in LAYERS:
            np.save(folder / f"{name}.npy", np.concatenate([part[name] for part in parts]))
    return {name: np.load(folder / f"{name}.npy", mmap_mode="r")[:pictures] for name in LAYERS}


def _scores(first: int) -> dict[str, np.ndarray]:
    import torch

    from generator.network import models
    from generator.pictures.drawn import world

    torch.set_num_threads(1)
    network = models.load("demo").keep(list(LAYERS)).to("cpu", torch.float32)
    pixels = np.stack([np.asarray(world.draw(n, SEED).image) for n in range(first, first + AT_ONCE)])
    steps = dict(zip(network.steps, LAYERS, strict=True))
    found: dict[str, np.ndarray] = {}
    with torch.no_grad():
        for step, maps in network.graph.visit(network.prepare(torch.from_numpy(pixels)), steps):
            found[steps[step]] = maps.amax((2, 3)).numpy()
    return found


if __name__ == "__main__":
    main()
