"""docs/LICENCES.md: every package that an installation brings, with its licence.

python tools/licences.py            # writes the file from what is installed here
python tools/licences.py --check    # fails where something installed here is missing in it, or has another licence
"""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

FILE = Path(__file__).resolve().parent.parent / "docs" / "LICENCES.md"
HEAD = """# Licences of the dependencies

Written by `tools/licences.py` from the packages' own metadata; `make release-check` fails where it is out of date. What
`pip install .` brings, directly or not; the packages named nvidia-…, cuda-… and triton come with torch's
CUDA builds.

| package | licence |
|---|---|
"""


def installed() -> dict[str, str]:
    """Package → licence of all that Residual Atlas needs, directly or not, and that is installed here."""
    found: dict[str, str] = {}
    waiting = [Requirement(text) for text in metadata.requires("residual-atlas") or ()]
    while waiting:
        requirement = waiting.pop()
        name = _plain(requirement.name)
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        try:
            package = metadata.distribution(requirement.name)
        except metadata.PackageNotFoundError:
            continue  # of another platform
        found[name] = licence(package.metadata)
        waiting += [Requirement(text) for text in package.requires or ()]
    return found


def licence(about: metadata.PackageMetadata) -> str:
    """An SPDX expression where the package gives one, else its classifier, else what it says."""
    if expression := about.get("License-Expression"):
        return expression
    classifiers = [line for line in about.get_all("Classifier") or () if line.startswith("License :: ")]
    named = [line.split(" :: ")[-1] for line in classifiers if line != "License :: OSI Approved"]
    if named:
        return ", ".join(sorted(named))
    said = (about.get("License") or "").strip().splitlines()
    return said[0][:60] if said else "not stated"


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def written() -> dict[str, str]:
    """What the file says."""
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", FILE.read_text("utf-8"), re.M) if FILE.is_file() else []
    return {name: text for name, text in rows if name != "package"}


def main() -> int:
    here = installed()
    if "--check" in sys.argv:
        stale = sorted(name for name, text in here.items() if written().get(name) != text)
        for name in stale:
            print(f"{name}: {here[name]} here, {written().get(name, 'missing')} in {FILE}")
        return len(stale) > 0
    rows = {**written(), **here}  # packages of other platforms stay
    FILE.write_text(HEAD + "".join(f"| {name} | {rows[name]} |\n" for name in sorted(rows)), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
