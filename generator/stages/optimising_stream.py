"""The mix ratio and the scale criteria after arXiv:2407.05340: at one optimised picture of Input and one of Block for
every channel. The numbers at the set's own pictures are kept too."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from generator.ascent import Ascender, AscentPlan
from generator.device import use_tf32
from generator.methods import mixing
from generator.methods.scale import scale_criteria
from generator.network import Network
from generator.records import LayerInfo
from generator.stages.job import Job
from generator.stream import StreamBlock, StreamPlan, enlarge, read_centres, reduce, residuals
from generator.transforms import Transforms, jitter, random_rotate, random_scale

CHECKPOINT_SECONDS = 15.0  # work lost to a kill at most
CHUNK = 32  # pictures optimised together, and a forward
PASS, STAMP, FILE = "optimised-stream", "optimised-stream", "stream_optimised.json"
PAPERS_SIDE = 224  # px, the pictures that the paper's jitter is meant for
SIDES = ("input", "block")
# What is read at each optimised picture, in the order of its row.
READ = {
    "input": ("input", "block", "output", "block_enlarged"),
    "block": ("input", "block", "output", "input_reduced"),
}
ARRAYS = tuple(
    f"{name}_optimised"
    for name in ("mix_ratio", "block_at_input", "scale_block", "scale_input", "scale_sum", "scale_invariant")
)


def optimise_streams(job: Job) -> None:
    """Add the numbers at optimised pictures to layers/*.npz and write stream_optimised.json; withdraw both where the
    profile asks for none."""
    if job.store.stamp(STAMP) == job.optimised_key:
        return
    blocks = job.stream_plan.blocks
    if not (job.profile.stream.enabled and job.profile.stream.optimised_steps and blocks):
        if job.ranks.leads:
            _withdraw(job)
            job.store.write_stamp(STAMP, job.optimised_key)
        job.ranks.meet()
        return
    if job.ranks.leads and job.store.stamp(f"{STAMP}-of") != job.optimised_key:
        job.store.drop_parts(pass_=PASS)
        job.store.write_stamp(f"{STAMP}-of", job.optimised_key)
    job.ranks.meet()
    mine = job.ranks.share(blocks)
    total = sum(2 * job.channels(job.network.layer(block.name)) for block in mine)
    use_tf32(False)
    network = job.network.to(job.device, torch.float32)
    with job.reporter.stage("optimised stream", total, "pictures") as advance:
        for block in mine:
            _optimise(job, network, block, advance)
    job.ranks.meet()
    if job.ranks.leads:
        _write(job)
        job.store.write_stamp(STAMP, job.optimised_key)
        job.store.drop_parts(pass_=PASS)
    job.ranks.meet()


def recipe(layer: LayerInfo, first: bool, side: int, steps: int) -> AscentPlan:
    """After the paper's, without its padding and second jitter. Both maximise the neuron in the middle by Adam, with
    decorrelated Fourier parameters. The authors' released code pads the picture, jitters it by j, scales it (0.95 to
    1.05), rotates it (5° either way at most), jitters it again by j / 2 and crops it; here it is jittered once by j,
    scaled and rotated. j: 0 in stage 2 and the first block of stage 3, 4 px in the rest of stage 3 and the first block
    of stage 4, 16 px later; for pictures of 224 px, in proportion for other sizes."""
    late = layer.stage - 0.5 * first
    wanted = 0 if late <= 2.5 else 4 if late <= 3.5 else 16
    moved = round(wanted * side / PAPERS_SIDE)
    transforms: Transforms = (
        *((jitter(moved),) if moved else ()),
        random_scale([0.95, 0.975, 1.0, 1.025, 1.05]),
        random_rotate(list(range(-5, 6))),
    )
    return AscentPlan(steps=steps, transforms=transforms, batch=CHUNK)


def read_at(
    network: Network, block: StreamBlock, side: str, pixels: torch.Tensor, channels: np.ndarray
) -> np.ndarray:
    """Readings at one picture a channel, (U, 4) float32 in the order of READ.

    side: whose pictures they are; pixels: (U, H, W, 3) from 0 to 255; channels: (U,), of each picture its own.
    """
    plan = StreamPlan((block,), CHUNK)
    rows = []
    for first in range(0, len(pixels), CHUNK):
        some = pixels[first : first + CHUNK]
        own = torch.from_numpy(channels[first : first + CHUNK])
        plain = read_centres(network, some, plan)[block.name]
        rescaled = read_centres(network, (enlarge if side == "input" else reduce)(some), plan)[block.name]
        values = [
            plain["input"],
            plain["block"],
            plain["output"],
            rescaled["block" if side == "input" else "input"],
        ]
        rows.append(torch.stack([value[torch.arange(len(own)), own] for value in values], 1).numpy())
    return np.concatenate(rows)


def block_numbers(readings: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The numbers of one block from the readings at its optimised pictures: {'input' and 'block': (C, 4)}, NaN for
    channels without a picture."""
    at = {
        (side, name): readings[side][:, place].astype(np.float64)
        for side, names in READ.items()
        for place, name in enumerate(names)
    }
    ratio = mixing.mix_ratio(at["input", "output"], at["block", "output"])
    criteria = scale_criteria(
        *(
            at[key][:, None]
            for key in (
                ("input", "block_enlarged"), ("input", "block"), ("block", "block"),
                ("block", "input_reduced"), ("block", "input"), ("input", "input"),
            )
        )
    )  # fmt: skip
    found = {
        "mix_ratio": ratio,
        "block_at_input": at["input", "block"],
        "scale_block": criteria.block,
        "scale_input": criteria.input,
        "scale_sum": criteria.sum,
    }
    numbers = {f"{name}_optimised": array.astype(np.float32) for name, array in found.items()}
    return {**numbers, "scale_invariant_optimised": criteria.invariant(ratio)}


def _optimise(job: Job, network: Network, block: StreamBlock, advance: Any) -> None:
    """Fill the block's part, (2, C, 4) readings, and save it; what an earlier run has done is left."""
    layer = job.network.layer(block.name)
    count = job.channels(layer)
    names = job.store.part_names(PASS)
    if block.name in names:
        part = job.store.read_part(block.name, PASS)
        readings, done = part["readings"], part["done"]
    else:
        readings = np.full((len(SIDES), block.channels, 4), np.nan, np.float32)
        done = np.zeros(len(SIDES), np.int64)
    saved = time.monotonic()
    residual = residuals(network)[block.name]
    side = job.network.preprocessing.crop
    plan = recipe(layer, not residual.is_identity, side, job.profile.stream.optimised_steps)
    for place, step in enumerate((residual.shortcut, residual.branch)):
        advance(int(done[place]))
        ascender = Ascender(network, step, plan)
        for first in range(int(done[place]), count, CHUNK):
            channels = np.arange(first, min(first + CHUNK, count))
            whole = ascender.ascend(channels.tolist()).whole()  # (U, 3, S, S) in [0, 1]
            pixels = (whole * 255).permute(0, 2, 3, 1)
            readings[place, channels] = read_at(network, block, SIDES[place], pixels, channels)
            done[place] = channels[-1] + 1
            advance(len(channels))
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                job.store.write_part(block.name, {"readings": readings, "done": done}, PASS)
                saved = time.monotonic()
    job.store.write_part(block.name, {"readings": readings, "done": done}, PASS)


def _write(job: Job) -> None:
    blocks = []
    for block in job.stream_plan.blocks:
        readings = job.store.read_part(block.name, PASS)["readings"]
        found = block_numbers(dict(zip(SIDES, readings, strict=True)))
        numbers = job.store.layer(block.name)
        job.store.replace_arrays(block.name, ARRAYS, found)
        ratio = found["mix_ratio_optimised"]
        tests: dict[str, mixing.Association | None] = {
            name: mixing.ratio_against(ratio, numbers[name])
            for name in ("norm_weight", "norm_scale", "convolution_weight")
            if name in numbers
        }
        tests["natural"] = mixing.ratio_against(ratio, numbers["mix_ratio"])
        tests["anova"] = mixing.skip_against_overwrite(ratio, found["block_at_input_optimised"])
        said = {name: None if test is None else asdict(test) for name, test in tests.items()}
        blocks.append({"block": block.name, "tests": said})
    job.store.write_json(FILE, {"steps": job.profile.stream.optimised_steps, "blocks": blocks})


def _withdraw(job: Job) -> None:
    for layer in job.network.layers:
        job.store.replace_arrays(layer.name, ARRAYS)
    job.store.drop_file(FILE)
