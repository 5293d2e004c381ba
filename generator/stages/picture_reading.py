"""Reading the picture set during a run: all passes see the pictures as they were when the run began."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from generator.core.checksums import file_digest
from generator.core.errors import AtlasError
from generator.pictures.batch_reader import PictureBatch, read_batches
from generator.stages.decoded_pixels import kept_pixels
from generator.stages.inputs import Inputs
from generator.stages.run import Run


def forwards_per_read(inputs: Inputs) -> int:
    """How many forward batches are read at a time, by the number of pictures that the profile gives."""
    return max(1, -(-inputs.profile.compute.batch // inputs.forward))


def usable_files(inputs: Inputs, run: Run) -> np.ndarray:
    """For every picture of images.csv its index in the picture set, (N,) int64: unusable files have no number there."""
    scan = run.store.tables.read_json("scan.json")
    if scan is None:
        raise AtlasError("scan.json cannot be read", run.store.folder, "run the same command again")
    skipped = {path for path, _ in scan["skipped"]}
    return np.flatnonzero([file.path not in skipped for file in inputs.pictures.files])


def read_pictures(
    inputs: Inputs, run: Run, files: Sequence[int] | np.ndarray, batch: int | None = None
) -> Iterator[PictureBatch]:
    """Read pictures, given by their indices in the picture set, in order, in batches of whole forward batches or of
    another size: from the pixels that were kept, and else from their files. Raises AtlasError where a file that must be
    decoded is no longer what it was when the run began."""
    size = batch or forwards_per_read(inputs) * inputs.forward
    for pictures in read_batches(
        inputs.pictures,
        files,
        inputs.network.preprocessing,
        batch=size,
        workers=run.decoders if len(files) > size else 0,
        pin=run.device.type == "cuda",
        kept=kept_pixels(inputs, run),
    ):
        _refuse_changed(inputs, pictures)
        yield pictures


def read_again(
    inputs: Inputs, run: Run, files: Sequence[int] | np.ndarray, batch: int | None = None
) -> Iterator[PictureBatch]:
    """As `read_pictures`, for pictures that the scan could use: one that cannot be decoded now has changed."""
    for pictures in read_pictures(inputs, run, files, batch):
        if pictures.skipped:
            raise picture_changed(inputs.pictures.files[pictures.skipped[0][0]].path)
        yield pictures


def picture_changed(path: Path | str) -> AtlasError:
    """The error for a picture that is no longer what it was when the run began."""
    return AtlasError("a picture changed or vanished during the run", path, "run the same command again")


def _refuse_changed(inputs: Inputs, batch: PictureBatch) -> None:
    if inputs.contents is None:
        return
    pictures = inputs.pictures
    digests = dict(zip(batch.indices.tolist(), batch.digests, strict=True))
    digests |= {index: file_digest(pictures.root / pictures.files[index].path) for index, _ in batch.skipped}
    for index, digest in digests.items():
        if digest != inputs.contents[index].tobytes().hex():
            raise picture_changed(pictures.files[index].path)
