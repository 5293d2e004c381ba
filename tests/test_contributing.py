"""The worked examples of CONTRIBUTING.md, run as they stand there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import types
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from generator.core.progress import Reporter
from generator.core.store import Store
from generator.network import models
from generator.site.reading import measures
from generator.site.reading.atlas import Atlas
from generator.site.render import render_site
from generator.stages import profile, table
from generator.stages.inputs import Inputs
from generator.stages.pipeline import compute
from generator.stages.profile import Profile
from generator.stages.run import Run
from generator.stages.verify import verify

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")


def _blocks(title: str) -> list[str]:
    """The blocks of Python in the section of this title."""
    section = TEXT.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"```python\n(.*?)```", section, re.S)


(MODEL,), (METHOD, LINE, ENTRY), (STAGE, ROW), (CHAPTER,) = (
    _blocks(f"A new {part}") for part in ("model", "method", "stage", "chapter")
)
(CHAPTER_ROW,) = re.findall(r"row\s+`(\w+\.CHAPTER,)`", TEXT)


def _module(name: str, code: str) -> types.ModuleType:
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(code, f"CONTRIBUTING.md, {name}", "exec"), module.__dict__)
    return module


def _pictures(parent: Path) -> Path:
    (folder := parent / "pictures").mkdir()
    for index in range(12):
        rough = np.random.default_rng(index).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(rough).resize((32, 32)).save(folder / f"{index}.png")
    return folder


def _profile(model: str, pictures: Path) -> Profile:
    data = {"name": model, "network": {"model": model, "weights": "random"}, "compute": {"workers": 0}}
    return profile.validated({**data, "pictures": {"folder": str(pictures)}}, "test")


def test_the_methods_example_answers_what_is_known_beforehand() -> None:
    decline = _module("decline", METHOD).decline
    scores = np.array([[4, 4, 4, 4, 4, 4, 4, 4, 1], [2] * 9, [0] * 9], np.float32)
    np.testing.assert_array_equal(decline(scores), np.array([0.75, 0, np.nan], np.float32))


@pytest.mark.slow
def test_the_examples_make_an_atlas_and_its_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (model,) = _module("twin", MODEL).MODELS
    monkeypatch.setitem(models.MODELS, model.name, model)
    method = _module("decline", METHOD)
    entry = eval(ENTRY, vars(measures))
    for room in [room for name, room in sys.modules.items() if name.startswith("generator.")]:
        if hasattr(room, "MEASURES"):
            monkeypatch.setattr(room, "MEASURES", (*room.MEASURES, entry))
    row = table.named("connections")

    def with_the_line(inputs: Inputs, run: Run) -> None:
        row.run(inputs, run)
        for layer in inputs.network.layers:
            numbers = run.store.arrays.layer(layer.name, "top")
            connections = run.store.arrays.layer(layer.name, "connections")
            exec(LINE, {"numbers": numbers, "connections": connections, "decline": method.decline})
            run.store.arrays.write_layer(layer.name, "connections", connections)

    changed = tuple(replace(row, run=with_the_line) if stage is row else stage for stage in table.STAGES)
    monkeypatch.setattr(table, "STAGES", changed)
    store = compute(_profile("twin", _pictures(tmp_path)), tmp_path / "atlas", Reporter(quiet=True))
    assert [layer.name for layer in store.manifest().layers] == ["conv1", "res2a", "res2b"]
    render_site([store.folder], tmp_path / "site")
    assert "decline" in (store.folder / "channels.csv").read_text().splitlines()[0].split(",")
    alive = int(np.flatnonzero(~store.arrays.layer("res2b")["dead"])[0])
    assert "Decline over the top-9" in (tmp_path / f"site/twin/res2b/{alive}.html").read_text("utf-8")
    assert 'id="decline"' in (tmp_path / "site/guide/statistics.html").read_text("utf-8")


@pytest.mark.slow
def test_the_stages_example_is_ordered_resumed_repaired_and_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    popularity = _module("generator.stages.popularity", STAGE)
    row = eval(ROW, {**vars(table), "popularity": popularity})
    monkeypatch.setattr(table, "STAGES", (row, *table.STAGES))  # its need orders it, not its place
    small = {"layers": {"which": ["conv1", "res2a"], "channels": 2}, "embedding": {"enabled": False}}
    chosen = _profile("resnet20-cifar", _pictures(tmp_path)).changed(**small)

    def stages_run() -> set[str]:
        reporter = Reporter(quiet=True)
        compute(chosen, tmp_path / "atlas", reporter)
        return {stage.name for stage in reporter.stages if stage.count} - {"fingerprints", "checksums"}

    assert {"scan", "popularity"} <= stages_run()
    store, path = Store(tmp_path / "atlas"), tmp_path / "atlas" / "popularity.csv"
    tops = [store.arrays.layer(layer, "top")["top_image"].ravel().tolist() for layer in ("conv1", "res2a")]
    counts = Counter(image for top in tops for image in top)
    lines = [f"{index},{counts[index]}" for index in range(12)]
    assert path.read_text().split() == ["picture,channels", *lines]
    assert "popularity.csv" in (store.checksums() or {})
    assert store.made_from()[0]["popularity"] != ""
    assert stages_run() == set()  # nothing to do

    content = path.read_bytes()
    path.write_text("damaged")
    assert verify(store.folder, units=0, reporter=Reporter(quiet=True)).differences == [
        "popularity.csv: its bytes have changed"
    ]
    assert stages_run() == {"popularity"}
    assert path.read_bytes() == content

    monkeypatch.setattr(popularity, "CODE", 2)
    keys = store.made_from()[0]
    assert stages_run() == {"popularity"}
    changed = {stage for stage, key in store.made_from()[0].items() if keys[stage] != key}
    assert changed == {"popularity", "all"}


@pytest.mark.slow
def test_the_chapter_s_example_is_one_file_and_one_row(tmp_path: Path) -> None:
    """A copy of the site's sources gets the file and the row; its page and the link to it are then in the site."""
    for name in ("generator", "templates", "site_src"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("mkdocs.yml", "CHANGELOG.md", "CITATION.cff", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    chapters = tmp_path / "generator/site/chapters"
    (chapters / "inactive.py").write_text(CHAPTER, "utf-8")
    registry = (chapters / "registry.py").read_text("utf-8")
    registry = registry.replace("    first_layers,\n", "    first_layers,\n    inactive,\n", 1)
    registry = registry.replace("    revisited.CHAPTER,\n", f"    revisited.CHAPTER,\n    {CHAPTER_ROW}\n", 1)
    (chapters / "registry.py").write_text(registry, "utf-8")
    command = [sys.executable, "-m", "generator", "render", str(ROOT / "tests/small_atlas"), "--out", "site"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr  # the command checks every link too
    home = (tmp_path / "site/small/index.html").read_text("utf-8")
    link = (
        '<a href="inactive.html">Inactive channels</a>: how many channels of each layer no picture activates'
    )
    assert link in home
    page = (tmp_path / "site/small/inactive.html").read_text("utf-8")
    rows = re.findall(r'<a href="(\w+)/index.html">\1</a></th>\s*<td>(\d+)</td><td>(\d+)</td>', page)
    atlas = Atlas(ROOT / "tests/small_atlas")
    assert rows == [
        (layer.name, str(layer.channels), str(sum(atlas.layer(layer.name).dead))) for layer in atlas.layers
    ]
