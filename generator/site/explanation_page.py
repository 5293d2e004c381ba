"""The page that `atlas explain` writes: one file that carries its pictures with it. No torch here."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from generator.core.head import Head
from generator.core.sprites import webp
from generator.site.formats import percent, significant
from generator.site.templates import environment, resources

QUALITY = 90


def data_address(pixels: np.ndarray) -> str:
    """(H, W, 3) or (H, W) uint8 as an address that holds the picture itself."""
    colours = pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)
    return _inline(webp(colours, QUALITY))


def explanation_html(found: Any, about: Mapping[str, str], atlas: str | None, page: Path) -> str:
    """The page of an Explanation (generator/methods/explaining.py). about: picture, model and weights by name, and the
    preprocessing in words; atlas: folder or
    address of the network's pages, for links and, in a folder, the channels' sprites; page: where it will lie."""
    total, head = found.score, found.head
    channels = []
    for one in found.contributions:
        channels.append(
            {
                "channel": one.channel,
                "share": significant(one.share),
                "percent": percent(one.share / total)
                if head.kind != "none" and total > 0 and one.share >= 0
                else "",
                "strongest": significant(one.strongest),
                "link": _link(atlas, found.layer.name, one.channel, page),
                "sprite": _sprite(atlas, found.layer.name, one.channel),
            }
        )
    return (
        environment()
        .get_template("explain.html")
        .render(
            style=(resources() / "site_src" / "css" / "explain.css").read_text("utf-8"),
            about=about,
            picture=data_address(found.pixels),
            saliency=data_address(found.saliency),
            guided=data_address(found.guided),
            side=found.pixels.shape[0],
            predictions=[_prediction(head, name, value) for _, name, value in found.predictions],
            heading=_heading(head),
            head=head.sentence,
            chosen=found.chosen[1],
            score=significant(total),
            before="" if head.kind == "none" else f" before the {head.kind}",
            layer=found.layer.name,
            channels=channels,
        )
    )


def _heading(head: Head) -> str:
    if head.kind == "none":
        return "Score" if head.outputs == 1 else "Scores"
    return "Probability of each class by itself" if head.is_multi_label else "Prediction"


def _prediction(head: Head, name: str, value: float) -> dict[str, Any]:
    """A row of the table; width: of its bar in hundredths, None for a score, which has no whole."""
    if head.kind == "none":
        return {"name": name, "text": significant(value), "width": None}
    shown = f"p({name})" if head.is_binary else name
    return {"name": shown, "text": f"{percent(value)} %", "width": round(100 * value)}


def _link(atlas: str | None, layer: str, channel: int, page: Path) -> str | None:
    if atlas is None:
        return None
    base = atlas.rstrip("/")
    if not _is_address(base):
        base = quote(os.path.relpath(base, page.resolve().parent).replace(os.sep, "/"))
    return f"{base}/{layer}/{channel}.html"


def _sprite(atlas: str | None, layer: str, channel: int) -> str | None:
    if atlas is None or _is_address(atlas):
        return None
    try:
        return _inline((Path(atlas) / layer / f"{channel}.webp").read_bytes())
    except OSError:
        return None


def _inline(content: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(content).decode("ascii")


def _is_address(text: str) -> bool:
    return text.startswith(("http://", "https://"))
