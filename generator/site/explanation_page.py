"""The page that `atlas explain` writes: one file that carries its pictures with it."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import numpy as np

from generator.core.head import Head
from generator.core.records import LayerInfo, Size
from generator.core.sprites import webp
from generator.site.templates import render_template, resources

QUALITY = 90


class Contribution(Protocol):
    """As in generator/methods/explaining.py, which computes it with torch."""

    @property
    def channel(self) -> int: ...
    @property
    def share(self) -> float: ...
    @property
    def strongest(self) -> float: ...


class Explanation(Protocol):
    """As in generator/methods/explaining.py, which computes it with torch."""

    @property
    def pixels(self) -> np.ndarray: ...
    @property
    def saliency(self) -> np.ndarray: ...
    @property
    def guided(self) -> np.ndarray: ...
    @property
    def head(self) -> Head: ...
    @property
    def predictions(self) -> Sequence[tuple[int, str, float]]: ...
    @property
    def chosen(self) -> tuple[int, str]: ...
    @property
    def score(self) -> float: ...
    @property
    def layer(self) -> LayerInfo: ...
    @property
    def contributions(self) -> Sequence[Contribution]: ...


@dataclass(frozen=True)
class Prediction:
    """A row of the table. bar: the probability in hundredths; None for a score, which is no part of a whole."""

    name: str
    value: float
    bar: int | None


@dataclass(frozen=True)
class ContributingChannel:
    """contribution: to the score; share: of the score, None where a share of it has no meaning; strongest: largest
    activation; link: address of its page, None without an atlas; sprite: its tiles as an address that holds them, None
    where they are not at hand."""

    channel: int
    contribution: float
    share: float | None
    strongest: float
    link: str | None
    sprite: str | None


@dataclass(frozen=True)
class ExplanationPage:
    """The variables of explain.html. style: CSS; about: names of picture, model and weights, and the preprocessing in
    words; picture, saliency, guided: addresses that hold the pictures; size: height and width in px; chosen: name of
    the output; score: before any softmax or sigmoid; before: which of them, in words, '' where there is none."""

    style: str
    about: Mapping[str, str]
    picture: str
    saliency: str
    guided: str
    size: Size
    heading: str
    head: Head
    predictions: Sequence[Prediction]
    chosen: str
    score: float
    before: str
    layer: LayerInfo
    channels: Sequence[ContributingChannel]


def explanation_html(
    explanation: Explanation, about: Mapping[str, str], atlas: str | None, page: Path
) -> str:
    """The page of an explanation.

    about: picture, model and weights by name, and the preprocessing in words; atlas: folder or address of the network's
    pages, for links and, from a folder, the channels' sprites; page: where the file will lie.
    """
    head = explanation.head
    view = ExplanationPage(
        style=(resources() / "site_src" / "css" / "explain.css").read_text("utf-8"),
        about=about,
        picture=picture_address(explanation.pixels),
        saliency=picture_address(explanation.saliency),
        guided=picture_address(explanation.guided),
        size=(explanation.pixels.shape[0], explanation.pixels.shape[1]),
        heading=_heading(head),
        head=head,
        predictions=[_prediction(head, name, value) for _, name, value in explanation.predictions],
        chosen=explanation.chosen[1],
        score=explanation.score,
        before="" if head.kind == "none" else f" before the {head.kind}",
        layer=explanation.layer,
        channels=[
            _channel(explanation, contribution, atlas, page) for contribution in explanation.contributions
        ],
    )
    return render_template("explain.html", view)


def picture_address(pixels: np.ndarray) -> str:
    """(H, W, 3) or (H, W) uint8 as an address that holds the picture itself."""
    colours = pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)
    return _inline(webp(colours, QUALITY))


def _heading(head: Head) -> str:
    if head.kind == "none":
        return "Score" if head.outputs == 1 else "Scores"
    return "Probability of each class by itself" if head.is_multi_label else "Prediction"


def _prediction(head: Head, name: str, value: float) -> Prediction:
    if head.kind == "none":
        return Prediction(name, value, None)
    return Prediction(f"p({name})" if head.is_binary else name, value, round(100 * value))


def _channel(
    explanation: Explanation, contribution: Contribution, atlas: str | None, page: Path
) -> ContributingChannel:
    score, layer = explanation.score, explanation.layer.name
    is_share = explanation.head.kind != "none" and score > 0 and contribution.share >= 0
    return ContributingChannel(
        channel=contribution.channel,
        contribution=contribution.share,
        share=contribution.share / score if is_share else None,
        strongest=contribution.strongest,
        link=_link(atlas, layer, contribution.channel, page),
        sprite=_sprite(atlas, layer, contribution.channel),
    )


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
