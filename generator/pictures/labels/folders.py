"""Labels from the names of folders and files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from generator.core.errors import AtlasError
from generator.pictures.formats import words
from generator.pictures.labels.classes import (
    Labels,
    counted,
    listed,
    no_labels,
    number_labels,
    split_wnid,
    wordnet_name,
)

# Splits of a dataset. Folders with these names are not classes if they hold class folders or if all have such names.
_SPLITS = words(
    """
    train training trn val valid validation test testing tst dev eval evaluation holdout pred prediction
    """
)
_SPLIT_NOUNS = words("set data dataset split images imgs pictures")
# Names of folders that hold pictures of all classes, or files that belong to them.
_CONTAINERS = words("images image imgs img jpegimages pictures photos data dataset")
_NEVER_A_CLASS = words("images imgs img jpegimages")
# Into which downloads are divided.
_PARTS = words("fold folds part parts batch batches chunk chunks shard shards archive volume")
_POSSIBLE_CLASS = "train"  # the only name of a split that is also an object in pictures
# n01440764_10026, as ImageNet names its pictures.
_NUMBERED_NAME = re.compile(r"(n\d{8})[_\-](?:.*[_\-])?\d+", re.ASCII)
_TRAILING_NUMBER = re.compile(r"[_\- ]+\d+$", re.ASCII)
_NUMBER_AT_END = re.compile(r"[_\- ]*\d+$", re.ASCII)
_WNID_AT_END = re.compile(r".*_(n\d{8})", re.DOTALL | re.ASCII)  # ILSVRC2012_val_00000293_n01440764
_OTHER_WAYS = (
    "give the folder that holds the class folders with --images, or a label file with --labels; --labels folders "
    "takes every top folder for a class, --labels none leaves the labels out"
)


def from_names(paths: Sequence[str]) -> Labels:
    """Labels from the paths of the pictures (inside their folder, with forward slashes).

    The class folders are the top folders, as in torchvision's ImageFolder. Where the top folders are splits (train,
    val, …) or a single folder holds everything, the class folders are those one level below. A picture outside the
    class folders has no label. Without folders, labels come from file names that begin with a WordNet number. Folders
    without pictures are ignored.

    Raises AtlasError where it is not clear which folders are the classes.
    """
    root = _tree(paths)
    if not root.folders:
        return _from_file_names(paths)
    folders = _class_folders(root)
    return _labels(paths, folders) if folders.names else no_labels(len(paths), *folders.notes)


def from_top_folders(paths: Sequence[str]) -> Labels:
    """Labels from paths, with every top folder as a class, whatever its name."""
    tops = sorted({path.split("/", 1)[0] for path in paths if "/" in path})
    return _labels(paths, _ClassFolders({top: top for top in tops}))


# -- which folders are classes ---------------------------------------------------------------------------------------


@dataclass
class _Folder:
    """A folder with pictures at any depth. pictures: the number directly in it; folders: by name."""

    path: str
    pictures: int = 0
    folders: dict[str, _Folder] = field(default_factory=dict)

    def total(self) -> int:
        """The number of pictures at any depth."""
        return self.pictures + sum(folder.total() for folder in self.folders.values())


@dataclass
class _ClassFolders:
    """The class folders of a dataset. names: path of a folder → name of its class; splits: names of the splits that
    hold them; notes: sentences on folders that are not classes."""

    names: dict[str, str] = field(default_factory=dict)
    splits: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def _tree(paths: Sequence[str]) -> _Folder:
    root = _Folder("")
    for parent, count in sorted(Counter(path.rpartition("/")[0] for path in paths).items()):
        folder = root
        for name in parent.split("/") if parent else ():
            inside = f"{folder.path}/{name}" if folder.path else name
            folder = folder.folders.setdefault(name, _Folder(inside))
        folder.pictures += count
    return root


def _class_folders(folder: _Folder) -> _ClassFolders:
    tops = folder.folders
    if _are_splits(list(tops)):
        return _in_splits(folder, list(tops))
    splits = [name for name in tops if _is_split(name)]
    deep = [name for name in splits if tops[name].folders or name.casefold() != _POSSIBLE_CLASS]
    if deep:
        others = [name for name in tops if name not in splits]
        raise AtlasError(
            f"it is not clear which folders are the classes: {listed(splits)} "
            f"{'is a split' if len(splits) == 1 else 'are splits'} of a dataset by name"
            + (f", {listed(others)} not" if others else ""),
            folder.path or None,
            _OTHER_WAYS,
        )
    if len(tops) > 1 and (containers := [name for name in tops if name.casefold() in _NEVER_A_CLASS]):
        raise AtlasError(
            f"it is not clear which folders are the classes: {containers[0]} stands next to "
            f"{listed([name for name in tops if name != containers[0]])}",
            folder.path or None,
            _OTHER_WAYS,
        )
    if _are_parts(list(tops)):
        raise AtlasError(
            f"it is not clear which folders are the classes: {listed(list(tops))} may be the parts of one dataset by "
            "name",
            folder.path or None,
            _OTHER_WAYS,
        )
    if len(tops) > 1 and (shared := _shared_folders(list(tops.values()))):
        raise AtlasError(
            f"it is not clear which folders are the classes: {listed(list(tops))} all hold the folders "
            f"{listed(shared)}",
            folder.path or None,
            _OTHER_WAYS,
        )
    if len(tops) == 1:
        return _single(next(iter(tops.items())))
    return _ClassFolders({inner.path: name for name, inner in tops.items()})


def _single(top: tuple[str, _Folder]) -> _ClassFolders:
    """The class folders where there is a single top folder: those inside it, or this folder itself."""
    name, folder = top
    if not folder.folders:
        if name.casefold() in _CONTAINERS:
            return _ClassFolders(
                notes=[f"all pictures lie in the folder {folder.path}, which names no class"]
            )
        return _ClassFolders({folder.path: name})
    if folder.pictures:
        if len(folder.folders) == 1:
            return _ClassFolders({folder.path: name})
        if 10 * folder.pictures > folder.total():
            raise AtlasError(
                f"it is not clear which folders are the classes: {name} holds pictures and the folders "
                f"{listed(list(folder.folders))}",
                folder.path,
                _OTHER_WAYS,
            )
    classes = _class_folders(folder)
    if not classes.names and not classes.splits and name.casefold() not in _CONTAINERS:
        return _ClassFolders({folder.path: name})  # cat/images/1.png
    return classes


def _in_splits(folder: _Folder, splits: list[str]) -> _ClassFolders:
    """The class folders inside splits. The same name in two splits is the same class."""
    parts = [part for name in splits if (part := folder.folders[name]).folders]
    classes = _ClassFolders(splits=splits)
    for part in sorted(parts, key=lambda part: len(part.folders) == 1):
        names = set(classes.names.values())
        if len(part.folders) == 1 and names & set(part.folders):  # a class that other splits have too
            classes.names |= {inner.path: name for name, inner in part.folders.items()}
        else:
            inner = _class_folders(part).names
            classes.names |= {path: name for path, name in inner.items() if name not in splits}
    if not classes.names:
        are = "is a split" if len(splits) == 1 else "are splits"
        them = "it holds" if len(splits) == 1 else "they hold"
        classes.notes.append(f"{listed(splits)} {are} of a dataset by name, and {them} no class folders")
    _refuse_other_case(classes.names)
    return classes


def _refuse_other_case(names: dict[str, str]) -> None:
    seen: dict[str, str] = {}
    for path, name in names.items():
        if names[first := seen.setdefault(name.casefold(), path)] != name:
            raise AtlasError(
                "two class folders differ only in upper and lower case",
                f"{first} and {path}",
                "give them one name, or a label file with --labels",
            )


def _tokens(name: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).casefold())


def _is_split(name: str) -> bool:
    """Whether a folder's name is that of a split: train, Val, test_set, train2017."""
    tokens = _tokens(name)
    return sum(token in _SPLITS for token in tokens) == 1 and set(tokens) <= _SPLITS | _SPLIT_NOUNS


def _are_splits(names: Sequence[str]) -> bool:
    """Whether all names are those of splits, or several names differ only in the split: `seg_train` and `seg_test`, but
    not `train station` and `test tube`."""
    if all(map(_is_split, names)):
        return True
    tokens = [set(_tokens(name)) for name in names]
    named = all(len(words & _SPLITS) == 1 for words in tokens)
    return (
        len(names) > 1 and named and len({frozenset(words - _SPLITS - _SPLIT_NOUNS) for words in tokens}) == 1
    )


def _shared_folders(tops: Sequence[_Folder]) -> list[str]:
    """Names of folders that all top folders hold, where no top folder holds pictures itself and there are two such
    names or more. The classes may be these (`colour/cat`, `grey/cat`). Splits and containers are ignored: `cat/train`,
    `dog/train`."""
    if any(top.pictures for top in tops):
        return []
    shared = set.intersection(*(set(top.folders) for top in tops))
    names = sorted(name for name in shared if not _is_split(name) and name.casefold() not in _CONTAINERS)
    return names if len(names) > 1 else []


def _are_parts(names: Sequence[str]) -> bool:
    """Whether the names differ only in a number and are those of pictures or parts: `images_001` and `images_002`,
    `HAM10000_images_part_1` and `…_part_2`, but not `type_1` and `type_2`."""
    same = len({_NUMBER_AT_END.sub("", name.casefold()) for name in names}) == 1 < len(names)
    tokens = set(_tokens(names[0])) if same else set()
    return bool(tokens) and (tokens <= _CONTAINERS | _PARTS or bool(tokens & _PARTS and tokens & _CONTAINERS))


# -- labels ----------------------------------------------------------------------------------------------------------


def _labels(paths: Sequence[str], folders: _ClassFolders) -> Labels:
    numbered = number_labels(list(folders.names.values()))
    class_of = {path: numbered.index[name] for path, name in folders.names.items()}
    known: dict[str, int] = {}  # by folder
    of_picture = []
    for path in paths:
        parent = path.rpartition("/")[0]
        if parent not in known:
            known[parent] = next((class_of[above] for above in _above(parent) if above in class_of), -1)
        of_picture.append(known[parent])
    count, classes = len(numbered.classes), numbered.classes
    if all(label.wnid for label in classes):
        source = f"the WordNet numbers in the names of {counted(count, 'class folder')}"
    elif numbered.numbering == "numbers":
        source = f"the numbers that name {counted(count, 'class folder')}"
    else:
        source = f"the names of {counted(count, 'class folder')}"
    if folders.splits:
        source += f" in the {'split' if len(folders.splits) == 1 else 'splits'} {listed(folders.splits)}"
    outside = [path for path, number in zip(paths, of_picture, strict=True) if number < 0]
    notes = [*folders.notes, *numbered.notes]
    if outside:
        notes.append(
            unlabelled_note(outside, "lies outside the class folders", "lie outside the class folders")
        )
    return Labels(of_picture, classes, numbered.numbering, source, tuple(notes))


def unlabelled_note(paths: Sequence[str], why: str, plural: str) -> str:
    """A sentence on pictures used without a label. why, plural: the reason for one picture and for several."""
    if len(paths) == 1:
        return f"1 picture {why} and is used without a label: {paths[0]}"
    return f"{len(paths):,} pictures {plural} and are used without a label, the first {paths[0]}"


def _above(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path.rpartition("/")[0]


def _from_file_names(paths: Sequence[str]) -> Labels:
    """Labels of pictures outside any folder: `n01440764_tench.JPEG`, `n01440764_10026.JPEG`."""
    texts = [_class_text(PurePosixPath(path).stem) for path in paths]
    known = [text for text in texts if text is not None]
    if not known:
        return no_labels(len(paths), "the pictures lie in no class folders, and no label file was given")
    numbered = number_labels(known)
    of_picture = [-1 if text is None else numbered.index[text] for text in texts]
    outside = [path for path, text in zip(paths, texts, strict=True) if text is None]
    notes = list(numbered.notes)
    if outside:
        notes.append(
            unlabelled_note(
                outside, "has no WordNet number in its name", "have no WordNet number in their names"
            )
        )
    source = "the WordNet numbers in the pictures' names"
    return Labels(of_picture, numbered.classes, numbered.numbering, source, tuple(notes))


def _class_text(stem: str) -> str | None:
    """The class in a file's name, None without one. A bare number after the WordNet number is the picture's own."""
    split = split_wnid(stem)
    if split is None:
        at_end = _WNID_AT_END.fullmatch(stem)
        return at_end[1] if at_end and wordnet_name(at_end[1]) else None
    wnid, name = split
    if _NUMBERED_NAME.fullmatch(stem):
        name = _TRAILING_NUMBER.sub("", f" {name}").strip()
    if name:
        return f"{wnid}_{name}"
    return wnid if wordnet_name(wnid) else None
