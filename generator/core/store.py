"""The atlas folder: where each file lies, and how it is written and read. A few stages and the site also build paths in
it themselves.

    manifest.json  images.csv  channels.csv
    layers/<layer>.npz      top_value (C, 9) float32, top_image (C, 9) int32, top_unit (C, 9, 2) int32; statistics
    scores/<layer>.npy      (N, C) float32: every picture's score for every channel (a sample of pictures where many)
    scan.json               what the scan found: pictures used and skipped
    predictions.npz         output (N,) int32, score (N,) float32: each picture's strongest output of the network
    classes.csv             the pictures' classes, each with its group in the hierarchy
    relations.json          how far layers correspond, what stages refine
    matches/<a>--<b>.npz    the best matches of every channel of two layers, in both directions
    stream.json             what was read in the residual stream, block by block
    stream_optimised.json   the same at optimised pictures, where the profile asks for them
    scale_truth.json        drawn pictures alone: the scale criteria against the true sizes
    sprites/<layer>/<channel>.webp   thumbs/<layer>.webp   pictures/<index>.webp
    embedding/              features.npy (M, F): the vector before the classifier of each picture of the map; map.npz:
                            their places; embedding.json: how it was made; thumbs.webp: the pictures, small
    optimised/<layer>/<channel>.webp   its optimised picture; optimised/<layer>.npz: values, <layer>.webp: thumbnails
    kernels/<layer>.webp    the first convolution's kernels as pixels
    deepdream/index.json    the dreams: of which pictures and layers, in which files, with which settings
    deepdream/<key>.webp, <key>.json   a dream, named by what it was made from, and its numbers; <key>-start.webp
    first_layers/index.json   the first layers that are set side by side, the network's own first; of each
    first_layers/<n>.npz      its kernels and their numbers, and as pixels <n>.webp, <n>-common.webp, <n>-planes.webp
    architecture.json       the network's volumes, operations and costs (blueprint.py)
    keys.json               fingerprints of what each stage was made from
    SHA256SUMS              of every file, for `sha256sum -c` and `atlas verify`
    .inputs.json            where the inputs lie on this machine, for `atlas verify`; never published
    work/                   what an interrupted run needs to go on; removed when all is done

Every file is written beside its place and then moved into it, so that a reader never sees half of one.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import shutil
import sys
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from generator.core import checksums
from generator.core.errors import AtlasError
from generator.core.files import (
    RowFile,
    ScoreFile,
    TileFile,
    VectorFile,
    disk_error,
    remove,
    write_array_atomically,
    write_atomically,
)
from generator.core.places import published
from generator.core.records import Manifest, PictureRecord, manifest_from_json, to_json

OWN = (
    "manifest.json", "keys.json", "scan.json", "images.csv", "channels.csv", "architecture.json",
    "layers", "scores", "sprites", "thumbs", "pictures", "kernels", "first_layers", "deepdream", "optimised", "matches",
    "relations.json", "classes.csv",
    "stream.json", "stream_optimised.json", "scale_truth.json", "rules.json", "rules",
    "embedding", "predictions.npz",
)  # fmt: skip
PLACES = ".inputs.json"
IMAGE_COLUMNS = ("index", "path", "label_id", "label", "width", "height")
# Python's csv writer quotes a field for what ends a line: with "\n" alone, a name with "\r" would cut its line.
LINE_END = "\r\n"


def fingerprint(*parts: Any) -> str:
    """SHA-256 of the parts' canonical JSON: equal inputs, equal fingerprint."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _json(data: Any) -> bytes:
    text = json.dumps(data, indent=1, ensure_ascii=False, default=str) + "\n"
    return text.encode("utf-8", "surrogateescape")


def _npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # numpy's stub mistakes the arrays for its own options
    return buffer.getvalue()


def _read_arrays(path: Path, what: str) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise AtlasError(f"the {what} cannot be read ({error})", path, "compute the atlas again") from error


def _keep(folder: Path, names: Collection[str]) -> None:
    """Remove all files of a folder but these."""
    for path in folder.glob("*"):
        if path.name not in names:
            path.unlink(missing_ok=True)


def _take(file: IO[Any]) -> None:
    """Lock an open file; raises BlockingIOError or PermissionError where somebody else has it."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class _Table(bytearray):
    """A file for csv.writer, which writes a line at a time; of many lines only their bytes are held."""

    def write(self, line: str) -> None:
        self += f"{line.removesuffix(LINE_END)}\n".encode("utf-8", "surrogateescape")


class Store:
    """One atlas folder."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    # -- paths -----------------------------------------------------------------------------------------------------

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def layer_path(self, layer: str) -> Path:
        return self.folder / "layers" / f"{layer}.npz"

    def scores_path(self, layer: str) -> Path:
        return self.folder / "scores" / f"{layer}.npy"

    def sprite_path(self, layer: str, channel: int) -> Path:
        return self.folder / "sprites" / layer / f"{channel}.webp"

    def thumbs_path(self, layer: str) -> Path:
        return self.folder / "thumbs" / f"{layer}.webp"

    def picture_path(self, index: int) -> Path:
        return self.folder / "pictures" / f"{index}.webp"

    def optimised_path(self, layer: str, channel: int) -> Path:
        return self.folder / "optimised" / layer / f"{channel}.webp"

    def optimised_sheet_path(self, layer: str) -> Path:
        """The layer's optimised pictures as thumbnails."""
        return self.folder / "optimised" / f"{layer}.webp"

    def kernels_path(self, layer: str) -> Path:
        return self.folder / "kernels" / f"{layer}.webp"

    def first_layer_path(self, name: str) -> Path:
        return self.folder / "first_layers" / name

    def size(self) -> int:
        """Bytes in the whole folder."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    # -- one writer at a time --------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def locked(self, *, alone: bool = True) -> Iterator[None]:
        """Hold the folder for one job; raises AtlasError at once if another process holds it, or if its file system
        knows no locks. A network drive that passes locks on to its server, as NFS 4 does, keeps other machines out too;
        on one that does not, a second machine is not noticed.

        alone: false for the further processes of a torchrun, whose leader holds it for all.
        """
        if not alone:
            yield
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / ".lock").open("a")
        except OSError as error:
            raise disk_error(error, self.folder / ".lock") from error
        with lock:
            try:
                _take(lock)
            except (BlockingIOError, PermissionError) as error:
                raise AtlasError(
                    "another process is computing this atlas",
                    self.folder,
                    "wait for it, or choose another folder with --out",
                ) from error
            except OSError as error:
                raise AtlasError(
                    f"the folder cannot be locked ({error.strerror}), as on some network drives",
                    self.folder,
                    "choose a folder on a disk of this machine with --out",
                ) from error
            yield  # the lock goes with the file, also when the process is killed

    # -- places on this machine --------------------------------------------------------------------------------------

    def write_places(self, places: Mapping[str, str]) -> None:
        """Keep where the inputs lie (generator/core/places.py); hidden, no part of the atlas, and never published."""
        write_atomically(self.folder / PLACES, _json(places))

    def places(self) -> dict[str, str]:
        """What is known of where the inputs lie, {} for nothing."""
        known = self.read_json(PLACES)
        return known if isinstance(known, dict) else {}

    # -- manifest and tables ---------------------------------------------------------------------------------------

    def exists(self) -> bool:
        return (self.folder / "manifest.json").is_file()

    def manifest(self) -> Manifest:
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
        return manifest_from_json(data)

    def published_manifest(self) -> bytes:
        """manifest.json as the site shows it: also of atlases of earlier days without any place on a machine."""
        content = (self.folder / "manifest.json").read_bytes()
        data = json.loads(content)
        public = data | {"profile": published(data["profile"])}
        return content if public == data else _json(public)

    def is_finished(self) -> bool:
        """Whether an atlas was finished here, though files of it may have been damaged since."""
        return self.exists() or (self.folder / checksums.NAME).is_file()

    def made_from(self) -> tuple[Mapping[str, str], str]:
        """Each stage's fingerprint of what the finished atlas was made from, and its date; from keys.json where the
        manifest is damaged, {} and '' where both are."""
        date = ""
        with contextlib.suppress(AtlasError):
            manifest = self.manifest()
            if isinstance(keys := manifest.extra.get("keys"), Mapping):
                return keys, manifest.date
        keys = self.read_json("keys.json")
        return (keys if isinstance(keys, Mapping) else {}), date

    def withdraw_manifest(self) -> None:
        """Take the manifest and the checksums away: the folder is no finished atlas until they are written again."""
        (self.folder / "manifest.json").unlink(missing_ok=True)
        (self.folder / checksums.NAME).unlink(missing_ok=True)

    def manifest_bytes(self, manifest: Manifest) -> bytes:
        return _json(to_json(manifest))

    def write_manifest(self, manifest: Manifest | bytes) -> None:
        content = manifest if isinstance(manifest, bytes) else self.manifest_bytes(manifest)
        write_atomically(self.folder / "manifest.json", content)

    def checksums(self) -> dict[str, str] | None:
        """Path → SHA-256 of every file, as listed; None where there is no list."""
        return checksums.read_checksums(self.folder)

    def write_checksums(self, text: str) -> None:
        write_atomically(self.folder / checksums.NAME, os.fsencode(text))

    def own_files(self) -> set[str]:
        """The files there that lie where an atlas's files lie."""
        return {name for name in checksums.files_of(self.folder) if name.split("/")[0] in OWN}

    def drop_file(self, name: str) -> None:
        """Remove a file of the atlas by its path inside it."""
        (self.folder / name).unlink(missing_ok=True)

    def drop_folder(self, name: str) -> None:
        """Remove a folder of the atlas with all that is in it."""
        shutil.rmtree(self.folder / name, ignore_errors=True)

    def write_json(self, name: str, data: Any) -> None:
        write_atomically(self.folder / name, _json(data))

    def read_json(self, name: str) -> Any | None:
        """The content of a JSON file, or None if it is missing or damaged (it is then written anew)."""
        try:
            return json.loads((self.folder / name).read_bytes().decode("utf-8", "surrogateescape"))
        except (OSError, ValueError):
            return None

    def images(self) -> list[PictureRecord]:
        path = self.folder / "images.csv"
        try:
            with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
                return [
                    PictureRecord(
                        int(row["index"]),
                        row["path"],
                        int(row["label_id"]),
                        sys.intern(row["label"]),  # one string a class, not one a picture
                        int(row["width"]),
                        int(row["height"]),
                    )
                    for row in csv.DictReader(file)
                ]
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise AtlasError(
                f"images.csv cannot be read ({error})", path, "compute the atlas again"
            ) from error

    def write_images(self, records: Iterable[PictureRecord]) -> None:
        rows = ([getattr(record, column) for column in IMAGE_COLUMNS] for record in records)
        self.write_table("images.csv", IMAGE_COLUMNS, rows)

    def write_table(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        content = _Table()
        table = csv.writer(content, lineterminator=LINE_END)
        table.writerow(columns)
        table.writerows(rows)
        write_atomically(self.folder / name, content)

    # -- layers ----------------------------------------------------------------------------------------------------

    def layer(self, layer: str) -> dict[str, np.ndarray]:
        """top_value, top_image, top_unit and every statistic of a layer, by name."""
        return _read_arrays(self.layer_path(layer), "layer's numbers")

    def write_layer(self, layer: str, arrays: Mapping[str, np.ndarray]) -> None:
        # In the order of their names: the bytes do not tell which stage came first.
        write_atomically(self.layer_path(layer), _npz(dict(sorted(arrays.items()))))

    def replace_arrays(
        self, layer: str, names: Collection[str], found: Mapping[str, np.ndarray] | None = None
    ) -> None:
        """Set what one stage found in place of all that it may have left in a layer's file before (`names`); without
        `found` that is only taken away."""
        numbers = self.layer(layer)
        others = {name: array for name, array in numbers.items() if name not in names}
        if found or len(others) < len(numbers):
            self.write_layer(layer, others | dict(found or {}))

    def scores(self, layer: str) -> np.ndarray:
        """(N, C) float32, mapped from the disk."""
        path = self.scores_path(layer)
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise AtlasError(
                f"the layer's scores cannot be read ({error})", path, "compute the atlas again"
            ) from error

    def scored_pictures(self) -> np.ndarray:
        """(N,) the numbers of the pictures whose scores are kept, row by row of scores/*.npy."""
        scan = self.read_json("scan.json") or {}
        if (chosen := scan.get("score_pictures")) is not None:
            return np.array(chosen, np.int64)
        return np.arange(scan.get("pictures", 0))

    # -- matches ---------------------------------------------------------------------------------------------------

    def matches_path(self, pair: str) -> Path:
        return self.folder / "matches" / f"{pair}.npz"

    def matches(self, pair: str) -> dict[str, np.ndarray] | None:
        """forward_channel, forward_shared, forward_rho (A, 5) and backward_… (B, 5) of two layers, or None."""
        path = self.matches_path(pair)
        return _read_arrays(path, "matches of two layers") if path.is_file() else None

    def write_matches(self, pair: str, arrays: Mapping[str, np.ndarray]) -> None:
        write_atomically(self.matches_path(pair), _npz(arrays))

    def tidy_matches(self, pairs: Iterable[str]) -> None:
        """Drop the matches of all pairs of layers but these."""
        _keep(self.folder / "matches", {f"{pair}.npz" for pair in pairs})

    # -- dreams ----------------------------------------------------------------------------------------------------

    def dream_path(self, name: str) -> Path:
        return self.folder / "deepdream" / name

    def dream(self, key: str) -> dict[str, Any] | None:
        """A dream's numbers, or None where it is not there yet."""
        numbers = self.read_json(f"deepdream/{key}.json")
        return numbers if isinstance(numbers, dict) and self.dream_path(f"{key}.webp").is_file() else None

    def write_dream(self, key: str, picture: bytes, numbers: Mapping[str, Any]) -> None:
        """The numbers come last: they say that the picture is there."""
        for kind in ("webp", "json"):
            if self.dream_path(f"{key}.{kind}").is_dir():
                remove(self.dream_path(f"{key}.{kind}"))
        write_atomically(self.dream_path(f"{key}.webp"), picture)
        self.write_json(f"deepdream/{key}.json", numbers)

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
        """Drop all files of dreams but these."""
        _keep(self.dream_path(""), names)
        if not names:
            self.drop_folder("deepdream")

    # -- first layers ----------------------------------------------------------------------------------------------

    def first_layer(self, number: int) -> dict[str, np.ndarray]:
        """kernels (C, 3, k, k) float32 and what is known of each, (C,) float32."""
        return _read_arrays(self.first_layer_path(f"{number}.npz"), "first layer's kernels")

    def write_first_layers(self, files: Mapping[str, bytes | Mapping[str, np.ndarray]], index: Any) -> None:
        """Write the files of all first layers, and the list of them last; drop what is none of them."""
        _keep(self.first_layer_path(""), {"index.json", *files})
        for name, content in files.items():
            data = content if isinstance(content, bytes) else _npz(content)
            write_atomically(self.first_layer_path(name), data)
        self.write_json("first_layers/index.json", index)

    # -- what is found while rendering -----------------------------------------------------------------------------

    def cached(self, name: str, key: str) -> dict[str, np.ndarray] | None:
        """Arrays kept under a name, if they were made from inputs of this key."""
        path = self.folder / ".cache" / f"{name}.npz"
        try:
            arrays = _read_arrays(path, "cache") if path.is_file() else {}
        except AtlasError:
            return None
        return arrays if str(arrays.pop("key", "")) == key else None

    def cache(self, name: str, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep arrays for the next rendering, where the folder can be written; they are no part of the atlas."""
        content = _npz({**arrays, "key": np.array(key)})
        with contextlib.suppress(AtlasError):
            write_atomically(self.folder / ".cache" / f"{name}.npz", content)

    # -- pictures --------------------------------------------------------------------------------------------------

    def write_file(self, path: Path, content: bytes) -> None:
        write_atomically(path, content)

    def tiles(self, layer: str, panels: int, native: int) -> TileFile:
        """The tiles of a layer that is being pictured, opened for reading and writing."""
        return TileFile(self.work / "tiles" / f"{layer}.u8", panels, native)

    def write_scores(self, layer: str, scores: np.ndarray) -> None:
        buffer = io.BytesIO()
        np.save(buffer, scores)
        write_atomically(self.scores_path(layer), buffer.getvalue())

    def score_file(self, channels: Sequence[int], pass_: str) -> ScoreFile:
        """The scores of a pass under way, opened; channels: of each layer."""
        return ScoreFile(self.work / pass_ / "scores.f32", channels)

    # -- what the network says of the pictures ----------------------------------------------------------------------

    def predictions(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Of every picture the number of the network's strongest output and its score, (N,) int32 and float32; None
        where the atlas has none."""
        path = self.folder / "predictions.npz"
        if not path.is_file():
            return None
        arrays = _read_arrays(path, "predictions")
        return arrays["output"], arrays["score"]

    def write_predictions(self, output: np.ndarray, score: np.ndarray) -> None:
        write_atomically(self.folder / "predictions.npz", _npz({"output": output, "score": score}))

    # -- the map of the pictures -----------------------------------------------------------------------------------

    def embedding_path(self, name: str) -> Path:
        return self.folder / "embedding" / name

    def vector_file(self, length: int, pass_: str) -> VectorFile:
        """The vectors of a pass under way, opened."""
        return VectorFile(self.work / pass_ / "vectors.f32", length)

    def features(self) -> RowFile:
        """(M, F) float32 of the map's pictures, read as asked for."""
        path = self.embedding_path("features.npy")
        try:
            return RowFile(path)
        except (OSError, ValueError, EOFError) as error:
            raise AtlasError(
                f"the features cannot be read ({error})", path, "compute the atlas again"
            ) from error

    def write_features(self, shape: tuple[int, int], parts: Iterable[np.ndarray]) -> None:
        write_array_atomically(self.embedding_path("features.npy"), shape, parts)

    def embedding(self) -> dict[str, np.ndarray]:
        """map.npz: by the name of the array."""
        return _read_arrays(self.embedding_path("map.npz"), "map of the pictures")

    def write_embedding(self, arrays: Mapping[str, np.ndarray]) -> None:
        write_atomically(self.embedding_path("map.npz"), _npz(arrays))

    def drop_embedding(self, *, features: bool = True) -> None:
        """Remove the map; the features that it was made from only where told."""
        for name in ("map.npz", "embedding.json", "thumbs.webp"):
            self.embedding_path(name).unlink(missing_ok=True)
        if features:
            shutil.rmtree(self.folder / "embedding", ignore_errors=True)

    # -- optimised pictures ----------------------------------------------------------------------------------------

    def optimised(self, layer: str) -> dict[str, np.ndarray]:
        """What is known of a layer's optimised pictures, (C,) arrays."""
        return _read_arrays(self.folder / "optimised" / f"{layer}.npz", "optimised pictures' values")

    def write_optimised(self, layer: str, arrays: Mapping[str, np.ndarray]) -> None:
        write_atomically(self.folder / "optimised" / f"{layer}.npz", _npz(arrays))

    def keep_optimised(self, layers: Collection[str]) -> None:
        """Drop the optimised pictures of all layers but these."""
        for path in (self.folder / "optimised").glob("*"):
            if (path.name if path.is_dir() else path.stem) not in layers:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        if not layers:
            shutil.rmtree(self.folder / "optimised", ignore_errors=True)

    # -- parts of a pass that may be interrupted (stages/checkpointed_pass.py) -----------------------------------------

    def part_names(self, pass_: str) -> list[str]:
        """The parts of a pass that are saved."""
        return sorted(path.stem for path in (self.work / pass_).glob("*.npz"))

    def read_part(self, name: str, pass_: str) -> dict[str, np.ndarray]:
        return _read_arrays(self.work / pass_ / f"{name}.npz", f"part of {pass_}")

    def write_part(self, name: str, arrays: Mapping[str, np.ndarray], pass_: str) -> None:
        write_atomically(self.work / pass_ / f"{name}.npz", _npz(arrays))

    def drop_part(self, name: str, pass_: str) -> None:
        """Remove a saved part, whatever lies in its place."""
        remove(self.work / pass_ / f"{name}.npz")

    def drop_parts(self, pass_: str) -> None:
        """Remove all that a pass has saved, its scores or vectors too."""
        remove(self.work / pass_)

    # -- resuming --------------------------------------------------------------------------------------------------

    def stamp(self, artefact: str) -> str | None:
        """The fingerprint of what the artefact was last made from, or None."""
        path = self.work / "stamps" / artefact
        try:
            return path.read_text("utf-8", errors="replace")
        except OSError:
            return None

    def write_stamp(self, artefact: str, key: str) -> None:
        """Say that the artefact is complete, made from inputs with this fingerprint."""
        path = self.work / "stamps" / artefact
        if path.is_dir():
            remove(path)
        write_atomically(path, key.encode())

    def unstamp(self, artefact: str) -> None:
        """Say that the artefact is about to change: until it is stamped again it is not complete."""
        remove(self.work / "stamps" / artefact)

    def clear_tiles(self, *, pictures: bool = True) -> None:
        """Drop tiles, and the pictures beside them, that were made from other inputs."""
        for stamp in (self.work / "stamps").glob("group-*"):
            self.unstamp(stamp.name)
        shutil.rmtree(self.work / "tiles", ignore_errors=True)
        if pictures:
            shutil.rmtree(self.folder / "pictures", ignore_errors=True)

    def clear_work(self) -> None:
        shutil.rmtree(self.work, ignore_errors=True)

    def keep_sprites(self, layer: str, channels: Iterable[int]) -> None:
        """Drop the layer's sprites of all channels but these."""
        _keep(self.folder / "sprites" / layer, {f"{channel}.webp" for channel in channels})

    def tidy(self, layers: Sequence[str], *, patches: bool) -> None:
        """Drop the files of layers that are not in the atlas any more; without patches, the pictures too."""
        for folder in ("layers", "scores", "thumbs", "kernels", "sprites", "optimised"):
            for path in (self.folder / folder).glob("*"):
                if (path.name if path.is_dir() else path.stem) in layers:
                    continue
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        if not patches:
            shutil.rmtree(self.folder / "pictures", ignore_errors=True)
        for path in self.folder.rglob(".*.tmp"):  # half-written files of a run that was killed
            path.unlink(missing_ok=True)
