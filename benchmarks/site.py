"""How fast the site is written: our renderer at ResNet-50's size, MkDocs at a smaller one.

    python -m benchmarks.site                # 15,104 channel pages, five runs
    python -m benchmarks.site --pages 3000 --mkdocs 250 500

The atlas is synthetic and lies in a temporary folder: every block output of ResNet-50, 15,104 channels of drawn
numbers, a few drawn sprites used again and again. Timed is render_site as a whole: prose pages, channel pages, grids,
copying of sprites, and measuring; the second run of each pair writes into a finished site, where nothing changes.

MkDocs gets one Markdown page a channel, with the text that ours has, in the navigation as is its default. Its time
grows faster than its number of pages; what is printed for the full number is a lower bound, a straight line through
the two sizes timed.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))  # make_small_atlas.py


def synthetic_atlas(folder: Path, share: float) -> int:
    """Write the atlas with this share of ResNet-50's channels; returns how many channels it has."""
    from make_small_atlas import FULL_STAGES, make_atlas

    from generator.site.reading.atlas import Atlas

    stages = [(stage, blocks, max(12, round(channels * share))) for stage, blocks, channels in FULL_STAGES]
    make_atlas(
        folder, name="resnet50", stages=stages, inner=(), stem=12, side=224, tile=96, distinct=4, pictures=240
    )
    return sum(layer.channels for layer in Atlas(folder).layers)


def spread(seconds: Sequence[float]) -> str:
    """min / median / max."""
    return f"{min(seconds):.1f} / {statistics.median(seconds):.1f} / {max(seconds):.1f} s"


def time_ours(atlas: Path, out: Path, runs: int) -> tuple[list[float], list[float]]:
    """Seconds of writing the site anew, and of writing it again without any change."""
    from generator.site.render import render_site

    fresh, again = [], []
    for run in range(runs):
        # A folder of its own: where as many files were removed just before, ext4 searches for inodes that have rested.
        folder = out / str(run)
        fresh.append(render_site([atlas], folder).seconds)
        report = render_site([atlas], folder)
        assert report.written == report.copied == 0
        again.append(report.seconds)
    return fresh, again


def time_mkdocs(folder: Path, pages: int) -> float:
    """Seconds that MkDocs with Material takes for so many channel pages."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    docs = folder / "docs"
    shutil.rmtree(folder, ignore_errors=True)
    docs.mkdir(parents=True)
    (docs / "index.md").write_text("# Atlas\n")
    text = (
        "# Channel {0} of res5a\n\nShares three of nine pictures with res4f.\n\n![nine](0.webp)\n\n"
        "| strongest | active on | pictures kept |\n|---|---|---|\n| 4.31 act. | 38 % | 3 of 9 |\n\n"
        "[previous](c{1}.md) [next](c{2}.md)\n"
    )
    for page in range(pages):
        (docs / f"c{page}.md").write_text(text.format(page, max(0, page - 1), min(pages - 1, page + 1)))
    (folder / "mkdocs.yml").write_text(
        "site_name: Atlas\ntheme:\n  name: material\n  font: false\nplugins: []\n"
    )
    logging.getLogger("mkdocs").setLevel(logging.ERROR)
    start = time.perf_counter()
    build(load_config(str(folder / "mkdocs.yml")))
    return time.perf_counter() - start


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", type=int, default=15_104, help="channel pages, about")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument(
        "--mkdocs", type=int, nargs=2, default=(250, 500), help="pages of the two MkDocs builds"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        channels = synthetic_atlas(folder / "atlas", options.pages / 15_104)
        fresh, again = time_ours(folder / "atlas", folder / "site", options.runs)
        print(f"ours, {channels:,} channel pages, {options.runs} runs, min / median / max")
        print(f"  written anew       {spread(fresh)}")
        print(f"  nothing changed    {spread(again)}")
        few, many = options.mkdocs
        times = {count: [time_mkdocs(folder / "mkdocs", count) for _ in range(3)] for count in (few, many)}
        for count, seconds in times.items():
            print(f"MkDocs, {count:,} pages in the navigation, 3 runs: {spread(seconds)}")
        low, high = (statistics.median(times[count]) for count in (few, many))
        at_least = high + (high - low) / (many - few) * (channels - many)
        print(f"  a straight line through both gives at least {at_least / 60:.0f} min for {channels:,} pages")


if __name__ == "__main__":
    main()
