"""Which picture a label file means by a name."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from functools import cached_property

from generator.pictures.formats import has_picture_suffix


def is_file_name(text: str) -> bool:
    """Whether a text ends as a picture's name does."""
    return has_picture_suffix(text)


def stem_of(name: str) -> str:
    """A file's name without a picture's suffix."""
    return name.rpartition(".")[0] if is_file_name(name) else name


class PictureNames:
    """The pictures of a folder by their names.

    A name is a path, as long as its end and the end of the picture's path agree as far as both go: absolute paths,
    paths from a folder above or below, and bare names. Slashes may be backslashes. Where no picture has just that name,
    upper and lower case and Unicode's normal form do not count, and then a missing suffix.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = paths

    def named(self, text: str) -> list[int]:
        """Places of the pictures that a name with its suffix means: one, none, or several that it fits equally well."""
        if (place := self._by_path.get(text)) is not None:
            return [place]
        for parts in _readings(text):
            if (exact := self._by_path.get("/".join(parts))) is not None:
                return [exact]
            for index, form in ((self._by_name, _same), (self._by_folded, _folded)):
                if found := self._fitting(index.get(form(parts[-1]), ()), parts, form, len(parts)):
                    return found
        return []

    def find(self, text: str) -> list[int]:
        """As `named`, also by a name without its suffix."""
        if found := self.named(text):
            return found
        for parts in _readings(text):
            stem = parts[-1]
            if not is_file_name(stem) and (
                found := self._fitting(self._by_stem.get(_folded(stem), ()), parts, _folded, len(parts))
            ):
                return found
        return []

    def _fitting(
        self, candidates: Sequence[int], parts: list[str], form: Callable[[str], str], depth: int
    ) -> list[int]:
        """Of pictures with the right bare name those whose folders agree, where several do those that agree longest."""
        best: list[int] = []
        longest = -1
        wanted = [form(part) for part in reversed(parts[:-1])]
        for place in candidates:
            folders = [form(part) for part in reversed(self.paths[place].split("/")[:-1])]
            shared = min(len(folders), len(wanted))
            if folders[:shared] != wanted[:shared]:
                continue
            if shared > longest:
                best, longest = [], shared
            if shared == longest:
                best.append(place)
        whole = [place for place in best if self.paths[place].count("/") + 1 == depth]
        return whole if len(whole) == 1 else best

    @cached_property
    def _by_path(self) -> dict[str, int]:
        return {path: place for place, path in enumerate(self.paths)}

    def _index(self, form: Callable[[str], str]) -> dict[str, list[int]]:
        index: dict[str, list[int]] = {}
        for place, path in enumerate(self.paths):
            index.setdefault(form(path.rpartition("/")[2]), []).append(place)
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
    """The parts of a path as it stands, and with backslashes for slashes."""
    ways = [text, text.replace("\\", "/")] if "\\" in text else [text]
    parts = [[part for part in way.split("/") if part not in ("", ".", "..")] for way in ways]
    return [found for found in parts if found]


def _same(text: str) -> str:
    return text


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()
