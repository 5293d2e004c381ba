"""What a stopped run of the lesions has measured, kept on disk until its tables are written."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from generator.core.files import remove, write_atomically
from generator.stages.checkpointed_pass import DIGEST, part_digest


class Parts:
    """Parts of one run, a file each. folder: holds nothing else; key: fingerprint of all that the parts depend on:
    those of another key are dropped."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key
        for file in folder.glob("*"):
            if not file.name.startswith(self._beginning):
                remove(file)

    @property
    def _beginning(self) -> str:
        return self.key[:16] + "-"

    def _path(self, name: str) -> Path:
        return self.folder / f"{self._beginning}{name}.npz"

    def save(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write a part's arrays with a digest of them. Raises AtlasError where the disk refuses."""
        content = io.BytesIO()
        np.savez(content, **{**arrays, DIGEST: np.array(part_digest(self.key, arrays))})  # type: ignore[arg-type]
        write_atomically(self._path(name), content.getvalue())

    def load(self, name: str) -> dict[str, np.ndarray] | None:
        """A part's arrays as they were saved; None where there is none or it is damaged."""
        with contextlib.suppress(Exception):  # a damaged zip file or header may raise nearly anything
            with np.load(self._path(name)) as stored:
                arrays = {key: stored[key] for key in stored.files}
            if str(arrays.pop(DIGEST)) == part_digest(self.key, arrays):
                return arrays
        return None

    def drop(self) -> None:
        """Remove all parts."""
        shutil.rmtree(self.folder, ignore_errors=True)
