"""The atlas folder: the only room that reads or writes it.

    manifest.json  images.csv  channels.csv
    layers/<layer>.npz      top_value (C, 9) float32, top_image (C, 9) int32, top_unit (C, 9, 2) int32, one array a statistic
    scores/<layer>.npy      (N, C) float32: every picture's score for every channel (a sample of pictures where many)
    scan.json               what the scan found: pictures used and skipped, accuracy
    sprites/<layer>/<channel>.webp   thumbs/<layer>.webp   pictures/<index>.webp
    kernels/<layer>.webp    the first convolution's kernels as pixels
    work/                   what an interrupted run needs to go on; removed when all is done

Every file is written beside its place and then moved into it, so that a reader never sees half of one.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import fcntl
import hashlib
import io
import json
import os
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from generator.errors import AtlasError
from generator.records import Manifest, PictureRecord, manifest_from_json, to_json

IMAGE_COLUMNS = ("index", "path", "label_id", "label", "width", "height")


def fingerprint(*parts: Any) -> str:
    """SHA-256 of the parts' canonical JSON: equal inputs, equal fingerprint."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a whole file or nothing; raises AtlasError with one sentence where the disk refuses."""
    # The process id keeps two processes of one job (torchrun) from sharing a half-written file.
    half = path.with_name(f".{path.name[:200]}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        half.write_bytes(content)
        os.replace(half, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            half.unlink(missing_ok=True)
        raise disk_error(error, path) from error


def disk_error(error: OSError, path: Path) -> AtlasError:
    """The sentence for a disk that refuses."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return AtlasError("the disk is full", path, "free some space and run the same command again: it goes on from here")
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return AtlasError("this folder cannot be written", path.parent, "choose another with --out")
    return AtlasError(f"writing failed ({error.strerror or error})", path, "mend the cause and run the same command again")


class Store:
    """One atlas folder."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    # -- paths -----------------------------------------------------------------------------------------------------

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def layer_path(self, layer: str) -> Path:
        return self.folder / "layers" / f"{layer}.npz"

    def scores_path(self, layer: str) -> Path:
        return self.folder / "scores" / f"{layer}.npy"

    def sprite_path(self, layer: str, channel: int) -> Path:
        return self.folder / "sprites" / layer / f"{channel}.webp"

    def thumbs_path(self, layer: str) -> Path:
        return self.folder / "thumbs" / f"{layer}.webp"

    def picture_path(self, index: int) -> Path:
        return self.folder / "pictures" / f"{index}.webp"

    def kernels_path(self, layer: str) -> Path:
        return self.folder / "kernels" / f"{layer}.webp"

    # -- one writer at a time --------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def locked(self, *, alone: bool = True) -> Iterator[None]:
        """Hold the folder for one job; raises AtlasError at once if another process holds it.

        alone: false for the further processes of a torchrun, whose leader holds it for all.
        """
        if not alone:
            yield
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / ".lock").open("a")
        except OSError as error:
            raise disk_error(error, self.folder / ".lock") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise AtlasError(
                    "another process is computing this atlas", self.folder, "wait for it, or choose another folder with --out"
                ) from error
            yield  # the lock goes with the file, also when the process is killed

    # -- manifest and tables ---------------------------------------------------------------------------------------

    def exists(self) -> bool:
        return (self.folder / "manifest.json").is_file()

    def manifest(self) -> Manifest:
        path = self.folder / "manifest.json"
        try:
            data = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            raise AtlasError("no atlas here", self.folder, "compute one with: atlas compute PROFILE") from None
        except (OSError, ValueError) as error:
            raise AtlasError(f"manifest.json cannot be read ({error})", path, "compute the atlas again") from error
        return manifest_from_json(data)

    def manifest_extra(self) -> Mapping[str, Any]:
        """The manifest's free part, {} where the manifest cannot be read."""
        try:
            return self.manifest().extra
        except AtlasError:
            return {}

    def withdraw_manifest(self) -> None:
        """Take the manifest away: the folder is no finished atlas until it is written again."""
        (self.folder / "manifest.json").unlink(missing_ok=True)

    def write_manifest(self, manifest: Manifest) -> None:
        self.write_json("manifest.json", to_json(manifest))

    def write_json(self, name: str, data: Any) -> None:
        text = json.dumps(data, indent=1, ensure_ascii=False, default=str) + "\n"
        write_atomically(self.folder / name, text.encode("utf-8", "surrogateescape"))

    def read_json(self, name: str) -> Any | None:
        """The content of a JSON file, or None if it is missing or damaged (it is then written anew)."""
        try:
            return json.loads((self.folder / name).read_bytes().decode("utf-8", "surrogateescape"))
        except (OSError, ValueError):
            return None

    def images(self) -> list[PictureRecord]:
        path = self.folder / "images.csv"
        try:
            with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
                return [
                    PictureRecord(
                        int(row["index"]),
                        row["path"],
                        int(row["label_id"]),
                        row["label"],
                        int(row["width"]),
                        int(row["height"]),
                    )
                    for row in csv.DictReader(file)
                ]
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise AtlasError(f"images.csv cannot be read ({error})", path, "compute the atlas again") from error

    def write_images(self, records: Sequence[PictureRecord]) -> None:
        rows = [[getattr(record, column) for column in IMAGE_COLUMNS] for record in records]
        self.write_table("images.csv", IMAGE_COLUMNS, rows)

    def write_table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        text = io.StringIO(newline="")
        table = csv.writer(text, lineterminator="\n")
        table.writerow(columns)
        table.writerows(rows)
        write_atomically(self.folder / name, text.getvalue().encode("utf-8", "surrogateescape"))

    # -- layers ----------------------------------------------------------------------------------------------------

    def layer(self, layer: str) -> dict[str, np.ndarray]:
        """top_value, top_image, top_unit and every statistic of a layer, by name."""
        path = self.layer_path(layer)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise AtlasError(f"the layer's numbers cannot be read ({error})", path, "compute the atlas again") from error

    def write_layer(self, layer: str, arrays: Mapping[str, np.ndarray]) -> None:
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]  # numpy's stub mistakes the arrays for its own options
        write_atomically(self.layer_path(layer), buffer.getvalue())

    def scores(self, layer: str) -> np.ndarray | None:
        """(N, C) float32, mapped from the disk, or None if the atlas does not hold them."""
        path = self.scores_path(layer)
        return np.load(path, mmap_mode="r", allow_pickle=False) if path.is_file() else None

    # -- pictures --------------------------------------------------------------------------------------------------

    def write_file(self, path: Path, content: bytes) -> None:
        write_atomically(path, content)

    def tiles(self, layer: str, channels: int, panels: int, native: int) -> TileFile:
        """The tiles of a layer that is being pictured, opened for reading and writing."""
        return TileFile(self.work / "tiles" / f"{layer}.u8", channels, panels, native)

    # -- resuming --------------------------------------------------------------------------------------------------

    def stamp(self, artefact: str) -> str | None:
        """The fingerprint of what the artefact was last made from, or None."""
        path = self.work / "stamps" / artefact
        try:
            return path.read_text()
        except OSError:
            return None

    def write_stamp(self, artefact: str, key: str) -> None:
        """Say that the artefact is complete, made from inputs with this fingerprint."""
        write_atomically(self.work / "stamps" / artefact, key.encode())

    def unstamp(self, artefact: str) -> None:
        """Say that the artefact is about to change: until it is stamped again it is not complete."""
        (self.work / "stamps" / artefact).unlink(missing_ok=True)

    def clear_tiles(self) -> None:
        """Drop tiles, and the pictures beside them, that were made from other inputs."""
        for stamp in (self.work / "stamps").glob("group-*"):
            stamp.unlink(missing_ok=True)
        self.unstamp("tiles")
        shutil.rmtree(self.work / "tiles", ignore_errors=True)
        shutil.rmtree(self.folder / "pictures", ignore_errors=True)

    def clear_work(self) -> None:
        shutil.rmtree(self.work, ignore_errors=True)

    def keep_sprites(self, layer: str, channels: Iterable[int]) -> None:
        """Drop the layer's sprites of all channels but these."""
        kept = {f"{channel}.webp" for channel in channels}
        for path in (self.folder / "sprites" / layer).glob("*"):
            if path.name not in kept:
                path.unlink(missing_ok=True)

    def tidy(self, layers: Sequence[str], *, patches: bool) -> None:
        """Drop the files of layers that are not in the atlas any more; without patches, the pictures too."""
        for folder in ("layers", "scores", "thumbs", "kernels", "sprites"):
            for path in (self.folder / folder).glob("*"):
                if (path.name if path.is_dir() else path.stem) in layers:
                    continue
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        if not patches:
            shutil.rmtree(self.folder / "pictures", ignore_errors=True)


class TileFile:
    """The tiles of one layer while it is being pictured: (C, 9, P, s, s, 3) uint8 on disk, written in any order.

    Plain reads and writes at a position, not a memory map: the pages then never count as this process's memory.
    """

    def __init__(self, path: Path, channels: int, panels: int, native: int) -> None:
        self.path, self.shape = path, (9, panels, native, native, 3)
        self._tile = native * native * 3
        self._channel = 9 * panels * self._tile
        self._panels = panels
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT)
            # A hole of the full length: blocks are taken only as tiles come.
            os.ftruncate(self._file, channels * self._channel)
        except OSError as error:
            raise disk_error(error, path) from error

    def write(self, channel: int, slot: int, tiles: np.ndarray) -> None:
        """tiles: (P, s, s, 3), the panels of one unit."""
        place = channel * self._channel + slot * self._panels * self._tile
        try:
            os.pwrite(self._file, np.ascontiguousarray(tiles).data, place)
        except OSError as error:
            raise disk_error(error, self.path) from error

    def read(self, channel: int) -> np.ndarray:
        """(9, P, s, s, 3); slots never written are zeros."""
        raw = os.pread(self._file, self._channel, channel * self._channel)
        return np.frombuffer(raw, np.uint8).reshape(self.shape)

    def close(self) -> None:
        os.close(self._file)

    def __enter__(self) -> TileFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
