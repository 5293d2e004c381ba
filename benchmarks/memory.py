"""Peak memory by number of pictures: the whole job of a small network on 1,000, 10,000 and 50,000 pictures.

The pictures are hard links to the same few drawings, so that only their number grows. Each run is a separate process;
the figure is its largest resident set, without that of the worker processes that decode.

    python -m benchmarks.memory [--counts 1000 10000 50000] [--without-map]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from generator.pictures.drawn.gallery import draw_pictures

DRAWN = 200  # different drawings
PROFILE = """
name = "memory"
[network]
model = "resnet20-cifar"
weights = "random"
[layers]
which = ["conv1", "res2a", "res3a", "res4a", "res4c"]
channels = 4
"""
WITHOUT_MAP = "[embedding]\nenabled = false\n"
RUN = """
import resource, sys
from pathlib import Path
from generator.stages import profile
from generator.stages.pipeline import compute
from generator.core.progress import Reporter
chosen = profile.load(sys.argv[1]).changed(pictures={"folder": sys.argv[2]})
compute(chosen, Path(sys.argv[3]), Reporter(quiet=True))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 10_000, 50_000])
    parser.add_argument(
        "--without-map", action="store_true", help="leave out the map of the pictures (PCA and t-SNE)"
    )
    options = parser.parse_args()
    counts = options.counts
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        (folder / "profile.toml").write_text(PROFILE + WITHOUT_MAP * options.without_map)
        draw_pictures(folder / "drawn", DRAWN)
        print("| pictures | peak memory, MB | ratio to the first |\n|---|---|---|")
        first = 0.0
        for count in counts:
            peak = _peak(folder, count)
            first = first or peak
            print(f"| {count:,} | {peak:,.0f} | {peak / first:.3f} |", flush=True)


def _peak(folder: Path, count: int) -> float:
    """The largest resident set of a job with `count` pictures, in MB."""
    drawn = sorted((folder / "drawn").rglob("*.png"))
    pictures = folder / f"pictures-{count}"
    for index in range(count):
        path = pictures / f"{index % 100:02d}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(drawn[index % len(drawn)], path)
    command = [
        sys.executable,
        "-c",
        RUN,
        str(folder / "profile.toml"),
        str(pictures),
        str(folder / f"atlas-{count}"),
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1]) / (1024 if sys.platform != "darwin" else 1024**2)


if __name__ == "__main__":
    main()
