"""The styles and scripts that many pages of a site share, each kind in one file so that a page asks for few."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

from generator.core.records import LayerInfo, Size
from generator.site.policy import RULES
from generator.site.reading.measures import MEASURES
from generator.site.scripts import joined_modules
from generator.site.templates import resources

# before those of the chapters
STYLES = ("tokens", "header", "base", "channel", "range", "effects", "feeds", "layer", "home", "list")
LAST_STYLES = ("print",)
GUIDE_STYLES = ("tokens", "header", "guide")
WIDEST_KERNEL = 16  # px, of a first layer
LARGEST_SHEET = 64  # columns of a sheet of thumbnails that the styles can address


def write_assets(
    write: Callable[[str, str], None],
    networks: Sequence[str],
    chapter_styles: Sequence[str],
    chapter_scripts: Sequence[str],
) -> None:
    """Write the styles and scripts into the site's folder static/.

    write(address, text) writes one file; networks: the names of the site's networks, in the order of their menu;
    chapter_styles: names of the chapters' style sheets; chapter_scripts: addresses in site_src/js/ of the modules that
    only some chapters load.
    """
    write(
        "static/atlas.css",
        styles([*STYLES, *dict.fromkeys(chapter_styles), *LAST_STYLES]) + position_styles(),
    )
    write("static/guide.css", styles(GUIDE_STYLES))
    modules = resources() / "site_src" / "js"
    values = "".join(
        f"residualAtlas.{name} = {json.dumps(value, ensure_ascii=False)};\n"
        for name, value in (
            ("models", networks),
            ("rules", RULES),
            ("measures", {measure.name: measure.key for measure in MEASURES}),
        )
    )
    write("static/atlas.js", values + joined_modules(modules, "atlas.js"))
    for script in chapter_scripts:
        write(f"static/{script.rpartition('/')[2]}", joined_modules(modules, script))


def styles(names: Sequence[str]) -> str:
    """Style sheets in one text, without the comments and the indentation, which only their writers read."""
    folder = resources() / "site_src" / "css"
    text = "".join((folder / f"{name}.css").read_text("utf-8") for name in names)
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return re.sub(r"\s*\n\s*", "\n", text).lstrip()


def position_styles() -> str:
    """Classes that say which tile of a sheet is shown: the Content-Security-Policy allows no style attributes."""
    rules = [
        f".n{n}{{--n:{n}}}.m{n}{{--m:{n}}}.x{n}{{--x:{n}}}.y{n}{{--y:{n}}}" for n in range(LARGEST_SHEET + 1)
    ]
    rules += [f".w{k}{{--w:{k}}}" for k in range(1, WIDEST_KERNEL + 1)]
    rules += [f".k{k},.nine>:nth-child({k}){{--x:{(k - 1) % 3};--y:{(k - 1) // 3}}}" for k in range(1, 10)]
    rules += [f".q{q}{{--q:{q}}}" for q in range(97)]
    rules += [f".p{p}{{--p:{p}}}.s{p + 1}{{--s:{p + 1}}}" for p in range(6)]
    return "".join(rules) + "\n"


def field_styles(layers: Sequence[LayerInfo], input_size: Size) -> str:
    """A class for each layer of a network, f0 of the first, that cuts the field of a unit out of a whole picture.

    The picture, --zoom times as wide as the window, is moved by --left, --top, and for the unit in column --x and row
    --y by --step more for each; all in widths of the window. Where the field is larger than the picture, the window
    shows the picture whole.
    """
    rules = [f".f{number}{{{_cut(layer, input_size)}}}" for number, layer in enumerate(layers)]
    # The styles of all pages have the classes of the first rows and columns.
    further = range(LARGEST_SHEET + 1, max(max(layer.height, layer.width) for layer in layers))
    rules += [f".x{n}{{--x:{n}}}.y{n}{{--y:{n}}}" for n in further]
    return "\n".join(rules) + "\n"


def _cut(layer: LayerInfo, input_size: Size) -> str:
    field, longer = layer.receptive_field, max(input_size)
    if field.side > min(input_size):
        zoom, top, left, step = 1.0, 0.0, 0.0, 0.0
    else:
        zoom, step = longer / field.side, field.stride / field.side
        top, left = (
            ((longer - length) // 2 + field.centre + 0.5) / field.side - 0.5 for length in input_size
        )
    return f"--zoom:{zoom:.6g};--left:{left:.6g};--top:{top:.6g};--step:{step:.6g}"
