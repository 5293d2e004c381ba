"""What is done to a picture before the network sees it: as its weights or its model say, or as the user says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from generator.core.errors import AtlasError
from generator.core.records import Preprocessing, Size, source_of
from generator.network.network import Network
from generator.pictures.decoding import MOST_CHANNELS
from generator.stages.profile import PicturesSection


def prepared(network: Network, wanted: PicturesSection) -> Network:
    """The network with the preprocessing that the profile gives; what it leaves out stays the network's own. Raises
    AtlasError where the two contradict each other."""
    own = network.preprocessing
    chosen = preprocessing(own, wanted)
    _refuse_unreadable(network.graph.channels)
    return network if chosen == own and chosen.source == own.source else network.with_preprocessing(chosen)


def preprocessing(own: Preprocessing, wanted: PicturesSection) -> Preprocessing:
    """A network's own preprocessing, changed as the profile says."""
    changes: dict[str, Any] = {
        "resize": _resize(own, wanted),
        "crop": _pair(wanted.crop),
        "mean": wanted.mean and tuple(wanted.mean),
        "std": wanted.std and tuple(wanted.std),
        "value_range": wanted.range and float(wanted.range),
        "interpolation": wanted.interpolation,
        "transparency": wanted.transparency,
        "exif": wanted.exif,
        "bits": wanted.bits,
        "source": source_of(own.source, [n for n in ("mean", "std") if getattr(wanted, n) is not None]),
    }
    for name in ("mean", "std"):
        _refuse_other_channels(name, changes[name], own.channels)
    chosen = replace(own, **{name: value for name, value in changes.items() if value is not None})
    if wanted.resize is not None or wanted.crop is not None:
        _refuse_small(chosen, is_given=wanted.resize is not None)
    if wanted.mean is not None or wanted.std is not None or wanted.range is not None:
        _refuse_other_range(chosen)
    return chosen


def _resize(own: Preprocessing, wanted: PicturesSection) -> int | Size | None:
    if isinstance(wanted.resize, list):
        height, width = wanted.resize
        return height, width
    if wanted.fit == "squash":
        size = wanted.resize or _pair(wanted.crop) or own.crop
        return (size, size) if isinstance(size, int) else size
    if wanted.resize is None and wanted.fit == "shorter" and isinstance(own.resize, tuple):
        return min(own.resize)
    return wanted.resize


def _refuse_small(chosen: Preprocessing, *, is_given: bool) -> None:
    """Refuse a crop that is larger than the resized pictures. Where one number is given for the shorter side, the
    longer side of a crop may be meant for pictures that are all longer; is_given: whether the user gave resize."""
    if isinstance(chosen.resize, tuple):
        fits = chosen.size[0] <= chosen.resize[0] and chosen.size[1] <= chosen.resize[1]
        left = _size(chosen.resize)
        remedy = f"[{chosen.size[0]}, {chosen.size[1]}] or more"
    else:
        least = min(chosen.size) if is_given else max(chosen.size)
        fits = chosen.resize == 0 or least <= chosen.resize
        left, remedy = _size(chosen.resize), f"{least} or more"
    if not fits:
        raise AtlasError(
            f"crop ({_size(chosen.crop)}) is larger than what resize leaves ({left})",
            remedy=f"give resize too, {remedy}",
        )


def _refuse_other_channels(name: str, given: tuple[float, ...] | None, channels: int) -> None:
    if given is not None and len(given) != channels:
        numbers = "1 number" if len(given) == 1 else f"{len(given)} numbers"
        raise AtlasError(
            f"{name} has {numbers}, the network reads {channels} channel{'' if channels == 1 else 's'}",
            _said(given),
            "give one number for each channel",
        )


def _refuse_unreadable(channels: int) -> None:
    if channels > MOST_CHANNELS:
        raise AtlasError(
            f"the network reads {channels} channels, picture files hold {MOST_CHANNELS} at most",
            remedy="an atlas is made of networks that read grey, colour, or colour and one more channel",
        )


def _refuse_other_range(chosen: Preprocessing) -> None:
    """A mean and a standard deviation lie in the range of the values; those of the other range give them away."""
    highest = max(*chosen.mean, *chosen.std)
    if highest > chosen.value_range:
        raise AtlasError(
            f"mean {_said(chosen.mean)} and std {_said(chosen.std)} do not lie in the value range 0 to "
            f"{chosen.value_range:g}",
            remedy="was range 255 meant?" if chosen.value_range == 1 and highest <= 255 else None,
        )
    if chosen.value_range == 255 and (0 < max(chosen.mean) <= 1 or min(chosen.std) < 1):
        raise AtlasError(
            f"mean {_said(chosen.mean)} and std {_said(chosen.std)} are those of values from 0 to 1, not to 255",
            remedy="was range 1 meant?",
        )


def _size(size: int | Size) -> str:
    """A size as it is given."""
    return f"{size} px" if isinstance(size, int) else f"{size[0]} × {size[1]} px"


def _said(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _pair(crop: int | list[int] | None) -> int | Size | None:
    """A crop as the profile has it, as the preprocessing has it."""
    if not isinstance(crop, list):
        return crop
    height, width = crop
    return height, width
