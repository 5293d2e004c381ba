"""Drives the processes that make sprites and thumbnails: one task list over all layers."""

from __future__ import annotations

import numpy as np

from generator.core.sprites import enlargement
from generator.stages import keys
from generator.stages.inputs import Inputs
from generator.stages.repair import is_kept
from generator.stages.run import Run
from generator.stages.sprite_encoding import SpriteTask, run_tasks, tasks_of


def make_sprites(inputs: Inputs, run: Run) -> None:
    """Encode every channel's sprite and every layer's thumbnails that are not there yet."""
    layers = [
        layer
        for layer in inputs.network.layers
        if run.store.work.stamp(_stamp(layer.name)) != keys.sprites(inputs)
    ]
    tasks: list[SpriteTask] = []
    for layer in run.ranks.share(layers):
        run.store.work.unstamp(_stamp(layer.name))
        channels, native = inputs.channels(layer), inputs.native(layer)
        template = SpriteTask(
            folder=run.store.folder,
            layer=layer.name,
            channels=channels,
            first=0,
            alive=run.store.arrays.layer(layer.name)["top_image"][:channels] >= 0,
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
                run.store.work.write_stamp(_stamp(task.layer), keys.sprites(inputs))
    run.ranks.meet()


def _stamp(layer: str) -> str:
    return f"sprites-{layer}"
