"""The labels in images.csv."""

from __future__ import annotations

from dataclasses import replace

from generator.stages.inputs import Inputs
from generator.stages.picture_reading import usable_files
from generator.stages.run import Run


def label_pictures(inputs: Inputs, run: Run) -> None:
    """Give images.csv the labels of this run: the scan that wrote it may be an earlier one, of the same pictures under
    other labels."""
    records = run.store.tables.images()
    files = [inputs.pictures.files[index] for index in usable_files(inputs, run)]
    labelled = [
        replace(record, label_id=file.label_id, label=file.label)
        for record, file in zip(records, files, strict=True)
    ]
    if labelled != records:
        run.store.tables.write_images(labelled)
