"""Reading the tensors of a weights file, whose form is recognised by its content, not by its name."""

from __future__ import annotations

import json
import tarfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from generator.core.errors import AtlasError
from generator.network.weights.unpickling import Inert, unpickle

COUNTER = "num_batches_tracked"  # of a BatchNorm; nothing that runs in eval mode reads it
_DEEPEST = 8  # dictionaries inside dictionaries
_SAVE_TENSORS = "save the tensors alone: torch.save(model.state_dict(), 'weights.pt')"
_AGAIN = "copy or download it again"


@dataclass(frozen=True)
class Entry:
    """A tensor in a file. path: the keys of the dictionaries around it, with dots, '' where it stands at the top;
    name: its own key."""

    path: str
    name: str
    tensor: Tensor

    @property
    def full(self) -> str:
        """All keys that lead to it, with dots."""
        return f"{self.path}.{self.name}" if self.path else self.name


@dataclass(frozen=True)
class WeightsFile:
    """What a weights file holds. form: in words; entries: its tensors, in the order of the file; keys: of the
    outermost dictionary where that holds more than tensors; metadata: of a safetensors file; is_ordered: whether the
    order of the entries is that of the module which they were saved from."""

    path: Path
    form: str
    entries: tuple[Entry, ...]
    keys: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    is_ordered: bool = True

    @property
    def holds(self) -> str:
        """What the file holds, as part of a sentence."""
        first = [f"{entry.full} {tuple(entry.tensor.shape)}" for entry in self.entries[:3]]
        rest = len(self.entries) - len(first)
        tensors = f"{len(self.entries):,} {'tensor' if len(self.entries) == 1 else 'tensors'}: "
        keys = f" with the keys {named(self.keys, 6)}" if self.keys else ""
        return f"{self.form}{keys}, {tensors}{', '.join(first)}{f' and {rest:,} more' if rest else ''}"


def named(names: Sequence[str], most: int) -> str:
    """The first names and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def read_weights(path: Path) -> WeightsFile:
    """The tensors of a weights file, on the CPU and as they are stored.

    Read are safetensors and what torch.save writes, in its present form (a zip archive) and the one before torch 1.6
    (a pickle), under whatever name. Raises AtlasError that says what the file is where it is missing, damaged, of
    another form, or holds no tensors.
    """
    if not path.is_file():
        raise _missing(path)
    start = _start(path)
    if start[:4] == b"PK\x03\x04":
        return _read_zip(path)
    if _is_safetensors(start, path):
        return _read_safetensors(path)
    if start[:1] == b"\x80":
        return _read_pickled(path, "a torch checkpoint in the form before torch 1.6")
    raise AtlasError(*_unknown(start, path))


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file, {} for a file of another form."""
    if not _is_safetensors(_start(path), path):
        return {}
    try:
        with safetensors.safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except (safetensors.SafetensorError, OSError, ValueError):
        return {}


# -- forms -------------------------------------------------------------------------------------------------------------


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(512)


def _missing(path: Path) -> AtlasError:
    if not path.is_dir():
        return AtlasError("no such weights file", path, "check the path")
    likely = [name for name in ("model.safetensors", "pytorch_model.bin") if (path / name).is_file()]
    remedy = (
        f"give the file {path / likely[0]}" if likely else "give the file inside it that holds the weights"
    )
    return AtlasError("a folder where a weights file is needed", path, remedy)


def _is_safetensors(start: bytes, path: Path) -> bool:
    """A safetensors file begins with the length of its header, then the header in JSON."""
    length = int.from_bytes(start[:8], "little")
    return start[8:9] == b"{" and 2 <= length <= max(path.stat().st_size, 100_000_000)


def _read_safetensors(path: Path) -> WeightsFile:
    try:
        tensors = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError, KeyError) as error:
        raise AtlasError(
            f"the weights file is damaged: it begins as a safetensors file ({_brief(error)})", path, _AGAIN
        ) from error
    return _with_tensors(
        WeightsFile(
            path,
            "a safetensors file",
            tuple(Entry("", name, tensor) for name, tensor in tensors.items()),
            metadata=read_metadata(path),
            is_ordered=False,  # sorted by name when it was saved
        )
    )


def _read_zip(path: Path) -> WeightsFile:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):  # its directory stands at the end
        raise AtlasError("the weights file is truncated", path, _AGAIN) from None
    last = {name.rsplit("/", 1)[-1] for name in names}
    if "constants.pkl" in last:
        raise AtlasError(
            "the weights file is a TorchScript archive, which is a program and not only tensors",
            path,
            "save its tensors: torch.save(torch.jit.load(file).state_dict(), 'weights.pt')",
        )
    if last & {"serialized_exported_program.json", "archive_format"}:
        raise AtlasError(
            "the weights file is an exported program (torch.export), not only tensors",
            path,
            "save its tensors: torch.save(dict(torch.export.load(file).state_dict), 'weights.pt')",
        )
    if "data.pkl" in last:
        return _read_pickled(path, "a torch checkpoint")
    if any(name.endswith(".npy") for name in names):
        raise AtlasError(
            "the weights file is an archive of NumPy arrays, not of tensors", path, _SAVE_TENSORS
        )
    raise AtlasError(
        f"the weights file is a zip archive of other files ({named(names, 3)})",
        path,
        "unpack it and give the weights file inside",
    )


def _unknown(start: bytes, path: Path) -> tuple[str, Path, str]:
    """What a file of another form is, and what to do about it."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"version https://git-lfs"):
        return "the weights file is a pointer of Git LFS, not the file itself", path, "fetch it: git lfs pull"
    if text[:1] == b"{":
        return _json_file(path)
    if text[:1] == b"<":
        return "the weights file is a web page: a download that failed", path, "download it again"
    if start[:2] == b"\x1f\x8b":
        return "the weights file is compressed by gzip", path, "unpack it: gunzip, or tar xf"
    if start[257:262] == b"ustar" or _is_tar(path):
        return (
            "the weights file is a tar archive",
            path,
            "unpack it (tar xf) and give the weights file inside",
        )
    if start[:4] == b"\x89HDF":
        return "the weights file is HDF5, as Keras writes it, not torch's or safetensors", path, _SAVE_TENSORS
    if start[:4] == b"GGUF":
        return "the weights file is GGUF, which holds quantised language models", path, _SAVE_TENSORS
    if start[:1] == b"\x08" and (b"onnx" in start.lower() or b"pytorch" in start):
        return "the weights file is ONNX, a program and not only tensors", path, _SAVE_TENSORS
    if not start:
        return "the weights file is empty: damaged or not one of torch's or safetensors", path, _AGAIN
    return "the weights file is damaged or not one of torch's or safetensors", path, _AGAIN


def _json_file(path: Path) -> tuple[str, Path, str]:
    """An index of a checkpoint that lies in several files, or another JSON file."""
    try:
        content = json.loads(path.read_text("utf-8"))
        files = sorted({str(name) for name in content["weight_map"].values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "the weights file is JSON text and holds no tensors", path, "give the file with the weights"
    return (
        f"the file is the index of a checkpoint in {len(files)} parts ({named(files, 2)})",
        path,
        f"give the part {files[0]}"
        if len(files) == 1
        else "join the parts into one file: load each and save the tensors of all",
    )


def _is_tar(path: Path) -> bool:
    try:
        return path.stat().st_size >= 512 and tarfile.is_tarfile(path)
    except (OSError, tarfile.TarError, EOFError):
        return False


# -- torch's checkpoints -----------------------------------------------------------------------------------------------


def _read_pickled(path: Path, form: str) -> WeightsFile:
    try:
        content = unpickle(path)
    except Exception as error:  # pickle, zip and torch each raise their own kinds
        raise _unreadable(error, path) from error
    if isinstance(content, Inert):
        raise _whole_object(content, "", path)
    if isinstance(content, list | tuple) and any(isinstance(part, Mapping) for part in content):
        content = dict(enumerate(content))
    if not isinstance(content, Mapping):
        what = "one tensor" if isinstance(content, Tensor) else f"a {type(content).__name__}"
        raise AtlasError(
            f"the weights file is not a dictionary of tensors: it holds {what}", path, _SAVE_TENSORS
        )
    entries = tuple(_entries(content, "", 0))
    keys = tuple(str(key) for key in content)
    is_bare = all(isinstance(value, Tensor) for value in content.values())
    if not entries and (inner := _whole_module(content)):
        raise _whole_object(inner[1], inner[0], path)
    return _with_tensors(WeightsFile(path, form, entries, () if is_bare else keys))


def _entries(content: Mapping[Any, Any], path: str, depth: int) -> Iterator[Entry]:
    for key, value in content.items():
        if isinstance(value, Tensor):
            yield Entry(path, str(key), value)
        elif depth < _DEEPEST and isinstance(value, Mapping | list | tuple):
            parts = value if isinstance(value, Mapping) else _dictionaries(value)
            yield from _entries(parts, f"{path}.{key}" if path else str(key), depth + 1)


def _dictionaries(values: Sequence[Any]) -> dict[int, Mapping[Any, Any]]:
    """The dictionaries in a list, by their places."""
    return {place: value for place, value in enumerate(values) if isinstance(value, Mapping)}


def _whole_module(content: Mapping[Any, Any]) -> tuple[str, Inert] | None:
    """The first key that holds a module pickled as a whole."""
    return next(
        ((str(key), value) for key, value in content.items() if isinstance(value, Inert) and value.is_module),
        None,
    )


def _whole_object(content: Inert, key: str, path: Path) -> AtlasError:
    where = f"holds under `{key}`" if key else "is"
    what = "a whole module" if content.is_module else "an object"
    inside = f"[{key!r}]" if key else ""
    return AtlasError(
        f"the weights file {where} {what} of the class {content.names}, whose Python code is not run",
        path,
        f"where you trust it: torch.save(torch.load(file, weights_only=False){inside}.state_dict(), 'weights.pt')"
        if content.is_module
        else _SAVE_TENSORS,
    )


def _unreadable(error: Exception, path: Path) -> AtlasError:
    text = str(error)
    if "is blocked" in text or "GLOBAL" in text:
        return AtlasError("the weights file contains Python code, which is not run", path, _SAVE_TENSORS)
    if "persistent_load of storage" in text:
        return AtlasError(
            "the weights file holds a whole module in the form before torch 1.6, whose Python code is not run",
            path,
            "where you trust it: torch.save(torch.load(file, weights_only=False).state_dict(), 'weights.pt')",
        )
    if "DTensor" in text or "device_mesh" in text:
        return AtlasError(
            "the weights file holds tensors that are sharded over several processes (DTensor)",
            path,
            "gather them and save the whole: get_model_state_dict with full_state_dict=True",
        )
    return AtlasError(f"the weights file is damaged or not one of torch's ({_brief(error)})", path, _AGAIN)


def _with_tensors(file: WeightsFile) -> WeightsFile:
    if not file.entries:
        keys = f"; its keys are {named(file.keys, 6)}" if file.keys else ": it is an empty dictionary"
        raise AtlasError(f"the weights file holds no tensors{keys}", file.path, _SAVE_TENSORS)
    return file


def _brief(error: Exception) -> str:
    """The first line of a message, shortened."""
    text = str(error).strip().partition("\n")[0].partition(". ")[0]
    return text[:120] or type(error).__name__
