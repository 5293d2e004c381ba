"""The top pictures of a scan in a fast precision, chosen again by fp32 scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch

from generator.core.records import TOP
from generator.engine.scan.scan import Batch, scan
from generator.engine.scan.state import ScanState
from generator.engine.scan.top_units import TopUnits
from generator.network.network import Network


@dataclass(frozen=True)
class Rescoring:
    """How a fast scan's top-9 pictures compare with those by fp32 scores, in counts.

    pictures: run again in fp32; channels: those with any picture in their lists; reordered: channels whose top nine, or
    their order, were others in the fast precision; certain: channels for which no picture outside the candidates can
    belong to the top nine unless the fast precision erred on it by more than twice its largest error on the layer's
    candidates.
    """

    pictures: int
    channels: int
    reordered: int
    certain: int


def rescore(
    network: Network,
    state: ScanState,
    read: Callable[[Sequence[int]], Iterable[Batch]],
    forward: int | None = None,
) -> tuple[ScanState, Rescoring]:
    """The top nine of every channel by fp32 scores, chosen among all pictures that are a candidate of any channel; the
    statistics stay those of the fast precision.

    network: in fp32; state: of a complete scan in a fast precision; read: gives the pictures with these indices, in
    batches; forward: pictures per forward, the plan's number unless given. Every candidate runs a second time, so this
    pays where there are many more pictures than candidates.
    """
    images = torch.cat([top.images.flatten() for top in state.tops.values()]).unique()
    candidates = images[images >= 0].tolist()
    exact = ScanState(replace(state.plan, precision="fp32", keep=state.plan.keep))
    for _ in scan(network, read(candidates), exact, forward=forward):
        pass
    result = ScanState.from_arrays(state.arrays())
    result.tops = exact.tops
    counts = [_compare(state.tops[name], exact.tops[name], state.pictures) for name in state.tops]
    channels, reordered, certain = (sum(part) for part in zip(*counts, strict=True))
    return result, Rescoring(len(candidates), channels, reordered, certain)


def _compare(fast: TopUnits, exact: TopUnits, pictures: int) -> tuple[int, int, int]:
    """Counts of channels with any picture, of those reordered, and of those certain; see Rescoring."""
    fast_images, exact_images = fast.images.cpu(), exact.images.cpu()
    fast_values, exact_values = fast.values.cpu(), exact.values.cpu()
    alive = (fast_images[:, 0] >= 0) | (exact_images[:, 0] >= 0)
    reordered = (fast_images[:, :TOP] != exact_images[:, :TOP]).any(1)
    same = (fast_images[:, :, None] == exact_images[:, None]) & (fast_images >= 0)[:, :, None]  # (C, k, k)
    errors = (fast_values[:, :, None] - exact_values[:, None]).abs()[same]
    bound = 2 * float(errors.max()) if len(errors) else 0.0
    # A picture outside the candidates scored at most the last candidate's fast score.
    certain = exact_values[:, TOP - 1] > fast_values[:, -1] + bound
    certain |= torch.tensor(pictures <= fast.k)
    return int(alive.sum()), int((alive & reordered).sum()), int((alive & certain).sum())
