"""What is kept of every picture besides the scan's numbers: the vector before the classifier, for the map, and what the
classifier then says. The scan brings both along; where it does not, or need not be done again, a pass of its own reads
them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from generator.device import one_thread_each, use_tf32
from generator.errors import AtlasError
from generator.features import read_vectors
from generator.files import VectorFile
from generator.pictures import evenly_spaced
from generator.scan import FORWARD, Vectors, in_rounds
from generator.stages.job import Job

ROWS_AT_ONCE = 1024  # of a file of vectors: a few MB

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
    write: Callable[[np.ndarray, np.ndarray, Read], None]


def mapped(job: Job) -> np.ndarray:
    """(N,) int64, for every file of the picture set its row in the map's list, −1 where it is not in it: all are in it,
    or as many as the profile allows, evenly spaced."""
    count = len(job.pictures.files)
    places = evenly_spaced(count, job.profile.embedding.pictures)
    rows = np.full(count, -1, np.int64)
    rows[places] = np.arange(len(places))
    return rows


def wanted(job: Job) -> list[Collection]:
    """What is to be collected and is not there yet."""
    found = []
    vector = job.network.last_vector
    if job.features_key and vector is not None:
        write = partial(_write_features, job, vector[1])
        found.append(
            Collection("features", job.features_key, *vector, mapped(job), lambda vectors: vectors, write)
        )
    if job.predictions_key:
        last, every = len(job.network.graph) - 1, np.arange(len(job.pictures.files))
        write = partial(_write_predictions, job)
        found.append(Collection("predictions", job.predictions_key, last, 2, every, strongest, write))
    return [one for one in found if job.store.stamp(one.name) != one.key]


def strongest(scores: np.ndarray) -> np.ndarray:
    """(n, K) scores of the network's outputs → (n, 2): the largest one's number and score."""
    return np.stack([scores.argmax(1), scores.max(1)], 1)


def begin_collecting(job: Job) -> None:
    """Withdraw what an earlier run collected of something else."""
    for one in wanted(job):
        job.store.unstamp(one.name)
        if job.store.stamp(f"{one.name}-of") != one.key:
            job.store.drop_parts(pass_=one.name)
            job.store.write_stamp(f"{one.name}-of", one.key)


@contextlib.contextmanager
def along_the_scan(job: Job) -> Iterator[tuple[Vectors, ...]]:
    """What the scan is to keep of every picture besides."""
    with contextlib.ExitStack() as opened:
        found = []
        for one in wanted(job):
            file = opened.enter_context(job.store.vector_file(one.length, one.name))
            found.append(Vectors(one.step, partial(_take, one, file)))
        yield tuple(found)


def _take(one: Collection, file: VectorFile, places: np.ndarray, outputs: np.ndarray) -> None:
    kept = one.rows[places] >= 0
    if kept.any():
        file.write(one.rows[places][kept], one.keep(outputs[kept]))


def collect(job: Job) -> None:
    """Write embedding/features.npy, one row a picture of the map, and predictions.npz, one row a picture, both in the
    order of images.csv.

    Every process of a torchrun calls it. Nothing is done where they are there or not wanted.
    """
    todo = wanted(job)
    job.ranks.meet()  # every process has seen the same before any stamps
    if job.ranks.leads:
        begin_collecting(job)
        if not job.predictions_key:
            job.store.drop_file("predictions.npz")
    job.ranks.meet()
    for one in todo:
        _collect(job, one)


def _collect(job: Job, one: Collection) -> None:
    files = job.files()
    places = files[one.rows[files] >= 0]  # in the order of images.csv
    with job.store.vector_file(one.length, one.name) as file:
        missing = places[~file.has(one.rows[places])]
        job.ranks.meet()  # every process has seen the same before any writes
        _read_missing(job, one, missing, file)
        job.ranks.meet()
        if job.ranks.leads:
            one.write(one.rows[places], places, file.read)
            job.store.write_stamp(one.name, one.key)
    if job.ranks.leads:
        job.store.drop_parts(pass_=one.name)
    job.ranks.meet()


def _read_missing(job: Job, one: Collection, missing: np.ndarray, file: VectorFile) -> None:
    if not len(missing):
        return
    mine = np.concatenate(
        [missing[:0], *job.ranks.share(np.split(missing, range(FORWARD, len(missing), FORWARD)))]
    )
    precision = job.profile.compute.precision
    network = job.network.to(job.device, job.scan_plan.dtype)
    use_tf32(precision == "tf32")
    with contextlib.ExitStack() as opened:
        threads = opened.enter_context(one_thread_each(job.device))
        advance = opened.enter_context(job.reporter.stage(one.name, len(mine), "pictures"))
        batches = job.read_again(mine, batch=FORWARD)
        for done in in_rounds(lambda batch: read_vectors(network, batch.pixels, one.step), batches, threads):
            for batch, outputs in done:
                _take(one, file, batch.indices.numpy(), outputs)
                advance(len(outputs))


def _write_features(job: Job, length: int, rows: np.ndarray, places: np.ndarray, read: Read) -> None:
    def parts() -> Iterator[np.ndarray]:
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = read(rows[start : start + ROWS_AT_ONCE])
            finite = np.isfinite(part).all(1)
            if not finite.all():
                path = job.pictures.files[places[start + int(finite.argmin())]].path
                raise AtlasError(
                    "the vector before the classifier is not finite",
                    path,
                    "check that the weights belong to it",
                )
            yield part

    job.store.write_features((len(rows), length), parts())


def _write_predictions(job: Job, rows: np.ndarray, _places: np.ndarray, read: Read) -> None:
    kept = read(rows)
    job.store.write_predictions(kept[:, 0].astype(np.int32), kept[:, 1].copy())
