"""What feeds a block's channels: at the nine units of each, which channels the shortcut and the branch are made of, as
the readings in the residual stream brought them along (engine/scan/side_terms.py)."""

from __future__ import annotations

from typing import Any

import numpy as np

from generator.engine.scan.side_terms import SideTerms
from generator.engine.scan.stream import PARTS, StreamBlock, block_terms, residuals
from generator.engine.scan.stream_state import StreamState
from generator.methods.contribution import mean_over_units, strongest_terms
from generator.methods.inputs import source_channels
from generator.network.network import Network
from generator.network.residual import Residual
from generator.stages.inputs import Inputs
from generator.stages.picture_reading import usable_files
from generator.stages.run import Run

PRODUCT = "feeds"  # of a layer's arrays
NAMED = {"shortcut": 3, "branch": 5}  # terms that are named


def write_feeds(inputs: Inputs, run: Run, state: StreamState) -> None:
    """Write feeds.npz of every residual block, and feeds.json."""
    for layer in inputs.network.layers:
        run.store.arrays.drop_layer(layer.name, PRODUCT)
    places, reports = np.append(usable_files(inputs, run), -1), []
    found = residuals(inputs.network)
    for block in state.plan.blocks:
        top_image = run.store.arrays.layer(block.name, "top")["top_image"]
        arrays = _of_block(inputs.network, state, block, found[block.name], places[top_image])
        run.store.arrays.write_layer(block.name, PRODUCT, arrays)
        reports.append(_report(inputs.network, block, found[block.name]))
    run.store.tables.write_json("feeds.json", {"blocks": reports})


def _of_block(
    network: Network, state: StreamState, block: StreamBlock, residual: Residual, images: np.ndarray
) -> dict[str, np.ndarray]:
    """images: (C, 9), the pictures of each channel's units, −1 for none."""
    units, start = state.parts[block.name], len(PARTS)
    values = units.at(images, slice(start))  # (C, 9, 2)
    both = values.astype(np.float64).sum(2)
    means = [mean_over_units(each) for each in (both, *np.moveaxis(values, 2, 0))]
    arrays = {"feed_sum": np.stack(means, 1)}
    sides = block_terms(network.graph, residual)
    for side, part in zip(sides, PARTS, strict=True):
        if side is None:
            continue
        terms = units.at(images, slice(start, start + side.count))
        start += side.count
        strongest = strongest_terms(terms, side.first.cpu().numpy(), NAMED[part])
        constant = side.constant.cpu().numpy().astype(np.float32)
        arrays |= {
            f"feed_{part}_channels": strongest.channel,
            f"feed_{part}_terms": strongest.value,
            f"feed_{part}_other": np.stack([strongest.rest, constant], 1),
        }
    return arrays


def _report(network: Network, block: StreamBlock, residual: Residual) -> dict[str, Any]:
    """What the block's sides read, and where a side is not taken apart, the operation that it ends in."""
    sides = block_terms(network.graph, residual)
    report: dict[str, Any] = {"block": block.name, "identity": residual.is_identity}
    for side, part, step in zip(sides, PARTS, (residual.shortcut, residual.branch), strict=True):
        report[part] = _side(network, side, step)
    return report


def _side(network: Network, side: SideTerms | None, step: int) -> dict[str, Any]:
    """terms: of each unit; layer: whose channels they are numbered like, '' for none; through: what lies between that
    layer and the convolution; convolution: its path; ends_in: the operation, where the side is not taken apart."""
    source = source_channels(network, step if side is None else side.source)
    last = network.graph.steps[step]
    return {
        "terms": 0 if side is None else side.count,
        "layer": source.layer,
        "through": list(source.through),
        "convolution": "" if side is None else side.convolution.scope,
        "ends_in": "" if side is not None else last.op if last.call is None else last.call.name,
    }
