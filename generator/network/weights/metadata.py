"""What a weights file says besides its tensors: the names of the classes, and the preprocessing of the pictures that
the network was trained on."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from generator.core.errors import AtlasError
from generator.network.weights.reading import Entry, read_metadata

_NORMALISER = re.compile(r"normali[sz](e|er|ation|e_layer)|data_norm|preprocess(ing)?")
_MEANS, _STDS = ("mean", "new_mean", "mu", "pixel_mean"), ("std", "new_std", "sigma", "pixel_std")


def read_classes(path: Path) -> tuple[str, ...]:
    """The class names in a safetensors file's metadata (key `classes`, a JSON list), () where there are none; raises
    AtlasError where the key holds anything else."""
    text = read_metadata(path).get("classes", "[]")
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
    metadata = read_metadata(path)
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


@dataclass(frozen=True)
class Normaliser:
    """A layer that normalises pictures before the network: its entries in the file, and what they say, as fields of
    Preprocessing."""

    entries: tuple[Entry, ...]
    preprocessing: dict[str, Any]


def normaliser(entries: Sequence[Entry], prefix: tuple[str, ...], channels: int) -> Normaliser | None:
    """The normalising layer that a file keeps next to the network; None where there is none or there are several.

    prefix: of the network's tensors; the layer is one of its siblings (`module.normalizer` of `module.model`);
    channels: how many numbers mean and standard deviation must have.
    """
    around = prefix[:-1]
    layers: dict[str, dict[str, Entry]] = {}
    for entry in entries:
        parts = tuple(entry.full.split("."))
        inside = parts[len(around) :]
        if parts[: len(around)] == around and len(inside) == 2 and _NORMALISER.fullmatch(inside[0]):
            layers.setdefault(inside[0], {})[inside[1]] = entry
    known = []
    for layer in layers.values():
        mean, std = _numbers(layer, _MEANS, channels), _numbers(layer, _STDS, channels)
        if mean and std and min(std) > 0 and min(mean) >= 0:
            largest = 255.0 if max(*mean, *std) > 1 else 1.0
            fields = {"mean": mean, "std": std, "value_range": largest}
            known.append(Normaliser(tuple(layer.values()), fields))
    return known[0] if len(known) == 1 else None


def _numbers(layer: dict[str, Entry], names: Sequence[str], channels: int) -> tuple[float, ...]:
    tensors = [layer[name].tensor for name in names if name in layer]
    if len(tensors) != 1 or tensors[0].numel() != channels or not tensors[0].is_floating_point():
        return ()
    numbers = tensors[0].double().flatten()
    # The shortest decimal that gives the stored number: 0.485, not 0.48500001430511475.
    return tuple(float(f"{number:.6g}") for number in numbers.tolist()) if _finite(numbers) else ()


def _finite(numbers: torch.Tensor) -> bool:
    return bool(torch.isfinite(numbers).all())
