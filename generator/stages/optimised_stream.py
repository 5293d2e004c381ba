"""The mix ratio and the scale criteria after arXiv:2407.05340: at one optimised picture of Input and one of Block for
every channel. The numbers at the set's own pictures are kept too."""

from __future__ import annotations

from collections.abc import Collection, Generator
from dataclasses import dataclass

import numpy as np
import torch

from generator.core.records import LayerInfo
from generator.engine.ascent.ascent import Ascender, AscentPlan
from generator.engine.ascent.transforms import Transforms, jitter, random_rotate, random_scale
from generator.engine.device import use_tf32
from generator.engine.scan.stream import StreamBlock, StreamPlan, read_centres, residuals
from generator.engine.scan.stream_rescaled import enlarge, reduce
from generator.methods import mixing
from generator.methods.mix_intervals import rank_correlation
from generator.methods.scale import scale_criteria
from generator.network.network import Network
from generator.network.residual import Residual
from generator.stages import keys
from generator.stages.checkpointed_pass import CheckpointedPass
from generator.stages.inputs import Inputs
from generator.stages.run import Run

CHUNK = 32  # pictures optimised together, and in one forward batch
PASS, STAMP, FILE = "optimised-stream", "optimised-stream", "stream_optimised.json"
PAPERS_SIDE = 224  # px, the pictures that the paper's jitter is meant for
SIDES = ("input", "block")
# What is read at each optimised picture, in the order of its row.
READ = {
    "input": ("input", "block", "output", "block_enlarged"),
    "block": ("input", "block", "output", "input_reduced"),
}
PRODUCT = "stream_optimised"  # of a layer's arrays


@dataclass(frozen=True)
class Piece:
    """Channels whose pictures of one side are optimised together. side: 0 for Input, 1 for Block; first: of CHUNK
    channels or fewer, `count`."""

    block: StreamBlock
    side: int
    first: int
    count: int

    @property
    def channels(self) -> np.ndarray:
        """(n,) int64"""
        return np.arange(self.first, self.first + self.count)


class Readings:
    """Block name → (2, C, 4) float32, what was read at each channel's optimised picture of Input and of Block, in the
    order of READ; NaN where it is not there yet."""

    def __init__(self, of_block: dict[str, np.ndarray]) -> None:
        self.of_block = of_block

    @classmethod
    def empty(cls, blocks: tuple[StreamBlock, ...]) -> Readings:
        """Readings of no picture."""
        shapes = {block.name: (len(SIDES), block.channels, 4) for block in blocks}
        return cls({name: np.full(shape, np.nan, np.float32) for name, shape in shapes.items()})

    def merge(self, other: Readings) -> None:
        """Take over the readings of other pieces."""
        for name, values in self.of_block.items():
            theirs = other.of_block[name]
            values[~np.isnan(theirs)] = theirs[~np.isnan(theirs)]

    def arrays(self) -> dict[str, np.ndarray]:
        """The readings by block."""
        return dict(self.of_block)


def is_wanted(inputs: Inputs) -> bool:
    """Whether the profile asks for optimised pictures of the stream and the network has a residual block."""
    return inputs.reads_stream and inputs.profile.stream.optimised_steps > 0


def optimise_streams(inputs: Inputs, run: Run) -> None:
    """Write stream_optimised.npz of every residual block, and stream_optimised.json."""
    blocks = inputs.stream_plan.blocks
    optimised = CheckpointedPass(
        run,
        PASS,
        keys.optimised_stream(inputs),
        "the pass over the stream's optimised pictures",
        empty=lambda: Readings.empty(blocks),
        read=lambda arrays, _: Readings({name: array.copy() for name, array in arrays.items()}),
    )
    if run.ranks.leads:
        optimised.begin()
    run.ranks.meet()
    pieces = _pieces(inputs)

    def work(
        readings: Readings, numbers: list[int], done: Collection[int], at_once: int
    ) -> Generator[list[int], None, None]:
        return _optimise(inputs, run, readings, pieces, numbers, done, at_once)

    whole = optimised.complete(len(pieces), CHUNK, work)
    if run.ranks.leads:
        _write(inputs, run, whole)
    run.ranks.meet()


def _pieces(inputs: Inputs) -> list[Piece]:
    """Both sides of every block, CHUNK channels at a time: the same in every run."""
    return [
        Piece(block, side, first, min(CHUNK, count - first))
        for block in inputs.stream_plan.blocks
        for count in [inputs.channels(inputs.network.layer(block.name))]
        for side in range(len(SIDES))
        for first in range(0, count, CHUNK)
    ]


def recipe(layer: LayerInfo, first: bool, side: int, steps: int, batch: int = CHUNK) -> AscentPlan:
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
    return AscentPlan(steps=steps, transforms=transforms, batch=batch)


def read_at(
    network: Network,
    block: StreamBlock,
    side: str,
    pixels: torch.Tensor,
    channels: np.ndarray,
    forward: int = CHUNK,
) -> np.ndarray:
    """Readings at one picture per channel, (U, 4) float32 in the order of READ.

    side: whose pictures they are; pixels: (U, H, W, channels) from 0 to 255; channels: (U,), of each picture its own;
    forward: pictures that the network takes at once.
    """
    plan = StreamPlan((block,), forward)
    rows = []
    for first in range(0, len(pixels), forward):
        batch = pixels[first : first + forward]
        own = torch.from_numpy(channels[first : first + forward])
        plain = read_centres(network, batch, plan)[block.name]
        rescaled = read_centres(network, (enlarge if side == "input" else reduce)(batch), plan)[block.name]
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
    plain = {
        "mix_ratio": ratio,
        "block_at_input": at["input", "block"],
        "scale_block": criteria.block,
        "scale_input": criteria.input,
        "scale_sum": criteria.sum,
    }
    numbers = {f"{name}_optimised": array.astype(np.float32) for name, array in plain.items()}
    return {**numbers, "scale_invariant_optimised": criteria.invariant(ratio)}


def _optimise(
    inputs: Inputs,
    run: Run,
    readings: Readings,
    pieces: list[Piece],
    mine: list[int],
    done: Collection[int],
    at_once: int,
) -> Generator[list[int], None, None]:
    """Fill the readings of pieces, yielding the numbers of those that are filled. done: those of earlier runs; at_once:
    pictures that are optimised together."""
    earlier = sum(pieces[number].count for number in done)
    total = earlier + sum(pieces[number].count for number in mine)
    use_tf32(False)
    network = inputs.network.to(run.device, torch.float32)
    parts = residuals(network)
    ascender: Ascender | None = None
    before: tuple[str, int] | None = None
    with run.reporter.stage("optimised stream", total, "pictures", earlier) as advance:
        for number in mine:
            piece = pieces[number]
            if before != (piece.block.name, piece.side):  # one prepares for all channels of a side
                ascender = _ascender(inputs, network, parts[piece.block.name], piece, at_once)
                before = piece.block.name, piece.side
            assert ascender is not None
            whole = ascender.ascend(piece.channels.tolist()).whole()  # (U, C, H, W) in [0, 1]
            pixels = (whole * 255).permute(0, 2, 3, 1)
            read = read_at(network, piece.block, SIDES[piece.side], pixels, piece.channels, at_once)
            readings.of_block[piece.block.name][piece.side, piece.channels] = read
            advance(piece.count)
            yield [number]


def _ascender(inputs: Inputs, network: Network, residual: Residual, piece: Piece, at_once: int) -> Ascender:
    layer, side = inputs.network.layer(piece.block.name), min(inputs.network.preprocessing.size)
    steps = inputs.profile.stream.optimised_steps
    plan = recipe(layer, not residual.is_identity, side, steps, at_once)
    return Ascender(network, (residual.shortcut, residual.branch)[piece.side], plan)


def _write(inputs: Inputs, run: Run, readings: Readings) -> None:
    _remove_earlier(inputs, run)
    blocks = []
    for block in inputs.stream_plan.blocks:
        optimised = block_numbers(dict(zip(SIDES, readings.of_block[block.name], strict=True)))
        numbers = run.store.arrays.layer(block.name, "stream")
        run.store.arrays.write_layer(block.name, PRODUCT, optimised)
        ratio = optimised["mix_ratio_optimised"]
        fixed = ("norm_weight", "norm_scale", "convolution_weight", "mix_ratio")
        others = {name: numbers[name] for name in fixed if name in numbers}
        others["block_at_input"] = optimised["block_at_input_optimised"]
        # The pictures are optimised and no sample of any: there are no intervals over pictures.
        associations = {name: rank_correlation(ratio, values) for name, values in others.items()}
        blocks.append({"block": block.name, "associations": associations})
    run.store.tables.write_json(FILE, {"steps": inputs.profile.stream.optimised_steps, "blocks": blocks})


def _remove_earlier(inputs: Inputs, run: Run) -> None:
    for layer in inputs.network.layers:
        run.store.arrays.drop_layer(layer.name, PRODUCT)
    run.store.drop_file(FILE)
