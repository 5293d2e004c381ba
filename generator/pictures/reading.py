"""Find the picture files of a folder."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from generator.core.errors import AtlasError
from generator.core.records import LabelReading, Skipped
from generator.pictures import labels as naming
from generator.pictures.formats import (
    SUFFIXES,
    has_picture_suffix,
    is_companion,
    is_system_folder,
    reason_against,
)

METADATA = ("metadata.csv", "metadata.jsonl")  # the files from which Hugging Face's ImageFolder reads labels


@dataclass(frozen=True, slots=True)  # there may be a million
class PictureFile:
    """A picture file and its label. path: inside the folder, with forward slashes (surrogate escapes where a name is
    not UTF-8); label_id: −1 without a label; label: the name of its class, '' without a label."""

    path: str
    label_id: int
    label: str


@dataclass(frozen=True)
class PictureSet:
    """Pictures found in a folder, not yet opened.

    source: the folder's name, for display; files: in bytewise order of their paths, which defines their indices;
    listing: SHA-256 over path, size and modification time of every file, a cheap test of whether the folder has
    changed; passed_over: the files that are not pictures or have a format that cannot be read, with the reason; labels:
    where the labels come from; classes: all classes of the folder, including those without pictures because of a limit;
    numbering: what the classes' numbers mean.
    """

    source: str
    root: Path
    files: tuple[PictureFile, ...]
    listing: str
    passed_over: tuple[Skipped, ...] = ()
    labels: LabelReading = field(default_factory=LabelReading)
    classes: tuple[naming.LabelClass, ...] = ()
    numbering: naming.Numbering = "order"

    def __len__(self) -> int:
        return len(self.files)

    def wnids(self) -> list[str]:
        """The WordNet number of each picture's class, '' where there is none."""
        wnid_of = {(known.number, known.name): known.wnid for known in self.classes}
        return [wnid_of.get((file.label_id, file.label), "") for file in self.files]


def find_pictures(
    folder: Path | str,
    *,
    labels: Path | str | None = None,
    limit: int | None = None,
    progress: Callable[[int], object] = lambda done: None,
) -> PictureSet:
    """The pictures of a folder, at any depth.

    Hidden files, texts, tables, programs and archives are ignored. Every other file that cannot be used is listed with
    the reason.

    labels: a label file (see labels.from_file), 'folders' (every top folder is a class) or 'none'. Without it, the
    labels come from a labels.csv in the folder, else from Hugging Face's metadata.csv or metadata.jsonl, else from the
    names of folders or files. limit: the largest number of files used, evenly spaced over the sorted list, so that all
    classes are represented. progress: called with the number of files and folders seen since the last call. Raises
    AtlasError if the folder does not exist or holds no picture, or if the labels are ambiguous.
    """
    root = Path(folder)
    if not root.is_dir():
        what = "not a folder" if root.exists() else "no such folder of pictures"
        raise AtlasError(what, root, "give a folder that holds pictures")
    if limit is not None and limit < 1:
        raise AtlasError(f"a limit of {limit} pictures leaves none", remedy="give a limit of at least 1")
    content = _walk(root, progress)
    passed_over = tuple(sorted(content.passed_over, key=lambda file: os.fsencode(file.path)))
    if not content.pictures:
        what = "no pictures found"
        if passed_over:
            what += f" ({len(passed_over):,} files cannot be used, the first {passed_over[0].path}: "
            what += f"{passed_over[0].reason})"
        raise AtlasError(what, root, f"files must end in {', '.join(SUFFIXES)}")
    paths = sorted(content.pictures, key=os.fsencode)
    read = _read_labels(root, paths, content.metadata, labels)
    return listed_pictures(root, content.pictures, read, limit, passed_over)


def listed_pictures(
    root: Path,
    listing: Mapping[str, bytes],
    read: naming.Labels,
    limit: int | None,
    passed_over: tuple[Skipped, ...] = (),
) -> PictureSet:
    """The picture set of files that need not exist yet.

    listing: by path, the bytes that change when the file does (size and modification time); read: the labels of these
    files, in bytewise order of their paths; limit: the largest number of files used; passed_over: as in PictureSet."""
    paths = sorted(listing, key=os.fsencode)
    unlabelled = naming.LabelClass(-1, "")
    count = len(paths) if limit is None else min(limit, len(paths))
    chosen = [i * len(paths) // count for i in range(count)]
    class_indices = [read.of_picture[i] for i in chosen]
    files = tuple(
        PictureFile(paths[i], known.number, known.name)
        for i, index in zip(chosen, class_indices, strict=True)
        for known in (unlabelled if index < 0 else read.classes[index],)
    )
    digest = hashlib.sha256()
    for file in files:
        digest.update(os.fsencode(file.path) + listing[file.path])
    labelled = [index for index in class_indices if index >= 0]
    reading = LabelReading(read.source, len(labelled), len(set(labelled)), read.notes)
    return PictureSet(
        root.resolve().name,
        root,
        files,
        digest.hexdigest(),
        passed_over,
        reading,
        read.classes,
        read.numbering,
    )


def _read_labels(
    root: Path, paths: Sequence[str], metadata: Sequence[str], labels: Path | str | None
) -> naming.Labels:
    if labels is not None:
        if str(labels) in ("none", "folders") and not Path(labels).exists():
            if str(labels) == "folders":
                return naming.from_top_folders(paths)
            return naming.Labels([-1] * len(paths), notes=("labels were left out, as was asked",))
        return naming.from_file(Path(labels), paths)
    table = root / "labels.csv"
    if table.is_file():
        return naming.from_table(table, paths)
    if metadata:
        try:
            return naming.from_metadata(root, sorted(metadata), paths)
        except naming.NoLabelColumn:
            note = f"{', '.join(sorted(metadata))} gives no labels that could be read: no column is known to hold them"
            read = _from_names(root, paths)
            return replace(read, notes=(*read.notes, note))
    return _from_names(root, paths)


def _from_names(root: Path, paths: Sequence[str]) -> naming.Labels:
    try:
        return naming.from_names(paths)
    except AtlasError as error:
        where = root if error.where is None else f"{error.where} in {root}"
        raise AtlasError(error.what, where, error.remedy) from None


def evenly_spaced(count: int, most: int) -> np.ndarray:
    """At most `most` of the integers below `count`, evenly spaced, with the first and the last; (n,) int64."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def rows_of(places: np.ndarray, count: int) -> np.ndarray:
    """For each of the integers below `count` its row in `places`, −1 where it is not one of them; (n,) → (count,)
    int64."""
    rows = np.full(count, -1, np.int64)
    rows[places] = np.arange(len(places))
    return rows


@dataclass
class _FolderContent:
    """What a folder holds. pictures: path → size in bytes and modification time in ns, as bytes for the listing's
    digest; passed_over: the files that cannot be used; metadata: Hugging Face's label files, at most one folder
    deep."""

    pictures: dict[str, bytes] = field(default_factory=dict)
    passed_over: list[Skipped] = field(default_factory=list)
    metadata: list[str] = field(default_factory=list)


def _walk(root: Path, progress: Callable[[int], object]) -> _FolderContent:
    content = _FolderContent()
    # Each folder with its parent folders, by device and inode: a link to one of these is a loop.
    waiting: list[tuple[str, str, frozenset[tuple[int, int]]]] = [(str(root), "", frozenset())]
    while waiting:
        folder, prefix, above = waiting.pop()
        try:
            status = os.stat(folder)
            identity = (status.st_dev, status.st_ino)
            if identity in above:
                content.passed_over.append(Skipped(prefix.rstrip("/"), "a link to a folder that contains it"))
                continue
            entries = list(os.scandir(folder))
        except OSError as error:
            raise AtlasError(
                f"the folder cannot be read ({error.strerror})", folder, "check its permissions"
            ) from error
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                is_folder = entry.is_dir()
            except OSError:  # a link that leads back to itself
                is_folder = False
            if is_folder:
                if is_system_folder(entry.name):
                    continue
                waiting.append((entry.path, f"{prefix}{entry.name}/", above | {identity}))
            else:
                _sort_in(content, entry, prefix)
        progress(len(entries))
    return content


def _sort_in(content: _FolderContent, entry: os.DirEntry[str], prefix: str) -> None:
    """Add a file to the pictures, the label files or the files passed over."""
    path = prefix + entry.name
    if entry.name in METADATA and prefix.count("/") < 2:
        content.metadata.append(path)
    is_picture = has_picture_suffix(entry.name)
    if not is_picture and is_companion(entry.name):
        return
    reason: str | None = None
    try:
        status = entry.stat()
        if not stat.S_ISREG(status.st_mode):
            reason = "not a file that could hold a picture"
        elif not is_picture:
            reason = reason_against(entry.path, entry.name)
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
        if entry.is_symlink():
            loop = error.errno == errno.ELOOP
            reason = "a link that leads back to itself" if loop else "a link to a file that does not exist"
    if reason is None:
        content.pictures[path] = f"\0{status.st_size}\0{status.st_mtime_ns}\n".encode()
    else:
        content.passed_over.append(Skipped(path, reason))
