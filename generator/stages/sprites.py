"""Sprites and thumbnails of all layers, encoded by processes that share one list of tasks."""

from __future__ import annotations

import numpy as np

from generator.core.sprites import enlargement
from generator.core.store import FOCUS
from generator.stages import keys
from generator.stages.inputs import Inputs
from generator.stages.run import Run
from generator.stages.sprite_encoding import SpriteTask, run_tasks, tasks_of
from generator.stages.unfinished import SPRITES, is_kept, layer_stamp
from generator.stages.unit_table import listed_units


def encode_sprites(inputs: Inputs, run: Run) -> None:
    """Write sprites/<layer>/<channel>.webp of every channel and thumbs/<layer>.webp of every layer from their tiles,
    ranges/<layer>/<channel>.webp where the strips' units are pictured, and the array of their units' focus; sprites and
    ranges in the profile's format. Under torchrun each process those of its share of the layers, without waiting for
    the others."""
    key, work, section = keys.sprites(inputs), run.store.work, inputs.profile.sprites
    stamps = {layer.name: layer_stamp(SPRITES, layer) for layer in inputs.network.layers}
    layers = [layer for layer in inputs.network.layers if work.stamp(stamps[layer.name]) != key]
    tasks: list[SpriteTask] = []
    for layer in run.ranks.share(layers):
        work.unstamp(stamps[layer.name])
        channels, native = inputs.channels(layer), inputs.native(layer)
        template = SpriteTask(
            folder=run.store.folder,
            layer=layer.name,
            channels=channels,
            first=0,
            alive=listed_units(inputs, run, layer)[0] >= 0,
            panels=len(inputs.panels),
            native=native,
            factor=enlargement(native, inputs.wanted_side(layer)),
            of_strips=_rows_of_strips(inputs),
            quality=section.quality,
            avif_quality=inputs.avif_quality,
            focused=inputs.is_focused(layer),
            kept=is_kept(inputs, run),
        )
        if not template.focused:
            run.store.arrays.drop_layer(layer.name, FOCUS)
        alive = np.nonzero(template.alive.any(axis=1))[0].tolist()
        run.store.pictures.keep_sprites(layer.name, alive, inputs.sprite_format)
        run.store.pictures.keep_ranges(layer.name, alive if template.has_strips else (), inputs.sprite_format)
        tasks += tasks_of(template)
    unfinished = {
        layer: sum(task.layer == layer for task in tasks) for layer in dict.fromkeys(t.layer for t in tasks)
    }
    total = sum(int(task.alive.any(axis=1).sum()) for task in tasks if not task.thumbs)
    with run.reporter.stage("sprites", total, "channels") as advance:
        for task, written in run_tasks(tasks, run.encoders):
            advance(written)
            unfinished[task.layer] -= 1
            if not unfinished[task.layer]:
                work.write_stamp(stamps[task.layer], key)


def _rows_of_strips(inputs: Inputs) -> tuple[int, ...]:
    """The panels that a strip shows, one below the other: patches, and the first kind of gradient."""
    patches = int("patches" in inputs.panels)
    return tuple(range(patches + 1))
