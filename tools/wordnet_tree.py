"""Write generator/core/hierarchies/imagenet.csv: WordNet 3.0's nouns above ImageNet's classes, as child, parent, name.

    apt-get download wordnet-base && dpkg-deb -x wordnet-base*.deb wn
    python tools/wordnet_tree.py wn/usr/share/wordnet/data.noun PICTURES generator/core/hierarchies

Of several hypernyms the first is used. Nouns with a single child are left out, because they separate no classes.
"""

from __future__ import annotations

import csv
import re
import sys
from collections import Counter
from pathlib import Path


def nouns(path: Path) -> dict[str, tuple[str, list[str]]]:
    """WordNet number (n and the offset) → the first word and the hypernyms' numbers, from a data.noun file."""
    nouns_by_number = {}
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("  "):  # the licence
            continue
        fields = line.split(" | ")[0].split()
        words = int(fields[3], 16)
        pointers = fields[
            5 + 2 * words :
        ]  # four fields per pointer: symbol, offset, part of speech, source and target
        above = [
            "n" + pointers[at + 1]
            for at in range(0, len(pointers) - 3, 4)
            if pointers[at] in ("@", "@i") and pointers[at + 2] == "n"
        ]
        nouns_by_number["n" + fields[0]] = (fields[4].replace("_", " "), above)
    return nouns_by_number


def main(noun_file: Path, named_by_wnid: Path, out: Path) -> None:
    """Write the table into `out`. named_by_wnid: a folder whose files or folders begin with the classes' numbers."""
    known = nouns(noun_file)
    names = (path.name for path in named_by_wnid.iterdir())
    classes = sorted({name[:9] for name in names if re.match(r"n\d{8}", name)})
    parent = {}
    for number in classes:
        while known[number][1] and number not in parent:
            parent[number] = known[number][1][0]
            number = parent[number]
    children = Counter(parent.values())

    def kept_parent(number: str) -> str:
        number = parent.get(number, "")
        while number and children[number] == 1 and number in parent:
            number = parent[number]
        return number

    kept = {*classes, *(number for number in (*parent, *parent.values()) if children[number] > 1)}
    with (out / "imagenet.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["child", "parent", "name"])
        table.writerows([number, kept_parent(number), known[number][0]] for number in sorted(kept))


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:4]))
