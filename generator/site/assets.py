"""The styles and scripts that all pages of a site share, each kind in one file so that a page asks for few."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

from generator.site.scripts import joined_modules
from generator.site.templates import resources

STYLES = ("tokens", "header", "base", "channel", "layer", "home")  # before those of the chapters
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
    write(
        "static/atlas.js",
        f"residualAtlas.models = {json.dumps(networks)};\n" + joined_modules(modules, "atlas.js"),
    )
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
    rules += [f".k{k}{{--x:{(k - 1) % 3};--y:{(k - 1) // 3}}}" for k in range(1, 10)]
    rules += [f".q{q}{{--q:{q}}}" for q in range(97)]
    rules += [f".p{p}{{--p:{p}}}.s{p + 1}{{--s:{p + 1}}}" for p in range(6)]
    return "".join(rules) + "\n"
