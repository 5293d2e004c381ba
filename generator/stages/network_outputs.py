"""What is kept of every picture besides the scan's numbers: the vector before the classifier, for the map, and what the
classifier then says. The scan brings both along; where it does not, or need not be done again, a pass of its own reads
them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from collections.abc import Collection as Numbers
from dataclasses import dataclass
from functools import partial

import numpy as np

from generator.core.errors import AtlasError
from generator.core.files import VectorFile
from generator.engine.device import one_thread_each, use_tf32
from generator.engine.rounds import in_rounds
from generator.engine.scan.features import read_vectors
from generator.engine.scan.scan import Vectors
from generator.pictures.reading import evenly_spaced, rows_of
from generator.stages import keys
from generator.stages.checkpointed_pass import CheckpointedPass, note_damage
from generator.stages.inputs import Inputs
from generator.stages.picture_reading import read_again, usable_files
from generator.stages.run import Run

ROWS_AT_ONCE = 1024  # of a file of vectors: a few MB

Batches = Generator[list[int], None, None]  # yields the numbers of batches
Read = Callable[[np.ndarray], np.ndarray]  # rows of a pass's file → (n, length) float32


@dataclass(frozen=True)
class Collection:
    """name: of its pass and stamp; key: fingerprint of all that it depends on; step: of the graph, whose output is
    read; length: numbers kept of each picture; rows: (N,) int64, for every file of the picture set its row, −1 where it
    is left out; keep: the step's outputs (n, F) float32 → what is kept, (n, length); write: takes the rows and the
    files' places, in the order of images.csv, and reads what was kept."""

    name: str
    key: str
    step: int
    length: int
    rows: np.ndarray
    keep: Callable[[np.ndarray], np.ndarray]
    write: Callable[[Inputs, Run, np.ndarray, np.ndarray, Read], None]


def mapped(inputs: Inputs) -> np.ndarray:
    """(N,) int64, for every file of the picture set its row in the map's list, −1 where it is not in it: all are in it,
    or as many as the profile allows, evenly spaced."""
    count = len(inputs.pictures.files)
    return rows_of(evenly_spaced(count, inputs.profile.embedding.pictures), count)


def features(inputs: Inputs) -> Collection:
    """The vectors before the classifier, of the pictures of the map."""
    vector = inputs.network.last_vector
    assert vector is not None
    step, length = vector
    return Collection(
        "features",
        keys.features(inputs),
        step,
        length,
        mapped(inputs),
        lambda vectors: vectors,
        _write_features,
    )


def predictions(inputs: Inputs) -> Collection:
    """The network's strongest output for every picture."""
    last, every = len(inputs.network.graph) - 1, np.arange(len(inputs.pictures.files))
    return Collection("predictions", keys.predictions(inputs), last, 2, every, strongest, _write_predictions)


def missing(inputs: Inputs, run: Run) -> list[Collection]:
    """What is to be collected and is not there yet."""
    wanted = [features(inputs)] if keys.features(inputs) else []
    wanted += [predictions(inputs)] if keys.predictions(inputs) else []
    return [collection for collection in wanted if run.store.work.stamp(collection.name) != collection.key]


def strongest(scores: np.ndarray) -> np.ndarray:
    """(n, K) scores of the network's outputs → (n, 2): the largest one's number and score."""
    return np.stack([scores.argmax(1), scores.max(1)], 1)


class _Nothing:
    """The state of a pass that keeps all it finds in a file of its own."""

    def merge(self, other: _Nothing) -> None:
        """Nothing to take in."""

    def arrays(self) -> dict[str, np.ndarray]:
        """None: everything is in the file."""
        return {}


def _pass(inputs: Inputs, run: Run, collection: Collection) -> CheckpointedPass[_Nothing]:
    return CheckpointedPass(
        run,
        collection.name,
        collection.key,
        f"the {collection.name}",
        empty=_Nothing,
        read=lambda *_: _Nothing(),
        intact=lambda _, batches: _has_all(inputs, run, collection, batches),
    )


def begin_along_the_scan(inputs: Inputs, run: Run) -> None:
    """Withdraw what an earlier run collected of something else."""
    for collection in missing(inputs, run):
        run.store.work.unstamp(collection.name)
        _begin(inputs, run, collection)


def _begin(inputs: Inputs, run: Run, collection: Collection) -> None:
    work, key = run.store.work, keys.scan(inputs)
    is_late = key in (work.stamp("scan"), work.stamp("scan-of"))
    if work.stamp(f"{collection.name}-of") != collection.key:
        # Says that the scan was under way before anybody asked for this.
        work.write_stamp(_late(collection), collection.key) if is_late else work.unstamp(_late(collection))
    _pass(inputs, run, collection).begin()


def _late(collection: Collection) -> str:
    return f"{collection.name}-late"


@contextlib.contextmanager
def along_the_scan(inputs: Inputs, run: Run) -> Iterator[tuple[Vectors, ...]]:
    """What the scan is to keep of every picture besides."""
    with contextlib.ExitStack() as opened:
        vectors = []
        for collection in missing(inputs, run):
            file = opened.enter_context(run.store.work.vector_file(collection.length, collection.name))
            vectors.append(Vectors(collection.step, partial(_take, collection, file)))
        yield tuple(vectors)


def _take(collection: Collection, file: VectorFile, places: np.ndarray, outputs: np.ndarray) -> None:
    wanted = collection.rows[places] >= 0
    if wanted.any():
        file.write(collection.rows[places][wanted], collection.keep(outputs[wanted]))


def collect_features(inputs: Inputs, run: Run) -> None:
    """Write embedding/features.npy, one row per picture of the map in the order of images.csv."""
    _collect(inputs, run, features(inputs))


def collect_predictions(inputs: Inputs, run: Run) -> None:
    """Write predictions.npz, one row per picture in the order of images.csv."""
    _collect(inputs, run, predictions(inputs))


def _collect(inputs: Inputs, run: Run, collection: Collection) -> None:
    """Read what the scan did not bring, and write all of it. Every process of a torchrun calls it."""
    if run.ranks.leads:
        _begin(inputs, run, collection)
    run.ranks.meet()
    places = _places(inputs, run, collection)
    collecting = _pass(inputs, run, collection)
    with run.store.work.vector_file(collection.length, collection.name) as file:
        is_complete = bool(file.has(collection.rows[places]).all())
    if (
        run.ranks.leads
        and not is_complete
        and not collecting.names()
        and run.store.work.stamp(_late(collection)) is None
    ):
        note_damage(run, collecting.what)  # for the scan brought it all
    run.ranks.meet()  # every process has seen the same before any writes

    def work(_: _Nothing, batches: list[int], done: Numbers[int], forward: int) -> Batches:
        return _read_batches(inputs, run, collection, batches, forward)

    if not is_complete:
        collecting.complete(len(_batches(places, inputs.forward)), inputs.forward, work)
    if run.ranks.leads:
        with run.store.work.vector_file(collection.length, collection.name) as file:
            collection.write(inputs, run, collection.rows[places], places, file.read)
    run.ranks.meet()


def _places(inputs: Inputs, run: Run, collection: Collection) -> np.ndarray:
    """Of the pictures that are kept their places in the picture set, in the order of images.csv, (M,) int64."""
    files = usable_files(inputs, run)
    indices: np.ndarray = files[collection.rows[files] >= 0]
    return indices


def _batches(places: np.ndarray, size: int) -> list[np.ndarray]:
    """The pictures of one forward at a time."""
    return np.split(places, range(size, len(places), size))


def _has_all(inputs: Inputs, run: Run, collection: Collection, batches: list[int]) -> bool:
    """Whether what was kept of all pictures of these batches is in its file."""
    of_batch = _batches(_places(inputs, run, collection), inputs.forward)
    places = np.concatenate([np.empty(0, np.int64), *(of_batch[number] for number in batches)])
    with run.store.work.vector_file(collection.length, collection.name) as file:
        return bool(file.has(collection.rows[places]).all())


def _read_batches(inputs: Inputs, run: Run, collection: Collection, mine: list[int], forward: int) -> Batches:
    """Read what is missing of these batches' pictures, yielding the numbers of the batches that are complete. forward:
    pictures that the network takes at once."""
    of_batch = _batches(_places(inputs, run, collection), inputs.forward)
    use_tf32(inputs.profile.compute.precision == "tf32")
    network = inputs.network.to(run.device, inputs.scan_plan.dtype)
    with contextlib.ExitStack() as opened:
        file = opened.enter_context(run.store.work.vector_file(collection.length, collection.name))
        missing = [of_batch[number][~file.has(collection.rows[of_batch[number]])] for number in mine]
        ends, read, complete = np.cumsum([len(places) for places in missing]), 0, 0
        asked = np.concatenate(missing)
        threads = opened.enter_context(one_thread_each(run.device))
        advance = opened.enter_context(run.reporter.stage(collection.name, len(asked), "pictures"))
        for done in in_rounds(
            lambda batch: read_vectors(network, batch.pixels, collection.step, forward),
            read_again(inputs, run, asked, batch=inputs.forward) if len(asked) else (),
            threads,
        ):
            for batch, outputs in done:
                _take(collection, file, batch.indices.numpy(), outputs)
                advance(len(outputs))
                read += len(outputs)
            before, complete = complete, int(np.searchsorted(ends, read, "right"))
            yield mine[before:complete]
        yield mine[complete:]  # of whose pictures nothing was missing


def _write_features(inputs: Inputs, run: Run, rows: np.ndarray, places: np.ndarray, read: Read) -> None:
    vector = inputs.network.last_vector
    assert vector is not None

    def parts() -> Iterator[np.ndarray]:
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = read(rows[start : start + ROWS_AT_ONCE])
            finite = np.isfinite(part).all(1)
            if not finite.all():
                path = inputs.pictures.files[places[start + int(finite.argmin())]].path
                raise AtlasError(
                    "the vector before the classifier is not finite",
                    path,
                    "check that the weights belong to it",
                )
            yield part

    run.store.arrays.write_features((len(rows), vector[1]), parts())


def _write_predictions(inputs: Inputs, run: Run, rows: np.ndarray, places: np.ndarray, read: Read) -> None:
    strongest_outputs = read(rows)
    run.store.arrays.write_predictions(
        strongest_outputs[:, 0].astype(np.int32), strongest_outputs[:, 1].copy()
    )
