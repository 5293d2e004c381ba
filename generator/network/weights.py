"""Reading weights from a file into a module, without running any code in the file."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from generator.core.errors import AtlasError

SUFFIXES = (".safetensors", ".pt", ".pth")

# The keys under which training scripts keep the network in a checkpoint, and the prefixes that wrappers add to the
# names of tensors.
_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params")
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
_COUNTER = "num_batches_tracked"  # of a BatchNorm; nothing that runs in eval mode reads it
_SAVE_TENSORS = "save the tensors alone: torch.save(model.state_dict(), 'weights.pt')"


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors, .pt or .pth file by name, as float32 on the CPU.

    Wrappers such as {"state_dict": …} are opened and prefixes such as `module.` removed. Raises AtlasError if the file
    is missing, damaged, of another kind, contains anything but plain tensors, or contains numbers that are not finite.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise AtlasError("not a weights file", path, f"give a file that ends in {', '.join(SUFFIXES)}")
    if not path.is_file():
        what = "a folder where a weights file is needed" if path.is_dir() else "no such weights file"
        raise AtlasError(what, path, "check the path")
    state = _read_safetensors(path) if suffix == ".safetensors" else _read_pickled(path)
    return {name: _as_float(name, tensor, path) for name, tensor in _without_prefixes(state, path).items()}


def read_classes(path: Path) -> tuple[str, ...]:
    """The class names in a safetensors file's metadata (key `classes`, a JSON list), () where there are none; raises
    AtlasError where the key holds anything else."""
    if path.suffix.lower() != ".safetensors":
        return ()
    with safetensors.safe_open(path, "pt") as file:
        text = (file.metadata() or {}).get("classes", "[]")
    try:
        classes = json.loads(text)
    except ValueError:
        classes = None
    if not isinstance(classes, list):
        raise AtlasError("the metadata `classes` is not a JSON list of names", path)
    return tuple(str(name) for name in classes)


def read_preprocessing(path: Path) -> dict[str, Any]:
    """The preprocessing of the training pictures in a safetensors file's metadata, as fields of Preprocessing: the keys
    `mean` and `std` (JSON lists of one number per channel, `std` above zero) and optionally `value_range` (1 or 255),
    `resize` and `crop` (px); {} where these are missing or have another form."""
    if path.suffix.lower() != ".safetensors":
        return {}
    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
    if not {"mean", "std"} <= set(metadata):
        return {}
    values: dict[str, Any] = {}
    for key in ("mean", "std", "value_range", "resize", "crop"):
        if key in metadata:
            values[key] = _plain_numbers(metadata[key])
    mean, std = values["mean"], values["std"]
    alike = isinstance(mean, tuple) and isinstance(std, tuple) and 0 < len(mean) == len(std)
    sides = all(isinstance(values.get(key, 1), int) and values.get(key, 1) > 0 for key in ("resize", "crop"))
    if not alike or min(std) <= 0 or values.get("value_range", 1) not in (1, 255) or not sides:
        return {}  # other keys with the same names; the preprocessing used instead is then reported as assumed
    if "value_range" in values:
        values["value_range"] = float(values["value_range"])
    return values


def _plain_numbers(text: str) -> float | tuple[float, ...] | None:
    """A JSON number, or list of numbers; None for anything else."""
    try:
        value = json.loads(text, parse_constant=lambda name: None)
    except ValueError:
        return None
    numbers = value if isinstance(value, list) else [value]
    if any(isinstance(number, bool) or not isinstance(number, int | float) for number in numbers):
        return None
    return tuple(float(number) for number in value) if isinstance(value, list) else value


def state_sha256(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over names and numbers of tensors, for weights that come from no file."""
    digest = hashlib.sha256()
    for name, tensor in state.items():
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def he_initialise(module: nn.Module, seed: int) -> None:
    """Fill a module with random weights under which activations keep their scale through a deep network: kaiming normal
    (arXiv:1502.01852), fan out, for ReLU; BatchNorm as the identity. The same seed gives the same weights, whatever the
    state of torch's global generator."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        match part:
            case nn.Conv2d():
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu", generator=generator)
            case nn.Linear():
                nn.init.normal_(part.weight, std=1 / math.sqrt(part.in_features), generator=generator)
            case nn.BatchNorm2d() | nn.BatchNorm1d():
                part.reset_running_stats()
                nn.init.ones_(part.weight)
            case _:
                continue
        if part.bias is not None:
            nn.init.zeros_(part.bias)


# -- into a module -------------------------------------------------------------------------------------------


def fit(
    module: nn.Module, state: Mapping[str, Tensor], block_order: Sequence[str], *, source: Path
) -> str | None:
    """Load tensors into a module, which may be on the meta device; the tensors become the module's own.

    block_order: paths of the module's blocks in forward order; source: the file, for messages. A truncated file is used
    up to its last complete block, whose path is returned, and what lies behind that block is left as it was; None if
    the file holds the whole network. Raises AtlasError naming the tensor if one is missing before that, has the wrong
    shape, or belongs to no layer.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    needed = [name for name in expected if not name.endswith(_COUNTER)]
    place = _places(needed, block_order)
    missing = [name for name in needed if name not in state]
    first_gap = min((place[name] for name in missing), default=len(block_order) + 2)
    is_truncated = bool(missing) and all(place[name] <= first_gap for name in needed if name in state)
    # 0 is the stem, 1 the first block: without them no layer would be complete.
    if missing and (not is_truncated or first_gap < 2):
        name = missing[0]
        raise AtlasError(
            f"the weights file has no tensor {name} of shape {expected[name]}",
            source,
            "give a weights file of this model",
        )
    complete = [name for name in needed if place[name] < first_gap]
    for name in complete:
        if tuple(state[name].shape) != expected[name]:
            raise AtlasError(
                f"the tensor {name} has shape {tuple(state[name].shape)}, the network needs {expected[name]}",
                source,
                "give a weights file of this model",
            )
        if name.endswith("running_var") and bool((state[name] < 0).any()):
            raise AtlasError(f"the tensor {name} holds negative variances", source)
    _refuse_unknown_tensors(state, expected, block_order, truncated=is_truncated, source=source)
    counters = {name: torch.tensor(0) for name in expected if name.endswith(_COUNTER)}
    module.load_state_dict(
        {**counters, **{name: state[name] for name in complete}}, strict=False, assign=True
    )
    return block_order[first_gap - 2] if is_truncated else None


def _places(names: Sequence[str], block_order: Sequence[str]) -> dict[str, int]:
    """The part of the network that each tensor belongs to: 0 is the stem, n the n-th block; the head has the number
    after the last block's."""
    places: dict[str, int] = {}
    seen_block = False
    for name in names:
        block = next((i for i, path in enumerate(block_order, 1) if name.startswith(path + ".")), None)
        seen_block = seen_block or block is not None
        places[name] = block if block is not None else (len(block_order) + 1 if seen_block else 0)
    return places


def _refuse_unknown_tensors(
    state: Mapping[str, Tensor],
    expected: Mapping[str, Any],
    block_order: Sequence[str],
    *,
    truncated: bool,
    source: Path,
) -> None:
    """Raises AtlasError for tensors that the module does not have: the file is then another network's. In a truncated
    file, a head under another name (`classifier.weight` for `fc.weight`) is accepted."""
    body = {name.split(".")[0] for name in expected if not _is_head(name, expected, block_order)}
    unknown = [
        name
        for name in state
        if name not in expected
        and not name.endswith(_COUNTER)
        and (not truncated or name.split(".")[0] in body)
    ]
    if unknown:
        names = ", ".join(unknown[:3]) + (f" and {len(unknown) - 3} more" if len(unknown) > 3 else "")
        raise AtlasError(
            f"the weights file has tensors that the network lacks: {names}",
            source,
            "give a weights file of this model",
        )


def _is_head(name: str, expected: Mapping[str, Any], block_order: Sequence[str]) -> bool:
    return _places(list(expected), block_order)[name] == len(block_order) + 1


# -- from a file ---------------------------------------------------------------------------------------------


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError, KeyError) as error:
        raise AtlasError(
            f"the weights file is damaged or not safetensors ({_brief(error)})",
            path,
            "copy or download it again",
        ) from error


def _read_pickled(path: Path) -> dict[str, Tensor]:
    if _is_truncated_zip(path):
        raise AtlasError("the weights file is truncated", path, "copy or download it again")
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
            # torchvision's training script also stores its arguments: plain values in a Namespace.
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip and torch each raise their own kinds
        if "GLOBAL" in str(error) or "Unsupported class" in str(error):
            raise AtlasError(
                "the weights file contains Python code, which is not run", path, _SAVE_TENSORS
            ) from error
        raise AtlasError(
            f"the weights file is damaged or not one of torch's ({_brief(error)})",
            path,
            "copy or download it again",
        ) from error
    return _unwrapped(content, path)


def _is_truncated_zip(path: Path) -> bool:
    """Whether the file is a zip without its directory, which stands at the end."""
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            return False
    try:
        return not zipfile.is_zipfile(path)
    except zipfile.BadZipFile:
        return True


def _brief(error: Exception) -> str:
    """The first line of a message, shortened."""
    text = str(error).strip().partition("\n")[0].partition(". ")[0]
    return text[:120] or type(error).__name__


def _unwrapped(content: object, path: Path, depth: int = 3) -> dict[str, Tensor]:
    """The dictionary of tensors inside a checkpoint."""
    if isinstance(content, Mapping) and content:
        if all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()):
            return {str(name): value for name, value in content.items()}
        for wrapper in _WRAPPERS:
            if depth and isinstance(content.get(wrapper), Mapping):
                return _unwrapped(content[wrapper], path, depth - 1)
    raise AtlasError("the weights file is not a dictionary of tensors", path, _SAVE_TENSORS)


def _without_prefixes(state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    bare: dict[str, Tensor] = {}
    for name, tensor in state.items():
        short = name
        while prefix := next((p for p in _PREFIXES if short.startswith(p)), None):
            short = short.removeprefix(prefix)
        if short in bare:
            raise AtlasError(f"the weights file holds the tensor {short} twice", path, _SAVE_TENSORS)
        bare[short] = tensor
    return bare


def _as_float(name: str, tensor: Tensor, path: Path) -> Tensor:
    if name.endswith(_COUNTER):
        return tensor
    if tensor.layout != torch.strided or tensor.is_quantized or not tensor.is_floating_point():
        kind = str(tensor.dtype).removeprefix("torch.")
        raise AtlasError(f"the tensor {name} is {kind}, the network needs floating-point numbers", path)
    tensor = tensor.detach().float()
    if not bool(torch.isfinite(tensor).all()):
        raise AtlasError(f"the tensor {name} holds infinite or undefined numbers (inf, nan)", path)
    return tensor
