"""Encoded pictures of an atlas: sprites, thumbnails, pictures, optimised pictures, dreams, kernels."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from generator.core.files import remove, write_atomically
from generator.core.store.arrays import keep_layers, keep_only
from generator.core.store.tables import json_bytes, read_json

FORMATS = ("webp", "avif")  # of sprites; all other pictures are WebP


def _numbers(folder: Path) -> set[int]:
    """The numbers that the pictures in a folder are named by; none where there is no such folder."""
    names = os.listdir(folder) if folder.is_dir() else []
    parts = (name.rpartition(".") for name in names)
    return {int(stem) for stem, _, ending in parts if ending in FORMATS and stem.isdecimal()}


class Pictures:
    """The encoded pictures of one atlas folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, path: Path, content: bytes) -> None:
        """Write an encoded picture at a path that one of the methods below returned."""
        write_atomically(path, content)

    # -- sprites -------------------------------------------------------------------------------------------------------

    def sprite_path(self, layer: str, channel: int, ending: str = "webp") -> Path:
        """A channel's sprite. ending: one of FORMATS."""
        return self._folder / "sprites" / layer / f"{channel}.{ending}"

    def sprites(self, layer: str) -> set[int]:
        """The channels of a layer that have a sprite."""
        return _numbers(self._folder / "sprites" / layer)

    def keep_sprites(self, layer: str, channels: Iterable[int], ending: str = "webp") -> None:
        """Remove the layer's sprites of all channels but these, and all of another format."""
        keep_only(self._folder / "sprites" / layer, {f"{channel}.{ending}" for channel in channels})

    def range_path(self, layer: str, channel: int, ending: str = "webp") -> Path:
        """The patches and gradients of a channel's strips, in the format of its sprite."""
        return self._folder / "ranges" / layer / f"{channel}.{ending}"

    def ranges(self, layer: str) -> set[int]:
        """The channels of a layer whose strips have patches and gradients."""
        return _numbers(self._folder / "ranges" / layer)

    def keep_ranges(self, layer: str, channels: Iterable[int], ending: str = "webp") -> None:
        """Remove the layer's pictured strips of all channels but these, and all of another format."""
        keep_only(self._folder / "ranges" / layer, {f"{channel}.{ending}" for channel in channels})

    def thumbs_path(self, layer: str) -> Path:
        """The thumbnails of a layer's channels."""
        return self._folder / "thumbs" / f"{layer}.webp"

    def picture_path(self, index: int) -> Path:
        """A picture of the set as the network sees it, by its number in images.csv."""
        return self._folder / "pictures" / f"{index}.webp"

    def has_pictures(self) -> bool:
        """Whether the pictures of the set are part of the atlas."""
        return (self._folder / "pictures").is_dir()

    def pictures(self) -> set[int]:
        """The numbers of the pictures of the set that are there."""
        return _numbers(self._folder / "pictures")

    def drop_pictures(self, numbers: Iterable[int]) -> None:
        """Remove these pictures of the set."""
        for number in numbers:
            self.picture_path(number).unlink(missing_ok=True)

    def live_path(self, name: str) -> Path:
        """A file of the network that runs in a browser: the model, or a picture for it, which is kept without loss."""
        return self._folder / "live" / name

    def kernels_path(self, layer: str) -> Path:
        """The kernels of the first convolution as pixels."""
        return self._folder / "kernels" / f"{layer}.webp"

    def rule_path(self, layer: str, kind: str) -> Path:
        """The top-9 units of a layer's example channel under one gradient rule, or their patches."""
        return self._folder / "rules" / f"{layer}-{kind}.webp"

    def map_thumbs_path(self) -> Path:
        """The small pictures of the map."""
        return self._folder / "embedding" / "thumbs.webp"

    def keep_layers(self, layers: Collection[str]) -> None:
        """Remove the pictures of all layers but these, and what an older schema left."""
        for name in ("thumbs", "kernels", "sprites", "ranges", "optimised"):
            keep_layers(self._folder / name, layers)
        for path in (self._folder / "optimised").glob("*.npz"):  # schema 1 kept the pictures' values here
            path.unlink(missing_ok=True)

    # -- optimised pictures --------------------------------------------------------------------------------------------

    def optimised_path(self, layer: str, channel: int) -> Path:
        """A channel's optimised picture."""
        return self._folder / "optimised" / layer / f"{channel}.webp"

    def optimised_sheet_path(self, layer: str) -> Path:
        """The layer's optimised pictures as thumbnails."""
        return self._folder / "optimised" / f"{layer}.webp"

    def keep_optimised(self, layers: Collection[str]) -> None:
        """Remove the optimised pictures of all layers but these."""
        keep_layers(self._folder / "optimised", layers)
        if not layers:
            shutil.rmtree(self._folder / "optimised", ignore_errors=True)

    # -- dreams --------------------------------------------------------------------------------------------------------

    def dream_path(self, name: str) -> Path:
        """A file of the dreams by its name."""
        return self._folder / "deepdream" / name

    def dream(self, key: str) -> dict[str, Any] | None:
        """A dream's numbers, or None where the dream is not there yet."""
        numbers = read_json(self.dream_path(f"{key}.json"))
        return numbers if isinstance(numbers, dict) and self.dream_path(f"{key}.webp").is_file() else None

    def write_dream(self, key: str, picture: bytes, numbers: Mapping[str, Any]) -> None:
        """Write a dream's picture and its numbers; the numbers come last: they say that the picture is there."""
        for kind in ("webp", "json"):
            if self.dream_path(f"{key}.{kind}").is_dir():
                remove(self.dream_path(f"{key}.{kind}"))
        write_atomically(self.dream_path(f"{key}.webp"), picture)
        write_atomically(self.dream_path(f"{key}.json"), json_bytes(numbers))

    def dream_digest(self, key: str) -> str:
        """SHA-256 of a dream's two files as they are, '' where one is missing."""
        digest = hashlib.sha256()
        for kind in ("webp", "json"):
            try:
                digest.update(self.dream_path(f"{key}.{kind}").read_bytes())
            except OSError:
                return ""
        return digest.hexdigest()

    def keep_dreams(self, names: Collection[str]) -> None:
        """Remove all files of dreams but these."""
        keep_only(self.dream_path(""), names)
        if not names:
            shutil.rmtree(self.dream_path(""), ignore_errors=True)
