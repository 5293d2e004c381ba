"""Run the quick tests at both ends of the supported range of torch and torchvision, in separate environments.

    python tools/torch_range.py [--folder build/torch-range] [low | high | both]

The first run downloads several GB. `low` is the oldest version that pyproject.toml allows, `high` the newest on PyPI.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = (
    "test_graph.py", "test_receptive_field.py", "test_scan.py", "test_top_units.py", "test_unit_gradients.py",
    "test_models.py", "test_weights.py", "test_pictures.py", "test_known_answer.py", "test_verify.py",
    "test_pipeline.py",
)  # fmt: skip


def ends() -> dict[str, list[str]]:
    """Requirements of torch and torchvision at each end."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    oldest = {name: re.search(rf'"{name}>=([\d.]+)"', text) for name in ("torch", "torchvision")}
    low = [f"{name}=={match[1]}.*" for name, match in oldest.items() if match]
    return {"low": low, "high": ["torch", "torchvision"]}


def check(end: str, folder: Path) -> int:
    """Install into `folder`/`end` and test; returns pytest's exit status."""
    environment = folder / end
    python = environment / "bin" / "python"
    if not python.exists():
        venv.create(environment, with_pip=True)
    install = [str(python), "-m", "pip", "install", "-q"]
    upgrade = ["--upgrade"] if end == "high" else []
    subprocess.run([*install, *upgrade, *ends()[end]], check=True)
    subprocess.run([*install, *ends()[end], "-e", f"{ROOT}[test]"], check=True)
    versions = (
        "import torch, torchvision; print('torch', torch.__version__, 'torchvision', torchvision.__version__)"
    )
    subprocess.run([str(python), "-c", versions], check=True)
    tests = [str(ROOT / "tests" / name) for name in TESTS]
    command = [str(python), "-m", "pytest", "-q", "-m", "not slow and not browser and not long", *tests]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def main() -> int:
    """Test the ends that were asked for; returns the largest exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ends", nargs="?", choices=["low", "high", "both"], default="both")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "torch-range")
    options = parser.parse_args()
    wanted = ["low", "high"] if options.ends == "both" else [options.ends]
    return max(check(end, options.folder) for end in wanted)


if __name__ == "__main__":
    sys.exit(main())
