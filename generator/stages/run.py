"""Where and with what an atlas is computed: none of it changes a number."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from generator.core.errors import AtlasError
from generator.core.progress import Reporter
from generator.core.store import Store
from generator.engine.device import free_memory
from generator.stages.ranks import Ranks


@dataclass(frozen=True)
class Run:
    """One run of a computation. store: the atlas folder; ranks: the processes that share the run; most_processes: the
    profile's limit for processes that decode or encode pictures, None where the machine decides."""

    store: Store
    device: torch.device
    reporter: Reporter
    ranks: Ranks
    most_processes: int | None = None

    @property
    def overlaps(self) -> bool:
        """Whether the cores have time for other stages while the device computes."""
        return self.device.type == "cuda"

    @property
    def decoders(self) -> int:
        """Processes that decode pictures: the profile's number, or enough to keep the device busy and leave it the
        other cores."""
        if self.most_processes is not None:
            return self.most_processes
        cores = (os.cpu_count() or 1) // self.ranks.local_world
        return max(1, cores - 1 if self.device.type == "cuda" else cores // 4)

    @property
    def encoders(self) -> int:
        """Processes that encode sprites, on this machine, for this rank: one per core, and at most the profile's
        number."""
        cores = max(1, (os.cpu_count() or 1) // self.ranks.local_world)
        return cores if self.most_processes is None else max(1, min(cores, self.most_processes))

    def smaller(self, at_once: int, remedy: str | None = None) -> int:
        """Half of how many things were computed at once, after the device ran out of memory; noted once per run. Raises
        AtlasError where it was one already. remedy: what to do then, where smaller pictures do not help."""
        if at_once == 1:
            raise AtlasError(
                "there is not enough memory for a single picture",
                str(self.device),
                remedy or "give smaller pictures (crop), or another --device",
            )
        note = (
            f"out of memory on {self.device}: less is computed at once from here on. Nothing is lost; last digits may "
            "differ from those of a machine with more memory"
        )
        if note not in self.reporter.notes:
            self.reporter.note(note)
        free_memory(self.device)
        return at_once // 2
