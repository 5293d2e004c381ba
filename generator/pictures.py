"""Picture sources: finding the files of a folder, reading them in batches."""

from __future__ import annotations

import hashlib
import math
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from generator import labels as naming
from generator.decoding import PictureError, read_picture
from generator.errors import AtlasError
from generator.processes import serve_parent
from generator.records import Preprocessing

_JPEG, _PNM = (".jpg", ".jpeg", ".jpe", ".jfif"), (".ppm", ".pgm")
SUFFIXES = (*_JPEG, ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", *_PNM, ".avif")

# -- finding -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)  # there may be a million
class PictureFile:
    """path: inside the folder, with forward slashes (surrogate escapes where a name is not UTF-8); label_id
    −1 and label '' where nothing is known."""

    path: str
    label_id: int
    label: str


@dataclass(frozen=True)
class PictureSet:
    """Pictures found in a folder, not yet opened.

    source: the folder's name, to show; files: in bytewise order of their paths, which gives them their index;
    listing: SHA-256 over path, size and time of change of every file: a cheap answer to "has the folder
    changed?".
    """

    source: str
    root: Path
    files: tuple[PictureFile, ...]
    listing: str

    def __len__(self) -> int:
        return len(self.files)


def find_pictures(
    folder: Path | str, *, labels: Path | str | None = None, limit: int | None = None
) -> PictureSet:
    """The pictures of a folder, at any depth; hidden files and files with other endings are passed over.

    labels: a label file (see labels.from_file); without one, a labels.csv in the folder, else the names of
    folders or files, say what the pictures show. limit: so many files at most, evenly spaced over the sorted
    list, so that all classes stay in. Raises AtlasError if there is no such folder, no picture in it, or the
    labels do not fit.
    """
    root = Path(folder)
    if not root.is_dir():
        what = "not a folder" if root.exists() else "no such folder of pictures"
        raise AtlasError(what, root, "give a folder that holds pictures")
    if limit is not None and limit < 1:
        raise AtlasError(f"a limit of {limit} pictures leaves none", remedy="give a limit of at least 1")
    found, folders = _walk(root)
    if not found:
        raise AtlasError("no pictures found", root, f"files must end in {', '.join(SUFFIXES)}")
    paths = sorted(found, key=os.fsencode)
    table = root / "labels.csv"
    if labels is not None:
        known = naming.from_file(Path(labels), paths)
    elif table.is_file():
        known = naming.from_table(table, paths)
    else:
        known = naming.from_names(paths, folders)
    files = [PictureFile(path, *label) for path, label in zip(paths, known, strict=True)]
    if limit is not None and limit < len(files):
        files = [files[i * len(files) // limit] for i in range(limit)]
    digest = hashlib.sha256()
    for file in files:
        digest.update(os.fsencode(file.path) + found[file.path])
    return PictureSet(root.resolve().name, root, tuple(files), digest.hexdigest())


def evenly_spaced(count: int, most: int) -> np.ndarray:
    """So many of the numbers below `count` at most, evenly spaced, the first and the last among them; (n,) int64."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def _walk(root: Path) -> tuple[dict[str, bytes], list[str]]:
    """Relative path → what the listing says of it (size in bytes, time of change in ns) of every picture, and the names
    of the top folders."""
    found: dict[str, bytes] = {}
    top_folders: list[str] = []
    # A folder stands here with the folders it lies in, by device and inode: a link to one of them is a loop.
    waiting: list[tuple[str, str, frozenset[tuple[int, int]]]] = [(str(root), "", frozenset())]
    while waiting:
        place, prefix, above = waiting.pop()
        try:
            here = os.stat(place)
            identity = (here.st_dev, here.st_ino)
            if identity in above:
                continue
            entries = list(os.scandir(place))
        except OSError as error:
            raise AtlasError(
                f"the folder cannot be read ({error.strerror})", place, "check its permissions"
            ) from error
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                if entry.is_dir():
                    waiting.append((entry.path, f"{prefix}{entry.name}/", above | {identity}))
                    if not prefix:
                        top_folders.append(entry.name)
                elif entry.name.lower().endswith(SUFFIXES) and entry.is_file():
                    status = entry.stat()
                    found[prefix + entry.name] = f"\0{status.st_size}\0{status.st_mtime_ns}\n".encode()
            except OSError:  # a link that leads round in a circle
                continue
    return found, top_folders


# -- reading in batches --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PictureBatch:
    """Consecutive pictures, the broken ones left out.

    indices: (n,) int64, into PictureSet.files; pixels: (n, crop, crop, 3) uint8 RGB; sizes: width and height
    of each file's picture, in px; digests: SHA-256 of each file; skipped: index and reason of the broken
    ones.
    """

    indices: Tensor
    pixels: Tensor
    sizes: tuple[tuple[int, int], ...]
    digests: tuple[str, ...]
    skipped: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class _Batches(Dataset[tuple[Any, ...]]):
    """One item a batch: a worker decodes all of it, so it travels as one tensor."""

    root: str
    indices: np.ndarray  # (N,) int64
    paths: tuple[str, ...]
    batch: int
    preprocessing: Preprocessing

    def __len__(self) -> int:
        return math.ceil(len(self.paths) / self.batch)

    def __getitem__(self, number: int) -> tuple[Any, ...]:
        side = self.preprocessing.crop
        span = slice(number * self.batch, (number + 1) * self.batch)
        wanted = self.paths[span]
        pixels = np.empty((len(wanted), side, side, 3), np.uint8)
        indices: list[int] = []
        sizes: list[tuple[int, int]] = []
        digests: list[str] = []
        skipped: list[tuple[int, str]] = []
        for index, path in zip(self.indices[span].tolist(), wanted, strict=True):
            try:
                picture = read_picture(os.path.join(self.root, path), self.preprocessing)
            except PictureError as error:
                skipped.append((index, str(error)))
                continue
            pixels[len(indices)] = picture.pixels
            indices.append(index)
            sizes.append((picture.width, picture.height))
            digests.append(picture.sha256)
        return (
            torch.tensor(indices, dtype=torch.int64),
            torch.from_numpy(pixels[: len(indices)]),
            sizes,
            digests,
            skipped,
        )


def read_batches(
    pictures: PictureSet,
    indices: Sequence[int] | np.ndarray,
    preprocessing: Preprocessing,
    *,
    batch: int,
    workers: int,
    pin: bool = False,
) -> Iterator[PictureBatch]:
    """Decode pictures in batches, in the order of `indices`: each batch is the next `batch` of them, less the
    broken.

    workers: processes that decode ahead while the caller computes; 0 decodes in this process. pin: into
    page-locked memory, for copying to a GPU. Raises AtlasError if a worker dies.
    """
    chosen = np.asarray(indices, np.int64)
    paths = tuple(pictures.files[index].path for index in chosen)
    items = _Batches(str(pictures.root), chosen, paths, batch, preprocessing)
    for values in _ahead(items, workers, pin) if workers > 0 else map(items.__getitem__, range(len(items))):
        found, pixels, sizes, digests, skipped = values
        yield PictureBatch(
            found, pixels, tuple(map(tuple, sizes)), tuple(digests), tuple(map(tuple, skipped))
        )


def _ahead(items: _Batches, workers: int, pin: bool) -> Iterator[Any]:
    workers = min(workers, len(items))
    if workers == 0:
        return
    loader = DataLoader(
        items,
        batch_size=None,
        num_workers=workers,
        collate_fn=_as_it_is,
        worker_init_fn=_start_worker,
        multiprocessing_context=_context(),
        pin_memory=pin and torch.cuda.is_available(),
    )
    iterator = iter(loader)
    while True:
        try:
            values = next(iterator, None)
        except (
            RuntimeError,
            EOFError,
            OSError,
        ) as error:  # broken pictures do not raise: this is the process itself
            raise AtlasError(
                "a process that decodes pictures died, most likely for want of memory",
                remedy="use fewer workers, or 0 to decode without any",
            ) from error
        if values is None:
            return
        yield values


def _as_it_is(values: Any) -> Any:
    return values


def _start_worker(number: int) -> None:
    serve_parent()


def _context() -> Any:
    """Workers come from a clean server process: forking a process that runs torch's threads may hang, and
    starting each afresh imports torch each time."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch.utils.data", __name__])
    return context
