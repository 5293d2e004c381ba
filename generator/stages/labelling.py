"""Do the pictures' labels name the network's classes? Then its accuracy on them can be said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from generator.network import Network
from generator.pictures import PictureSet

if TYPE_CHECKING:
    from generator.stages.job import Job


def network_labels(network: Network, pictures: PictureSet) -> list[int] | None:
    """For each picture the number of its class among the network's outputs, −1 where unknown; None if the labels are
    of something else.

    By name where every name is a class of the network; else by number where there are as many labels as classes (the
    sorted folders of a training set, ImageNet's synsets in their order).
    """
    if not network.classes:
        return None
    place = {name.casefold(): number for number, name in enumerate(network.classes)}
    names = {file.label.casefold() for file in pictures.files if file.label}
    if names and names <= place.keys():
        return [place.get(file.label.casefold(), -1) if file.label else -1 for file in pictures.files]
    ids = {file.label_id for file in pictures.files} - {-1}
    if ids == set(range(len(network.classes))):
        return [file.label_id for file in pictures.files]
    return None


def accuracy(job: Job) -> float | None:
    """The share of the pictures with a known class whose strongest output is that class; None where none is known."""
    labels, predictions = network_labels(job.network, job.pictures), job.store.predictions()
    if labels is None or predictions is None:
        return None
    truth = np.array(labels)[job.files()]
    known = truth >= 0
    return float((predictions[0][known] == truth[known]).mean()) if known.any() else None
