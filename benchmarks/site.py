"""The time to write a site: our renderer at ResNet-50's size, and MkDocs at a smaller size.

    python -m benchmarks.site                # 15,104 channel pages, five runs
    python -m benchmarks.site --pages 3000 --mkdocs 250 500

The atlas is synthetic and in a temporary folder: all block outputs of ResNet-50, with 15,104 channels of random numbers
and a few drawn sprites that are reused. The whole of render_site is timed: prose pages, channel pages, grids, copying
of sprites, and measuring. The second run of each pair writes into a finished site, where nothing changes.

MkDocs gets one Markdown page per channel, with the text of our page, listed in the navigation as is its default. Its
time grows faster than the number of pages, so the straight line through the two timed sizes gives a lower bound for the
full number.
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
    """Write an atlas with this fraction of ResNet-50's channels; returns its number of channels."""
    from make_small_atlas import FULL_STAGES, make_atlas

    from generator.site.reading.atlas import Atlas

    stages = [(stage, blocks, max(12, round(channels * share))) for stage, blocks, channels in FULL_STAGES]
    make_atlas(
        folder, name="resnet50", stages=stages, inner=(), stem=12, side=224, tile=96, distinct=4, pictures=240
    )
    return sum(layer.channels for layer in Atlas(folder).layers)


def spread(seconds: Sequence[float]) -> str:
    """Minimum, median and maximum, as text."""
    return f"{min(seconds):.1f} / {statistics.median(seconds):.1f} / {max(seconds):.1f} s"


def time_ours(atlas: Path, out: Path, runs: int) -> tuple[list[float], list[float]]:
    """Seconds to write the site, and to write it again without any change, for each run."""
    from generator.site.render import render_site

    fresh, again = [], []
    for run in range(runs):
        # A separate folder, because ext4 is slower to create files just after as many were removed.
        folder = out / str(run)
        fresh.append(render_site([atlas], folder).seconds)
        report = render_site([atlas], folder)
        assert report.written == report.copied == 0
        again.append(report.seconds)
    return fresh, again


def time_mkdocs(folder: Path, pages: int) -> float:
    """Seconds that MkDocs with Material takes for this number of channel pages."""
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
    """Time both renderers and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", type=int, default=15_104, help="approximate number of channel pages")
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
        print(f"  first writing      {spread(fresh)}")
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
