"""The long run of benchmarks/long_run.py, at a size that a test can have."""

from __future__ import annotations

import pytest

from benchmarks.long_run import digests, flatness, run_killed, write_pictures


# In `make test`, test_faults kills a small job, and test_scan sees that the state does not grow with the pictures.
@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.long
def test_killed_again_and_again_amid_many_pictures_it_ends_the_same_and_memory_stays_flat(
    tmp_path, monkeypatch
):
    count, kills = 2500, 2
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    pictures = write_pictures(tmp_path / "pictures", count)
    runs = run_killed(tmp_path, pictures, count, kills=kills)
    assert [run.code for run in runs] == [*[-9] * kills, 0]
    (whole,) = run_killed(tmp_path, pictures, count, kills=0, out="undisturbed")
    assert whole.code == 0
    assert digests(tmp_path / "atlas") == digests(tmp_path / "undisturbed")
    early, late = flatness(whole)
    assert late < early * 1.15
