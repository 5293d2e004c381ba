"""Which final features say how alike pictures look: another network's, where the profile names its atlas, else this
network's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from generator.core.errors import AtlasError
from generator.core.store import Store
from generator.methods.visual import Looks
from generator.stages.inputs import Inputs
from generator.stages.network_outputs import mapped
from generator.stages.picture_reading import usable_files
from generator.stages.run import Run


@dataclass(frozen=True)
class VisualFeatures:
    """network: the title of the other network whose features these are, '' for the atlas's own."""

    looks: Looks
    network: str

    @property
    def own(self) -> bool:
        """Whether the features are those of the atlas's own network."""
        return not self.network


def visual_features(inputs: Inputs, run: Run) -> VisualFeatures | None:
    """None where there are no features, or where the pictures do not differ in them."""
    count = len(usable_files(inputs, run))
    given = inputs.profile.pictures.visual_features
    if given is not None:
        scan = run.store.tables.read_json("scan.json") or {}
        return other_features(given, scan.get("pictures_sha256", ""), count)
    if not run.store.arrays.has_features():
        return None
    numbers = np.flatnonzero(mapped(inputs)[usable_files(inputs, run)] >= 0)
    looks = Looks.of(run.store.arrays.features()[:], numbers, count)
    return None if looks is None else VisualFeatures(looks, "")


def other_features(folder: str, pictures_sha256: str, count: int) -> VisualFeatures | None:
    """The features of the atlas in this folder; raises AtlasError where it is of other pictures, or has none."""
    store = Store(folder)
    manifest = store.manifest()
    if manifest.pictures.sha256 != pictures_sha256:
        raise AtlasError(
            "the atlas that visual_features names is of other pictures",
            folder,
            "name one of the same pictures, or leave visual_features out",
        )
    if not store.arrays.has_embedding() or not store.arrays.has_features():
        raise AtlasError(
            "the atlas that visual_features names has no final features",
            folder,
            "compute it with a map of the pictures ([embedding] enabled = true), or leave visual_features out",
        )
    looks = Looks.of(store.arrays.features()[:], store.arrays.embedding()["picture"], count)
    return None if looks is None else VisualFeatures(looks, manifest.title)
