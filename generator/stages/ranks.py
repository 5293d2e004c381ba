"""The processes that share one run under torchrun, or the one process of an ordinary run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch.distributed as dist

Item = TypeVar("Item")


@dataclass(frozen=True)
class Ranks:
    """rank: this process's number; world: how many there are; local_rank and local_world: on this machine."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that does what is done only once."""
        return self.rank == 0

    def share(self, items: Sequence[Item]) -> list[Item]:
        """This process's part of the work: every world-th item."""
        return list(items[self.rank :: self.world])

    def meet(self) -> None:
        """Wait until every process has reached this point: what each wrote before it, all can read after it."""
        if self.world > 1:
            dist.barrier()


@contextlib.contextmanager
def joined() -> Iterator[Ranks]:
    """The ranks that torchrun's environment describes; a single rank without it."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks()
        return
    ranks = Ranks(
        int(os.environ["RANK"]),
        world,
        int(os.environ.get("LOCAL_RANK", "0")),
        int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
    )
    # The processes hand each other nothing but signals (numbers meet in the atlas folder), so gloo serves GPUs too.
    dist.init_process_group("gloo", rank=ranks.rank, world_size=ranks.world)
    try:
        yield ranks
    finally:
        dist.destroy_process_group()
