"""A dot for each of thousands of channels as a few paths: an element for each would take 160 bytes and, on a phone,
seconds to lay out. A script makes the dot next to the pointer a link (site_src/js/dots.js)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH = 1000  # units of the paths across the drawing, which is as wide as there is room


@dataclass(frozen=True)
class Dot:
    """A channel's dot. x, y: its values, or where it lies: in hundredths of the drawing's width, and in px from its
    top; text: what is said of it; kind: its class in the styles."""

    x: float
    y: float
    channel: int
    text: str
    kind: str = ""


def dot_layer(dots: Sequence[Dot], height: int) -> Markup:
    """The dots, by where they lie, for a drawing of this height in px: of each kind a path of strokes without length,
    whose round ends are the dots, with the number of each channel and its words. The kind with most dots lies below the
    others."""
    kinds = [kind for kind, _ in Counter(dot.kind for dot in dots).most_common()]
    paths = [_path(kind, [dot for dot in dots if dot.kind == kind]) for kind in kinds]
    return Markup(
        f'<svg class="dots" width="100%" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'preserveAspectRatio="none">{"".join(paths)}</svg>'
    )


def _path(kind: str, dots: Sequence[Dot]) -> str:
    places = "".join(f"M{WIDTH * dot.x / 100:.0f} {dot.y:g}h0" for dot in dots)
    # In a text "|" would end it.
    words = "|".join(f"{dot.channel} {dot.text.replace('|', '¦')}" for dot in dots)
    named = f' class="{kind}"' if kind else ""
    return f'<path{named} d="{places}" data-dots="{escape(words)}"/>'
