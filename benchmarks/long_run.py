"""A long run that is killed repeatedly: 50,000 small JPEGs, the demo network, five times kill -9.

The pictures are smooth random blots, each file different. A run is killed when a sixth, two sixths, … of the scan is
done, and the next run resumes. Memory is the resident set of the scanning process, sampled four times per second. It is
flat if it is no larger at the end of the scan than near its start.

    python -m benchmarks.long_run [--count 50000] [--kills 5] [--folder DIR]
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

PICTURE_SIDE = 96  # px, the input size of the demo network
PROFILE = """
name = "long-run"
[network]
model = "demo"
[pictures]
folder = "{pictures}"
[layers]
which = ["conv1", "res2c", "res3d", "res4f", "res5c"]
channels = 4
[compute]
workers = 1
"""
_DONE = re.compile(r"scan: ([\d,]+) of")


@dataclass
class Run:
    """A process. code: exit status; pictures: number scanned when it ended; seconds: duration; scans: whether it is
    scanning; memory: (seconds, MB) of its resident set during the scan."""

    code: int = 0
    pictures: int = 0
    seconds: float = 0.0
    scans: bool = False
    memory: list[tuple[float, float]] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=50_000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        folder = options.folder or Path(work)
        pictures = write_pictures(folder / "pictures", options.count)
        runs = run_killed(folder, pictures, options.count, options.kills)
        print(
            "| run | scanned up to | seconds | memory early, MB | memory at the end, MB |\n|---|---|---|---|---|"
        )
        for number, run in enumerate(runs, 1):
            early, late = flatness(run)
            print(f"| {number} | {run.pictures:,} | {run.seconds:,.0f} | {early:,.0f} | {late:,.0f} |")


def write_pictures(folder: Path, count: int) -> Path:
    """Write `count` different small JPEGs into a hundred folders; existing files are left as they are."""
    for index in range(count):
        path = folder / f"{index % 100:02d}" / f"{index:06d}.jpg"
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        rough = np.random.default_rng(index).integers(0, 256, (5, 5, 3), dtype=np.uint8)
        Image.fromarray(rough).resize((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.BICUBIC).save(
            path, quality=80
        )
    return folder


def run_killed(folder: Path, pictures: Path, count: int, kills: int, out: str = "atlas") -> list[Run]:
    """Run the job, killed `kills` times during the scan, and finally to its end."""
    profile = folder / "long-run.toml"
    profile.write_text(PROFILE.format(pictures=pictures.absolute()))
    stops = [count * (number + 1) // (kills + 1) for number in range(kills)]
    return [_run(profile, folder / out, stop) for stop in [*stops, None]]


def _run(profile: Path, out: Path, stop: int | None) -> Run:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "generator", "compute", str(profile), "--out", str(out)]
    start, run = time.monotonic(), Run()
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    watcher = threading.Thread(target=_watch, args=(process, run, start), daemon=True)
    watcher.start()
    for line in process.stderr or ():
        if match := _DONE.search(line):
            run.pictures, run.scans = int(match[1].replace(",", "")), True
            if stop is not None and run.pictures >= stop:
                process.send_signal(signal.SIGKILL)
                break
        elif run.scans and not line.startswith("scan"):
            run.scans = False  # the memory of later stages does not depend on the number of pictures
    process.communicate()
    run.code, run.seconds = process.returncode, time.monotonic() - start
    watcher.join()
    return run


def _watch(process: subprocess.Popen[str], run: Run, start: float) -> None:
    page = os.sysconf("SC_PAGE_SIZE") / 1e6
    while process.poll() is None:
        try:
            resident = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return
        if run.scans:
            run.memory.append((time.monotonic() - start, resident * page))
        time.sleep(0.25)


def flatness(run: Run) -> tuple[float, float]:
    """The largest resident set in the first and in the last quarter of the samples, in MB."""
    sizes = [size for _, size in run.memory]
    quarter = max(1, len(sizes) // 4)
    return (max(sizes[:quarter]), max(sizes[-quarter:])) if sizes else (0.0, 0.0)


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of an atlas except its lock, by path."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


if __name__ == "__main__":
    main()
