"""Figures as SVG, drawn when the site is built. Colours come from the site's styles by class, so that a figure is
right in light and dark; nothing is styled in place, because the policy allows no such thing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from generator.site.figures.ticks import ticks

LEFT, RIGHT, TOP, BOTTOM = 54, 10, 10, 36  # margins in px of the drawing, for ticks and names


def written(value: float) -> str:
    """A tick's text."""
    return f"{value:g}".replace("-", "−")


@dataclass(frozen=True)
class Axis:
    """low, high: its ends; name: written along it; at: its ticks (left out: round values), with their texts."""

    low: float
    high: float
    name: str
    at: tuple[tuple[float, str], ...] | None = None

    @classmethod
    def over(cls, values: Iterable[float], name: str, *, include: float | None = None) -> Axis:
        """An axis that holds all finite values, with a little room."""
        known = [value for value in values if math.isfinite(value)]
        known += [] if include is None else [include]
        low, high = (min(known), max(known)) if known else (0.0, 1.0)
        room = 0.04 * ((high - low) or abs(high) or 1.0)
        return cls(low - room, high + room, name)

    def share(self, value: float) -> float:
        """Where a value lies, 0 at the low end, 1 at the high end, cut off there."""
        return min(1.0, max(0.0, (value - self.low) / ((self.high - self.low) or 1.0)))

    def marks(self) -> list[tuple[float, str]]:
        if self.at is not None:
            return list(self.at)
        return [(value, written(value)) for value in ticks(self.low, self.high)]


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
    """Width of a plot with a column a block. Few blocks stand far apart: pages set such plots to one width, and a
    narrower drawing would be enlarged, letters and all."""
    return max(560, 44 + 34 * count)


class Plot:
    """A drawing with two axes. Things are added in order; svg() gives the whole."""

    def __init__(self, label: str, x: Axis, y: Axis, width: int = 360, height: int = 240) -> None:
        self.label, self.x, self.y, self.width, self.height = label, x, y, width, height
        self._parts: list[str] = []
        self._axes()

    def across(self, value: float) -> float:
        return round(LEFT + self.x.share(value) * (self.width - LEFT - RIGHT), 1)

    def up(self, value: float) -> float:
        return round(self.height - BOTTOM - self.y.share(value) * (self.height - TOP - BOTTOM), 1)

    def _axes(self) -> None:
        low, left, right = self.height - BOTTOM, LEFT, self.width - RIGHT
        for value, text in self.y.marks():
            at = self.up(value)
            self._parts.append(f'<path class="grid-line" d="M{left} {at:g}H{right}"/>')
            self._parts.append(f'<text x="{left - 6}" y="{at + 4:g}" text-anchor="end">{escape(text)}</text>')
        for value, text in self.x.marks():
            self._parts.append(
                f'<text x="{self.across(value):g}" y="{low + 15}" text-anchor="middle">{escape(text)}</text>'
            )
        self._parts.append(f'<path class="axis" d="M{left} {low}H{right}"/>')
        self._parts.append(
            f'<text class="name" x="{(left + right) / 2:g}" y="{self.height - 4}" text-anchor="middle">'
            f"{escape(self.x.name)}</text>"
        )
        middle = (TOP + low) / 2
        self._parts.append(
            f'<text class="name" x="12" y="{middle:g}" transform="rotate(-90 12 {middle:g})" '
            f'text-anchor="middle">{escape(self.y.name)}</text>'
        )

    def line(self, *, x: float | None = None, y: float | None = None) -> None:
        """A line across the drawing at a value that matters."""
        if x is not None:
            self._parts.append(
                f'<path class="threshold" d="M{self.across(x):g} {TOP}V{self.height - BOTTOM}"/>'
            )
        if y is not None:
            self._parts.append(f'<path class="threshold" d="M{LEFT} {self.up(y):g}H{self.width - RIGHT}"/>')

    def dots(self, dots: Sequence[Dot], radius: float = 2.5) -> None:
        """Each a link; not in the order of the tab key, which would stop a thousand times: a list stands beside."""
        for dot in dots:
            if math.isfinite(dot.x) and math.isfinite(dot.y):
                kind = f' class="{dot.kind}"' if dot.kind else ""
                self._parts.append(
                    f'<a href="{escape(dot.href)}" tabindex="-1"><circle{kind} cx="{self.across(dot.x):g}" '
                    f'cy="{self.up(dot.y):g}" r="{radius:g}"><title>{escape(dot.text)}</title></circle></a>'
                )

    def bars(self, bars: Sequence[Bar]) -> None:
        """Each a link as high as the drawing, so that a short bar can be hit."""
        floor = self.up(max(0.0, self.y.low))
        for bar in bars:
            left, right, top = self.across(bar.start), self.across(bar.end), self.up(bar.value)
            if bar.value <= 0:
                continue
            kind = f' class="{bar.kind}"' if bar.kind else ""
            width, height = max(0.5, right - left - 1), max(1.0, floor - top)
            self._parts.append(
                f'<a href="{escape(bar.href)}"><title>{escape(bar.text)}</title>'
                f'<path class="hit" d="M{left:g} {TOP}H{right:g}V{floor:g}H{left:g}z"/>'
                f'<path{kind} d="M{left:g} {floor:g}h{width:g}v-{height:g}h-{width:g}z"/></a>'
            )

    def curve(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """Points joined by a line."""
        places = [f"{self.across(x):g} {self.up(y):g}" for x, y in points if math.isfinite(y)]
        if places:
            self._parts.append(f'<path class="curve {kind}" d="M{"L".join(places)}"/>')
            self._parts += [
                f'<circle class="{kind}" cx="{place.split()[0]}" cy="{place.split()[1]}" r="2.5"/>'
                for place in places
            ]

    def boxes(self, at: float, href: str, text: str, shares: Sequence[float]) -> None:
        """The spread of many values as a linked box. shares: the 10th, 25th, 50th, 75th and 90th percentile."""
        x = self.across(at)
        p10, p25, p50, p75, p90 = (self.up(value) for value in shares)
        half = 8
        self._parts.append(
            f'<a href="{escape(href)}"><title>{escape(text)}</title>'
            f'<path class="hit" d="M{x - 12:g} {TOP}h24V{self.height - BOTTOM}h-24z"/>'
            f'<path class="whisker" d="M{x:g} {p90:g}V{p10:g}"/>'
            f'<path class="box" d="M{x - half:g} {p25:g}V{p75:g}h{2 * half}V{p25:g}z"/>'
            f'<path class="median" d="M{x - half:g} {p50:g}h{2 * half}"/></a>'
        )

    def svg(self) -> Markup:
        """The whole drawing, safe to set into a page."""
        return Markup(
            f'<svg class="plot" viewBox="0 0 {self.width} {self.height}" role="group" '
            f'aria-label="{escape(self.label)}">{"".join(self._parts)}</svg>'
        )
