"""Figures as SVG, drawn when the site is built. Colours come from the site's styles by class, so that a figure is
right in light and dark mode. It has no style attributes: the pages' Content-Security-Policy forbids them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from generator.site.figures.axis import Axis, px

LEFT, RIGHT, TOP, BOTTOM = 54, 10, 10, 36  # margins in px of the drawing, for ticks and names


@dataclass(frozen=True)
class Dot:
    """One channel in a scatter plot. x, y: its values; href: its page; text: what it is, in words."""

    x: float
    y: float
    href: str
    text: str
    kind: str = ""


@dataclass(frozen=True)
class Bar:
    """One bar from `start` to `end` on the x axis, as high as `value`."""

    start: float
    end: float
    value: float
    href: str
    text: str
    kind: str = ""


def by_block(count: int) -> int:
    """Width in px of a plot with one column per block. Pages set such plots to one width: a plot of few blocks has a
    least width, because a narrower drawing would be enlarged with its letters."""
    return max(560, 44 + 34 * count)


class Plot:
    """A drawing with two axes. Marks are added in order; svg() returns the whole drawing."""

    def __init__(self, label: str, x: Axis, y: Axis, width: int = 360, height: int = 240) -> None:
        self.label, self.width, self.height = label, width, height
        self.floor, self.right = height - BOTTOM, width - RIGHT
        self.x, self.y = x.along(LEFT, self.right), y.along(self.floor, TOP)
        self._parts: list[str] = []
        self._axes()

    def _axes(self) -> None:
        for position, text in self.y.ticks:
            self._parts.append(f'<path class="grid-line" d="M{LEFT} {position}H{self.right}"/>')
            self._parts.append(
                f'<text x="{LEFT - 6}" y="{px(position + 4)}" text-anchor="end">{escape(text)}</text>'
            )
        for position, text in self.x.ticks:
            self._parts.append(
                f'<text x="{position}" y="{self.floor + 15}" text-anchor="middle">{escape(text)}</text>'
            )
        self._parts.append(f'<path class="axis" d="M{LEFT} {self.floor}H{self.right}"/>')
        self._parts.append(
            f'<text class="name" x="{self.x.middle}" y="{self.height - 4}" text-anchor="middle">'
            f"{escape(self.x.label)}</text>"
        )
        self._parts.append(
            f'<text class="name" x="12" y="{self.y.middle}" transform="rotate(-90 12 {self.y.middle})" '
            f'text-anchor="middle">{escape(self.y.label)}</text>'
        )

    def line(self, *, x: float | None = None, y: float | None = None) -> None:
        """A line across the drawing at a threshold on the x axis, on the y axis, or on both."""
        if x is not None:
            self._parts.append(f'<path class="threshold" d="M{self.x(x)} {TOP}V{self.floor}"/>')
        if y is not None:
            self._parts.append(f'<path class="threshold" d="M{LEFT} {self.y(y)}H{self.right}"/>')

    def dots(self, dots: Sequence[Dot], radius: float = 2.5) -> None:
        """Each dot is a link. The links are left out of the tab order, which would stop at each of a thousand dots: the
        page lists the same channels."""
        for dot in dots:
            if math.isfinite(dot.x) and math.isfinite(dot.y):
                kind = f' class="{dot.kind}"' if dot.kind else ""
                self._parts.append(
                    f'<a href="{escape(dot.href)}" tabindex="-1"><circle{kind} cx="{self.x(dot.x)}" '
                    f'cy="{self.y(dot.y)}" r="{radius:g}"><title>{escape(dot.text)}</title></circle></a>'
                )

    def bars(self, bars: Sequence[Bar]) -> None:
        """Each bar is a link as high as the drawing, so that a short bar can be clicked."""
        floor = self.y(max(0.0, self.y.low))
        for bar in bars:
            left, right, top = self.x(bar.start), self.x(bar.end), self.y(bar.value)
            if bar.value <= 0:
                continue
            kind = f' class="{bar.kind}"' if bar.kind else ""
            width, height = px(max(0.5, right - left - 1)), px(max(1.0, floor - top))
            self._parts.append(
                f'<a href="{escape(bar.href)}"><title>{escape(bar.text)}</title>'
                f'<path class="hit" d="M{left} {TOP}H{right}V{floor}H{left}z"/>'
                f'<path{kind} d="M{left} {floor}h{width}v-{height}h-{width}z"/></a>'
            )

    def curve(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """Points joined by a line. kind: the class in the styles."""
        places = [(self.x(x), self.y(y)) for x, y in points if math.isfinite(y)]
        if places:
            path = "L".join(f"{x} {y}" for x, y in places)
            self._parts.append(f'<path class="curve {kind}" d="M{path}"/>')
            self._parts += [f'<circle class="{kind}" cx="{x}" cy="{y}" r="2.5"/>' for x, y in places]

    def boxes(self, at: float, href: str, text: str, shares: Sequence[float]) -> None:
        """The spread of many values as a linked box. shares: the 10th, 25th, 50th, 75th and 90th percentile."""
        x = self.x(at)
        p10, p25, p50, p75, p90 = (self.y(value) for value in shares)
        half, hit = 8, 12  # px to each side
        left = px(x - half)
        self._parts.append(
            f'<a href="{escape(href)}"><title>{escape(text)}</title>'
            f'<path class="hit" d="M{px(x - hit)} {TOP}h{2 * hit}V{self.floor}h-{2 * hit}z"/>'
            f'<path class="whisker" d="M{x} {p90}V{p10}"/>'
            f'<path class="box" d="M{left} {p25}V{p75}h{2 * half}V{p25}z"/>'
            f'<path class="median" d="M{left} {p50}h{2 * half}"/></a>'
        )

    def svg(self) -> Markup:
        """The whole drawing, safe to set into a page."""
        return Markup(
            f'<svg class="plot" viewBox="0 0 {self.width} {self.height}" role="group" '
            f'aria-label="{escape(self.label)}">{"".join(self._parts)}</svg>'
        )
