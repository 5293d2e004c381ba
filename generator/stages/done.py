"""Which part of the work is done already, for the announcement and the time estimate: by a run that was interrupted, or
by an earlier one whose atlas can partly be kept. Reads the folder and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from generator.core.errors import AtlasError
from generator.core.records import LayerInfo
from generator.core.store import FOCUS
from generator.engine.gradients.crop_cost import ForwardCosts
from generator.stages import keys, stream_readings, table
from generator.stages.checkpointed_pass import PIECES
from generator.stages.inputs import Inputs
from generator.stages.repair import EVERYTHING, Earlier
from generator.stages.run import Run
from generator.stages.unfinished import layer_stamp, tiles_key, wanted_units
from generator.stages.unit_table import UnitTable, group_size, groups_of, unit_table

# Some pictures are among the strongest of far more channels than others are: with numbers drawn between 0 and 1 and
# raised to this power about as many different pictures are hit as were measured (82 of 100, 1,091 of 2,000).
CROWDED = 4
# Stages that the announcement names, by the words it has for them.
IN_WORDS = {"scan": "scan", "embedding": "map of the pictures", "stream": "residual stream"}


@dataclass(frozen=True)
class Done:
    """What of a run's work need not be done again. earlier: the state of the folder, from `repair.examine`."""

    inputs: Inputs
    run: Run
    earlier: Earlier

    def has(self, name: str) -> bool:
        """Whether a stage's outputs are there: stamped, or taken over from a finished atlas."""
        stage = table.named(name)
        key = "" if stage.key is None else stage.key(self.inputs)
        return bool(key) and (self.run.store.work.stamp(stage.stamp) == key or self.earlier.holds(stage, key))

    def needs(self, name: str) -> bool:
        """Whether a stage is asked for and its outputs are not there."""
        return table.named(name).when(self.inputs) and not self.has(name)

    def has_layer(self, name: str, layer: LayerInfo) -> bool:
        """Whether a stage's outputs for one layer are there."""
        stage = table.named(name)
        key = "" if stage.key is None else stage.key(self.inputs)
        if self.run.store.work.stamp(layer_stamp(stage.stamp, layer)) == key:
            return True
        damaged = self.earlier.to_repair()
        return self._keeps(name) and not any(stage.writes_for(layer.name, path) for path in damaged)

    def _keeps(self, name: str) -> bool:
        """Whether a finished atlas has a stage's outputs, some of which may be damaged."""
        stage = table.named(name)
        key = "" if stage.key is None else stage.key(self.inputs)
        return self.earlier.keys.get(name) == key and EVERYTHING not in self.earlier.damaged_stages()

    def pictures(self, name: str) -> int:
        """How many pictures of the set an unfinished pass over them has done."""
        stage = table.named(name)
        return 0 if stage.key is None else self._pictures(stage.stamp, stage.key(self.inputs))

    @property
    def stream_readings(self) -> int:
        """How many pictures have been read for the residual stream as they are: by the scan, or later."""
        return self._pictures(stream_readings.PASS, keys.stream_readings(self.inputs))

    def _pictures(self, pass_: str, key: str) -> int:
        store = self.run.store
        if store.work.stamp(f"{pass_}-of") != key:
            return 0
        numbers: set[int] = set()
        for part in store.work.part_names(pass_):
            try:
                numbers |= set(store.work.read_part(part, pass_)[PIECES].tolist())
            except (AtlasError, KeyError):  # damaged: done again
                continue
        return min(len(self.inputs.pictures), self.inputs.forward * len(numbers))

    # -- sprites -------------------------------------------------------------------------------------------------------

    def units_left(self) -> UnitTable:
        """The units whose tiles are still to be made. Before the scan their pictures and positions are not known: then
        they are drawn at random, and every channel is taken to be active."""
        inputs, run = self.inputs, self.run
        units = unit_table(inputs, run) if self.has("scan") else _presumed(inputs)
        layers = inputs.network.layers
        if not self.has("scan") or self._keeps("sprites"):
            missing = [self._without(layer) for layer in layers]
            pairs = zip(units.layer.tolist(), units.channel.tolist(), strict=True)
            return units.take(np.flatnonzero([channel in missing[layer] for layer, channel in pairs]))
        if all(self.has_layer("sprites", layer) for layer in layers):
            return units.take(np.arange(0))
        return units.take(np.flatnonzero(self._unfinished(units)))

    def sprites_left(self) -> dict[str, int]:
        """By layer, how many sprites are still to be made, of all channels as if each were active."""
        return {layer.name: len(self._without(layer)) for layer in self.inputs.network.layers}

    def _without(self, layer: LayerInfo) -> set[int]:
        """The channels of a layer whose sprites are to be made."""
        channels = set(range(self.inputs.channels(layer)))
        if self.has_layer("sprites", layer):
            return set()
        return channels & self._damaged_channels(layer) if self._keeps("sprites") else channels

    def _damaged_channels(self, layer: LayerInfo) -> set[int]:
        """The channels whose sprite in a finished atlas is damaged; all where the array of their focus is."""
        if f"layers/{layer.name}/{FOCUS}.npz" in self.earlier.to_repair():
            return set(range(layer.channels))
        stems = [
            path.rpartition("/")[2].partition(".")[0]
            for path in self.earlier.to_repair()
            if path.startswith((f"sprites/{layer.name}/", f"ranges/{layer.name}/"))
        ]
        return {int(stem) for stem in stems if stem.isdecimal()}

    def _unfinished(self, units: UnitTable) -> np.ndarray:
        """(U,) bool: the wanted units but for those of groups that a run finished before it was stopped."""
        inputs, store = self.inputs, self.run.store
        wanted = wanted_units(inputs, self.run, units)
        key = tiles_key(inputs, wanted)
        if store.work.stamp("tiles-of") != key:
            return wanted
        alone = ForwardCosts(inputs.network).alone(units.layer, units.picture)
        for number, rows in enumerate(groups_of(units, alone, group_size(inputs))):
            if store.work.stamp(f"group-{number}") == key:
                wanted[rows] = False
        return wanted

    # -- in words ------------------------------------------------------------------------------------------------------

    @cached_property
    def names(self) -> list[str]:
        """What is done, in words."""
        layers, optimised = self.inputs.network.layers, self.inputs.optimised_layers
        names = [
            words
            for stage, words in IN_WORDS.items()
            if table.named(stage).when(self.inputs) and self.has(stage)
        ]
        if all(self.has_layer("sprites", layer) for layer in layers):
            names.append("sprites")
        if optimised and all(self.has_layer("optimised pictures", layer) for layer in optimised):
            names.append("optimised pictures")
        return names


def _presumed(inputs: Inputs) -> UnitTable:
    """As many units as there may be at the most, in pictures and positions drawn at random."""
    random = np.random.default_rng(0)
    layer, channel, slot, row, column = [], [], [], [], []
    for index, info in enumerate(inputs.network.layers):
        most = min(inputs.slots(info), len(inputs.pictures))
        count = inputs.channels(info) * most
        layer.append(np.full(count, index))
        channel.append(np.repeat(np.arange(inputs.channels(info)), most))
        slot.append(np.tile(np.arange(most), inputs.channels(info)))
        row.append(random.integers(0, info.height, count))
        column.append(random.integers(0, info.width, count))
    joined = [np.concatenate(parts).astype(np.int64) for parts in (layer, channel, slot, row, column)]
    picture = (len(inputs.pictures) * random.random(len(joined[0])) ** CROWDED).astype(np.int64)
    return UnitTable(joined[0], joined[1], joined[2], picture, joined[3], joined[4])
