"""Which sprites and pictures a run still has to make. Where a finished atlas is repaired, that is only what is missing;
stamps under work/ say what is there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from generator.core.records import LayerInfo
from generator.core.store import FOCUS, fingerprint
from generator.stages import keys
from generator.stages.inputs import Inputs
from generator.stages.run import Run
from generator.stages.unit_table import UnitTable

SPRITES = "sprites"  # the stage's stamp
# Lists of pictures that the pages show: by product of a layer's arrays the name of the array.
OF_SCAN = {"top": "top_image", "range": "strip_image"}
OF_EFFECTS = {"effects": "effect_image"}
NONE = np.empty(0, np.int32)


def layer_stamp(stage: str, layer: LayerInfo) -> str:
    """The stamp that says that a stage's outputs for one layer are complete."""
    return f"{stage}-{layer.name}"


def kept_stamp(stage: str) -> str:
    """The stamp that says that all files of a stage that are there are good."""
    return f"{stage}-kept"


def is_kept(inputs: Inputs, run: Run) -> bool:
    """Whether the sprites and pictures that are there are those of this run."""
    return run.store.work.stamp(kept_stamp(SPRITES)) == keys.sprites(inputs)


def missing_pictures(inputs: Inputs, run: Run) -> list[int]:
    """The indices (in images.csv) of the pictures in the lists and strips of all channels whose file is missing: also
    of channels that get no sprite, whose pages show these pictures alone. None where the profile may not publish
    pictures."""
    if "patches" not in inputs.panels:
        return []
    return sorted(_listed(inputs, run, OF_SCAN) - run.store.pictures.pictures())


def missing_of_effects(inputs: Inputs, run: Run) -> tuple[list[int], set[int]]:
    """The same for the pictures to whose class channels contribute most; and the pictures that are in no list."""
    if "patches" not in inputs.panels:
        return [], set()
    effects, written = _listed(inputs, run, OF_EFFECTS), run.store.pictures.pictures()
    return sorted(effects - written), written - effects - _listed(inputs, run, OF_SCAN)


def _listed(inputs: Inputs, run: Run, lists: Mapping[str, str]) -> set[int]:
    """All pictures in the lists of the layers that have them. lists: by product the name of its array."""
    arrays, listed = run.store.arrays, set[int]()
    for layer in inputs.network.layers:
        for product in set(lists).intersection(arrays.products(layer.name)):
            numbers = arrays.layer(layer.name, product).get(lists[product], NONE)
            listed.update(np.unique(numbers[numbers >= 0]).tolist())
    return listed


def wanted_units(inputs: Inputs, run: Run, units: UnitTable) -> np.ndarray:
    """(U,) bool: all units; where sprites are kept, those that a missing sprite or thumbnail needs, and all of a layer
    whose array of focus squares is missing."""
    if not is_kept(inputs, run):
        return np.ones(len(units), bool)
    wanted = np.zeros(len(units), bool)
    for index, layer in enumerate(inputs.network.layers):
        if run.store.work.stamp(layer_stamp(SPRITES, layer)) == keys.sprites(inputs):
            continue
        rows = units.layer == index
        if inputs.is_focused(layer) and not run.store.arrays.layer_path(layer.name, FOCUS).exists():
            wanted |= rows
            continue
        wanted |= rows & _without(run.store.pictures.sprites(layer.name), layer)[units.channel * rows]
        if inputs.pictures_strips(layer):
            wanted |= rows & _without(run.store.pictures.ranges(layer.name), layer)[units.channel * rows]
        if not run.store.pictures.thumbs_path(layer.name).exists():
            wanted |= rows & (units.slot == 0)
    return wanted


def tiles_key(inputs: Inputs, wanted: np.ndarray) -> str:
    """Fingerprint of the tiles to be made: of all units, or of the wanted ones only."""
    if wanted.all():
        return keys.tiles(inputs)
    return fingerprint(keys.tiles(inputs), hashlib.sha256(wanted.tobytes()).hexdigest())


def _without(made: set[int], layer: LayerInfo) -> np.ndarray:
    """(C,) bool: the channels that are not among those whose file is made."""
    return np.array([channel not in made for channel in range(layer.channels)])
