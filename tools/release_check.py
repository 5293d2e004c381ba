"""Check whether this checkout is ready for a release.

Builds the sdist, and the wheel from it, twice in different folders at different times, and compares them bit for bit.
Checks that version, changelog and citation agree, that the wheel contains the files that the site needs, and that the
list of licences and the lock file of the site's tools are up to date. It runs no tests: `make test-all` does.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NEEDED_IN_WHEEL = (
    "py.typed",
    "stages/profiles/demo.toml",
    "_resources/mkdocs.yml",
    "_resources/templates/channel.html",
)
LOCK = ROOT / "requirements-site.txt"


def main() -> int:
    """Print every fault; returns the exit status."""
    faults = [*_versions(), *_builds(), *_licences(), *_lock()]
    for fault in faults:
        print(f"release-check: {fault}")
    if not faults:
        print("release-check: ready for a release once `make test-all` has passed")
    return len(faults) > 0


def version() -> str:
    """The package's version, '' if generator/__init__.py has none."""
    match = re.search(r'__version__ = "([^"]+)"', (ROOT / "generator" / "__init__.py").read_text("utf-8"))
    return match[1] if match else ""


def _versions() -> list[str]:
    current, faults = version(), []
    if not re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", current):
        faults.append(f"the version {current!r} is not a semantic version")
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    if f"## {current}" not in changes and "## Unreleased" not in changes:
        faults.append(f"CHANGELOG.md has no section for {current}")
    citation = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text("utf-8"), re.M)
    if citation is None or citation[1].strip("\"'") != current:
        faults.append(f"the version in CITATION.cff is not {current}")
    return faults


def _builds() -> list[str]:
    with tempfile.TemporaryDirectory() as work:
        built = [build(Path(work) / name) for name in ("first", "second folder")]
        first, second = ({path.name: _sha256(path) for path in paths} for paths in built)
        faults = [f"{name} differs between two builds" for name in first if first[name] != second.get(name)]
        wheel = next(path for path in built[0] if path.suffix == ".whl")
        with zipfile.ZipFile(wheel) as archive:
            names = set(archive.namelist())
        faults += [f"the wheel lacks {name}" for name in NEEDED_IN_WHEEL if f"generator/{name}" not in names]
        for name, digest in first.items():
            print(f"{digest}  {name}")
    return faults


def build(folder: Path) -> list[Path]:
    """Build sdist and wheel from a copy of the tracked files in `folder`; returns their paths."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    for name in filter(None, tracked.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)  # copies neither times nor owners
    command = [sys.executable, "-m", "build", "--outdir", str(folder / "dist"), str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    return sorted((folder / "dist").iterdir())


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _licences() -> list[str]:
    done = subprocess.run([sys.executable, str(ROOT / "tools" / "licences.py"), "--check"], check=False)
    return ["docs/LICENCES.md is out of date: python tools/licences.py"] if done.returncode else []


def _lock() -> list[str]:
    """Faults of the lock file, which must satisfy pyproject.toml's requirements of the site's tools."""
    from packaging.requirements import Requirement

    locked = (
        dict(re.findall(r"^([A-Za-z0-9_.-]+)==([^ \\\n]+)", LOCK.read_text("utf-8"), re.M))
        if LOCK.is_file()
        else {}
    )
    faults = []
    for line in (ROOT / "requirements-site.in").read_text("utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        requirement = Requirement(line.partition("#")[0])
        if requirement.name not in locked:
            faults.append(f"requirements-site.txt lacks {requirement.name}")
        elif locked[requirement.name] not in requirement.specifier:
            faults.append(f"requirements-site.txt has {requirement.name} {locked[requirement.name]}")
        if f'"{line.partition("#")[0].strip()}"' not in (ROOT / "pyproject.toml").read_text("utf-8"):
            faults.append(f"pyproject.toml does not require {line}, but requirements-site.in does")
    return faults


if __name__ == "__main__":
    sys.exit(main())
