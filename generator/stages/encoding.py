"""Drives the processes that make sprites and thumbnails: one task list over all layers."""

from __future__ import annotations

import numpy as np

from generator.core.sprites import enlargement
from generator.stages.job import Job
from generator.stages.repairing import is_kept
from generator.stages.sprite_making import SpriteTask, run_tasks, tasks_of


def make_sprites(job: Job) -> None:
    """Encode every channel's sprite and every layer's thumbnails that are not there yet."""
    layers = [
        layer for layer in job.network.layers if job.store.work.stamp(_stamp(layer.name)) != job.sprites_key
    ]
    tasks: list[SpriteTask] = []
    for layer in job.ranks.share(layers):
        job.store.work.unstamp(_stamp(layer.name))
        channels, native = job.channels(layer), job.native(layer)
        template = SpriteTask(
            folder=job.store.folder,
            layer=layer.name,
            channels=channels,
            first=0,
            alive=job.store.arrays.layer(layer.name)["top_image"][:channels] >= 0,
            panels=len(job.panels),
            native=native,
            factor=enlargement(native, job.wanted(layer)),
            quality=job.profile.sprites.quality,
            kept=is_kept(job),
        )
        job.store.pictures.keep_sprites(layer.name, np.nonzero(template.alive.any(axis=1))[0])
        tasks += tasks_of(template)
    unfinished = {
        layer: sum(task.layer == layer for task in tasks) for layer in dict.fromkeys(t.layer for t in tasks)
    }
    total = sum(int(task.alive.any(axis=1).sum()) for task in tasks if not task.thumbs)
    with job.reporter.stage("sprites", total, "channels") as advance:
        for task, written in run_tasks(tasks, job.processes):
            advance(written)
            unfinished[task.layer] -= 1
            if not unfinished[task.layer]:
                job.store.work.write_stamp(_stamp(task.layer), job.sprites_key)
    job.ranks.meet()


def _stamp(layer: str) -> str:
    return f"sprites-{layer}"
