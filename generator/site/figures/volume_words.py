"""The words of the drawing of a network and of the tables next to it."""

from __future__ import annotations

from generator.core.blueprint import HEAD, Blueprint, Volume
from generator.site.formats import integer


def stage_name(stage: int, blueprint: Blueprint) -> str:
    """In words; a stage that is a single layer carries the layer's name."""
    if stage == HEAD:
        return "head"
    if stage == 1:
        return "stem"
    inside = [v.name for v in blueprint.volumes if v.stage == stage and v.op in ("conv", "add")]
    return inside[0] if len(inside) == 1 else f"stage {stage}"


def words_below(volume: Volume) -> tuple[str, str]:
    """What stands below a box: the operation, and the channels."""
    match volume.op:
        case "input":
            side = f"{volume.height} × " if volume.height != volume.width else ""
            return (f"{side}{volume.width} px", str(volume.channels))
        case "conv":
            kernel = f"{volume.kernel}×{volume.kernel}" + (f"/{volume.stride}" if volume.stride > 1 else "")
            if volume.groups > 1:
                return (kernel, f"{volume.groups}×{volume.channels // volume.groups}")
            return (kernel, str(volume.channels))
        case "max_pool" | "avg_pool":
            kind = "max" if volume.op == "max_pool" else "mean"
            return (f"{kind}/{volume.stride}" if volume.stride > 1 else kind, str(volume.channels))
        case "adaptive_pool":
            return ("mean", str(volume.channels))
        case "linear":
            return ("linear", str(volume.channels))
        case "other":
            return ("weights", str(volume.channels))
        case "add":
            return ("+", str(volume.channels))
    return ("joined", str(volume.channels))


def sentence(volume: Volume) -> str:
    """All about a volume in one line."""
    parts = [volume.title]
    if volume.op == "conv":
        parts.append(
            f"{volume.kernel}×{volume.kernel} convolution, stride {volume.stride}, padding {volume.padding}"
            + (f", {volume.groups} groups" if volume.groups > 1 else "")
        )
    elif volume.op in ("max_pool", "avg_pool"):
        kind = "max" if volume.op == "max_pool" else "average"
        parts.append(
            f"{volume.kernel}×{volume.kernel} {kind} pooling, stride {volume.stride}, padding {volume.padding}"
        )
    elif volume.op == "add":
        parts.append(f"addition of the shortcut ({volume.shortcut})" if volume.shortcut else "addition")
    elif volume.op != "input":
        names = {
            "adaptive_pool": "average over the map",
            "linear": "linear layer",
            "concat": "concatenation",
            "other": "linear layer or convolution of another kind",
        }
        parts.append(names[volume.op])
    parts.append(f"{integer(volume.channels)} × {volume.height} × {volume.width}")
    if volume.parameters:
        parts.append(
            f"{integer(volume.parameters)} parameters, {integer(volume.multiply_adds)} multiply-adds"
        )
    if volume.field and volume.op != "input":
        parts.append(f"receptive field {volume.field} px")
    return "; ".join(parts)
