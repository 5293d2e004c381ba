"""Mending a finished atlas: damaged files go, and only what is missing is made anew."""

from __future__ import annotations

import hashlib

import numpy as np

from generator.core.checksums import Faults
from generator.core.records import LayerInfo
from generator.core.store import fingerprint
from generator.stages import keys
from generator.stages.inputs import Inputs
from generator.stages.run import Run
from generator.stages.unit_table import UnitTable

# Which stage makes a file, by the first part of its path, and of a layer's arrays by the file's name; TABLES are
# written in every run. A damaged file that stands in neither has everything made anew.
TABLES = (
    "manifest.json", "keys.json", "channels.csv", "architecture.json", "kernels", "first_layers", "relations.json",
    "classes.csv", "matches", "layers/connections.npz", "layers/classes.npz", "layers/refinement.npz",
)  # fmt: skip
MADE_BY = {
    "layers/top.npz": "scan",
    "layers/statistics.npz": "scan",
    "layers/stream.npz": "stream",
    "layers/scale.npz": "scale truth",
    "layers/stream_optimised.npz": "optimised stream",
    "layers/optimised.npz": "ascent",
    "scores": "scan",
    "images.csv": "scan",
    "scan.json": "scan",
    "stream.json": "stream",
    "scale_truth.json": "scale truth",
    "stream_optimised.json": "optimised stream",
    "sprites": "sprites",
    "thumbs": "sprites",
    "pictures": "sprites",
    "optimised": "ascent",
    "deepdream": "dreams",
    "rules": "gradient rules",
    "rules.json": "gradient rules",
    "embedding": "embedding",
    "predictions.npz": "predictions",
}


def damaged_stages(faults: Faults) -> set[str]:
    """The stages of which some file is damaged or missing; 'everything' where nobody knows which."""
    kinds = {_kind(name) for name in _to_mend(faults)}
    return {MADE_BY.get(kind, "everything") for kind in kinds if kind not in TABLES}


def _kind(name: str) -> str:
    """What a file of the atlas stands under in TABLES or MADE_BY."""
    first, *rest = name.split("/")
    return f"layers/{rest[-1]}" if first == "layers" and rest else first


def take_over(inputs: Inputs, run: Run, stages: set[str], faults: Faults | None) -> None:
    """Stamp what a finished atlas has of these stages (made from the same inputs), less what is damaged: that is
    removed, and the stamp `kept` says that the sprites and pictures still there are good."""
    store = run.store
    mend = [] if faults is None else _to_mend(faults)
    damaged = set() if faults is None else damaged_stages(faults)
    for name in mend:
        store.drop_file(name)
    if "everything" in damaged:
        return
    whole = stages - damaged
    for stage, stamp, key in (
        ("scan", "scan", keys.scan(inputs)),
        ("stream", "stream", keys.stream(inputs)),
        ("scale truth", "scale-truth", keys.scale_truth(inputs)),
        ("optimised stream", "optimised-stream", keys.optimised_stream(inputs)),
        ("gradient rules", "rules", keys.gradient_rules(inputs)),
    ):
        if stage in whole:
            store.work.write_stamp(stamp, key)
    hurt_map = [name for name in mend if name.startswith("embedding/")]
    if "features" in stages and keys.features(inputs) and "embedding/features.npy" not in hurt_map:
        store.work.write_stamp("features", keys.features(inputs))
    if "predictions" in stages and keys.predictions(inputs) and "predictions" not in damaged:
        store.work.write_stamp("predictions", keys.predictions(inputs))
    if "embedding" in stages and keys.embedding(inputs) and not set(hurt_map) - {"embedding/features.npy"}:
        store.work.write_stamp("embedding", keys.embedding(inputs))
    if "ascent" in stages and keys.optimised_pictures(inputs):
        again = {
            name.split("/")[1].removesuffix(".webp")
            for name in mend
            if name.startswith("optimised/") or _kind(name) == "layers/optimised.npz"
        }
        for layer in inputs.optimised_layers:
            if layer.name not in again:
                store.work.write_stamp(f"ascent-{layer.name}", keys.optimised_pictures(inputs))
    if "sprites" not in stages:
        return
    store.work.write_stamp("kept", keys.sprites(inputs))
    hurt = {
        name.split("/")[1].removesuffix(".webp") for name in mend if name.startswith(("sprites/", "thumbs/"))
    }
    for layer in inputs.network.layers:
        if layer.name not in hurt:
            store.work.write_stamp(f"sprites-{layer.name}", keys.sprites(inputs))


def _to_mend(faults: Faults) -> list[str]:
    """Damaged files, and files of the atlas that its list does not know (the list itself may be what was damaged)."""
    return sorted({*faults.damaged, *(name for name in faults.unlisted if _kind(name) in MADE_BY)})


# -- what is missing -------------------------------------------------------------------------------------------------


def is_kept(inputs: Inputs, run: Run) -> bool:
    """Whether the sprites and pictures that are there belong to just this job."""
    return run.store.work.stamp("kept") == keys.sprites(inputs)


def missing_pictures(inputs: Inputs, run: Run, units: UnitTable) -> list[int]:
    """Where pictures are kept, the indices (in images.csv) of the units' pictures whose file is missing."""
    if not is_kept(inputs, run) or "patches" not in inputs.panels:
        return []
    return [
        int(index)
        for index in np.unique(units.picture)
        if not run.store.pictures.picture_path(index).exists()
    ]


def wanted_units(inputs: Inputs, run: Run, units: UnitTable) -> np.ndarray:
    """(U,) bool: all units; where sprites are kept, those that a sprite or thumbnail still to be made needs."""
    if not is_kept(inputs, run):
        return np.ones(len(units), bool)
    wanted = np.zeros(len(units), bool)
    for index, layer in enumerate(inputs.network.layers):
        if run.store.work.stamp(f"sprites-{layer.name}") == keys.sprites(inputs):
            continue
        rows = units.layer == index
        wanted |= rows & _without_sprite(run, layer)[units.channel * rows]
        if not run.store.pictures.thumbs_path(layer.name).exists():
            wanted |= rows & (units.slot == 0)
    return wanted


def _without_sprite(run: Run, layer: LayerInfo) -> np.ndarray:
    """(C,) bool"""
    made = run.store.pictures.sprites(layer.name)
    return np.array([channel not in made for channel in range(layer.channels)])


def tiles_of(inputs: Inputs, wanted: np.ndarray) -> str:
    """Fingerprint of the tiles to be made: of all units, or of the wanted ones alone."""
    if wanted.all():
        return keys.tiles(inputs)
    return fingerprint(keys.tiles(inputs), hashlib.sha256(wanted.tobytes()).hexdigest())
