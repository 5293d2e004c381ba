"""Fixtures shared by all tests."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import small_job
from filelock import FileLock

if TYPE_CHECKING:
    from generator.core.store import Store
    from generator.stages.profile import Profile


ROOT = Path(__file__).resolve().parent.parent
MadeOnce = Callable[[str, Callable[[Path], object]], Path]
sys.path.insert(0, str(ROOT / "tools"))


# -- how a session runs ------------------------------------------------------------------------------------------------

FUZZ = "ATLAS_FUZZ"  # which tenth of the generated cases runs, 0 to 9, or "all"


def pytest_configure() -> None:
    """Choose a tenth of the generated cases at random; the processes of xdist inherit the choice."""
    os.environ.setdefault(FUZZ, str(random.randrange(10)))


def pytest_report_header() -> str:
    return f"generated cases: {FUZZ}={os.environ[FUZZ]} (0 to 9: that tenth of them; all: every case)"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files with most slow tests first: a process takes a file at a time, and quick ones are left for the end."""
    slow = Counter(
        item.path
        for item in items
        if any(item.get_closest_marker(mark) for mark in ("slow", "browser", "long"))
    )
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A temporary folder of all processes of this session."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session", autouse=True)
def _pages_in_their_long_form() -> Iterator[None]:
    """Channels' pages with all quotes and end tags, so that tests find what they look for; test_lean.py holds both
    forms together."""
    from generator.site import templates

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(templates, "LEAN_PAGES", frozenset())
        yield


@pytest.fixture(autouse=True)
def _alone(request: pytest.FixtureRequest, shared: Path) -> Iterator[None]:
    """Of the tests with the mark `alone` one runs at a time, whatever process it runs in."""
    alone = request.node.get_closest_marker("alone") is not None
    with FileLock(shared / "alone.lock") if alone else contextlib.nullcontext():
        yield


@pytest.fixture(scope="session")
def made_once(shared: Path) -> MadeOnce:
    """(name, make) → a folder that make(folder) fills once for all processes of this session."""

    def folder_of(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = shared / name, shared / f"{name}.done"
        with FileLock(shared / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return folder_of


# -- what is there -----------------------------------------------------------------------------------------------------


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


def _computed(profile: Profile, folder: Path) -> None:
    from generator.core.progress import Reporter
    from generator.stages.pipeline import compute

    compute(profile, folder, Reporter(quiet=True))


def _opened(folder: Path) -> Store:
    from generator.core.store import Store

    return Store(folder)


# -- a whole job, done once for all tests: whoever alters its folders takes a copy -------------------------------------


@pytest.fixture(scope="session")
def pictures(made_once: MadeOnce) -> Path:
    """80 pictures in three classes, and one that is broken: three forwards."""
    return made_once("small-pictures", small_job.write_pictures)


@pytest.fixture(scope="session")
def small(pictures: Path, made_once: MadeOnce) -> Path:
    """The job's profile."""
    text = small_job.PROFILE.format(folder=pictures)
    return made_once("small-profile", lambda folder: (folder / "small.toml").write_text(text)) / "small.toml"


@pytest.fixture(scope="session")
def atlas(small: Path, made_once: MadeOnce) -> Store:
    """The job's atlas."""
    return _opened(made_once("small-atlas", lambda folder: _computed(_loaded(small), folder)))


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
    from generator.stages import run as runs

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpointed_pass, "CHECKPOINT_SECONDS", -1.0)
        patch.setattr(unit_table, "LARGEST_GROUP", {"cpu": 12, "cuda": 12})
        patch.setattr(runs.os, "cpu_count", lambda: 1)
        yield
    torch.set_num_threads(threads)


@pytest.fixture
def small_steps() -> Iterator[None]:
    """Every batch is saved, a group of pictures is small, and all is done in one process and thread: there are places
    enough to stop a run."""
    with _small_steps():
        yield


@pytest.fixture(scope="session")
def tiny(made_once: MadeOnce) -> Profile:
    """A network with random weights and 70 pictures: three forwards."""

    def write_pictures(folder: Path) -> None:
        rng = np.random.default_rng(0)
        for index in range(70):
            small_job.rough_picture(rng, (32, 32)).save(folder / f"{index:02d}.png")

    text = TINY.format(folder=made_once("tiny-pictures", write_pictures))
    folder = made_once("tiny-profile", lambda folder: (folder / "tiny.toml").write_text(text))
    return _loaded(folder / "tiny.toml")


@pytest.fixture(scope="session")
def tiny_atlas(tiny: Profile, made_once: MadeOnce) -> Store:
    """Its atlas, computed in small steps without a disturbance: copy it to alter it."""
    with _small_steps():
        return _opened(made_once("tiny-atlas", lambda folder: _computed(tiny, folder)))
