"""What an interrupted run left is damaged: every pass that keeps parts notes it once, does again what they held, and
the atlas ends with the bytes of an undisturbed one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from damages import TO_PARTS, directory, empty, garbage, many_bits, restore, truncate, zeros
from interrupting import Interrupting, file_bytes

from generator.core.progress import Reporter
from generator.stages.pipeline import compute

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small_steps")]  # whole atlases are computed


@dataclass(frozen=True)
class Left:
    """What a run leaves that was stopped in a stage after some things. files: of it those that are damaged; without:
    a file that a finished atlas lacked as this run began, '' for a run from the start."""

    stage: str
    after: int
    files: str
    without: str = ""

    @property
    def run(self) -> tuple[str, int, str]:
        """What the stopped run itself depends on."""
        return self.stage, self.after, self.without

    def __str__(self) -> str:
        return f"{self.stage}, {self.after}"


PARTS = {
    "scan": Left("scan", 60, "work/scan/rank-0.npz"),
    "scan, merged": Left("statistics", 1, "work/scan/merged.npz"),
    "stream": Left("residual stream", 60, "work/stream/rank-0.npz", "stream.json"),
    "stream's readings": Left("stream readings", 60, "work/stream-readings/rank-0.npz", "stream.json"),
    "stream's readings of the scan": Left("residual stream", 60, "work/stream-readings/merged.npz"),
    "optimised stream": Left(
        "optimised stream", 8, "work/optimised-stream/rank-0.npz", "stream_optimised.json"
    ),
    "contributions": Left("contributions to classes", 60, "work/effects/rank-0.npz", "effects.json"),
    "features": Left("features", 60, "work/features/rank-0.npz", "embedding/features.npy"),
    "optimised pictures": Left("from their patches", 1, "work/optimised-pictures/res2a-0-0.npz"),
    "optimised from patches": Left("from their patches", 1, "work/optimised-pictures/*-1-0.npz"),
}
FILES = {
    "scores": Left("scan", 60, "work/scan/scores.f32"),
    "stream's sample": Left("stream readings", 60, "work/stream-readings/scores.f32", "stream.json"),
    "stream's sample of the scan": Left("residual stream", 60, "work/stream-readings/scores.f32"),
    "vectors of the scan": Left("scan", 60, "work/features/vectors.f32"),
    "predictions of the scan": Left("scan", 60, "work/predictions/vectors.f32"),
    "vectors of the features": Left("features", 60, "work/features/vectors.f32", "embedding/features.npy"),
    "vectors of the predictions": Left("predictions", 60, "work/predictions/vectors.f32", "predictions.npz"),
    "tiles": Left("patches and gradients", 40, "work/tiles/res4c.u8"),
    "tiles of all": Left("sprites", 1, "work/tiles/res4c.u8"),
    "dreams": Left("dreams", 1, "deepdream/*.webp"),
    "dreams' numbers": Left("dreams", 1, "deepdream/*.json"),
}
# Every kind of damage to a part of the stream's pass; of the other passes each suffers one, in turn, and in the long
# tests a second: what reads their parts is the same, and test_checkpointed_pass.py damages those in every way.
CASES: list[Any] = [("stream", damage) for damage in TO_PARTS]
# Of the large files some records may be of what was not done: what hits one place alone may hit nothing.
EVERYWHERE = (truncate, zeros, garbage, many_bits, empty, directory)
for passes, kinds in ((PARTS, TO_PARTS), (FILES, EVERYWHERE)):
    for place, name in enumerate(passes):
        if name != "stream":
            CASES.append((name, kinds[place % len(kinds)]))
            second = kinds[(place + len(kinds) // 2) % len(kinds)]
            CASES.append(pytest.param(name, second, marks=pytest.mark.long))


@pytest.fixture(scope="module")
def interrupted(tiny, tiny_atlas, tmp_path_factory):
    """(stage, after, without) → a folder as a run leaves it that was stopped there."""
    folders: dict[tuple[str, int, str], Path] = {}

    def of(left: Left) -> Path:
        if left.run not in folders:
            folders[left.run] = folder = tmp_path_factory.mktemp("stopped") / "atlas"
            if left.without:
                restore(tiny_atlas.folder, folder)
                (folder / left.without).unlink()
            with pytest.raises(KeyboardInterrupt):
                compute(tiny, folder, Interrupting(left.stage, left.after))
        return folders[left.run]

    return of


@pytest.mark.parametrize(("name", "damage"), CASES, ids=lambda value: getattr(value, "__name__", value))
def test_a_damaged_part_of_any_pass_costs_its_own_work_and_one_note(
    tiny, tiny_atlas, interrupted, tmp_path, name, damage
):
    left = (PARTS | FILES)[name]
    folder = restore(interrupted(left), tmp_path / "atlas")
    paths = sorted(folder.glob(left.files))
    assert paths, "the run left no such file"
    for path in paths:
        damage(path)
    reporter = Reporter(quiet=True)
    compute(tiny, folder, reporter)
    assert len([note for note in reporter.notes if "damaged" in note and "interrupted run" in note]) == 1
    assert file_bytes(folder) == file_bytes(tiny_atlas.folder)


@pytest.mark.parametrize("left", {left.run: left for left in (PARTS | FILES).values()}.values(), ids=str)
def test_undamaged_it_goes_on_without_a_note(tiny, tiny_atlas, interrupted, tmp_path, left):
    folder = restore(interrupted(left), tmp_path / "atlas")
    reporter = Reporter(quiet=True)
    compute(tiny, folder, reporter)
    assert not [note for note in reporter.notes if "interrupted run" in note]
    assert file_bytes(folder) == file_bytes(tiny_atlas.folder)
