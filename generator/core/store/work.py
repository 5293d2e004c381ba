"""What an interrupted run needs to resume: the parts of its passes, the decoded pixels of the pictures, and stamps that
say which results are complete. All of it lies in the folder `work/`, which is removed when the atlas is finished."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from generator.core.files import ScoreFile, TileFile, VectorFile, remove, write_atomically
from generator.core.records import TOP
from generator.core.store.arrays import npz_bytes, read_npz


def fingerprint(*parts: Any) -> str:
    """SHA-256 of the parts' canonical JSON, in hex: equal inputs, equal fingerprint."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Work:
    """The folder `work/` of one atlas folder. The parts of a pass lie in a folder with the name of the pass."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "work"

    def clear(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)

    # -- parts of a pass -----------------------------------------------------------------------------------------------

    def pass_folder(self, pass_: str) -> Path:
        """Where the parts of a pass lie."""
        return self._folder / pass_

    def part_names(self, pass_: str) -> list[str]:
        """The saved parts of a pass."""
        return sorted(path.stem for path in self.pass_folder(pass_).glob("*.npz"))

    def _part_path(self, name: str, pass_: str) -> Path:
        return self.pass_folder(pass_) / f"{name}.npz"

    def read_part(self, name: str, pass_: str) -> dict[str, np.ndarray]:
        """The arrays of a saved part; raises AtlasError where it cannot be read."""
        return read_npz(self._part_path(name, pass_), f"part of {pass_}")

    def write_part(self, name: str, arrays: Mapping[str, np.ndarray], pass_: str) -> None:
        """Save a part of a pass."""
        write_atomically(self._part_path(name, pass_), npz_bytes(arrays))

    def drop_part(self, name: str, pass_: str) -> None:
        """Remove a saved part, also where a folder lies in its place."""
        remove(self._part_path(name, pass_))

    def drop_parts(self, pass_: str) -> None:
        """Remove all that a pass has saved, its scores or vectors too."""
        remove(self.pass_folder(pass_))

    # -- files that a pass fills in any order --------------------------------------------------------------------------

    def tiles(self, layer: str, panels: int, native: int, slots: int = TOP) -> TileFile:
        """The tiles of a layer whose sprites are unfinished, opened for reading and writing. slots: of a channel."""
        return TileFile(self._folder / "tiles" / f"{layer}.u8", panels, native, slots)

    def score_file(self, channels: Sequence[int], pass_: str) -> ScoreFile:
        """The scores of an unfinished pass, opened. channels: how many each layer has."""
        return ScoreFile(self.pass_folder(pass_) / "scores.f32", channels)

    def place_file(self, channels: Sequence[int], positions: int, pass_: str) -> ScoreFile:
        """The places of the maxima that an unfinished pass kept, opened. positions: of the largest map."""
        dtype = np.dtype(np.uint16 if positions <= 2**16 else np.uint32)
        return ScoreFile(self.pass_folder(pass_) / f"places.u{8 * dtype.itemsize}", channels, dtype)

    def pixels_path(self) -> Path:
        """Where the decoded pixels of the pictures lie while a run lasts (core/pixel_file.py)."""
        return self._folder / "pixels.u8"

    def vector_file(self, length: int, pass_: str) -> VectorFile:
        """The vectors of an unfinished pass, opened. length: numbers per vector."""
        return VectorFile(self.pass_folder(pass_) / "vectors.f32", length)

    def clear_tiles(self) -> None:
        """Remove the tiles of all layers and the stamps of their groups."""
        for stamp in (self._folder / "stamps").glob("group-*"):
            self.unstamp(stamp.name)
        shutil.rmtree(self._folder / "tiles", ignore_errors=True)

    # -- stamps --------------------------------------------------------------------------------------------------------

    def _stamp_path(self, artefact: str) -> Path:
        return self._folder / "stamps" / artefact

    def stamp(self, artefact: str) -> str | None:
        """The fingerprint of what the artefact was last made from, or None."""
        try:
            return self._stamp_path(artefact).read_text("utf-8", errors="replace")
        except OSError:
            return None

    def write_stamp(self, artefact: str, key: str) -> None:
        """Mark the artefact as complete, made from inputs with this fingerprint."""
        path = self._stamp_path(artefact)
        if path.is_dir():
            remove(path)
        write_atomically(path, key.encode())

    def unstamp(self, artefact: str) -> None:
        """Mark the artefact as incomplete, before it changes."""
        remove(self._stamp_path(artefact))
