"""Interleaved timing: the runs take turns, so that other load of the machine affects all of them."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Spread:
    """Minimum, median and maximum."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(min(values), statistics.median(values), max(values))

    def __str__(self) -> str:
        return f"{self.middle:.3g} ({self.low:.3g} – {self.high:.3g})"


def take_turns(
    runs: dict[str, Callable[[], object]],
    repeats: int = 3,
    warmups: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each run, in rounds that run all of them once.

    repeats: timed rounds; warmups: rounds before these; clock: time.process_time on a busy machine (it counts waiting
    threads too, so use one thread)."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(warmups + repeats):
        for name, run in runs.items():
            _finish()
            start = clock()
            run()
            _finish()
            if number >= warmups:
                seconds[name].append(clock() - start)
    return seconds


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """How many times as fast `ours` is as `theirs`, round by round."""
    return Spread.of([b / a for a, b in zip(ours, theirs, strict=True)])


def report(
    title: str, seconds: dict[str, list[float]], amount: float, unit: str, against: Sequence[str]
) -> None:
    """Print a Markdown table of the rate of each run and its ratio to the runs `against`: median (minimum – maximum).

    amount: how many `unit` a run processes."""
    print(f"\n### {title}\n\n{machine()}; {len(next(iter(seconds.values())))} interleaved rounds\n")
    print("| | " + " | ".join([f"{unit} per second", *(f"× {name}" for name in against)]) + " |")
    print("|---" * (2 + len(against)) + "|")
    for name, times in seconds.items():
        ratios = [str(ratio(times, seconds[other])) for other in against]
        print(f"| {name} | " + " | ".join([str(Spread.of([amount / t for t in times])), *ratios]) + " |")


def machine() -> str:
    """The device, threads and version of torch, in words."""
    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads, torch {torch.__version__}"


def _finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
