"""The long run of benchmarks/long_run.py, at a size that a test can have."""

from __future__ import annotations

import pytest

from benchmarks.long_run import digests, flatness, run_killed, write_pictures


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "kills", "growth"),
    [
        (300, 1, 1.5),  # a short scan begins with growing buffers
        pytest.param(2500, 2, 1.15, marks=pytest.mark.long),
    ],
)
def test_killed_again_and_again_amid_many_pictures_it_ends_the_same_and_memory_stays_flat(
    tmp_path, monkeypatch, count, kills, growth
):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    pictures = write_pictures(tmp_path / "pictures", count)
    runs = run_killed(tmp_path, pictures, count, kills=kills)
    assert [run.code for run in runs] == [*[-9] * kills, 0]
    (whole,) = run_killed(tmp_path, pictures, count, kills=0, out="undisturbed")
    assert whole.code == 0
    assert digests(tmp_path / "atlas") == digests(tmp_path / "undisturbed")
    early, late = flatness(whole)
    assert late < early * growth
