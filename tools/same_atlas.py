"""Does a change of the code leave every number and picture of an atlas as it was? Compute before and after; compare.

    python tools/same_atlas.py compute before/          # with the code as it is: the demo and, where its weights lie
    python tools/same_atlas.py compute after/           # in ../shared/data, the Caffe network; again after the change
    python tools/same_atlas.py compare before/ after/

Pictures, tables and JSON files must be equal byte for byte; dates, versions, fingerprints and checksums are left out.
Arrays are compared by layer and name, wherever they are stored, so that a change of the store's files alone passes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
DEMO = ("demo", "--limit", "200", "--channels", "8")
CAFFE = (
    "resnet50-caffe", "--weights", str(DATA / "resnet50-caffe" / "resnet50-caffe-to-res4f.safetensors"),
    "--images", str(DATA / "imagenet-sample"), "--limit", "100", "--channels", "4",
)  # fmt: skip
# What says when and with what an atlas was made, and what its fingerprints are: no number and no picture.
PASSING = {"date", "versions", "sha256", "profile", "schema", "extra"}
UNCOMPARED = {
    "keys.json",
    "SHA256SUMS",
    ".inputs.json",
}  # fingerprints, and where the inputs lay on the machine
ARRAYS = {".npz", ".npy"}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    computing = commands.add_parser("compute")
    computing.add_argument("out", type=Path)
    comparing = commands.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    options = parser.parse_args()
    if options.command == "compute":
        return compute(options.out)
    differences = [
        f"{atlas.name}: {difference}"
        for atlas in sorted(path for path in options.before.iterdir() if (path / "manifest.json").is_file())
        for difference in compare(atlas, options.after / atlas.name)
    ]
    print("\n".join(differences) or "no number and no picture differs")
    return len(differences) > 0


def compute(out: Path) -> int:
    """Compute the atlases with this checkout's code."""
    for job in (DEMO, CAFFE):
        weights = Path(job[2])
        if job is CAFFE and not weights.is_file():
            print(f"left out: {job[0]}, its weights are not in {weights.parent}")
            continue
        command = [sys.executable, "-m", "generator", "compute", *job, "--out", str(out / job[0])]
        if (status := subprocess.run(command, cwd=ROOT, check=False).returncode) != 0:
            return status
    return 0


def compare(before: Path, after: Path) -> Iterator[str]:
    """What differs between two atlas folders, one line per file or array."""
    old, new = _files(before), _files(after)
    for name in sorted(old.keys() ^ new.keys()):
        yield f"{name} is only in {(before if name in old else after).parent}"
    for name in sorted(old.keys() & new.keys()):
        if _content(old[name]) != _content(new[name]):
            yield f"{name} differs"
    first, second = _arrays(before), _arrays(after)
    for name in sorted(first.keys() ^ second.keys()):
        yield f"array {name} is only in {(before if name in first else after).parent}"
    for name in sorted(first.keys() & second.keys()):
        one, other = first[name], second[name]
        if one.dtype != other.dtype or not np.array_equal(one, other, equal_nan=one.dtype.kind in "fc"):
            yield f"array {name} differs"


def _files(atlas: Path) -> dict[str, Path]:
    """Every file that is compared and holds no arrays, by its path inside the atlas."""
    return {
        str(path.relative_to(atlas)): path
        for path in atlas.rglob("*")
        if path.is_file() and path.suffix not in ARRAYS and path.name not in UNCOMPARED
    }


def _content(path: Path) -> Any:
    return path.read_bytes() if path.suffix != ".json" else _lasting(json.loads(path.read_text("utf-8")))


def _lasting(data: Any) -> Any:
    """JSON data without what passes from run to run."""
    if isinstance(data, dict):
        return {key: _lasting(value) for key, value in data.items() if key not in PASSING}
    return [_lasting(value) for value in data] if isinstance(data, list) else data


def _owner(parts: tuple[str, ...]) -> str:
    """What an array file belongs to: of a layer's numbers, wherever they lie, the layer."""
    if parts[0] in (
        "layers",
        "optimised",
    ):  # schema 1 kept the optimised pictures' values in optimised/<layer>.npz too
        return f"layers/{parts[1]}"
    return "/".join(parts)


def _arrays(atlas: Path) -> dict[str, np.ndarray]:
    """Every array by layer and name: `layers/res2a.npz` and `layers/res2a/top.npz` give the same names."""
    arrays: dict[str, np.ndarray] = {}
    for path in atlas.rglob("*"):
        if path.suffix == ".npy":
            arrays[str(path.relative_to(atlas))] = np.load(path)
        elif path.suffix == ".npz":
            parts = path.relative_to(atlas).with_suffix("").parts
            owner = _owner(parts)
            with np.load(path) as content:
                arrays |= {f"{owner}: {name}": content[name] for name in content.files}
    return arrays


if __name__ == "__main__":
    sys.exit(main())
