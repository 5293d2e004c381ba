"""How every channel of the residual blocks responds to pictures that are enlarged and reduced."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from generator.core.store import fingerprint
from generator.engine.device import one_thread_each, use_tf32
from generator.engine.rounds import in_rounds
from generator.engine.scan.zooms import ZoomPlan, read_zooms
from generator.methods.zooms import APART, ZOOMS, zoomed
from generator.network.network import Network
from generator.pictures.batch_reader import PictureBatch
from generator.pictures.reading import evenly_spaced
from generator.stages import keys
from generator.stages.checkpointed_pass import halving
from generator.stages.inputs import Inputs
from generator.stages.picture_reading import read_again, usable_files
from generator.stages.run import Run

# Raise it when a change of this stage, of engine/scan/zooms.py or of methods/zooms.py changes a number.
CODE = 2
ZOOM_PICTURES = 400  # at most, evenly spaced in the set: the cost is bounded, five forwards of each
PRODUCT, FILE = "zooms", "zooms.json"


def key(inputs: Inputs) -> str:
    """The responses at all zooms: of the profile only whether pictures are rescaled at all."""
    section = inputs.profile.stream
    return fingerprint("zooms", CODE, keys.scan(inputs), section.enabled, section.rescaled)


def applies(inputs: Inputs) -> bool:
    """Whether the profile wants the stream read on rescaled pictures, and the network has one."""
    return inputs.reads_stream and inputs.profile.stream.rescaled


def measure_zooms(inputs: Inputs, run: Run) -> None:
    """Write zooms.npz of every residual block, and zooms.json."""
    for layer in inputs.network.layers:
        run.store.arrays.drop_layer(layer.name, PRODUCT)
    run.store.drop_file(FILE)
    responses = _responses(inputs, run)
    blocks: list[dict[str, Any]] = []
    first = 0
    with run.reporter.stage("zooms' tables", len(inputs.stream_plan.blocks), "blocks") as advance:
        for block in inputs.stream_plan.blocks:
            result = zoomed(responses[:, :, first : first + block.channels])
            first += block.channels
            run.store.arrays.write_layer(
                block.name,
                PRODUCT,
                {
                    "zoom_curve": result.curve.astype(np.float32),
                    "zoom_curve_error": result.curve_error.astype(np.float32),
                    "zoom_invariance": result.invariance.astype(np.float32),
                    "zoom_invariance_error": result.invariance_error.astype(np.float32),
                    "zoom_correlation": result.correlation.astype(np.float32),
                    "zoom_correlation_error": result.correlation_error.astype(np.float32),
                },
            )
            reliability = {
                "zoom_invariance": result.invariance_reliability,
                "zoom_correlation": result.correlation_reliability,
            }
            known = {name: value if np.isfinite(value) else None for name, value in reliability.items()}
            blocks.append({"block": block.name, "reliability": known})
            advance()
    report = {
        "pictures": len(responses),
        "zooms": list(ZOOMS),
        "apart": [ZOOMS[n] for n in APART],
        "blocks": blocks,
    }
    run.store.tables.write_json(FILE, report)


def zoomed_pictures(inputs: Inputs, run: Run) -> np.ndarray:
    """Which pictures are read, as indices of the picture set; (n,) int64."""
    files = usable_files(inputs, run)
    chosen: np.ndarray = files[evenly_spaced(len(files), ZOOM_PICTURES)]
    return chosen


def _responses(inputs: Inputs, run: Run) -> np.ndarray:
    """The strongest responses of all blocks' channels, (pictures, zooms, C) float32."""
    blocks = inputs.stream_plan.blocks
    files = zoomed_pictures(inputs, run)
    plan = ZoomPlan(tuple(block.name for block in blocks), inputs.forward, ZOOMS)
    use_tf32(False)
    network = inputs.network.to(run.device, torch.float32)
    read: list[np.ndarray] = []
    with contextlib.ExitStack() as opened:
        threads = opened.enter_context(one_thread_each(run.device))
        advance = opened.enter_context(run.reporter.stage("zooms", len(files), "pictures"))
        work = partial(_batch, run, network, plan)
        for finished in in_rounds(work, read_again(inputs, run, files, batch=plan.batch), threads):
            for batch, values in finished:
                read.append(values)
                advance(len(batch.pixels))
    return np.concatenate(read)


def _batch(run: Run, network: Network, plan: ZoomPlan, batch: PictureBatch) -> np.ndarray:
    """One batch's responses, from smaller forward batches where the memory does not suffice."""

    def attempt(forward: int) -> np.ndarray:
        parts = torch.split(batch.pixels, forward)
        return np.concatenate([read_zooms(network, part, replace(plan, batch=forward)) for part in parts])

    return halving(run, plan.batch, attempt)
