"""Stages that need no device run in the background, while a GPU computes or beside each other: the atlas is the same,
errors end the run in one sentence, and a run that was killed meanwhile goes on. The CPU stands in for the GPU here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace

import pytest
from interrupting import file_bytes
from threadpoolctl import threadpool_info

from generator.core.errors import AtlasError
from generator.core.progress import Reporter
from generator.stages import pipeline, profile, table
from generator.stages.run import Run

pytestmark = pytest.mark.slow  # whole atlases are computed
CPU_ONLY = [stage.name for stage in table.STAGES if stage.cpu_only]


@pytest.fixture
def gpu(monkeypatch):
    """The CPU computes as a GPU does, beside which the cores have time for other stages."""
    monkeypatch.setattr(Run, "overlaps", True)


def _with_run(monkeypatch, name, run):
    """The table with another function for one stage."""
    rows = tuple(replace(stage, run=run) if stage.name == name else stage for stage in table.STAGES)
    monkeypatch.setattr(table, "STAGES", rows)


@pytest.mark.usefixtures("gpu")
def test_the_atlas_is_the_same_and_its_stages_did_overlap(small, atlas, tmp_path, monkeypatch):
    threads = {}
    for stage in table.STAGES:

        def run(inputs, run, stage=stage):
            threads[stage.name] = threading.current_thread().name
            stage.run(inputs, run)

        _with_run(monkeypatch, stage.name, run)
    reporter = Reporter(quiet=True)
    pipeline.compute(profile.load(str(small)), tmp_path, reporter)
    assert file_bytes(tmp_path) == file_bytes(atlas.folder)
    background = {name for name, thread in threads.items() if thread.startswith("background")}
    assert background == set(CPU_ONLY)
    assert "correspondence" in {stage.name for stage in reporter.stages}


def test_on_a_cpu_they_run_beside_each_other_only_and_with_one_thread_per_product(
    small, atlas, tmp_path, monkeypatch
):
    running, beside, threads = set(), {}, set()
    for stage in table.STAGES:

        def run(inputs, run, stage=stage):
            running.add(stage.name)
            beside[stage.name] = set(running)
            if stage.name in ("connections", "classes"):
                time.sleep(1)
            stage.run(inputs, run)
            if stage.cpu_only:
                threads.update(
                    pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"
                )
            running.discard(stage.name)

        _with_run(monkeypatch, stage.name, run)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    pipeline.compute(profile.load(str(small)), tmp_path, Reporter(quiet=True))
    assert file_bytes(tmp_path) == file_bytes(atlas.folder)
    for name, others in beside.items():
        assert others <= set(CPU_ONLY) if name in CPU_ONLY else others == {name}
    assert any(len(others) > 1 for others in beside.values())
    assert threads == {1}


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("name", CPU_ONLY)
def test_an_error_beside_ends_the_run_with_its_sentence_and_the_next_run_goes_on(
    name, small, atlas, tmp_path, monkeypatch
):
    def fail(inputs, run):
        raise AtlasError("the disk is full", run.store.folder, "free some space")

    with monkeypatch.context() as patch:
        _with_run(patch, name, fail)
        with pytest.raises(AtlasError, match="the disk is full"):
            pipeline.compute(profile.load(str(small)), tmp_path, Reporter(quiet=True))
    assert not (tmp_path / "manifest.json").exists()
    pipeline.compute(profile.load(str(small)), tmp_path, Reporter(quiet=True))
    assert file_bytes(tmp_path) == file_bytes(atlas.folder)


@pytest.mark.usefixtures("gpu")
def test_an_error_of_the_others_waits_for_the_stage_beside(small, tmp_path, monkeypatch):
    ended = threading.Event()
    connect = table.named("connections").run

    def slowly(inputs, run):
        time.sleep(1)
        connect(inputs, run)
        ended.set()

    def fail(inputs, run):
        raise AtlasError(
            "a picture changed or vanished during the run", "cat.png", "run the same command again"
        )

    _with_run(monkeypatch, "connections", slowly)
    _with_run(monkeypatch, "stream", fail)
    with pytest.raises(AtlasError, match=r"cat\.png"):
        pipeline.compute(profile.load(str(small)), tmp_path, Reporter(quiet=True))
    assert ended.is_set()  # else it would go on writing into the atlas behind the caller's back


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(("name", "seconds"), [("correspondence", 0), ("sprites", 0), ("sprites", 0.5)])
def test_killed_while_a_stage_runs_beside_the_next_run_ends_with_the_same_bytes(
    name, seconds, small, atlas, tmp_path, root
):
    """The process is killed some seconds after both kinds of stages are under way."""
    script = textwrap.dedent(
        f"""
        import os, threading, time
        from dataclasses import replace
        from pathlib import Path
        from generator.core.progress import Reporter
        from generator.stages import pipeline, profile, table
        from generator.stages.run import Run

        begun = threading.Event()

        def beside(stage):
            def run(inputs, run):
                begun.set()
                stage.run(inputs, run)
            return run

        def kill(stage):
            def run(inputs, run):
                begun.wait()
                time.sleep({seconds})
                os.kill(os.getpid(), {int(signal.SIGKILL)})
            return run

        change = {{{name!r}: beside, "stream": kill}}
        table.STAGES = tuple(
            replace(stage, run=change[stage.name](stage)) if stage.name in change else stage
            for stage in table.STAGES
        )
        Run.overlaps = True
        pipeline.compute(profile.load({str(small)!r}), Path({str(tmp_path)!r}), Reporter(quiet=True))
        """
    )
    environment = {**os.environ, "PYTHONPATH": str(root)}
    killed = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    pipeline.compute(profile.load(str(small)), tmp_path, Reporter(quiet=True))
    assert file_bytes(tmp_path) == file_bytes(atlas.folder)
