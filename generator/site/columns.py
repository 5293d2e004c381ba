"""The dictionary of columns: what every column of every published table means, made from the measures and from the
tables of the guide's page Data, so that there is one text for each."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from generator.site.csv_tables import csv_text
from generator.site.reading.measure import Measure
from generator.site.reading.measures import ACTIVATION, BY_KEY
from generator.site.templates import resources
from generator.site.writing import Site

FILE = "columns.csv"
COLUMNS = ("table", "column", "name", "unit", "range", "meaning", "definition", "follows_from")
UNITS = {
    **dict.fromkeys(("top_value", "value", "shortcut", "branch"), ACTIVATION),
    **dict.fromkeys(("width", "height"), "px"),
}
# What a column that belongs to a statistic says of it besides its value: it has the statistic's unit.
PARTS = ("_error", "_low", "_high", "_random", "_optimised", "_chosen", "_half", "_other_half")
SHARED = "networks/data"  # the tables of the experiments
CHANNELS = "data/channels.csv"
# What is needed to compute a column of channels.csv again, with patterns of the columns' names: the first that fits
# counts. The guide's page Data explains each.
FOLLOWS_FROM: Mapping[str, Sequence[str]] = {
    "final features": ("machine_score", "visual_agreement*"),
    "weights": ("norm_weight", "norm_scale", "convolution_weight"),
    "other pictures": (
        "*_optimised", "ascent_*", "scale_sum", "scale_block*", "scale_input*", "scale_invariant", "scale_truth*",
        "scale_gain", "zoom_*",
    ),
    "activation maps": (
        "mean", "std", "active_positions", "active_share*", "active_shortcut*", "active_branch*", "mix_*", "block_*",
    ),
    "halvings": (
        "identity_*", "change_*", "*_half_*", "overlap5_error_*", "shortcut_share_error", "spearman_error_stage",
    ),
    "downloads": (
        "layer", "channel", "top_*", "dead", "max", "active_pictures", "label_*", "class_*", "group_*", "best_*",
        "agreement_*", "level_90", "shared_previous", "spearman_*", "pearson_previous", "places_*", "kept_*",
        "before_*", "after_*", "gain_*", "overlap*", "shortcut_share",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """name: of a statistic, '' for another column; unit, range: '' for none; definition: address below the site's
    folder; follows_from: what is needed to compute it again, '' where the table says nothing of it."""

    name: str
    unit: str
    range: str
    meaning: str
    definition: str
    follows_from: str = ""


def write_dictionary(site: Site, folder: str) -> None:
    """Write columns.csv into the folder: a row for every column of every table below the folder's parent."""
    parent = folder.rpartition("/")[0]
    rows: list[Sequence[object]] = []
    known = set()
    for address in sorted(site.addresses):
        table = _table(address.removeprefix(f"{parent}/"))
        if not address.startswith(f"{parent}/") or not address.endswith(".csv") or table in known:
            continue
        known.add(table)
        for name in _header(site, address):
            column = column_of(table, name, shared=folder == SHARED)
            rows.append((table, name, *(vars(column).values() if column else [""] * 6)))
    own = f"{folder}/{FILE}".removeprefix(f"{parent}/")
    for name in COLUMNS:
        column = column_of(FILE, name, shared=False)
        rows.append((own, name, *(vars(column).values() if column else [""] * 6)))
    site.write(f"{folder}/{FILE}", csv_text(COLUMNS, rows))


def _table(address: str) -> str:
    """The table's name in the dictionary: those of pairs of layers have one."""
    return re.sub(r"^.*/from-[^/]*$", "from-*.csv", address)


def _header(site: Site, address: str) -> list[str]:
    with (site.out / address).open(encoding="utf-8", errors="surrogateescape") as file:
        return file.readline().strip().split(",")


def column_of(table: str, name: str, *, shared: bool) -> Column | None:
    """A column of a table; None where nothing says what it is. shared: whether it is a table of the experiments."""
    source = follows_from(name) if table == CHANNELS else ""
    if not shared and (measure := BY_KEY.get(name)) is not None:
        address = f"guide/statistics.html#{name}"
        return Column(
            measure.name, _unit(measure), measure.range, _plain(measure.definition), address, source
        )
    heading = f"{SHARED}/" if shared else table.rpartition("/")[2]
    own = _guide_tables().get(heading, {}).get(name)
    if own is None:
        return None
    meaning, definition = own
    base = None if shared else _statistic(name)
    return Column("", UNITS.get(name, "" if base is None else _unit(base)), "", meaning, definition, source)


def follows_from(name: str) -> str:
    """What is needed to compute a column of channels.csv again: a key of FOLLOWS_FROM, '' where none is known.

    >>> follows_from("label_agreement"), follows_from("active_positions"), follows_from("gain_half_stage")
    ('downloads', 'activation maps', 'halvings')
    """
    return next(
        (
            source
            for source, patterns in FOLLOWS_FROM.items()
            if any(fnmatchcase(name, pattern) for pattern in patterns)
        ),
        "",
    )


def _unit(measure: Measure) -> str:
    """Of the number in the table: pages write a share as a percentage."""
    return re.sub("^% ", "share ", measure.unit) if measure.unit != measure.range else ""


def _statistic(name: str) -> Measure | None:
    """The statistic that a column belongs to: of `gain_error_stage` label gain."""
    for ending in ("_stage", "_previous", ""):
        base = name.removesuffix(ending) if ending else name
        for part in (*PARTS, ""):
            for key in (base.removesuffix(part), f"{base.removesuffix(part)}_previous"):
                if key != name and key in BY_KEY:
                    return BY_KEY[key]
    return None


@functools.cache
def _guide_tables() -> Mapping[str, Mapping[str, tuple[str, str]]]:
    """By heading of the guide's page Data, by column what it means and the address of more."""
    text = (resources() / "site_src" / "guide" / "data.md").read_text("utf-8")
    tables = {}
    for section in re.split(r"^## ", text, flags=re.M)[1:]:
        head, _, body = section.partition("\n")
        title, own = re.sub(r"\s*\{.*\}\s*$", "", head).strip(), re.search(r"\{ #(\S+) \}", head)
        anchor = own[1] if own else re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower())
        found = {}
        for names, meaning in re.findall(r"^\| (`.*?) \| (.*) \|$", body, re.M):
            link = re.search(r"\]\((\w+)\.md(#[\w-]+)?\)", meaning)
            more = f"guide/{link[1]}.html{link[2] or ''}" if link else f"guide/data.html#{anchor}"
            columns = re.findall(r"`([^`]+)`", names)
            several = f"{', '.join(columns)}: " if len(columns) > 1 else ""
            found.update(dict.fromkeys(columns, (several + _plain(meaning), more)))
        tables[title] = found
    return tables


def _plain(markdown: str) -> str:
    """
    >>> _plain("the [score](method.md#score) of `a`, *not* b")
    'the score of a, not b'
    """
    return re.sub(r"[`*]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown))
