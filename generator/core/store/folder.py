"""The folder as a whole: which files are an atlas's own, the manifest, the checksums, and the lock of a job."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

from filelock import FileLock, Timeout

from generator.core import checksums
from generator.core.checksums import Faults
from generator.core.errors import AtlasError
from generator.core.files import disk_error, write_atomically
from generator.core.input_paths import without_paths
from generator.core.records import Manifest, manifest_from_json, to_json
from generator.core.store.tables import json_bytes, read_json

INPUT_PATHS = ".inputs.json"
# Errors of the disk and of its permissions; any other error means that the file system has no locks.
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


class AtlasFolder:
    """A folder that holds an atlas, or will."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def size(self) -> int:
        """Bytes in the whole folder."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    @contextlib.contextmanager
    def locked(self, *, alone: bool = True) -> Iterator[None]:
        """Hold the folder for one job; raises AtlasError at once if another process holds it, or if its file system has
        no locks. A network drive that passes locks on to its server, as NFS 4 does, keeps other machines out too; on
        one that does not, a second machine is not noticed.

        alone: false for the further processes of a torchrun, whose leader holds the folder for all.
        """
        if not alone:
            yield
            return
        path = self.folder / ".lock"
        with contextlib.ExitStack() as held:  # errors of the job itself are not caught below
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                held.enter_context(FileLock(path, timeout=0, fallback_to_soft=False))
            except Timeout as error:
                raise AtlasError(
                    "another process is computing this atlas",
                    self.folder,
                    "wait for it, or choose another folder with --out",
                ) from error
            except OSError as error:
                if error.errno in _DISK_ERRORS:
                    raise disk_error(error, path) from error
                raise AtlasError(
                    f"the folder cannot be locked ({error.strerror}), as on some network drives",
                    self.folder,
                    "choose a folder on a disk of this machine with --out",
                ) from error
            yield  # the system frees the lock when the process ends, also when it is killed

    # -- where the inputs lie on this machine -------------------------------------------------------------------------

    def write_input_paths(self, paths: Mapping[str, str]) -> None:
        """Keep where the inputs lie (core/input_paths.py) in a hidden file: no part of the atlas, never published."""
        write_atomically(self.folder / INPUT_PATHS, json_bytes(paths))

    def input_paths(self) -> dict[str, str]:
        """Where the inputs lie, by the profile's key; {} where nothing is known."""
        paths = read_json(self.folder / INPUT_PATHS)
        return paths if isinstance(paths, dict) else {}

    # -- the manifest --------------------------------------------------------------------------------------------------

    def exists(self) -> bool:
        """Whether a manifest is there: an atlas was finished, and no run is changing it."""
        return (self.folder / "manifest.json").is_file()

    def manifest(self) -> Manifest:
        """The manifest; raises AtlasError where there is none, or one that is damaged or of another schema."""
        path = self.folder / "manifest.json"
        try:
            data = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            raise AtlasError(
                "no atlas here", self.folder, "compute one with: atlas compute PROFILE"
            ) from None
        except (OSError, ValueError) as error:
            raise AtlasError(
                f"manifest.json cannot be read ({error})", path, "compute the atlas again"
            ) from error
        return manifest_from_json(data, path)

    def published_manifest(self) -> bytes:
        """manifest.json as the site shows it, without any path on a machine."""
        content = (self.folder / "manifest.json").read_bytes()
        data = json.loads(content)
        public = data | {"profile": without_paths(data["profile"])}
        return content if public == data else json_bytes(public)

    def is_finished(self) -> bool:
        """Whether an atlas was finished here, though files of it may have been damaged since."""
        return self.exists() or (self.folder / checksums.NAME).is_file()

    def made_from(self) -> tuple[Mapping[str, str], str]:
        """The fingerprints of the finished atlas, by stage, and its date.

        Where the manifest is damaged, the fingerprints come from keys.json and the date is ''; where both are damaged,
        {} and ''."""
        date = ""
        with contextlib.suppress(AtlasError):
            manifest = self.manifest()
            if isinstance(keys := manifest.extra.get("keys"), Mapping):
                return keys, manifest.date
        keys = read_json(self.folder / "keys.json")
        return (keys if isinstance(keys, Mapping) else {}), date

    def withdraw_manifest(self) -> None:
        """Remove the manifest and the checksums: the folder is no finished atlas until they are written again."""
        (self.folder / "manifest.json").unlink(missing_ok=True)
        (self.folder / checksums.NAME).unlink(missing_ok=True)

    def manifest_bytes(self, manifest: Manifest) -> bytes:
        """The content of manifest.json."""
        return json_bytes(to_json(manifest))

    def write_manifest(self, manifest: Manifest | bytes) -> None:
        """Write manifest.json, from a record or from its bytes."""
        content = manifest if isinstance(manifest, bytes) else self.manifest_bytes(manifest)
        write_atomically(self.folder / "manifest.json", content)

    # -- files and their checksums -------------------------------------------------------------------------------------

    def checksums(self) -> dict[str, str] | None:
        """Path → SHA-256 of every file, as listed; None where there is no list."""
        return checksums.read_checksums(self.folder)

    def find_faults(self, progress: Callable[[int], object] = lambda done: None) -> Faults | None:
        """Hash every file and compare it with the checksums; None where there are none.

        progress: called with the number of files hashed since the last call."""
        return checksums.find_faults(self.folder, progress)

    def write_checksums(self, roots: Collection[str], others: Mapping[str, bytes] | None = None) -> None:
        """Write SHA256SUMS of every file of the atlas. roots: as for own_files; others: files about to be written, by
        path, with their bytes."""
        text = checksums.checksum_text(self.folder, self.own_files(roots), others)
        write_atomically(self.folder / checksums.NAME, os.fsencode(text))

    def own_files(self, roots: Collection[str]) -> set[str]:
        """The files that belong to the atlas, by their paths inside the folder. roots: the names at the top of it
        that are the atlas's own; anything else there is left alone."""
        return {name for name in checksums.files_of(self.folder) if name.split("/")[0] in roots}

    def drop_matching(self, patterns: Iterable[str]) -> None:
        """Remove the files that match patterns like `rules/*.webp`, and the folders that this leaves empty."""
        for pattern in patterns:
            for path in [path for path in self.folder.glob(pattern) if path.is_file()]:
                path.unlink(missing_ok=True)
                if path.parent != self.folder:
                    with contextlib.suppress(OSError):  # there are other files in it
                        path.parent.rmdir()

    def drop_file(self, name: str) -> None:
        """Remove a file of the atlas by its path inside it."""
        (self.folder / name).unlink(missing_ok=True)

    def drop_folder(self, name: str) -> None:
        """Remove a folder of the atlas with its content."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
