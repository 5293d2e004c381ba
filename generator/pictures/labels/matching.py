"""Find the picture that a name in a label file refers to."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from functools import cached_property

from generator.pictures.formats import has_picture_suffix


def is_file_name(text: str) -> bool:
    """Whether a text ends with the suffix of a picture format."""
    return has_picture_suffix(text)


def stem_of(name: str) -> str:
    """A file's name without the suffix of a picture format."""
    return name.rpartition(".")[0] if is_file_name(name) else name


class PictureNames:
    """The pictures of a folder, looked up by name.

    A name may be an absolute path, a path from a folder above or below, or a bare file name: it fits a picture if the
    shorter of the two paths is the end of the longer. Backslashes count as slashes. Where no picture fits exactly, case
    and Unicode's normal form are ignored, and after that a missing suffix.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = paths

    def named(self, text: str) -> list[int]:
        """Indices of the pictures that a name with its suffix fits: one, none, or several that fit equally well."""
        if (picture := self._by_path.get(text)) is not None:
            return [picture]
        for parts in _readings(text):
            if (exact := self._by_path.get("/".join(parts))) is not None:
                return [exact]
            for index, form in ((self._by_name, _same), (self._by_folded, _folded)):
                if fitting := self._fitting(index.get(form(parts[-1]), ()), parts, form, len(parts)):
                    return fitting
        return []

    def find(self, text: str) -> list[int]:
        """As `named`, but the name may lack its suffix."""
        if pictures := self.named(text):
            return pictures
        for parts in _readings(text):
            stem = parts[-1]
            if not is_file_name(stem) and (
                pictures := self._fitting(self._by_stem.get(_folded(stem), ()), parts, _folded, len(parts))
            ):
                return pictures
        return []

    def _fitting(
        self, candidates: Sequence[int], parts: list[str], form: Callable[[str], str], depth: int
    ) -> list[int]:
        """Of pictures with this file name, those whose folders agree with `parts` over the most levels.

        parts: of the name; form: how folder names are compared; depth: levels of a path that counts as complete."""
        best: list[int] = []
        longest = -1
        wanted = [form(part) for part in reversed(parts[:-1])]
        for picture in candidates:
            folders = [form(part) for part in reversed(self.paths[picture].split("/")[:-1])]
            shared = min(len(folders), len(wanted))
            if folders[:shared] != wanted[:shared]:
                continue
            if shared > longest:
                best, longest = [], shared
            if shared == longest:
                best.append(picture)
        whole = [picture for picture in best if self.paths[picture].count("/") + 1 == depth]
        return whole if len(whole) == 1 else best

    @cached_property
    def _by_path(self) -> dict[str, int]:
        return {path: picture for picture, path in enumerate(self.paths)}

    def _index(self, form: Callable[[str], str]) -> dict[str, list[int]]:
        index: dict[str, list[int]] = {}
        for picture, path in enumerate(self.paths):
            index.setdefault(form(path.rpartition("/")[2]), []).append(picture)
        return index

    @cached_property
    def _by_name(self) -> dict[str, list[int]]:
        return self._index(_same)

    @cached_property
    def _by_folded(self) -> dict[str, list[int]]:
        return self._index(_folded)

    @cached_property
    def _by_stem(self) -> dict[str, list[int]]:
        return self._index(lambda name: _folded(stem_of(name)))


def _readings(text: str) -> list[list[str]]:
    """The parts of a path as it is written, and with backslashes read as slashes."""
    ways = [text, text.replace("\\", "/")] if "\\" in text else [text]
    parts = [[part for part in way.split("/") if part not in ("", ".", "..")] for way in ways]
    return [reading for reading in parts if reading]


def _same(text: str) -> str:
    return text


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()
