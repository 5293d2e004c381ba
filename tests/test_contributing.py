"""The worked examples of CONTRIBUTING.md, run as they stand there."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from generator.core.progress import Reporter
from generator.network import models
from generator.site.reading import measures
from generator.site.render import render_site
from generator.stages import profile, tables
from generator.stages.pipeline import compute

TEXT = (Path(__file__).resolve().parent.parent / "CONTRIBUTING.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.S)
MODEL, METHOD, LINE, ENTRY = BLOCKS


def _module(name: str, code: str) -> types.ModuleType:
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(code, f"CONTRIBUTING.md, {name}", "exec"), module.__dict__)
    return module


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
    add_relations = tables.add_relations

    def with_the_line(job: Any) -> None:
        add_relations(job)
        for layer in job.network.layers:
            numbers = job.store.arrays.layer(layer.name, "top", "statistics")
            connections = job.store.arrays.layer(layer.name, "connections")
            exec(LINE, {"numbers": numbers, "connections": connections, "decline": method.decline})
            job.store.arrays.write_layer(layer.name, "connections", connections)

    monkeypatch.setattr("generator.stages.pipeline.add_relations", with_the_line)
    for index in range(12):
        rough = np.random.default_rng(index).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(rough).resize((32, 32)).save(tmp_path / f"{index}.png")
    asked = {"name": "twin", "network": {"model": "twin", "weights": "random"}, "compute": {"workers": 0}}
    chosen = profile.validated({**asked, "pictures": {"folder": str(tmp_path)}}, "test")
    store = compute(chosen, tmp_path / "atlas", Reporter(quiet=True))
    assert [layer.name for layer in store.manifest().layers] == ["conv1", "res2a", "res2b"]
    render_site([store.folder], tmp_path / "site")
    assert "decline" in (store.folder / "channels.csv").read_text().splitlines()[0].split(",")
    alive = int(np.flatnonzero(~store.arrays.layer("res2b")["dead"])[0])
    assert "Decline over the nine" in (tmp_path / f"site/twin/res2b/{alive}.html").read_text("utf-8")
    assert 'id="decline"' in (tmp_path / "site/guide/statistics.html").read_text("utf-8")
