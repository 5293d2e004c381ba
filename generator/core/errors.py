"""The one error type that a user sees."""

from __future__ import annotations

from pathlib import Path


class AtlasError(Exception):
    """An error that the user can put right: one sentence that says what is wrong, where, and the remedy.

    >>> str(AtlasError("no pictures found", "photos/", "give a folder that holds JPEG or PNG files"))
    'no pictures found: photos/ — give a folder that holds JPEG or PNG files'
    """

    def __init__(self, what: str, where: str | Path | None = None, remedy: str | None = None) -> None:
        self.what, self.where, self.remedy = what, where, remedy
        sentence = what if where is None else f"{what}: {where}"
        super().__init__(sentence if remedy is None else f"{sentence} — {remedy}")
