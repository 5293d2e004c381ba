"""What of a job is done already: by a run that was stopped, or by an earlier one whose atlas partly still holds. Reads
the folder and alters nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from generator.core.errors import AtlasError
from generator.core.records import TOP, LayerInfo
from generator.engine.gradients.crop_cost import ForwardCosts
from generator.engine.scan.scan import FORWARD
from generator.stages import keys
from generator.stages.checkpointed_pass import PIECES
from generator.stages.inputs import Inputs
from generator.stages.manifest import Found
from generator.stages.repair import damaged_stages, tiles_of, wanted_units
from generator.stages.run import Run
from generator.stages.unit_table import UnitTable, group_size, groups_of, unit_table

# Some pictures are among the strongest of far more channels than others are: with numbers drawn between 0 and 1 and
# raised to this power about as many different pictures are hit as were measured (82 of 100, 1,091 of 2,000).
CROWDED = 4


@dataclass(frozen=True)
class Done:
    """Of one job what need not be done again. found: what finishing.look found in the folder."""

    inputs: Inputs
    run: Run
    found: Found

    @cached_property
    def _damaged(self) -> set[str]:
        return set() if self.found.faults is None else damaged_stages(self.found.faults)

    def _is_kept(self, stage: str, key: str) -> bool:
        """Whether a finished atlas has a stage's files, made from the same, and none of them is damaged."""
        good = self.found.keys.get(stage) == key and not self._damaged & {stage, "everything"}
        return bool(key) and good

    @cached_property
    def scan(self) -> bool:
        return self.run.store.work.stamp("scan") == keys.scan(self.inputs) or self._is_kept(
            "scan", keys.scan(self.inputs)
        )

    @cached_property
    def stream(self) -> bool:
        key = keys.stream(self.inputs)
        return self.run.store.work.stamp("stream") == key or self._is_kept("stream", key)

    @cached_property
    def truth(self) -> bool:
        key = keys.scale_truth(self.inputs)
        return self.run.store.work.stamp("scale-truth") == key or self._is_kept("scale truth", key)

    @cached_property
    def collected(self) -> bool:
        """Whether the map's vectors and the predictions are there, or come with the scan."""
        collections = {"features": keys.features(self.inputs), "predictions": keys.predictions(self.inputs)}
        return not self.scan or all(
            not key or self.run.store.work.stamp(name) == key or self._is_kept(name, key)
            for name, key in collections.items()
        )

    @cached_property
    def optimised_stream(self) -> bool:
        key = keys.optimised_stream(self.inputs)
        stamped = self.run.store.work.stamp("optimised-stream") == key
        return stamped or self._is_kept("optimised stream", key)

    @cached_property
    def rules(self) -> bool:
        key = keys.gradient_rules(self.inputs)
        return self.run.store.work.stamp("rules") == key or self._is_kept("gradient rules", key)

    @cached_property
    def map(self) -> bool:
        key = keys.embedding(self.inputs)
        return self.run.store.work.stamp("embedding") == key or self._is_kept("embedding", key)

    def sprites(self, layer: LayerInfo) -> bool:
        """Whether all sprites of a layer are there."""
        key = keys.sprites(self.inputs)
        if self.run.store.work.stamp(f"sprites-{layer.name}") == key:
            return True
        return self._has_old_sprites and not self._damaged_files(layer)

    @cached_property
    def _has_old_sprites(self) -> bool:
        """Whether a finished atlas has this job's sprites, but for some that may be damaged."""
        key = keys.sprites(self.inputs)
        return self.found.keys.get("sprites") == key and "everything" not in self._damaged

    def _damaged_files(self, layer: LayerInfo) -> set[int]:
        """The channels whose sprite in a finished atlas is damaged; −1 for the layer's thumbnails."""
        names = () if self.found.faults is None else self.found.faults.damaged
        start = f"sprites/{layer.name}/"
        channels = {
            int(stem)
            for name in names
            if name.startswith(start) and (stem := name.removeprefix(start).removesuffix(".webp")).isdecimal()
        }
        return channels | ({-1} if f"thumbs/{layer.name}.webp" in names else set())

    def ascent(self, layer: LayerInfo) -> bool:
        """Whether the optimised pictures of a layer are there."""
        key = keys.optimised_pictures(self.inputs)
        return self.run.store.work.stamp(f"ascent-{layer.name}") == key or self._is_kept("ascent", key)

    def scanned(self) -> int:
        """How many pictures of the set an unfinished scan has done."""
        return self._batches("scan", keys.scan(self.inputs))

    def streamed(self) -> int:
        """How many pictures of the set an unfinished pass over the residual stream has done."""
        return self._batches("stream", keys.stream(self.inputs))

    def _batches(self, pass_: str, key: str) -> int:
        store = self.run.store
        if store.work.stamp(f"{pass_}-of") != key:
            return 0
        numbers: set[int] = set()
        for name in store.work.part_names(pass_):
            try:
                numbers |= set(store.work.read_part(name, pass_)[PIECES].tolist())
            except (AtlasError, KeyError):  # damaged: done again
                continue
        return min(len(self.inputs.pictures), FORWARD * len(numbers))

    def units_left(self) -> UnitTable:
        """The units whose tiles are still to be made. Before the scan nobody knows their pictures and places: then each
        has some, drawn at random, and every channel is taken to be active."""
        inputs, run = self.inputs, self.run
        units = unit_table(inputs, run) if self.scan else _presumed(inputs)
        if not self.scan or self._has_old_sprites:
            missing = [self._without(layer) for layer in inputs.network.layers]
            pairs = zip(units.layer.tolist(), units.channel.tolist(), strict=True)
            return units.take(np.flatnonzero([channel in missing[layer] for layer, channel in pairs]))
        if run.store.work.stamp("tiles") == keys.tiles(inputs) or all(
            map(self.sprites, inputs.network.layers)
        ):
            return units.take(np.arange(0))
        return units.take(np.flatnonzero(self._unfinished(units)))

    def _without(self, layer: LayerInfo) -> set[int]:
        """The channels of a layer whose sprites are to be made."""
        channels = set(range(self.inputs.channels(layer)))
        if self.sprites(layer):
            return set()
        return channels & self._damaged_files(layer) if self._has_old_sprites else channels

    def _unfinished(self, units: UnitTable) -> np.ndarray:
        """(U,) bool: the wanted units but for those of groups that a run finished before it was stopped."""
        inputs, run = self.inputs, self.run
        wanted = wanted_units(inputs, run, units)
        key = tiles_of(inputs, wanted)
        if run.store.work.stamp("tiles-of") != key:
            return wanted
        alone = ForwardCosts(inputs.network).alone(units.layer, units.picture)
        for number, rows in enumerate(groups_of(units, alone, group_size(inputs))):
            if run.store.work.stamp(f"group-{number}") == key:
                wanted[rows] = False
        return wanted

    def sprites_left(self) -> dict[str, int]:
        """By layer, how many sprites are still to be made, of all channels as if each were active."""
        return {layer.name: len(self._without(layer)) for layer in self.inputs.network.layers}

    @property
    def names(self) -> list[str]:
        """What is done, in words."""
        found = []
        if self.scan:
            found.append("scan")
        if self.scan and self.map and keys.embedding(self.inputs):
            found.append("map of the pictures")
        if self.stream and self.inputs.profile.stream.enabled and self.inputs.stream_plan.blocks:
            found.append("residual stream")
        if all(map(self.sprites, self.inputs.network.layers)):
            found.append("sprites")
        elif self.scan and self.run.store.work.stamp("tiles") == keys.tiles(self.inputs):
            found.append("patches and gradients")
        if self.inputs.optimised_layers and all(map(self.ascent, self.inputs.optimised_layers)):
            found.append("optimised pictures")
        return found


def _presumed(inputs: Inputs) -> UnitTable:
    """As many units as there may be at the most, in pictures and places drawn at random."""
    random = np.random.default_rng(0)
    most = min(TOP, len(inputs.pictures))
    layer, channel, slot, row, column = [], [], [], [], []
    for index, info in enumerate(inputs.network.layers):
        count = inputs.channels(info) * most
        layer.append(np.full(count, index))
        channel.append(np.repeat(np.arange(inputs.channels(info)), most))
        slot.append(np.tile(np.arange(most), inputs.channels(info)))
        row.append(random.integers(0, info.height, count))
        column.append(random.integers(0, info.width, count))
    joined = [np.concatenate(parts).astype(np.int64) for parts in (layer, channel, slot, row, column)]
    picture = (len(inputs.pictures) * random.random(len(joined[0])) ** CROWDED).astype(np.int64)
    return UnitTable(joined[0], joined[1], joined[2], picture, joined[3], joined[4])
