"""Check that a change of the code leaves all numbers and pictures of an atlas unchanged: compute before and after.

    python tools/same_atlas.py compute before/          # before the change
    python tools/same_atlas.py compute after/           # after the change
    python tools/same_atlas.py compare before/ after/

The atlases are the demo's and, if its weights are in ../shared/data, that of the Caffe network. Pictures, tables and
JSON files must be equal byte for byte, except dates, versions, fingerprints and checksums. Arrays are compared by layer
and name, wherever they are stored, so that the files of the store may change.
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
# Keys of JSON files that say when and with which code an atlas was made. They are neither numbers nor pictures.
VARYING_KEYS = {"date", "versions", "sha256", "profile", "schema", "extra"}
# Fingerprints, and where the inputs lay on the machine.
UNCOMPARED = {"keys.json", "SHA256SUMS", ".inputs.json"}
ARRAY_SUFFIXES = {".npz", ".npy"}


def main() -> int:
    """Run one of the commands; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    computing = commands.add_parser("compute", help="compute the atlases with this checkout")
    computing.add_argument("out", type=Path)
    comparing = commands.add_parser("compare", help="list the differences between two such folders")
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
    print("\n".join(differences) or "all numbers and pictures are equal")
    return len(differences) > 0


def compute(out: Path) -> int:
    """Compute the atlases with this checkout's code; returns the exit status of the first that fails, else 0."""
    for job in (DEMO, CAFFE):
        weights = Path(job[2])
        if job is CAFFE and not weights.is_file():
            print(f"skipped: {job[0]}, its weights are not in {weights.parent}")
            continue
        command = [sys.executable, "-m", "generator", "compute", *job, "--out", str(out / job[0])]
        if (status := subprocess.run(command, cwd=ROOT, check=False).returncode) != 0:
            return status
    return 0


def compare(before: Path, after: Path) -> Iterator[str]:
    """The differences between two atlas folders, one line per file or array."""
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
        earlier, later = first[name], second[name]
        if earlier.dtype != later.dtype or not np.array_equal(
            earlier, later, equal_nan=earlier.dtype.kind in "fc"
        ):
            yield f"array {name} differs"


def _files(atlas: Path) -> dict[str, Path]:
    """The compared files other than arrays, by their path inside the atlas."""
    return {
        str(path.relative_to(atlas)): path
        for path in atlas.rglob("*")
        if path.is_file() and path.suffix not in ARRAY_SUFFIXES and path.name not in UNCOMPARED
    }


def _content(path: Path) -> Any:
    return path.read_bytes() if path.suffix != ".json" else _lasting(json.loads(path.read_text("utf-8")))


def _lasting(data: Any) -> Any:
    """JSON data without the keys that vary from run to run."""
    if isinstance(data, dict):
        return {key: _lasting(value) for key, value in data.items() if key not in VARYING_KEYS}
    return [_lasting(value) for value in data] if isinstance(data, list) else data


def _owner(parts: tuple[str, ...]) -> str:
    """The prefix of the names of a file's arrays: its layer, wherever the file lies, or its path."""
    if parts[0] in (
        "layers",
        "optimised",
    ):  # schema 1 kept the optimised pictures' values in optimised/<layer>.npz too
        return f"layers/{parts[1]}"
    return "/".join(parts)


def _arrays(atlas: Path) -> dict[str, np.ndarray]:
    """All arrays by layer and name. `layers/res2a.npz` and `layers/res2a/top.npz` give the same names."""
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
