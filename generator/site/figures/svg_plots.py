"""Figures as SVG, drawn when the site is built. Colours come from the site's styles by class, so that a figure is
right in light and dark mode. It has no style attributes: the pages' Content-Security-Policy forbids them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup, escape

from generator.site.figures.axis import Axis, px
from generator.site.figures.many_dots import Dot, dot_layer

TOP, BOTTOM = 10, 36  # px above and below the field; plots.css keeps the room beside it
NAMES = 8  # ticks with names of their own: from here on they do not fit side by side on a phone


@dataclass(frozen=True)
class Bar:
    """One bar from `start` to `end` on the x axis, as high as `value`."""

    start: float
    end: float
    value: float
    href: str
    text: str
    kind: str = ""


class Plot:
    """A drawing with two axes, as wide as there is room: along x values lie in hundredths of its width, letters and
    heights are in px. Marks are added in order; svg() returns the whole drawing."""

    def __init__(self, label: str, x: Axis, y: Axis, height: int = 240) -> None:
        self.label, self.height, self.floor = label, height, height - BOTTOM
        self.x, self.y = x.along(0, 100), y.along(self.floor, TOP)
        self.is_crowded = x.marks is not None and len(x.marks) > NAMES
        self._parts: list[str] = []
        self._axes()

    def _axes(self) -> None:
        for position, text in self.y.ticks:
            self._across("grid-line", position)
            self._parts.append(f'<text x="-6" y="{px(position + 4)}" text-anchor="end">{escape(text)}</text>')
        for position, text in self.x.ticks:
            self._parts.append(
                f'<text class="tick" x="{position}%" y="{self.floor + 15}" text-anchor="middle">'
                f"{escape(text)}</text>"
            )
        self._across("axis", self.floor)
        self._parts.append(
            f'<text class="name" x="50%" y="{self.height - 4}" text-anchor="middle">{escape(self.x.label)}</text>'
        )
        self._parts.append(
            f'<text class="name" x="-42" y="{self.y.middle}" transform="rotate(-90 -42 {self.y.middle})" '
            f'text-anchor="middle">{escape(self.y.label)}</text>'
        )

    def _across(self, kind: str, y: float) -> None:
        self._parts.append(_line(kind, 0, y, 100, y))

    def line(self, *, x: float | None = None, y: float | None = None) -> None:
        """A line across the drawing at a threshold on the x axis, on the y axis, or on both."""
        if x is not None:
            self._parts.append(_line("threshold", self.x(x), TOP, self.x(x), self.floor))
        if y is not None:
            self._across("threshold", self.y(y))

    def dots(self, dots: Sequence[Dot]) -> None:
        """A dot for each channel whose two values are known; with scripts each leads to the channel's page."""
        self._parts.append(
            dot_layer(
                [
                    replace(dot, x=self.x(dot.x), y=self.y(dot.y))
                    for dot in dots
                    if math.isfinite(dot.x) and math.isfinite(dot.y)
                ],
                self.height,
            )
        )

    def bars(self, bars: Sequence[Bar]) -> None:
        """Each bar is a link as high as the drawing, so that a short bar can be clicked."""
        floor = self.y(max(0.0, self.y.low))
        for bar in bars:
            left, right, top = self.x(bar.start), self.x(bar.end), self.y(bar.value)
            if bar.value <= 0:
                continue
            kind = f' class="{bar.kind}"' if bar.kind else ""
            # A hair's breadth of ground stays between neighbouring bars.
            width, height = px(max(0.2, right - left - 0.3)), px(max(1.0, floor - top))
            self._parts.append(
                f'<a href="{escape(bar.href)}"><title>{escape(bar.text)}</title>'
                f'<rect class="hit" x="{left}%" y="{TOP}" width="{px(right - left)}%" height="{px(floor - TOP)}"/>'
                f'<rect{kind} x="{left}%" y="{px(floor - height)}" width="{width}%" height="{height}"/></a>'
            )

    def curve(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """Points joined by a line. kind: the class in the styles."""
        places = [(self.x(x), self.y(y)) for x, y in points if math.isfinite(y)]
        for (left, start), (right, end) in itertools.pairwise(places):
            self._parts.append(_line(f"curve {kind}", left, start, right, end))
        self._parts += [f'<circle class="{kind}" cx="{x}%" cy="{y}" r="2.5"/>' for x, y in places]

    def boxes(self, at: float, href: str, text: str, shares: Sequence[float]) -> None:
        """The spread of many values as a linked box. shares: the 10th, 25th, 50th, 75th and 90th percentile."""
        x = self.x(at)
        p10, p25, p50, p75, p90 = (self.y(value) for value in shares)
        half, hit = 8, 12  # px to each side

        def around(kind: str, reach: int, top: float, height: float) -> str:
            moved = f'transform="translate(-{reach} 0)"'
            return (
                f'<rect class="{kind}" x="{x}%" y="{top}" width="{2 * reach}" height="{px(height)}" {moved}/>'
            )

        self._parts.append(
            f'<a href="{escape(href)}"><title>{escape(text)}</title>'
            f"{around('hit', hit, TOP, self.floor - TOP)}"
            f"{_line('whisker', x, p90, x, p10)}"
            f"{around('box', half, p75, p25 - p75)}"
            f"{around('median', half, px(p50 - 1), 2)}</a>"
        )

    def svg(self) -> Markup:
        """The whole drawing, safe to set into a page."""
        kind = "plot crowded" if self.is_crowded else "plot"
        return Markup(
            f'<svg class="{kind}" height="{self.height}" role="group" '
            f'aria-label="{escape(self.label)}">{"".join(self._parts)}</svg>'
        )


def _line(kind: str, left: float, start: float, right: float, end: float) -> str:
    """left, right: in hundredths of the width; start, end: in px."""
    return f'<line class="{kind}" x1="{left}%" x2="{right}%" y1="{start}" y2="{end}"/>'
