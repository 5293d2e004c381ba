"""The vector before the classifier of every picture: the scan brings it along; what a scan of earlier days did not
bring is read in a pass of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import numpy as np

from generator.device import one_thread_each, use_tf32
from generator.errors import AtlasError
from generator.features import read_vectors
from generator.pictures import evenly_spaced
from generator.scan import FORWARD, Vectors, in_rounds
from generator.stages.job import Job

PASS = "features"
ROWS_AT_ONCE = 1024  # of the features' file: a few MB


def mapped(job: Job) -> np.ndarray:
    """(N,) int64, for every file of the picture set its row in the map's list, −1 where it is not in it: all are in it,
    or as many as the profile allows, evenly spaced."""
    count = len(job.pictures.files)
    places = evenly_spaced(count, job.profile.embedding.pictures)
    rows = np.full(count, -1, np.int64)
    rows[places] = np.arange(len(places))
    return rows


def begin_features(job: Job) -> None:
    """Withdraw the vectors that an earlier run collected of something else."""
    if job.store.stamp(PASS) == job.features_key:
        return
    job.store.unstamp(PASS)
    if job.store.stamp("features-of") != job.features_key:
        job.store.drop_parts(pass_=PASS)
        job.store.write_stamp("features-of", job.features_key)


@contextlib.contextmanager
def wanted_vectors(job: Job) -> Iterator[Vectors | None]:
    """What the scan is to keep of every picture besides; None where that is there, or not wanted."""
    found = job.network.last_vector
    if found is None or not job.features_key or job.store.stamp(PASS) == job.features_key:
        yield None
        return
    step, length = found
    rows = mapped(job)
    with job.store.vector_file(length) as file:

        def take(places: np.ndarray, vectors: np.ndarray) -> None:
            kept = rows[places] >= 0
            file.write(rows[places][kept], vectors[kept])

        yield Vectors(step, take)


def collect_features(job: Job) -> None:
    """Write embedding/features.npy: one row a picture of the map, in the order of images.csv.

    Every process of a torchrun calls it. Nothing is done where the features are there or not wanted.
    """
    found = job.network.last_vector
    if found is None or not job.features_key or job.store.stamp(PASS) == job.features_key:
        return
    step, length = found
    if job.ranks.leads:
        begin_features(job)
    job.ranks.meet()
    rows, files = mapped(job), job.files()
    places = files[rows[files] >= 0]  # of the map's pictures, in the order of images.csv
    with job.store.vector_file(length) as file:
        missing = places[~file.has(rows[places])]
        job.ranks.meet()  # every process has seen the same before any writes
        _read_missing(job, step, missing, rows, file.write)
        job.ranks.meet()
        if job.ranks.leads:
            _write(job, length, rows[places], places, file.read)
            job.store.write_stamp(PASS, job.features_key)
    if job.ranks.leads:
        job.store.drop_parts(pass_=PASS)
    job.ranks.meet()


def _read_missing(
    job: Job,
    step: int,
    missing: np.ndarray,
    rows: np.ndarray,
    write: Callable[[np.ndarray, np.ndarray], None],
) -> None:
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
        advance = opened.enter_context(job.reporter.stage("features", len(mine), "pictures"))
        batches = job.read_again(mine, batch=FORWARD)
        for done in in_rounds(lambda batch: read_vectors(network, batch.pixels, step), batches, threads):
            for batch, vectors in done:
                write(rows[batch.indices.numpy()], vectors)
                advance(len(vectors))


def _write(
    job: Job, length: int, rows: np.ndarray, places: np.ndarray, read: Callable[[np.ndarray], np.ndarray]
) -> None:
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
