"""Fixtures shared by all tests."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import small_job

if TYPE_CHECKING:
    from generator.core.store import Store
    from generator.stages.profile import Profile


ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real weights and pictures beside the checkout; tests that use them skip, visibly, where they are absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real data is absent: {folder}")
    return folder


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """A Chromium; `make test` installs one, so its absence is a failure and not a reason to skip."""
    from chromium import find

    path = find()
    assert path is not None, "no Chromium: run `make test`, which installs one"
    return path


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=chromium_path, args=["--no-sandbox"])
        yield opened
        opened.close()


# Here and below torch is imported late: many tests need none.


def _loaded(path: Path) -> Profile:
    from generator.stages import profile

    return profile.load(str(path))


def _computed(profile: Profile, folder: Path) -> Store:
    from generator.core.progress import Reporter
    from generator.stages.pipeline import compute

    return compute(profile, folder, Reporter(quiet=True))


# -- a whole job, done once for all tests: whoever alters its folders takes a copy -------------------------------------


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 pictures in three classes, and one that is broken: three forwards."""
    folder = tmp_path_factory.mktemp("pictures")
    small_job.write_pictures(folder)
    return folder


@pytest.fixture(scope="session")
def small(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The job's profile."""
    path = tmp_path_factory.mktemp("profile") / "small.toml"
    path.write_text(small_job.PROFILE.format(folder=pictures))
    return path


@pytest.fixture(scope="session")
def atlas(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The job's atlas."""
    return _computed(_loaded(small), tmp_path_factory.mktemp("atlas"))


# -- an atlas that takes every pass and little time --------------------------------------------------------------------

TINY = """
name = "tiny"
[network]
model = "resnet20-cifar"
weights = "random"
[layers]
which = ["res2a", "res4c"]
channels = 3
[pictures]
folder = "{folder}"
[compute]
workers = 0
[stream]
optimised_steps = 2
[ascent]
steps = 2
[deepdream]
pictures = [0]
layers = ["res2a", "res4c"]
side = 32
octaves = 1
steps = 1
"""


@contextlib.contextmanager
def _small_steps() -> Iterator[None]:
    import torch

    from generator.stages import checkpointed_pass, unit_table
    from generator.stages import job as jobs

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpointed_pass, "CHECKPOINT_SECONDS", -1.0)
        patch.setattr(unit_table, "LARGEST_GROUP", 12)
        patch.setattr(jobs.os, "cpu_count", lambda: 1)
        yield
    torch.set_num_threads(threads)


@pytest.fixture
def small_steps() -> Iterator[None]:
    """Every batch is saved, a group of pictures is small, and all is done in one process and thread: there are places
    enough to stop a run."""
    with _small_steps():
        yield


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    """A network with random weights and 70 pictures: three forwards."""
    folder = tmp_path_factory.mktemp("tiny pictures")
    rng = np.random.default_rng(0)
    for index in range(70):
        small_job.rough_picture(rng, (32, 32)).save(folder / f"{index:02d}.png")
    path = tmp_path_factory.mktemp("tiny profile") / "tiny.toml"
    path.write_text(TINY.format(folder=folder))
    return _loaded(path)


@pytest.fixture(scope="session")
def tiny_atlas(tiny: Profile, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Its atlas, computed in small steps without a disturbance: copy it to alter it."""
    with _small_steps():
        return _computed(tiny, tmp_path_factory.mktemp("tiny atlas"))
