"""The map of the pictures: the position of each by the vector that the classifier reads, and its nearest neighbours."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from generator.core.processes import in_processes
from generator.core.sprites import THUMB, Sheet, as_colours, framed, shrink, thumb_columns
from generator.core.store import Store
from generator.engine.device import trim_memory
from generator.methods import embedding as method
from generator.pictures.reading import evenly_spaced
from generator.stages import keys
from generator.stages.inputs import Inputs
from generator.stages.network_outputs import mapped
from generator.stages.picture_reading import read_again, usable_files
from generator.stages.run import Run

NEIGHBOURS = 9  # listed for each picture
MOST_THUMBS = 2500  # pictures on the sheet: 2,400 px square, which every browser decodes
MOST_THREADS = 4  # each holds a few MB
SHEET_BYTES = 2_000_000  # of the sheet; it shows fewer pictures where MOST_THUMBS would take more


@dataclass(frozen=True)
class MapTask:
    """What places the pictures of an atlas. folder: the atlas, which has the features; components: (N, k) float32, the
    pictures' principal components; perplexity, seed, exact: of t-SNE."""

    folder: Path
    components: np.ndarray
    perplexity: float
    seed: int
    exact: int


@dataclass(frozen=True)
class MapResult:
    """Where pictures lie. neighbours: (N, k) int32, the nearest others; similarities: (N, k) float32, of those; placed:
    by t-SNE."""

    neighbours: np.ndarray
    similarities: np.ndarray
    placed: method.Placed


def place_pictures(task: MapTask, advance: Callable[[int], None] = lambda done: None) -> MapResult:
    """t-SNE and, meanwhile, the nearest neighbours. advance: told how many pictures' neighbours are known."""
    features = Store(task.folder).arrays.features()
    # The limit holds for both: when the first ends, the other's sums must not depend on how many cores there are.
    with threadpool_limits(1), ThreadPoolExecutor(1) as pool:
        placing = pool.submit(
            method.t_sne, task.components, perplexity=task.perplexity, seed=task.seed, exact=task.exact
        )
        threads = max(1, min((os.cpu_count() or 1) - 1, MOST_THREADS))
        neighbours, similarities = method.nearest(features, NEIGHBOURS, threads, advance)
        return MapResult(neighbours, similarities, placing.result())


def is_wanted(inputs: Inputs) -> bool:
    """Whether the profile asks for a map and the network has a vector before its classifier."""
    return bool(keys.features(inputs))


def map_pictures(inputs: Inputs, run: Run) -> None:
    """Write embedding/map.npz, embedding.json and thumbs.webp from the features; where the pictures do not differ there
    is no map, and what an earlier run left is removed."""
    store = run.store
    store.arrays.drop_embedding(features=False)
    features = store.arrays.features()
    files = usable_files(inputs, run)
    pictures = np.flatnonzero(mapped(inputs)[files] >= 0).astype(np.int32)
    places = files[pictures]
    with run.reporter.stage("map of the pictures", 3 * len(pictures), "steps") as advance:
        components = method.components(features)
        advance(len(pictures))
        if components is not None:
            _write(inputs, run, components, pictures, places, advance)


def _write(
    inputs: Inputs,
    run: Run,
    components: method.Components,
    pictures: np.ndarray,
    places: np.ndarray,
    advance: Callable[[int], None],
) -> None:
    """pictures: (M,) numbers in images.csv; places: (M,) their indices in the picture set."""
    # First of all, for the sheet takes the most memory, and what follows holds some for every picture.
    thumbs = (
        _write_thumbs(inputs, run, places) if inputs.profile.site.publish_patches else np.zeros(0, np.int64)
    )
    trim_memory()
    result = _placed(inputs, run, components, advance)
    listed = method.occurrences(result.neighbours)
    on_sheet = np.full(len(pictures), -1, np.int32)
    on_sheet[thumbs] = np.arange(len(thumbs))
    run.store.arrays.write_embedding(
        {
            "picture": pictures,
            "pca": components.positions[:, :2],
            "tsne": result.placed.positions,
            "exact": result.placed.exact,
            "neighbour": result.neighbours,
            "similarity": result.similarities,
            "listed": listed,
            "thumb": on_sheet,
        }
    )
    report = _report(inputs, components, result, listed, len(thumbs))
    run.store.tables.write_json("embedding/embedding.json", report)


def _placed(
    inputs: Inputs, run: Run, components: method.Components, advance: Callable[[int], None]
) -> MapResult:
    section, pictures = inputs.profile.embedding, len(components.positions)
    task = MapTask(run.store.folder, components.positions, section.perplexity, section.seed, section.exact)
    # Beside a GPU in a process of its own: its thousands of small steps would keep the thread that feeds it waiting.
    processes = 1 if run.device.type == "cuda" else 0
    ((_, result),) = in_processes(
        place_pictures,
        [task],
        processes,
        doing="places the pictures on the map",
        remedy="close other programs and run the same command again: it goes on from here",
        here=lambda task: place_pictures(task, advance),
    )
    if processes:
        advance(pictures)
    advance(pictures)
    return result


def _report(
    inputs: Inputs, components: method.Components, result: MapResult, listed: np.ndarray, thumbs: int
) -> dict[str, Any]:
    """What embedding.json says. listed: (M,) how often each picture is among the neighbours of others; thumbs: how many
    pictures are on the sheet."""
    vector, graph = inputs.network.last_vector, inputs.network.graph
    assert vector is not None
    return {
        "vector": graph.module_of(vector[0]),
        "length": vector[1],
        "averages": graph.is_average(vector[0]),
        "pictures": len(listed),
        "precision": inputs.profile.compute.precision,
        "fitted": components.fitted,
        "explained": [round(float(share), 6) for share in components.explained],
        "perplexity": result.placed.perplexity,
        "seed": inputs.profile.embedding.seed,
        "exact": int(result.placed.exact.sum()),
        "divergence": result.placed.divergence,
        "neighbours": result.neighbours.shape[1],
        "hubness": {
            "found": asdict(method.spread_of(listed)),
            "chance": asdict(method.spread_by_chance(*result.neighbours.shape)),
        },
        "thumbs": {"tile": THUMB, "columns": thumb_columns(thumbs), "count": thumbs},
        "scikit-learn": version("scikit-learn"),
    }


def _write_thumbs(inputs: Inputs, run: Run, places: np.ndarray) -> np.ndarray:
    """Write the sheet of small pictures, evenly spaced ones and as many as fit into its bytes; returns the rows of
    those on the sheet, in order."""
    chosen = evenly_spaced(len(places), MOST_THUMBS)
    whole, start = Sheet(len(chosen), THUMB), 0
    for batch in read_again(inputs, run, places[chosen], batch=64):
        for pixels in batch.pixels.numpy():
            whole.tile(start)[:] = framed(shrink(as_colours(pixels), THUMB))
            start += 1
    shown, sheet = np.arange(len(chosen)), whole.webp(inputs.profile.sprites.quality)
    while len(sheet) > SHEET_BYTES:
        shown = evenly_spaced(len(chosen), int(len(shown) * 0.97 * SHEET_BYTES / len(sheet)))
        sheet = whole.only(shown).webp(inputs.profile.sprites.quality)
    run.store.pictures.write(run.store.pictures.map_thumbs_path(), sheet)
    return chosen[shown]
