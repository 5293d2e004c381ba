"""The wheel works outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
def test_the_installed_wheel_makes_a_site_outside_the_checkout(tmp_path):
    """Build the wheel, install it alone into a fresh environment that borrows the other packages, make a small site."""
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "-w", str(tmp_path), str(ROOT)], check=True, capture_output=True
    )
    (wheel,) = tmp_path.glob("residual_atlas-*.whl")
    venv.create(tmp_path / "env", with_pip=False)
    (site_packages,) = (tmp_path / "env").glob("lib/python*/site-packages")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site_packages), str(wheel)], check=True)
    # A line in a .pth file borrows a folder without running the .pth files inside it, such as an editable install's.
    (site_packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [
            tmp_path / "env" / "bin" / "python",
            "-m",
            "generator",
            "site",
            "demo",
            "--limit",
            "20",
            "--channels",
            "2",
            "--layers",
            "res5c",
        ],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "site" / "index.html").is_file()
    assert (tmp_path / "site" / "demo" / "res5c" / "0.html").is_file()
