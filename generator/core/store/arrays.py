"""Arrays of an atlas: NumPy files, each written whole by one stage. A layer with C channels has these, as far as they
were computed:

    layers/<layer>/top.npz          top_value (C, 9) float32, top_image (C, 9) int32, top_unit (C, 9, 2) int32
                   focus.npz        top_focus (C, 9, 3) int32: to which square of the picture a unit's tiles are cut
                   statistics.npz   of the scan, (C,) each: dead, mean, std, max, …
                   range.npz        how each channel's scores are spread: histogram (C, K) int32, histogram_bins (K, 2)
                                    float32; nine pictures at quantiles: strip_image, strip_value (C, 6, 9), strip_unit
                                    (C, 6, 9, 2), strip_counted (C, 1)
                   range_labels.npz   how far labels agree along the range
                   machine_score.npz  how well a machine tells strong pictures from weak ones
                   connections.npz  what channels share with the block before, what they read most, and what reads them
                   classes.npz      what the top-9 pictures and the scores say about classes
                   refinement.npz   how each channel refines itself from the block before
                   stream.npz       residual blocks: what was read in the residual stream
                   effects.npz      contributions to classes: the classes that each channel raises and lowers most
                   feeds.npz        residual blocks: what the nine units of each channel are made of
                   zooms.npz        residual blocks: the responses to enlarged and reduced pictures
                   scale.npz        residual blocks and drawn pictures: true scale invariance
                   stream_optimised.npz   residual blocks: the stream's numbers at optimised pictures
                   optimised.npz    values of the optimised pictures
"""

from __future__ import annotations

import contextlib
import io
import shutil
import zipfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import numpy as np

from generator.core.errors import AtlasError
from generator.core.files import RowFile, write_array_atomically, write_atomically

FOCUS = "focus"  # the product that is written with a layer's sprites
SCANNED = ("top", "statistics")  # the products that every layer has


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Arrays as an .npz file."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # numpy's stub mistakes the arrays for its own options
    return buffer.getvalue()


def npy_bytes(array: np.ndarray) -> bytes:
    """An array as an .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def mapped(path: Path, what: str) -> np.ndarray:
    """The array of an .npy file, mapped from the disk; raises AtlasError where it cannot be read. what: its content, in
    words."""
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        return array
    except (OSError, ValueError, EOFError) as error:
        raise AtlasError(f"the {what} cannot be read ({error})", path, "compute the atlas again") from error


def read_npz(path: Path, what: str) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name; raises AtlasError where it cannot be read. what: its content, in words."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise AtlasError(f"the {what} cannot be read ({error})", path, "compute the atlas again") from error


def keep_only(folder: Path, names: Collection[str]) -> None:
    """Remove all files of a folder but these."""
    for path in folder.glob("*"):
        if path.name not in names:
            path.unlink(missing_ok=True)


def keep_layers(folder: Path, layers: Collection[str]) -> None:
    """Remove from a folder the files `<layer>.*` and the folders `<layer>` of all layers but these."""
    for path in folder.glob("*"):
        if path.is_dir() and path.name not in layers:
            shutil.rmtree(path, ignore_errors=True)
        elif path.is_file() and path.stem not in layers:
            path.unlink(missing_ok=True)


class Arrays:
    """The NumPy files of one atlas folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    # -- layers --------------------------------------------------------------------------------------------------------

    def layer_path(self, layer: str, product: str) -> Path:
        """The file of one product of a layer."""
        return self._folder / "layers" / layer / f"{product}.npz"

    def products(self, layer: str) -> tuple[str, ...]:
        """The products of a layer that are there, those of the scan first."""
        stored = {path.stem for path in (self._folder / "layers" / layer).glob("[!.]*.npz")}
        return (*SCANNED, *sorted(stored.difference(SCANNED)))

    def layer(self, layer: str, *products: str) -> dict[str, np.ndarray]:
        """The arrays of a layer by name: of these products, or of all that are there.

        Raises AtlasError where a product cannot be read.
        """
        arrays: dict[str, np.ndarray] = {}
        for product in products or self.products(layer):
            arrays |= read_npz(self.layer_path(layer, product), "layer's numbers")
        return dict(sorted(arrays.items()))

    def write_layer(self, layer: str, product: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write one product of a layer, whole; its bytes depend on the arrays alone, not on their order."""
        write_atomically(self.layer_path(layer, product), npz_bytes(dict(sorted(arrays.items()))))

    def drop_layer(self, layer: str, product: str) -> None:
        """Remove one product of a layer, if it is there."""
        self.layer_path(layer, product).unlink(missing_ok=True)

    def keep_layers(self, layers: Collection[str]) -> None:
        """Remove the arrays of all layers but these, and what an older schema left."""
        keep_layers(self._folder / "scores", layers)
        self.keep_contributions(layers)
        keep_layers(self._folder / "layers", layers)
        for path in (self._folder / "layers").glob("*.npz"):  # schema 1 kept all of a layer in one file
            path.unlink(missing_ok=True)

    # -- scores --------------------------------------------------------------------------------------------------------

    def scores_path(self, layer: str) -> Path:
        """The file of a layer's scores."""
        return self._folder / "scores" / f"{layer}.npy"

    def scores(self, layer: str) -> np.ndarray:
        """(N, C) float32, mapped from the disk."""
        return mapped(self.scores_path(layer), "layer's scores")

    def write_scores(self, layer: str, scores: np.ndarray) -> None:
        """Write a layer's scores, (N, C) float32."""
        write_atomically(self.scores_path(layer), npy_bytes(scores))

    # -- contributions to classes --------------------------------------------------------------------------------------

    def contributions_path(self, layer: str) -> Path:
        """The file of a layer's mean contributions."""
        return self._folder / "contributions" / f"{layer}.npy"

    def contributions(self, layer: str) -> np.ndarray | None:
        """(2, R, C) float32, mapped from the disk, of R classes and C channels: the mean contributions and how far
        their intervals reach, NaN where there is no number. None in an atlas without them."""
        path = self.contributions_path(layer)
        return mapped(path, "layer's contributions") if path.is_file() else None

    def write_contributions(self, layer: str, contributions: np.ndarray) -> None:
        """Write a layer's mean contributions and their intervals' reach, (2, R, C) float32."""
        write_atomically(self.contributions_path(layer), npy_bytes(contributions))

    def keep_contributions(self, layers: Collection[str]) -> None:
        """Remove the contributions of all layers but these."""
        keep_layers(self._folder / "contributions", layers)

    # -- matches of two layers -----------------------------------------------------------------------------------------

    def matches_path(self, pair: str) -> Path:
        """The file of two layers' matches, by the name of the pair, `<a>--<b>`."""
        return self._folder / "matches" / f"{pair}.npz"

    def matches(self, pair: str) -> dict[str, np.ndarray] | None:
        """forward_channel, forward_shared, forward_rho (A, 5) and backward_… (B, 5) of two layers, or None."""
        path = self.matches_path(pair)
        return read_npz(path, "matches of two layers") if path.is_file() else None

    def write_matches(self, pair: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write the matches of two layers."""
        write_atomically(self.matches_path(pair), npz_bytes(arrays))

    def keep_matches(self, pairs: Iterable[str]) -> None:
        """Remove the matches of all pairs of layers but these."""
        keep_only(self._folder / "matches", {f"{pair}.npz" for pair in pairs})

    # -- categories ----------------------------------------------------------------------------------------------------

    def categories(self) -> dict[str, np.ndarray]:
        """layer, channel, category, count, precision (P,): the channels that are found for categories."""
        return read_npz(self._folder / "categories.npz", "channels of categories")

    def write_categories(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Write the channels that are found for categories."""
        write_atomically(self._folder / "categories.npz", npz_bytes(dict(sorted(arrays.items()))))

    # -- first layers --------------------------------------------------------------------------------------------------

    def first_layer_path(self, name: str) -> Path:
        """A file of the first layers by its name."""
        return self._folder / "first_layers" / name

    def first_layer(self, number: int) -> dict[str, np.ndarray]:
        """kernels (C, 3, k, k) float32 and the numbers of each, (C,) float32."""
        return read_npz(self.first_layer_path(f"{number}.npz"), "first layer's kernels")

    def write_first_layer(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write one first layer's kernels and numbers."""
        write_atomically(self.first_layer_path(name), npz_bytes(arrays))

    def keep_first_layers(self, names: Collection[str]) -> None:
        """Remove all files of first layers but these."""
        keep_only(self._folder / "first_layers", names)

    # -- the network's outputs -----------------------------------------------------------------------------------------

    def predictions(self) -> tuple[np.ndarray, np.ndarray] | None:
        """For every picture the number of the network's strongest output and its score, (N,) int32 and float32; None
        where the atlas has none."""
        path = self._folder / "predictions.npz"
        if not path.is_file():
            return None
        arrays = read_npz(path, "predictions")
        return arrays["output"], arrays["score"]

    def write_predictions(self, output: np.ndarray, score: np.ndarray) -> None:
        """Write for every picture the network's strongest output, (N,) int32, and its score, (N,) float32."""
        write_atomically(self._folder / "predictions.npz", npz_bytes({"output": output, "score": score}))

    # -- the map of the pictures ---------------------------------------------------------------------------------------

    def _embedding_path(self, name: str) -> Path:
        return self._folder / "embedding" / name

    def features_path(self) -> Path:
        """The file of the pictures' final features."""
        return self._embedding_path("features.npy")

    def map_path(self) -> Path:
        """The file of the map's arrays."""
        return self._embedding_path("map.npz")

    def features(self) -> RowFile:
        """(M, F) float32 of the map's pictures; rows are read from the disk when they are indexed."""
        path = self.features_path()
        try:
            return RowFile(path)
        except (OSError, ValueError, EOFError) as error:
            raise AtlasError(
                f"the features cannot be read ({error})", path, "compute the atlas again"
            ) from error

    def has_features(self) -> bool:
        """Whether the atlas has the features of its pictures."""
        return self.features_path().is_file()

    def write_features(self, shape: tuple[int, int], parts: Iterable[np.ndarray]) -> None:
        """Write the (M, F) float32 features of the map's pictures from their rows, part by part."""
        write_array_atomically(self.features_path(), shape, parts)

    def embedding(self) -> dict[str, np.ndarray]:
        """The arrays of the map of the pictures by name."""
        return read_npz(self.map_path(), "map of the pictures")

    def has_embedding(self) -> bool:
        """Whether the atlas has a map of the pictures."""
        return all(self._embedding_path(name).is_file() for name in ("map.npz", "embedding.json"))

    def write_embedding(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Write the map of the pictures."""
        write_atomically(self.map_path(), npz_bytes(arrays))

    def drop_embedding(self, *, features: bool = True) -> None:
        """Remove the map; features: also the features that it was made from."""
        for name in ("map.npz", "embedding.json", "thumbs.webp"):
            self._embedding_path(name).unlink(missing_ok=True)
        if features:
            shutil.rmtree(self._folder / "embedding", ignore_errors=True)

    # -- the cache of renderings ---------------------------------------------------------------------------------------

    def _cache_path(self, name: str) -> Path:
        return self._folder / ".cache" / f"{name}.npz"

    def cached(self, name: str, key: str) -> dict[str, np.ndarray] | None:
        """Arrays in the cache, None where they were made from inputs with another fingerprint."""
        path = self._cache_path(name)
        try:
            arrays = read_npz(path, "cache") if path.is_file() else {}
        except AtlasError:
            return None
        return arrays if str(arrays.pop("key", "")) == key else None

    def cache(self, name: str, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep arrays for the next rendering, if the folder is writable; they are not part of the atlas."""
        content = npz_bytes({**arrays, "key": np.array(key)})
        with contextlib.suppress(AtlasError):
            write_atomically(self._cache_path(name), content)
