"""The guide's examples in Python, saved as a file, run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from generator.core.store import Store

ROOT = Path(__file__).resolve().parent.parent


def _example() -> str:
    (block,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "site_src/guide/python.md").read_text("utf-8"), re.DOTALL
    )
    assert "__main__" not in block
    return block


@pytest.mark.slow
def test_the_example_runs_and_once(tmp_path):
    """With layers of fewer channels, which have fewer pages."""
    block = _example()
    for old, new in (
        ('["res5a", "res5b", "res5c"]', '["conv1"]'),
        ('layer("res5a")', 'layer("conv1")'),
        ("1660", "60"),
    ):
        assert block.count(old) == 1
        block = block.replace(old, new)
    _run(block, tmp_path)
    assert (tmp_path / "site" / "resnet50" / "conv1" / "60.html").is_file()


@pytest.mark.long
def test_the_example_runs_as_it_stands(tmp_path):
    _run(_example(), tmp_path)
    assert (tmp_path / "site" / "resnet50" / "res5a" / "1660.html").is_file()


@pytest.mark.slow
def test_the_example_of_a_module_runs_as_it_stands(tmp_path):
    text = (ROOT / "site_src/guide/networks.md").read_text("utf-8")
    (block,) = (
        found for found in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "load_network" in found
    )
    _run(block, tmp_path, atlas="mine")
    assert (tmp_path / "site" / "mine" / "res2a" / "3.html").is_file()


def _run(block: str, tmp_path: Path, atlas: str = "resnet50") -> None:
    (tmp_path / "example.py").write_text("print('begun', flush=True)\n" + block)
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(34):  # more than are read at a time, so that processes decode them
        rough = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
        rough.resize((250, 240)).save(tmp_path / "photos" / f"{number}.jpg")
    # Where torch keeps its downloads: random numbers in place of a hundred megabytes from the net.
    weights = torchvision.models.ResNet50_Weights.DEFAULT.url.rpartition("/")[2]
    cache = tmp_path / "torch" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(torchvision.models.resnet50().state_dict(), cache / weights)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TORCH_HOME": str(tmp_path / "torch")}
    done = subprocess.run(
        [sys.executable, "example.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "begun\n" and "Traceback" not in done.stderr
    assert Store(tmp_path / "build" / atlas).manifest().pictures.count == 34


WAYS = ["file", "stdin", *(pytest.param(way, marks=pytest.mark.long) for way in ("command", "thread"))]


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_a_computation_that_is_called_without_a_guard_begins_once(way, tmp_path):
    """Two workers, and a top level that leaves a trace."""
    script = f"""
open({str(tmp_path / "trace")!r}, "a").write("begun\\n")
from pathlib import Path
from generator.stages import profile
from generator.stages.pipeline import compute
chosen = profile.load("resnet20-cifar").changed(
    network={{"weights": "random"}},
    pictures={{"folder": {str(tmp_path / "photos")!r}}},
    layers={{"which": ["res2a", "res2b"], "channels": 3}},
    compute={{"workers": 2}},
)
compute(chosen, Path({str(tmp_path / "atlas")!r}))
"""
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(70):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(
            tmp_path / "photos" / f"{number}.png"
        )
    if way == "thread":
        start = f"thread = threading.Thread(target=exec, args=({script!r}, {{}}))"
        script = f"import threading\n{start}\nthread.start()\nthread.join()"
    (tmp_path / "script.py").write_text(script)
    command = {"stdin": ["-"], "command": ["-c", script]}.get(way, ["script.py"])
    done = subprocess.run(
        [sys.executable, *command],
        input=script if way == "stdin" else None,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert (tmp_path / "trace").read_text() == "begun\n"
    assert Store(tmp_path / "atlas").manifest().pictures.count == 70
