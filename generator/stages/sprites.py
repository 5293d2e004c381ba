"""Sprites and thumbnails of all layers, encoded by processes that share one list of tasks."""

from __future__ import annotations

import numpy as np

from generator.core.sprites import enlargement
from generator.engine.device import trim_memory
from generator.stages import keys
from generator.stages.inputs import Inputs
from generator.stages.run import Run
from generator.stages.sprite_encoding import SpriteTask, run_tasks, tasks_of
from generator.stages.unfinished import SPRITES, is_kept, layer_stamp
from generator.stages.unit_pictures import picture_units


def make_sprites(inputs: Inputs, run: Run) -> None:
    """Write sprites/<layer>/<channel>.webp and thumbs/<layer>.webp of every layer, and pictures/<index>.webp, those
    that are not there yet."""
    picture_units(inputs, run)
    trim_memory()
    encode_sprites(inputs, run)


def encode_sprites(inputs: Inputs, run: Run) -> None:
    """Encode every channel's sprite and every layer's thumbnails from the tiles."""
    key, work = keys.sprites(inputs), run.store.work
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
            alive=run.store.arrays.layer(layer.name, "top")["top_image"][:channels] >= 0,
            panels=len(inputs.panels),
            native=native,
            factor=enlargement(native, inputs.wanted_side(layer)),
            quality=inputs.profile.sprites.quality,
            kept=is_kept(inputs, run),
        )
        run.store.pictures.keep_sprites(layer.name, np.nonzero(template.alive.any(axis=1))[0])
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
    run.ranks.meet()
