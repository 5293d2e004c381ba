"""`make bench`: all benchmarks, at sizes that take about twenty minutes on two cores."""

from __future__ import annotations

import subprocess
import sys

RUNS = (
    ["scan"],
    ["stream"],
    ["unit_gradients"],
    ["spread_loop"],
    ["ascent", "--steps", "8"],
    ["sprites", "--channels", "4"],
    ["site"],
    ["memory", "--counts", "1000", "10000"],
    ["host"],
    ["whole_job", "--pictures", "64", "--channels", "8"],
)

if __name__ == "__main__":
    for name, *options in RUNS:
        print(f"\n## {name}\n", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options], check=True)
