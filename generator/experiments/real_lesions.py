"""Lesions of a trained network: one block without its branch, without its shortcut, or blocks in another order
(arXiv:1605.06431, sections 4.1 and 4.3; arXiv:1612.07771, section 5). Nothing is trained.

Measured are the accuracy, and how many of its top-9 pictures a channel of the blocks behind keeps.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from generator.core.errors import AtlasError
from generator.core.files import write_atomically
from generator.core.progress import Reporter
from generator.core.records import TOP, Skipped
from generator.core.store import Store
from generator.experiments.block_lesions import Block, Lesion
from generator.experiments.kept_pictures import GROUPS, kept_pictures
from generator.experiments.lesion_responses import WHOLE, LesionedNetwork, Responses, read_responses
from generator.experiments.rows import csv_of
from generator.network import models
from generator.network.network import Network
from generator.pictures.reading import PictureSet, find_pictures
from generator.stages.ranks import Ranks
from generator.stages.run import Run


class LesionTables(NamedTuple):
    """lesions: one row per lesion, with the accuracy and what channels behind it keep; blocks: one row per block, with
    how many of its top-9 pictures a channel keeps from the block's input to its output; accuracy: how labels and
    outputs were matched, or why there is no accuracy; pictures: that were used; skipped: those that cannot be used."""

    lesions: list[dict[str, Any]]
    blocks: list[dict[str, Any]]
    accuracy: str
    pictures: int
    skipped: list[Skipped]


def write_lesions(
    model: str,
    weights: str | None,
    images: Path,
    limit: int | None,
    out: Path,
    reporter: Reporter | None = None,
    *,
    classes: Path | None = None,
) -> list[Path]:
    """Write the tables of a network and what they were made of into the folder `out`; returns the files. A run that was
    stopped resumes.

    model, weights, classes: as `models.load` takes them; images: a folder of pictures; limit: the largest number of
    them that is used, evenly spaced."""
    reporter = reporter or Reporter()
    network = models.load(model, weights, classes=classes).to("cpu", torch.float32)
    pictures = find_pictures(images, limit=limit)
    name = model.replace("/", "-")
    unfinished = out / f"unfinished-{name}"
    tables = lesion_tables(network, pictures, unfinished, reporter)
    skipped = [*pictures.passed_over, *tables.skipped]
    if skipped:
        first = f"the first {skipped[0].path} ({skipped[0].reason})"
        reporter.note(f"{len(skipped):,} of the folder's files cannot be used, {first}")
    about = {
        "model": network.model,
        "weights": network.weights.source,
        "sha256": network.weights.sha256,
        "pictures": tables.pictures,
        "folder": pictures.source,
        "accuracy": tables.accuracy,
        "groups": GROUPS,
        "skipped": [[file.path, file.reason] for file in skipped],
    }
    contents = {
        f"lesions-{name}.csv": csv_of(tables.lesions),
        f"blocks-{name}.csv": csv_of(tables.blocks),
        f"lesions-{name}.json": (json.dumps(about, indent=1) + "\n").encode(),
    }
    for file, content in contents.items():
        write_atomically(out / file, content)
    shutil.rmtree(unfinished, ignore_errors=True)
    return [out / file for file in contents]


def lesion_tables(
    network: Network, pictures: PictureSet, unfinished: Path, reporter: Reporter
) -> LesionTables:
    """What every lesion changes. Pictures whose class is not known do not count for the accuracy. unfinished: a folder
    that keeps what was measured, so that a stopped run resumes.

    Raises AtlasError for a network without blocks, whose blocks cannot be taken apart or do not follow one another, and
    where fewer than TOP pictures can be used."""
    lesioned = LesionedNetwork.of(network, pictures)
    run = Run(Store(unfinished), torch.device("cpu"), reporter, Ranks())
    batches = read_responses(lesioned, pictures, run)
    skipped = [file for batch in batches for file in batch.skipped]
    count = len(pictures) - len(skipped)
    if count < TOP:
        first = f", the first file {skipped[0].path}: {skipped[0].reason}" if skipped else ""
        raise AtlasError(
            f"{count} usable picture{'' if count == 1 else 's'}{first}",
            pictures.root,
            f"lesions need at least {TOP}",
        )
    blocks, whole, accuracy = lesioned.blocks, Responses(batches, WHOLE), lesioned.accuracy
    if lesioned.labels is not None and not len(whole.correct()):
        accuracy = "no accuracy: no usable picture has a label that names an output"
    name = {"network": network.model}
    return LesionTables(
        lesions=[
            {**name, **_lesion_row(blocks, lesion, whole, Responses(batches, number))}
            for number, lesion in enumerate(lesioned.lesions)
        ],
        blocks=[{**name, **_block_row(blocks, place, whole)} for place in range(len(blocks))],
        accuracy=accuracy,
        pictures=count,
        skipped=skipped,
    )


# -- rows of the tables ------------------------------------------------------------------------------------------------


def _block_row(blocks: Sequence[Block], place: int, whole: Responses) -> dict[str, Any]:
    """What a channel keeps from the block's input to its output; empty cells where the input has other channels."""
    block, scores = blocks[place], whole.scores(place)
    return {
        "stage": block.stage,
        "block": block.path,
        **_kept_cells("", whole.scores(place - 1) if block.movable else None, scores),
        "pictures": len(scores),
    }


def _lesion_row(
    blocks: Sequence[Block], lesion: Lesion, whole: Responses, lesioned: Responses
) -> dict[str, Any]:
    """`here`: the last changed block's own output, `next`: the block behind it, where that is of the same stage,
    `last`: the network's last block. labelled: pictures whose class is known, of which the counts of right ones are;
    these cells are empty where there is no accuracy."""
    end = len(blocks) - 1
    has_next = lesion.last < end and blocks[lesion.last + 1].stage == blocks[lesion.last].stage
    places = {"here": lesion.last, "next": lesion.last + 1 if has_next else None, "last": end}
    row: dict[str, Any] = {
        "way": lesion.way,
        "stage": blocks[lesion.first].stage,
        "block": blocks[lesion.first].path,
        "until": blocks[lesion.last].path,
        "pictures": len(whole.scores(0)),
        **_accuracy_cells(whole.correct(), lesioned.correct()),
    }
    for name, place in places.items():
        pair = (None, None) if place is None else (whole.scores(place), lesioned.scores(place))
        row |= _kept_cells(f"{name}_", *pair)
    return row


def _accuracy_cells(before: np.ndarray, after: np.ndarray) -> dict[str, Any]:
    """Counts of pictures that are classified correctly, from (labelled,) bool each; empty cells where there is no
    accuracy. lost, gained: that are classified correctly before alone, and after alone."""
    if not len(before):
        return dict.fromkeys(("labelled", "right", "right_after", "lost", "gained"), "")
    return {
        "labelled": len(before),
        "right": int(before.sum()),
        "right_after": int(after.sum()),
        "lost": int((before & ~after).sum()),
        "gained": int((~before & after).sum()),
    }


def _kept_cells(prefix: str, scores: np.ndarray | None, others: np.ndarray | None) -> dict[str, Any]:
    """What the channels keep of their top-9 pictures, from (N, C) scores each; empty cells without them."""
    if scores is None or others is None:
        return {f"{prefix}{name}": "" for name in ("kept", "error", "chance")}
    kept = kept_pictures(scores, others)
    return {f"{prefix}kept": kept.mean, f"{prefix}error": kept.error, f"{prefix}chance": kept.chance}
