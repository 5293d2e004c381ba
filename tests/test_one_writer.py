"""Every file of an atlas is written by one stage: the one whose row names it."""

from __future__ import annotations

import dataclasses
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from generator.core import checksums
from generator.core.progress import Reporter
from generator.stages import pipeline, table
from generator.stages.profile import Profile

END = "the end of the run"
# Part of what a row owns may be a row of its own, without a fingerprint: tiles and the pictures behind them, and the
# pictures of further lists.
HALF_OF = {"tiles": "sprites", "pictures of contributions": "sprites"}


def _log_writes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """By file, the stages that write it, in a run that starts after this call."""
    writers: dict[str, list[str]] = defaultdict(list)
    current = [END]
    perform, replace = pipeline.perform, os.replace

    def performed(stage: table.Stage, *given: Any) -> None:
        current[0] = stage.name
        perform(stage, *given)
        current[0] = END

    def replaced(source: Path, target: Path) -> None:
        if Path(target).is_relative_to(folder):
            writers[Path(target).relative_to(folder).as_posix()].append(current[0])
        replace(source, target)

    # One after the other, none in the background: so each write belongs to the stage that runs.
    alone = tuple(dataclasses.replace(stage, cpu_only=False) for stage in table.STAGES)
    monkeypatch.setattr(table, "STAGES", alone)
    monkeypatch.setattr(pipeline, "perform", performed)
    monkeypatch.setattr(os, "replace", replaced)
    return writers


@pytest.mark.slow
@pytest.mark.usefixtures("small_steps")
def test_every_file_is_written_by_the_stage_that_owns_it_alone(
    tiny: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers = _log_writes(tmp_path, monkeypatch)
    store = pipeline.compute(tiny, tmp_path, Reporter(quiet=True))
    files = set(checksums.files_of(tmp_path))
    products = {product for layer in store.manifest().layers for product in store.arrays.products(layer.name)}
    assert products >= {"top", "statistics", "connections", "classes", "refinement", "stream", "optimised"}
    assert files <= writers.keys()
    for name in files:
        maker = table.writer(name)
        wrote = {HALF_OF.get(stage, stage) for stage in writers[name]}
        assert wrote == {END if maker is None else maker.name}, name
        assert maker is not None or name in table.TABLES, name


def test_no_two_stages_own_the_same_files() -> None:
    patterns = [(pattern, stage) for stage in table.STAGES for pattern in stage.patterns]
    examples = [(pattern.replace("*", "res2a"), stage) for pattern, stage in patterns]
    for path, stage in examples:
        assert [other.name for other in table.STAGES if other.writes(path)] == [stage.name], path
