"""SHA256SUMS: a fingerprint of every file of a folder, in the form that `sha256sum -c` checks."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from generator.core.errors import AtlasError

NAME = "SHA256SUMS"
AT_ONCE = 1024  # files
UNREADABLE = "0" * 64
_PASSED_OVER = ("work",)  # a run under way; hidden files (the lock, half-written files) are passed over too
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


@dataclass(frozen=True)
class Faults:
    """What is wrong with a folder's files, by their paths inside it, each sorted.

    changed: other bytes than listed, or unreadable; missing: listed, and gone; unlisted: there, and not in the list.
    """

    changed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()

    @property
    def damaged(self) -> tuple[str, ...]:
        """Files of the list that are not as it says."""
        return tuple(sorted({*self.changed, *self.missing}))


def files_of(folder: Path) -> list[str]:
    """The regular files of a folder at any depth, with forward slashes, in bytewise order; the list itself, hidden
    files and a run under way are passed over."""
    names_inside: list[str] = []
    for place, folders, names in os.walk(folder):
        inside = Path(place).relative_to(folder).as_posix()
        prefix = "" if inside == "." else f"{inside}/"
        skipped = _PASSED_OVER if not prefix else ()
        folders[:] = [name for name in folders if not name.startswith(".") and name not in skipped]
        for name in names:
            if (
                not name.startswith(".")
                and prefix + name != NAME
                and os.path.isfile(os.path.join(place, name))
            ):
                names_inside.append(prefix + name)
    return sorted(names_inside, key=os.fsencode)


def checksum_text(folder: Path, names: Iterable[str], others: Mapping[str, bytes] | None = None) -> str:
    """The list of these files of a folder. others: files about to be written there, by path, with their bytes."""
    others = others or {}
    sums = digests(folder, [name for name in names if name not in others])
    sums |= {name: hashlib.sha256(content).hexdigest() for name, content in others.items()}
    return "".join(f"{sums[name]}  {name}\n" for name in sorted(sums, key=os.fsencode))


def read_checksums(folder: Path) -> dict[str, str] | None:
    """Path → SHA-256 as listed, None where there is no list; lines that are damaged are left out, so that their files
    count as unlisted."""
    try:
        content = (folder / NAME).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AtlasError(f"the checksums cannot be read ({error.strerror})", folder / NAME) from error
    lines = os.fsdecode(content).split("\n")
    return {match[2]: match[1] for line in lines if (match := _LINE.fullmatch(line))}


def find_faults(folder: Path, progress: Callable[[int], object] = lambda done: None) -> Faults | None:
    """Hash every file and compare; None where the folder has no list. progress: called with the files hashed since."""
    listed = read_checksums(folder)
    if listed is None:
        return None
    present = files_of(folder)
    checked = [name for name in present if name in listed]
    sums = digests(folder, checked, progress)
    return Faults(
        changed=tuple(name for name in checked if sums[name] != listed[name]),
        missing=tuple(sorted(set(listed) - set(present), key=os.fsencode)),
        unlisted=tuple(name for name in present if name not in listed),
    )


def digests(
    folder: Path, names: Iterable[str], progress: Callable[[int], object] = lambda done: None
) -> dict[str, str]:
    """Path → SHA-256 of the files' bytes, UNREADABLE where one cannot be read."""
    names = list(names)
    sums: dict[str, str] = {}
    for name, digest in zip(names, file_digests(folder / name for name in names), strict=True):
        sums[name] = digest
        progress(1)
    return sums


def file_digests(paths: Iterable[Path]) -> Iterator[str]:
    """The digest of each file, in order. Files are taken AT_ONCE at a time: a pool needs two kilobytes for each that
    waits."""
    waiting = iter(paths)
    # Hashing and reading release the GIL, so that threads run side by side.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        while batch := list(islice(waiting, AT_ONCE)):
            yield from threads.map(file_digest, batch)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes; of none where it cannot be read: 64 zeros."""
    try:
        if not path.is_file():  # a pipe would keep its reader waiting for ever
            return UNREADABLE
        return file_sha256(path)
    except OSError:
        return UNREADABLE


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes; raises OSError where it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
