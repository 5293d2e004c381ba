"""Painters of collars, dials and lights."""

from __future__ import annotations

import numpy as np

from generator.pictures.drawn.canvas import Canvas, arc, curve, oval, polar
from generator.pictures.drawn.kinds import Kind
from generator.pictures.drawn.palette import Colour, Palette, mix

Rng = np.random.Generator


def _shirt(pen: Canvas, ink: Palette, rng: Rng) -> Colour:
    """Draw shoulders, neck and shirt; returns the colour of the cloth."""
    cloth = mix(ink.second, ink.pale, rng.uniform(0.5, 0.9))
    skin = mix((236, 188, 150), (92, 58, 40), float(rng.random()) ** 1.5)
    pen.poly([(-0.32, -0.98), (0.32, -0.98), (0.34, -0.3), (0, 0.0), (-0.34, -0.3)], skin)
    shoulders = np.concatenate([curve((-0.98, 0.98), (-0.98, -0.2), (-0.36, -0.5)), [(0, -0.12)]])
    pen.poly(np.concatenate([shoulders, (shoulders * (-1, 1))[::-1]]), cloth)
    if rng.random() < 0.4:  # a jacket
        jacket = mix(ink.body, ink.dark, 0.5)
        for side in (-1, 1):
            pen.poly(
                [(side * 0.42, -0.48), (side * 0.98, 0.1), (side * 0.98, 0.98), (side * 0.1, 0.98)], jacket
            )
    return cloth


def _collar(pen: Canvas, ink: Palette, cloth: Colour) -> None:
    for side in (-1, 1):
        wing = [(side * 0.36, -0.62), (side * 0.02, -0.22), (side * 0.38, 0.12), (side * 0.52, -0.42)]
        pen.poly(wing, mix(cloth, ink.pale, 0.4))
        pen.line(wing, 0.03, mix(cloth, ink.dark, 0.5), closed=True)


def collar_with_tie(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """A shirt collar with a tie."""
    cloth = _shirt(pen, ink, rng)
    wide = rng.uniform(0.17, 0.26)
    blade = np.array([(-0.09, -0.02), (0.09, -0.02), (wide, 0.8), (0, 0.98), (-wide, 0.8)])
    pen.poly(blade, ink.body)
    if rng.random() < 0.6:
        for y in np.arange(0.12, 0.8, 0.2):
            half = 0.09 + (wide - 0.09) * (y + 0.02) / 0.82
            pen.line([(-half, y + 0.1), (half, y - 0.06)], 0.07, ink.accent, round_=False)
    pen.poly([(-0.15, -0.24), (0.15, -0.24), (0.09, 0.0), (-0.09, 0.0)], mix(ink.body, ink.dark, 0.25))
    _collar(pen, ink, cloth)


def bow_tie(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """A shirt collar with a bow tie."""
    cloth = _shirt(pen, ink, rng)
    for y in (0.32, 0.58, 0.84):
        pen.disc(0, y, 0.045, mix(cloth, ink.dark, 0.5))
    _collar(pen, ink, cloth)
    wide, tall = rng.uniform(0.4, 0.54), rng.uniform(0.19, 0.27)
    for side in (-1, 1):
        edge = curve(
            (side * 0.05, -0.17), (side * wide * 0.8, -0.16 - tall), (side * wide, -0.12 - tall), points=8
        )
        low = curve(
            (side * wide, -0.12 + tall), (side * wide * 0.8, -0.08 + tall), (side * 0.05, -0.07), points=8
        )
        pen.poly(np.concatenate([edge, low]), ink.body)
        pen.line([(side * 0.1, -0.12), (side * wide * 0.7, -0.12)], 0.04, mix(ink.body, ink.dark, 0.4))
        if rng.random() < 0.3:
            pen.disc(side * wide * 0.65, -0.12, 0.06, ink.accent)
    pen.rect(-0.09, -0.23, 0.09, -0.01, mix(ink.body, ink.dark, 0.3))


def face(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """A face from the front, sometimes with spectacles."""
    skin = mix((246, 204, 168), (104, 66, 46), float(rng.random()) ** 1.4)
    shade = mix(skin, (70, 30, 20), 0.35)
    hair = mix(ink.dark, ink.accent, rng.uniform(0, 0.5))
    wide, style = rng.uniform(0.62, 0.74), int(rng.integers(0, 3))
    if style == 0:
        pen.ellipse(0, 0.0, wide + 0.2, 0.92, hair)
    for side in (-1, 1):
        pen.ellipse(side * wide, 0.08, 0.12, 0.17, shade)
    pen.ellipse(0, 0.06, wide, 0.88, skin)
    if style < 2:
        fringe = np.concatenate([arc(0, -0.05, 0.9, 195, 345) * (wide / 0.85, 1), [(wide * 0.75, -0.42)]])
        pen.poly(np.concatenate([fringe, [(rng.uniform(-0.3, 0.3), -0.6), (-wide * 0.75, -0.42)]]), hair)
    look = rng.uniform(-0.04, 0.04)
    for side in (-1, 1):
        pen.ellipse(side * 0.29, -0.08, 0.14, 0.1, (248, 246, 240))
        pen.disc(side * 0.29 + look, -0.08, 0.075, ink.dark)
        pen.line(curve((side * 0.14, -0.28), (side * 0.3, -0.38), (side * 0.46, -0.28), points=8), 0.06, hair)
    pen.line([(0.0, -0.02), (-0.07, 0.26), (0.06, 0.28)], 0.05, shade)
    smile = rng.uniform(-0.05, 0.2)
    mouth = curve((-0.27, 0.5), (0, 0.5 + smile), (0.27, 0.5), points=12)
    if rng.random() < 0.4 and smile > 0.08:
        pen.poly(mouth, (150, 40, 50))
    pen.line(mouth, 0.065, (150, 50, 58))
    if rng.random() < 0.25:  # with spectacles
        for side in (-1, 1):
            pen.ring(side * 0.29, -0.08, 0.2, 0.04, ink.dark)
        pen.line([(-0.09, -0.08), (0.09, -0.08)], 0.04, ink.dark)


def clock(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """A clock face with two or three hands."""
    plate, mark = (ink.pale, ink.dark) if rng.random() < 0.7 else (ink.dark, ink.pale)
    pen.disc(0, 0, 0.97, ink.body)
    pen.disc(0, 0, rng.uniform(0.78, 0.86), plate)
    for hour in range(12):
        pen.line(
            [polar(0.72, hour * 30), polar(0.6 if hour % 3 else 0.52, hour * 30)],
            0.05 if hour % 3 else 0.08,
            mark,
        )
    minute = rng.uniform(0, 720)
    pen.line([(0, 0), polar(0.38, minute / 12)], 0.1, mark)
    pen.line([(0, 0), polar(0.6, minute)], 0.06, mark)
    if rng.random() < 0.5:
        angle = rng.uniform(0, 360)
        pen.line([polar(-0.15, angle), polar(0.62, angle)], 0.03, ink.accent)
    pen.disc(0, 0, 0.07, mark)


def compass(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """A compass with its rose and needle."""
    plate, mark = (ink.pale, ink.dark) if rng.random() < 0.7 else (ink.dark, ink.pale)
    pen.disc(0, 0, 0.97, ink.body)
    pen.disc(0, 0, rng.uniform(0.78, 0.86), plate)
    for tick in range(0, 360, 15):
        pen.line([polar(0.74, tick), polar(0.6 if tick % 90 == 0 else 0.67, tick)], 0.035, mark, round_=False)
    if rng.random() < 0.5:
        for point in range(0, 360, 90):  # the rose
            pen.poly(
                [polar(0.5, point), polar(0.13, point + 45), (0, 0), polar(0.13, point - 45)],
                mix(plate, mark, 0.35),
            )
    needle, wide = rng.uniform(0, 360), rng.uniform(0.11, 0.17)
    pen.poly([polar(0.62, needle), polar(wide, needle + 90), polar(wide, needle - 90)], (208, 48, 44))
    pen.poly(
        [polar(0.62, needle + 180), polar(wide, needle + 90), polar(wide, needle - 90)], mix(plate, mark, 0.7)
    )
    pen.disc(0, 0, 0.06, ink.body)


def spot_of_light(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """A bright spot with a soft halo, sometimes with rays."""
    warm = mix((255, 236, 190), ink.accent, rng.uniform(0, 0.7))
    pen.glow(0, 0, rng.uniform(0.75, 1.0), warm, rng.uniform(0.9, 1.2))
    pen.glow(0, 0, rng.uniform(0.3, 0.5), (255, 250, 236), rng.uniform(0.7, 1.0))
    if rng.random() < 0.4:  # rays, as from a narrow aperture
        rays = int(rng.choice([4, 6, 8]))
        first = rng.uniform(0, 360)
        for i in range(rays):
            for at in (0.3, 0.5, 0.7):
                x, y = polar(at, first + i * 360 / rays)
                pen.glow(x, y, 0.16, warm, 0.35 - 0.3 * at)


def hanging_lamp(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """A lamp hanging from above and the light that it casts."""
    table, shade = rng.uniform(0.62, 0.78), rng.uniform(-0.5, -0.3)
    flare = rng.uniform(0.34, 0.5)
    wood = mix((150, 96, 58), ink.dark, rng.uniform(0.1, 0.5))
    light = mix((255, 222, 150), ink.accent, rng.uniform(0, 0.3))
    pen.poly(
        [(-0.95, table), (0.95, table), (0.99, table + 0.12), (-0.99, table + 0.12)], mix(wood, light, 0.3)
    )
    for side in (-0.8, 0.68):
        pen.rect(side, table + 0.12, side + 0.12, 0.98, mix(wood, ink.dark, 0.4))
    pen.line([(0, -0.98), (0, shade)], 0.035, ink.line)
    if rng.random() < 0.5:
        dome = oval(0, shade + 0.3, flare, 0.36, points=48)[24:]
        pen.poly(np.concatenate([dome, [(flare, shade + 0.3)]]), ink.body)
    else:
        pen.poly([(-0.1, shade), (0.1, shade), (flare, shade + 0.3), (-flare, shade + 0.3)], ink.body)
    pen.ellipse(0, shade + 0.3, flare * 0.97, 0.06, mix(light, (255, 255, 255), 0.4))
    pen.glow(0, shade + 0.42, 0.62, light, 0.75)
    pen.glow(0, shade + 0.34, 0.22, (255, 244, 214), 0.7)
    for x in np.linspace(-0.5, 0.5, 3):
        pen.glow(float(x), table + 0.03, 0.34, light, 0.28)
    if rng.random() < 0.6:  # an object on the table
        x = rng.uniform(-0.5, 0.5)
        pen.poly(
            [(x - 0.1, table - 0.18), (x + 0.1, table - 0.18), (x + 0.07, table), (x - 0.07, table)],
            ink.second,
        )


def moon_over_hills(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """A full or crescent moon above hills."""
    moon = mix((250, 244, 220), ink.accent, rng.uniform(0, 0.2))
    x, y, radius = rng.uniform(-0.45, 0.45), rng.uniform(-0.6, -0.35), rng.uniform(0.2, 0.32)
    pen.glow(x, y, radius * 3, moon, 0.4)
    pen.disc(x, y, radius, moon)
    if rng.random() < 0.3:  # a crescent: the dark part has the sky's colour
        pen.disc(x + radius * 0.45, y - radius * 0.15, radius * 0.85, mix(ink.ground, moon, 0.12))
    else:
        for dx, dy, r in ((-0.3, -0.2, 0.22), (0.25, 0.3, 0.17), (0.3, -0.35, 0.12)):
            pen.disc(x + dx * radius, y + dy * radius, r * radius, mix(moon, ink.ground, 0.18))
    for _ in range(int(rng.integers(3, 9))):
        pen.disc(rng.uniform(-1, 1), rng.uniform(-1, 0.1), 0.02, mix(moon, ink.ground, 0.3))
    run = np.linspace(-4, 4, 60)
    for level, depth in ((0.2, 0.25), (0.45, 0.5), (0.7, 0.75)):
        phase, pace = rng.uniform(0, 6.28), rng.uniform(1.5, 3.2)
        ridge = level + 0.16 * np.sin(pace * run + phase) + 0.06 * np.sin(2.7 * pace * run + 2 * phase)
        hill = np.concatenate([np.stack([run, ridge], axis=1), [(4, 6), (-4, 6)]])
        pen.poly(hill, mix(mix(ink.ground, ink.second, 0.35), (8, 10, 18), depth))


INDOOR_KINDS = (
    Kind("collar with tie", "collars", collar_with_tie, scales=(0.5, 1.1)),
    Kind("bow tie", "collars", bow_tie, scales=(0.5, 1.1)),
    Kind("face", "dials", face, turn=15),
    Kind("clock", "dials", clock, turn=20),
    Kind("compass", "dials", compass, turn=20),
    Kind("spot of light", "lights", spot_of_light, turn=180, clutter=5, night=True, flat=True),
    Kind("hanging lamp", "lights", hanging_lamp, turn=4, scales=(0.6, 1.1), clutter=0, night=True, flat=True),
    Kind(
        "moon over hills",
        "lights",
        moon_over_hills,
        turn=3,
        scales=(0.6, 1.2),
        clutter=0,
        night=True,
        flat=True,
    ),
)
