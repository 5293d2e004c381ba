"""The report on the papers' designs compared, from the committed tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from generator.core.records import study_name
from generator.site.chapters.chapter import SharedChapter
from generator.site.chapters.experiment_depth import (
    Degradation,
    Gradients,
    Lesion,
    degradation,
    gradients,
    lesion,
)
from generator.site.chapters.experiment_designs import Cardinality, Comparison, cardinality, order, shortcuts
from generator.site.chapters.experiment_differences import LEVEL, MARGIN, fixed_margin
from generator.site.chapters.experiment_features import ZeroBlocks, refinement, zero_blocks
from generator.site.chapters.experiment_lesions import RealLesions, real_lesions
from generator.site.chapters.experiment_tables import Rows, StudySetting, results
from generator.site.chapters.published import Quotations, quotations
from generator.site.reading.atlas import Atlas
from generator.site.writing import Site

Section = TypeVar("Section")


@dataclass(frozen=True)
class ExperimentsPage:
    """The variables of experiments.html. A section is None where its tables are not committed; settings: by experiment;
    atlases: by table, those of the site that show its networks; files: all that can be downloaded; level: below which a
    corrected p is called clear; margin: percentage points, within which a difference is called none; drawings: half of
    the widest 95 % interval of an accuracy on as many drawings as are held out."""

    settings: Mapping[str, StudySetting]
    level: float
    margin: str
    drawings: float
    quoted: Quotations
    atlases: Mapping[str, Sequence[Atlas]]
    degradation: Degradation
    gradients: Gradients
    lesion: Lesion
    shortcuts: Comparison | None
    order: Comparison | None
    cardinality: Cardinality | None
    refinement: Comparison | None
    zero_blocks: ZeroBlocks | None
    real_lesions: RealLesions | None
    files: Sequence[str]


def experiments_page(atlases: Sequence[Atlas] = ()) -> ExperimentsPage | None:
    """None where nothing was run. atlases: of the site."""
    committed = results()
    if committed is None:
        return None
    tables = committed.tables

    def section(make: Callable[..., Section], *names: str) -> Section | None:
        return make(*(tables[name] for name in names)) if all(name in tables for name in names) else None

    return ExperimentsPage(
        settings=committed.settings,
        level=LEVEL,
        margin=fixed_margin(MARGIN),
        drawings=1.96 * math.sqrt(0.25 / committed.settings["lesion"].held_out),
        quoted=quotations(),
        atlases={name: atlases_of(rows, atlases) for name, rows in tables.items()},
        degradation=degradation(tables["degradation"]),
        gradients=gradients(tables["gradients"]),
        lesion=lesion(tables["lesion"]),
        shortcuts=section(shortcuts, "shortcuts"),
        order=section(order, "order"),
        cardinality=section(cardinality, "cardinality"),
        refinement=section(refinement, "refinement"),
        zero_blocks=section(zero_blocks, "zero_blocks", "zero_features", "zero_branches", "zero_hidden"),
        real_lesions=(wounded := real_lesions()),
        files=[*committed.files, *(() if wounded is None else wounded.files)],
    )


def atlases_of(rows: Rows, atlases: Sequence[Atlas]) -> list[Atlas]:
    """The atlases of a table's networks, in the site's order."""
    kinds = {(row["kind"], row.get("depth")) for row in rows}
    # A table without depths is of networks that have one depth each.
    models = {study_name(kind, int(depth)) for kind, depth in kinds if depth}
    beginnings = {study_name(kind, 0).removesuffix("0") for kind, depth in kinds if not depth}
    return [
        atlas
        for atlas in atlases
        if atlas.manifest.model in models or atlas.manifest.model.rpartition("-")[0] + "-" in beginnings
    ]


def write(site: Site, atlases: Sequence[Atlas]) -> None:
    report = experiments_page(atlases)
    if report is None:
        return
    CHAPTER.write_page(site, report)
    folder = Path(__file__).parents[1] / "data" / "experiments"
    for name in report.files:
        site.copy(folder / name, f"networks/data/{name}")


CHAPTER = SharedChapter(
    name="experiments",
    title="Designs, compared",
    template="experiments.html",
    present=lambda atlases: results() is not None,
    write=write,
)
