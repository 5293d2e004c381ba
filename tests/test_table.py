"""The table of stages: its rows are consistent, and the pipeline does what a row says."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from generator.core.checksums import files_of
from generator.core.progress import Reporter
from generator.core.store import Store
from generator.stages import table
from generator.stages.pipeline import perform
from generator.stages.ranks import Ranks
from generator.stages.run import Run
from generator.stages.table import Stage


def _names(stages) -> list[str]:
    return [stage.name for stage in stages]


# -- the rows ----------------------------------------------------------------------------------------------------------


def test_names_are_distinct_and_every_row_stands_below_those_that_it_needs():
    names = _names(table.STAGES)
    assert len(set(names)) == len(names) > 10
    too_early = [
        (stage.name, need)
        for number, stage in enumerate(table.STAGES)
        for need in stage.needs
        if need not in names[:number]
    ]
    assert too_early == []
    assert _names(table.in_order()) == names


def test_a_row_may_stand_above_those_that_it_needs(monkeypatch):
    late = Stage("late", lambda inputs, run: None, None, needs=("sprites", "later"))
    later = Stage("later", lambda inputs, run: None, None, needs=("scan",))
    monkeypatch.setattr(table, "STAGES", (late, *table.STAGES, later))
    order = _names(table.in_order())
    assert order.index("scan") < order.index("later") < order.index("late")
    assert order.index("sprites") < order.index("late")
    assert sorted(order) == sorted(_names(table.STAGES))


@pytest.mark.parametrize(
    ("path", "maker"),
    [
        ("scan.json", "scan"),
        ("layers/res2a/top.npz", "scan"),
        ("layers/res2a/stream.npz", "stream"),
        ("layers/res2a/stream_optimised.npz", "optimised stream"),
        ("layers/res2a/effects.npz", "effects"),
        ("contributions/res2a.npy", "effects"),
        ("layers/res2a/zooms.npz", "zooms"),
        ("layers/res2a/scale.npz", "scale truth"),
        ("layers/res2a/optimised.npz", "optimised pictures"),
        ("optimised/res2a.webp", "optimised pictures"),
        ("optimised/res2a/0.webp", "optimised pictures"),
        ("embedding/features.npy", "features"),
        ("embedding/map.npz", "embedding"),
        ("deepdream/0123456789abcdef-start.webp", "dreams"),
        ("matches/conv1--res2a.npz", "correspondence"),
        ("manifest.json", None),
        ("notes of mine.txt", None),
        ("layers/res2a/notes.txt", None),
    ],
)
def test_a_file_has_one_maker_or_none(path, maker):
    assert [stage.name for stage in table.STAGES if stage.writes(path)] == ([maker] if maker else [])
    assert (found := table.writer(path)) is None or found.name == maker


@pytest.mark.slow
def test_every_file_of_an_atlas_has_one_maker(atlas):
    files = [path for path in files_of(atlas.folder) if path not in table.TABLES]
    makers = {path: [stage.name for stage in table.STAGES if stage.writes(path)] for path in files}
    assert len(files) > 50
    assert {path: names for path, names in makers.items() if len(names) != 1} == {}


def test_a_layer_is_complete_by_its_own_files_alone():
    sprites = table.named("sprites")
    assert sprites.writes_for("res2a", "sprites/res2a/3.webp")
    assert sprites.writes_for("res2a", "thumbs/res2a.webp")
    assert not sprites.writes_for("res2a", "sprites/res2b/3.webp")
    assert not sprites.writes_for("res2a", "pictures/3.webp")  # of no layer
    assert sprites.writes_for("a[1]", "thumbs/a[1].webp") and not sprites.writes_for("a[1]", "thumbs/a1.webp")


# -- what the pipeline does with a row ---------------------------------------------------------------------------------


class Counting:
    """A stage's function that writes its file and counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, inputs, run) -> None:
        self.calls += 1
        run.store.tables.write_json("toy/a.json", self.calls)


@pytest.fixture
def run(tmp_path) -> Run:
    return Run(Store(tmp_path), torch.device("cpu"), Reporter(quiet=True), Ranks())


def _toy(count: Counting, **columns) -> Stage:
    return Stage("a toy", count, **{"key": lambda inputs: inputs.key, "outputs": ("toy/*.json",), **columns})


def test_a_stage_runs_once_for_the_same_fingerprint_and_again_for_another(run):
    count = Counting()
    for key, calls in (("a", 1), ("a", 1), ("b", 2), ("a", 3)):
        perform(_toy(count), SimpleNamespace(key=key), run)
        assert count.calls == calls
        assert run.store.work.stamp("a-toy") == key


def test_a_stage_that_was_stopped_runs_again(run):
    def stop(inputs, run):
        raise KeyboardInterrupt

    count, inputs = Counting(), SimpleNamespace(key="a")
    perform(_toy(count), SimpleNamespace(key="b"), run)
    with pytest.raises(KeyboardInterrupt):
        perform(replace(_toy(count), run=stop), inputs, run)
    assert run.store.work.stamp("a-toy") is None  # nor does what was there before count as complete
    perform(_toy(count), inputs, run)
    assert count.calls == 2


def test_a_stage_without_a_fingerprint_runs_every_time(run):
    count = Counting()
    for _ in range(3):
        perform(_toy(count, key=None), SimpleNamespace(), run)
    assert count.calls == 3


def test_the_files_of_a_stage_that_is_not_wanted_are_removed(run, tmp_path):
    count = Counting()
    perform(_toy(count), SimpleNamespace(key="a"), run)
    (tmp_path / "toy" / "b.txt").write_text("nobody's")
    perform(_toy(count, when=lambda inputs: False), SimpleNamespace(key="a"), run)
    assert [path.name for path in (tmp_path / "toy").iterdir()] == ["b.txt"]
    (tmp_path / "toy" / "b.txt").unlink()
    run.store.tables.write_json("toy/a.json", 0)
    perform(_toy(count, when=lambda inputs: False), SimpleNamespace(key="a"), run)
    assert not (tmp_path / "toy").exists() and count.calls == 1
    perform(_toy(count), SimpleNamespace(key="a"), run)
    assert (tmp_path / "toy" / "a.json").exists() and count.calls == 2


@pytest.mark.parametrize(("ranks", "calls"), [("leader", 0), ("together", 1)])
def test_another_process_runs_what_is_done_together_alone(run, ranks, calls):
    other = replace(run, ranks=SimpleNamespace(leads=False, meet=lambda: None))
    perform(_toy(count := Counting(), ranks=ranks), SimpleNamespace(key="a"), other)
    assert count.calls == calls
    assert run.store.work.stamp("a-toy") is None  # the leading process says that it is complete


def test_of_the_network_in_a_browser_nothing_is_left_where_it_is_not_wanted(run, tmp_path):
    for name in ("live.json", "network.onnx", "pictures/3.webp", "pictures/70.webp"):
        path = tmp_path / "live" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    stage = replace(table.named("live network"), key=None, when=lambda inputs: False)
    perform(stage, SimpleNamespace(), run)
    assert not (tmp_path / "live").exists()
