"""Painters of built things: cycles, towers, dwellings and rails."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from generator.pictures.drawn.canvas import Canvas, arc, curve, oval
from generator.pictures.drawn.kinds import Kind
from generator.pictures.drawn.palette import Palette, jitter, mix

Rng = np.random.Generator


def _wheel(pen: Canvas, ink: Palette, x: float, y: float, radius: float, spokes: int, first: float) -> None:
    for angle in first + np.arange(spokes) * 2 * np.pi / spokes:
        end = (x + radius * np.cos(angle), y + radius * np.sin(angle))
        pen.line([(x, y), end], 0.018, mix(ink.line, ink.ground, 0.35), round_=False)
    pen.ring(x, y, radius, 0.075, ink.line)
    pen.disc(x, y, 0.05, ink.line)


def _saddle(pen: Canvas, ink: Palette, x: float, y: float) -> None:
    pen.poly(
        [(x - 0.17, y - 0.05), (x + 0.15, y - 0.02), (x + 0.13, y + 0.03), (x - 0.13, y + 0.07)], ink.line
    )


def _bars(pen: Canvas, ink: Palette, x: float, y: float, dropped: bool) -> None:
    if dropped:
        pen.line(_racing_bar(x, y), 0.055, ink.line)
    else:
        pen.line([(x - 0.16, y - 0.07), (x, y), (x + 0.08, y - 0.02)], 0.055, ink.line)


def _racing_bar(x: float, y: float) -> np.ndarray:
    """A racing handlebar, which curves forward, down and back; points (18, 2)."""
    return np.concatenate([[(x, y), (x + 0.08, y)], arc(x + 0.08, y + 0.1, 0.1, -90, 90, 16)])


def _crank(pen: Canvas, ink: Palette, x: float, y: float, angle: float) -> None:
    dx, dy = 0.17 * np.cos(angle), 0.17 * np.sin(angle)
    pen.ring(x, y, 0.075, 0.04, ink.line)
    pen.line([(x - dx, y - dy), (x + dx, y + dy)], 0.035, ink.line)
    for side in (-1, 1):
        pen.line(
            [(x + side * dx - 0.06, y + side * dy), (x + side * dx + 0.06, y + side * dy)], 0.05, ink.line
        )


def bicycle(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """A bicycle seen from the side, with spoked wheels and a straight or racing handlebar."""
    radius = rng.uniform(0.37, 0.42)
    spokes, first, low = int(rng.integers(7, 12)), rng.random(), rng.random() < 0.35
    rear, front, crank = (-0.56, 0.3), (0.56, 0.3), (-0.08, 0.33)
    seat, head = (-0.24, -0.24), (0.37, -0.26)
    for x, y in (rear, front):
        _wheel(pen, ink, x, y, radius, spokes, first)
    width = rng.uniform(0.065, 0.09)
    pen.line([rear, crank, seat], width, ink.body, closed=True)
    pen.line([(-0.16, 0.06) if low else seat, head], width, ink.body)
    pen.line([crank, (0.40, -0.14)], width, ink.body)
    pen.line([(0.34, -0.44), head, (0.42, -0.05), front], width, ink.body)
    pen.line([seat, (-0.285, -0.42)], 0.05, ink.line)
    _saddle(pen, ink, -0.29, -0.45)
    _bars(pen, ink, 0.335, -0.46, rng.random() < 0.5)
    _crank(pen, ink, *crank, rng.uniform(0, np.pi))


def tandem(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """A bicycle with two saddles, two cranks and two handlebars."""
    radius = rng.uniform(0.27, 0.31)
    spokes, first = int(rng.integers(7, 11)), rng.random()
    rear, front, back_crank, fore_crank = (-0.69, 0.25), (0.69, 0.25), (-0.33, 0.28), (0.17, 0.28)
    back_seat, fore_seat, head = (-0.43, -0.15), (0.07, -0.16), (0.54, -0.18)
    for x, y in (rear, front):
        _wheel(pen, ink, x, y, radius, spokes, first)
    width = rng.uniform(0.055, 0.075)
    pen.line([rear, back_crank, back_seat], width, ink.body, closed=True)
    pen.line([back_seat, head], width, ink.body)
    pen.line([fore_seat, fore_crank, back_crank], width, ink.body)
    pen.line([back_seat, fore_crank, (0.57, -0.06)], width, ink.body)
    pen.line([(0.52, -0.32), head, (0.6, 0.0), front], width, ink.body)
    for x, y in (back_seat, fore_seat):
        pen.line([(x, y), (x - 0.035, y - 0.13)], 0.045, ink.line)
        _saddle(pen, ink, x - 0.04, y - 0.15)
    pen.line([(0.12, -0.16), (0.1, -0.3)], 0.04, ink.line)
    _bars(pen, ink, 0.1, -0.31, False)
    _bars(pen, ink, 0.515, -0.34, rng.random() < 0.5)
    turn = rng.uniform(0, np.pi)
    for x, y in (back_crank, fore_crank):
        _crank(pen, ink, x, y, turn)


def unicycle(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """A saddle on a fork above one spoked wheel."""
    radius = rng.uniform(0.42, 0.5)
    hub = 0.93 - radius
    _wheel(pen, ink, 0, hub, radius, int(rng.integers(8, 13)), rng.random())
    width = rng.uniform(0.07, 0.1)
    crown = hub - radius - 0.1
    pen.line([(-0.07, hub), (-0.07, crown), (0.07, crown), (0.07, hub)], width * 0.8, ink.body)
    pen.line([(0, crown), (0, -0.72)], width, ink.body)
    pen.poly(
        np.concatenate([curve((-0.3, -0.9), (0, -0.66), (0.3, -0.86)), [(0.24, -0.72), (-0.22, -0.72)]]),
        ink.line,
    )
    _crank(pen, ink, 0, hub, rng.uniform(0, np.pi))


def _lattice(
    pen: Canvas, ink: Palette, ends: tuple[float, float, float, float], bays: int, width: float
) -> None:
    """Draw a tapering mast with crossed braces. ends: half width and y at the foot, half width and y at the top."""
    foot, bottom, tip, top = ends
    heights = np.linspace(bottom, top, bays + 1)
    halves = np.linspace(foot, tip, bays + 1)
    for i in range(bays):
        low, high = heights[i], heights[i + 1]
        pen.line([(-halves[i], low), (halves[i + 1], high)], width * 0.6, ink.body, round_=False)
        pen.line([(halves[i], low), (-halves[i + 1], high)], width * 0.6, ink.body, round_=False)
        pen.line([(-halves[i], low), (halves[i], low)], width * 0.6, ink.body, round_=False)
    for side in (-1, 1):
        pen.line([(side * foot, bottom), (side * tip, top)], width, ink.body)


def truss_tower(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """A tapering lattice mast with one or two cross-arms, as for power lines."""
    foot = rng.uniform(0.34, 0.5)
    _lattice(pen, ink, (foot, 0.97, 0.1, -0.75), int(rng.integers(5, 8)), 0.065)
    pen.line([(-0.1, -0.75), (0, -0.97), (0.1, -0.75)], 0.055, ink.body)
    for y, half in ((-0.66, rng.uniform(0.4, 0.6)), (-0.38, rng.uniform(0.5, 0.75)))[
        : int(rng.integers(1, 3))
    ]:
        pen.line([(-half, y), (half, y)], 0.05, ink.body)
        pen.line([(-half, y), (0, y - 0.12), (half, y)], 0.035, ink.body)
        for side in (-1, 1):
            pen.line([(side * half, y), (side * half, y + 0.12)], 0.05, ink.accent)


def crane(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """A tower crane with a lattice jib, a counterweight and a load or a bare hook."""
    bays = int(rng.integers(6, 9))
    mast = -0.32
    top = rng.uniform(-0.62, -0.5)
    for i in range(bays):
        low, high = 0.92 - i * (0.92 - top) / bays, 0.92 - (i + 1) * (0.92 - top) / bays
        lean = 0.08 if i % 2 else -0.08
        pen.line([(mast - lean, low), (mast + lean, high)], 0.035, ink.body, round_=False)
    for side in (-0.08, 0.08):
        pen.line([(mast + side, 0.92), (mast + side, top)], 0.05, ink.body)
    pen.rect(-0.58, 0.88, -0.06, 0.97, ink.line)
    jib = np.linspace(-0.3, 0.96, 11)
    for left, right in pairwise(jib):
        middle = (left + right) / 2
        pen.line([(left, top), (middle, top - 0.1), (right, top)], 0.028, ink.body)
    pen.line([(-0.82, top), (0.96, top)], 0.05, ink.body)
    pen.line([(-0.24, top - 0.1), (0.9, top - 0.1)], 0.035, ink.body)
    pen.line([(-0.8, top), (-0.32, top - 0.36), (0.55, top - 0.1)], 0.028, ink.line)
    pen.line([(-0.32, top - 0.38), (-0.32, top)], 0.07, ink.body)
    pen.rect(-0.9, top - 0.02, -0.64, top + 0.2, ink.line)
    pen.rect(-0.22, top + 0.02, -0.06, top + 0.18, ink.accent)
    trolley, drop = rng.uniform(0.25, 0.85), top + rng.uniform(0.4, 1.0)
    pen.line([(trolley, top), (trolley, drop)], 0.028, ink.line)
    if rng.random() < 0.6:
        pen.line(
            [(trolley - 0.14, drop + 0.12), (trolley, drop), (trolley + 0.14, drop + 0.12)], 0.025, ink.line
        )
        pen.rect(trolley - 0.17, drop + 0.12, trolley + 0.17, drop + 0.27, ink.accent)
    else:
        pen.line(arc(trolley, drop + 0.08, 0.07, -90, 150), 0.045, ink.line)


def dish_antenna(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """A dish on three legs, tilted, with its feed held by struts."""
    tilt = rng.uniform(-62, -28)
    c, s = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))

    def aim(points: np.ndarray) -> np.ndarray:
        # From the dish's own frame (x along the beam) to the canvas, around the pivot.
        return points @ np.array([[c, s], [-s, c]]) + np.array([-0.05, -0.05])

    spread = rng.uniform(0.25, 0.4)
    pen.line([(-spread, 0.96), (-0.06, 0.1), (spread, 0.96)], 0.075, ink.body)
    pen.line([(-spread * 0.6, 0.56), (spread * 0.6, 0.56)], 0.05, ink.body)
    pen.line([(-0.06, 0.96), (-0.06, 0.1)], 0.05, ink.body)
    bowl = aim(np.concatenate([curve((0.22, -0.78), (-0.52, 0.0), (0.22, 0.78), points=30)]))
    pen.poly(bowl, ink.second)
    deep = rng.uniform(0.13, 0.24)
    pen.poly(aim(oval(0.22, 0, deep, 0.78)), mix(ink.second, ink.pale, 0.55))
    pen.poly(aim(oval(0.2, 0, deep * 0.72, 0.62)), mix(ink.second, ink.pale, 0.25))
    feed = np.array([[0.78, 0.0]])
    for edge in (-0.72, 0.72, 0.0):
        pen.line(aim(np.concatenate([[(0.24 if edge else 0.1, edge)], feed])), 0.035, ink.line)
    ((x, y),) = aim(feed)
    pen.disc(x, y, 0.075, ink.accent)


def house(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """A house from the front, with roof, door and windows, often with a chimney."""
    eaves, half = rng.uniform(-0.15, 0.1), rng.uniform(0.62, 0.78)
    roof = mix(ink.accent, ink.dark, 0.35)
    if rng.random() < 0.7:
        x = rng.uniform(0.25, 0.45)
        pen.rect(x, -0.85, x + 0.18, eaves, mix(ink.body, ink.dark, 0.3))
    pen.rect(-half, eaves, half, 0.92, ink.body)
    pen.poly([(-half - 0.18, eaves), (0, rng.uniform(-0.95, -0.8)), (half + 0.18, eaves)], roof)
    door = rng.uniform(-0.3, 0.1)
    pen.rect(door, 0.38, door + 0.28, 0.92, ink.inverse)
    pen.disc(door + 0.22, 0.66, 0.03, ink.accent)
    pane = mix((255, 226, 140), ink.pale, rng.uniform(0, 0.7))
    for x in (-half + 0.1, half - 0.4):
        if abs(x + 0.15 - door - 0.14) > 0.3:
            pen.rect(x, 0.2, x + 0.3, 0.52, pane)
            pen.line([(x + 0.15, 0.2), (x + 0.15, 0.52)], 0.035, ink.dark)
            pen.line([(x, 0.36), (x + 0.3, 0.36)], 0.035, ink.dark)
    if rng.random() < 0.5:
        pen.disc(0, (eaves - 0.85) / 2 + 0.12, 0.12, pane)


def tent(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """A tent with an open entrance, sometimes with its long side visible."""
    peak, lean = rng.uniform(-0.8, -0.6), rng.uniform(-0.12, 0.12)
    if rng.random() < 0.5:  # with the long side visible
        pen.poly(
            [(lean, peak), (0.62 + lean, peak + 0.1), (0.97, 0.72), (0.55, 0.82)],
            mix(ink.body, ink.dark, 0.3),
        )
    pen.poly([(-0.92, 0.82), (lean, peak), (0.6, 0.82)], ink.body)
    for share in (0.33, 0.66)[: int(rng.integers(0, 3))]:
        foot = lean + (-0.92 - lean) * share - 0.3 * share + 0.2
        pen.line([(lean, peak), (foot, 0.8)], 0.03, mix(ink.body, ink.pale, 0.5))
    pen.poly([(lean, peak + 0.35), (-0.42, 0.82), (0.16, 0.82)], ink.dark)
    pen.poly([(lean, peak + 0.35), (-0.42, 0.82), (-0.6, 0.82)], mix(ink.body, ink.pale, 0.45))
    pen.poly([(lean, peak + 0.35), (0.16, 0.82), (0.32, 0.82)], mix(ink.body, ink.pale, 0.45))
    pen.line([(lean, peak), (lean, peak - 0.14)], 0.045, ink.line)
    if rng.random() < 0.7:
        pen.poly([(lean, peak - 0.16), (lean + 0.2, peak - 0.1), (lean, peak - 0.04)], ink.accent)
    pen.line([(lean, peak), (-0.99, 0.6)], 0.02, ink.line)


def castle(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """A castle from the front: wall, keep and two towers with battlements."""
    stone, shade = ink.body, mix(ink.body, ink.dark, 0.25)
    tops = rng.uniform(-0.5, -0.2, 2)
    keep = rng.uniform(-0.75, -0.55)

    def battlements(left: float, right: float, top: float, count: int, colour: tuple[int, int, int]) -> None:
        pen.rect(left, top, right, 0.92, colour)
        step = (right - left) / (2 * count - 1)
        for i in range(count):
            pen.rect(left + 2 * i * step, top - 0.12, left + (2 * i + 1) * step, top + 0.02, colour)

    battlements(-0.26, 0.26, keep, 3, shade)
    battlements(-0.7, 0.7, 0.12, 7, stone)
    for x, top in ((-0.76, tops[0]), (0.76, tops[1])):
        battlements(x - 0.2, x + 0.2, top, 3, mix(stone, ink.pale, 0.12))
        pen.rect(x - 0.04, top + 0.2, x + 0.04, top + 0.42, ink.dark)
    pen.rect(-0.05, keep + 0.18, 0.05, keep + 0.4, ink.dark)
    pen.poly(np.concatenate([arc(0, 0.55, 0.2, 180, 360), [(0.2, 0.92), (-0.2, 0.92)]]), ink.dark)
    for x in (-0.1, 0.0, 0.1):
        pen.line([(x, 0.4), (x, 0.92)], 0.025, shade)
    pen.line([(0, keep - 0.1), (0, -0.97)], 0.035, ink.line)
    pen.poly([(0, -0.98), (0.26, -0.89), (0, -0.8)], ink.accent)


def fence(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """A picket fence of two rails and five to eight pickets."""
    count = int(rng.integers(5, 9))
    step = 1.96 / count
    wide = step * rng.uniform(0.5, 0.66)
    pointed = rng.random() < 0.7
    rails = mix(ink.body, ink.dark, 0.2)
    for y in (-0.2, 0.42):
        pen.rect(-1, y - 0.07, 1, y + 0.07, rails)
    for i in range(count):
        x, colour = -0.98 + step * (i + 0.5), jitter(ink.body, rng, 0.1)
        pen.rect(x - wide / 2, -0.5, x + wide / 2, 0.8, colour)
        if pointed:
            pen.poly([(x - wide / 2, -0.49), (x, -0.72), (x + wide / 2, -0.49)], colour)
        else:
            pen.disc(x, -0.5, wide / 2, colour)


def ladder(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """A ladder of six to nine rungs, slightly narrower at the top."""
    foot, top = rng.uniform(0.3, 0.4), rng.uniform(0.24, 0.32)
    rungs = int(rng.integers(6, 10))
    wide = rng.uniform(0.07, 0.11)
    for i in range(rungs):
        y = 0.82 - 1.64 * i / (rungs - 1)
        half = foot + (top - foot) * (0.97 - y) / 1.94
        pen.line([(-half, y), (half, y)], wide * 0.8, mix(ink.body, ink.pale, 0.15), round_=False)
    for side in (-1, 1):
        pen.line([(side * foot, 0.97), (side * top, -0.97)], wide, ink.body, round_=False)


def railway(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """A railway track on gravel that recedes into the distance."""
    near, far = rng.uniform(0.56, 0.7), rng.uniform(0.1, 0.2)
    bend = rng.uniform(-0.25, 0.25)
    ties = int(rng.integers(10, 15))
    wood = mix(ink.body, ink.dark, 0.25)

    def track(depth: float) -> tuple[float, float, float]:
        # Equal distances along the line shrink with distance: (middle, y, half width).
        near_share = 1 / (1 + depth * (near / far - 1))
        height = (near_share - far / near) / (1 - far / near)
        return bend * (1 - height) ** 2, -0.92 + 1.86 * height, near * near_share

    gravel = mix(mix(ink.ground, (128, 122, 116), 0.6), ink.dark, 0.15)
    bed = [track(t) for t in np.linspace(-0.02, 1, 12)]
    pen.poly([(m - h * 1.62, y) for m, y, h in bed] + [(m + h * 1.62, y) for m, y, h in bed[::-1]], gravel)
    for i in range(ties):
        middle, y, half = track((i + 0.3) / ties)
        thick = 0.12 * half / near
        pen.poly(
            [
                (middle - half * 1.35, y - thick / 2),
                (middle + half * 1.35, y - thick / 2),
                (middle + half * 1.4, y + thick / 2),
                (middle - half * 1.4, y + thick / 2),
            ],
            jitter(wood, rng, 0.1),
        )
    steps = [track(t) for t in np.linspace(0, 1, 12)]
    for side in (-1, 1):
        outer = [(m + side * h * 1.06, y) for m, y, h in steps]
        inner = [(m + side * h * 0.92, y) for m, y, h in steps[::-1]]
        pen.poly(outer + inner, mix(ink.line, (150, 156, 166), 0.35))


BUILT_KINDS = (
    Kind("bicycle", "cycles", bicycle),
    Kind("tandem bicycle", "cycles", tandem, scales=(0.5, 0.98)),
    Kind("unicycle", "cycles", unicycle),
    Kind("truss tower", "towers", truss_tower, turn=6),
    Kind("crane", "towers", crane, turn=5, scales=(0.5, 0.98)),
    Kind("dish antenna", "towers", dish_antenna, turn=8),
    Kind("house", "dwellings", house, turn=7),
    Kind("tent", "dwellings", tent, turn=7),
    Kind("castle", "dwellings", castle, turn=6),
    Kind("fence", "rails", fence, turn=10, scales=(0.5, 1.3)),
    Kind("ladder", "rails", ladder, turn=30),
    Kind("railway", "rails", railway, turn=8, scales=(0.55, 1.15)),
)
