"""Optimised pictures of the profile's layers: one a channel, begun at mid-grey; where that one excites its unit less
than the best patch does, a second one begun at this patch."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from PIL import Image

from generator.core.errors import AtlasError
from generator.core.records import LayerInfo
from generator.core.sprites import GROUND, THUMB, as_colours, framed, mosaic, shrink, thumb_columns, webp
from generator.engine.ascent.ascent import Ascender, AscentPlan
from generator.engine.ascent.regularisers import Regularisers
from generator.engine.ascent.transforms import Transforms, jitter, pad, random_rotate, random_scale
from generator.methods.optimised import kept_picture, strongest_in_the_middle
from generator.stages import keys
from generator.stages.checkpointed_pass import Parts, halving, in_threads
from generator.stages.inputs import Inputs
from generator.stages.picture_reading import read_again, usable_files
from generator.stages.profile import AscentSection
from generator.stages.run import Run
from generator.stages.unfinished import layer_stamp

ROOM = {"cpu": 512 << 20, "cuda": 8 << 30}  # bytes of maps that one batch may keep for its backward pass
LARGEST = {"cpu": 32, "cuda": 512}  # pictures a batch
# Pictures a batch of those that start from a patch: few do, and a larger batch would be filled up with idle ones.
LARGEST_FROM_PATCH = {"cpu": 8, "cuda": 64}
# How much shorter the steps of a picture that starts from a patch are: longer ones would lose the patch at once.
GENTLER = 4

LEAST_STEPS = 8  # fewer do not find a picture
LEAKY = 3  # the share of the steps, one of this many, in which a part of the gradient passes inactive ReLUs

FROM_GREY, FROM_PATCH = 0, 1
STAMP = "optimised-pictures"  # of the stage, and the folder of its parts
PRODUCT = "optimised"  # of a layer's arrays


@dataclass(frozen=True)
class ChannelGroup:
    """Channels of one layer whose pictures run together. number: of its part on disk."""

    layer: LayerInfo
    start: int
    number: int
    channels: tuple[int, ...]

    @property
    def part(self) -> str:
        """The name of its part on disk."""
        return f"{self.layer.name}-{self.start}-{self.number}"


def plan_of(section: AscentSection, side: int) -> AscentPlan:
    """The profile's settings for pictures of a layer whose units see `side` px; the batch size is not set yet."""
    return AscentPlan(
        objective=section.objective,
        parametrisation=section.parametrisation,
        steps=section.steps,
        lr=section.lr,
        transforms=_transforms(section, side),
        regularisers=Regularisers(**section.regularisers.model_dump()),
        leaky=max(1, section.steps // LEAKY),
        seed=section.seed,
        batch=1,
        precision=section.precision,
    )


def within(plan: AscentPlan, work: float | None, multiplications: int) -> AscentPlan:
    """The plan with as many steps as the work (in billions of multiplications) allows; fewer steps are longer ones."""
    if work is None:
        return plan
    steps = min(plan.steps, max(LEAST_STEPS, int(work * 1e9 / multiplications)))
    return replace(plan, steps=steps, lr=plan.lr * (plan.steps / steps) ** 0.5, leaky=max(1, steps // LEAKY))


def _transforms(section: AscentSection, side: int) -> Transforms:
    """Jitter in proportion to the receptive field: a shift that a deep unit ignores moves an edge out of a shallow
    unit's field."""
    around = (pad(section.pad),) if section.pad else ()
    moved = round(section.jitter * side)
    moves = (jitter(moved),) if moved > 1 else ()
    scales = (random_scale(section.scales),) if set(section.scales) - {1.0} else ()
    turns = (random_rotate(section.angles),) if set(section.angles) - {0.0} else ()
    return (*around, *moves, *scales, *turns)


def optimise_pictures(inputs: Inputs, run: Run) -> None:
    """Write optimised/<layer>/<channel>.webp, optimised/<layer>.webp and layers/<layer>/optimised.npz of every layer
    that the profile names; of the other layers optimised.npz without values, so that all layers have the same columns.

    Groups that an earlier run finished are left alone; each process of a torchrun takes its share.
    """
    key, work = keys.optimised_pictures(inputs), run.store.work
    layers = [layer for layer in inputs.optimised_layers if work.stamp(layer_stamp(STAMP, layer)) != key]
    run.ranks.meet()  # every process has seen the same before any stamps
    if layers:
        _optimise(inputs, run, layers)
    if run.ranks.leads:
        chosen = {layer.name for layer in inputs.optimised_layers}
        for layer in inputs.network.layers:
            if layer.name not in chosen:
                run.store.arrays.write_layer(layer.name, PRODUCT, _blank(layer.channels))
        run.store.pictures.keep_optimised(chosen)
    run.ranks.meet()


def _optimise(inputs: Inputs, run: Run, layers: Sequence[LayerInfo]) -> None:
    parts = Parts(run, STAMP, keys.optimised_pictures(inputs), "the optimised pictures")
    if run.ranks.leads:
        parts.begin()
    run.ranks.meet()
    optimiser = Optimiser(inputs, run, parts)
    first = [
        group
        for layer in layers
        for group in optimiser.groups(layer, FROM_GREY, range(inputs.channels(layer)))
    ]
    with run.reporter.stage("optimised pictures", sum(len(g.channels) for g in first), "channels") as advance:
        optimiser.optimise(first, advance)
    run.ranks.meet()
    second = [
        group for layer in layers for group in optimiser.groups(layer, FROM_PATCH, optimiser.too_weak(layer))
    ]
    if second:
        total = sum(len(group.channels) for group in second)
        with run.reporter.stage("from their patches", total, "channels") as advance:
            optimiser.optimise(second, advance)
    run.ranks.meet()
    if run.ranks.leads:
        for layer in layers:
            optimiser.finish(layer, [group for group in (*first, *second) if group.layer == layer])
    run.ranks.meet()


class Optimiser:
    """Runs groups in threads, each with whole groups of its own. parts: one a group: its channels, the values of their
    pictures, which pictures are kept, and the files of these, one behind the other."""

    def __init__(self, inputs: Inputs, run: Run, parts: Parts) -> None:
        assert inputs.profile.ascent is not None
        self.inputs, self.run, self.section, self.parts = inputs, run, inputs.profile.ascent, parts
        self.network = inputs.network.to(run.device, torch.float32)
        self._files = usable_files(inputs, run)
        self._ascenders: dict[tuple[str, int], Ascender] = {}
        self._smaller: dict[tuple[str, int], Ascender] = {}  # for a device whose memory did not suffice
        self._from_grey: dict[str, np.ndarray] = {}  # by layer: the values of the pictures from mid-grey

    def groups(self, layer: LayerInfo, start: int, channels: range | list[int]) -> list[ChannelGroup]:
        """Channels cut into groups: always the same, so that every part of a run that was stopped is of use."""
        size = self.ascender(layer, start).plan.batch
        return [
            ChannelGroup(layer, start, number, tuple(channels[first : first + size]))
            for number, first in enumerate(range(0, len(channels), size))
        ]

    def ascender(self, layer: LayerInfo, start: int) -> Ascender:
        """What optimises pictures of a layer from this start: made once."""
        key = (layer.name, start)
        if key not in self._ascenders:
            side = min(layer.receptive_field.side, *self.network.preprocessing.size)
            plan = plan_of(self.section, side)
            forward = Ascender(self.network, layer.name, plan).forward
            plan = within(plan, self.section.work, forward.multiplications)
            if start == FROM_PATCH:
                plan = replace(plan, lr=plan.lr / GENTLER, leaky=0)
            kind = self.run.device.type
            largest = (LARGEST, LARGEST_FROM_PATCH)[start]
            room = ROOM.get(kind, ROOM["cpu"]) // (4 * forward.numbers)
            most = max(1, min(largest.get(kind, largest["cpu"]), room))
            channels = self.inputs.channels(layer)
            # Groups of one size: none is filled up with idle pictures.
            even = -(-channels // -(-channels // most))
            self._ascenders[key] = Ascender(self.network, layer.name, replace(plan, batch=even))
        return self._ascenders[key]

    def too_weak(self, layer: LayerInfo) -> list[int]:
        """The channels whose picture from mid-grey activates the unit no more than its best patch does; none where
        patches may not be published, since a picture that starts from a patch shows some of it."""
        if not self.inputs.profile.site.publish_patches or self.section.objective != "neuron":
            return []
        numbers = self.run.store.arrays.layer(layer.name, "top")
        grey = self.groups(layer, FROM_GREY, range(self.inputs.channels(layer)))
        value = np.concatenate([self._part(group)["value"] for group in grey])
        self._from_grey[layer.name] = value
        top, image = numbers["top_value"][: len(value), 0], numbers["top_image"][: len(value), 0]
        return [int(channel) for channel in np.nonzero((value <= top) & (image >= 0))[0]]

    def _part(self, group: ChannelGroup) -> dict[str, np.ndarray]:
        arrays = self.parts.load(group.part)
        if arrays is None:
            where = self.run.store.work.pass_folder(self.parts.name)
            raise AtlasError("a part of the optimised pictures was lost", where, "run the same command again")
        return arrays

    def optimise(self, groups: list[ChannelGroup], advance: Callable[[int], None]) -> None:
        """Make every group's part that is not there yet; this process takes its share of them."""
        waiting = [group for group in groups if self.parts.load(group.part) is None]
        self.run.ranks.meet()  # every process has seen the same before any makes one
        advance(sum(len(group.channels) for group in groups) - sum(len(g.channels) for g in waiting))
        mine = self.run.ranks.share(waiting)
        for layer, start in dict.fromkeys((group.layer, group.start) for group in mine):
            self.ascender(layer, start)  # prepared here: threads only read them
        # Those for which the memory did not suffice once more, one at a time, with fewer pictures at once.
        for group in in_threads(self.run, mine, self._make, advance):
            advance(halving(self.run, self._at_once(group), partial(self._make, group)))

    def _at_once(self, group: ChannelGroup) -> int:
        """Half of the group's pictures or, where others did not fit either, as few as fitted them."""
        key = (group.layer.name, group.start)
        full = self.ascender(group.layer, group.start).plan.batch
        if key in self._smaller:
            return self._smaller[key].plan.batch
        return (
            self.run.smaller(full) if full > 1 else full
        )  # alone, without other threads' pictures, one may fit

    def _make(self, group: ChannelGroup, at_once: int | None = None) -> int:
        """Optimise one group, all of it together or at_once pictures at a time, and save its part."""
        ascender = self.ascender(group.layer, group.start)
        if at_once is not None and at_once < ascender.plan.batch:
            ascender = Ascender(self.network, group.layer.name, replace(ascender.plan, batch=at_once))
            self._smaller[group.layer.name, group.start] = ascender
        begun = self._patches(group, ascender) if group.start == FROM_PATCH else None
        optimised = ascender.ascend(group.channels, begun)
        value = optimised.value.numpy()
        pixels = (optimised.pictures * 255).round().byte().permute(0, 2, 3, 1)  # (U, h, w, C)
        shown = as_colours(pixels.numpy())
        kept = np.ones(len(value), bool)
        if group.start == FROM_PATCH:
            kept = value > self._from_grey[group.layer.name][list(group.channels)]
        quality, side = self.inputs.profile.sprites.quality, self.section.side
        files = [webp(kept_picture(picture, side), quality) for picture in shown[kept]]
        self.parts.save(
            group.part,
            {
                "channel": np.array(group.channels, np.int32),
                "value": value,
                "kept": kept,
                "length": np.array([len(file) for file in files], np.int64),
                "files": np.frombuffer(b"".join(files), np.uint8),
            },
        )
        return len(group.channels)

    def _patches(self, group: ChannelGroup, ascender: Ascender) -> torch.Tensor:
        """What each channel's strongest unit saw, (U, C, h, w) in [0, 1]."""
        numbers = self.run.store.arrays.layer(group.layer.name, "top")
        channels = list(group.channels)
        image, unit = numbers["top_image"][channels, 0], numbers["top_unit"][channels, 0]
        used, which = np.unique(image, return_inverse=True)
        (batch,) = read_again(self.inputs, self.run, self._files[used].tolist(), batch=len(used))
        pixels = batch.pixels.numpy()
        middle = ascender.middle
        assert middle is not None
        cut = [
            strongest_in_the_middle(
                pixels[at], group.layer.receptive_field, int(row), int(column), middle, ascender.frame
            )
            for at, (row, column) in zip(which, unit, strict=True)
        ]
        return torch.from_numpy(np.stack(cut)).permute(0, 3, 1, 2).float() / 255

    def finish(self, layer: LayerInfo, groups: list[ChannelGroup]) -> None:
        """Gather the parts of a layer into its pictures, their numbers and a sheet of thumbnails."""
        store, quality = self.run.store, self.inputs.profile.sprites.quality
        count = self.inputs.channels(layer)
        numbers = _blank(layer.channels)
        value, begun = numbers["ascent_value"], numbers["ascent_start"]
        small = np.full((count, THUMB, THUMB, 3), GROUND, np.uint8)
        for group in groups:  # from mid-grey before from patches
            part = self._part(group)
            kept = part["kept"]
            value[part["channel"][kept]] = part["value"][kept]
            begun[part["channel"][kept]] = group.start
            for channel, file in zip(part["channel"][kept].tolist(), _files(part), strict=True):
                store.pictures.write(store.pictures.optimised_path(layer.name, channel), file)
                with Image.open(io.BytesIO(file)) as picture:
                    small[channel] = framed(shrink(np.asarray(picture.convert("RGB")), THUMB))
        store.arrays.write_layer(layer.name, PRODUCT, numbers)
        sheet = webp(mosaic(small, thumb_columns(count)), quality)
        store.pictures.write(store.pictures.optimised_sheet_path(layer.name), sheet)
        store.work.write_stamp(layer_stamp(STAMP, layer), keys.optimised_pictures(self.inputs))


def _files(part: dict[str, np.ndarray]) -> Iterator[bytes]:
    """The files of a part's kept pictures."""
    ends = np.cumsum(part["length"])
    for first, last in zip(ends - part["length"], ends, strict=True):
        yield part["files"][first:last].tobytes()


def _blank(channels: int) -> dict[str, np.ndarray]:
    return {
        "ascent_value": np.full(channels, np.nan, np.float32),
        "ascent_start": np.full(channels, -1, np.int8),
    }


def optimised_report(inputs: Inputs, run: Run) -> dict[str, int]:
    """For the manifest: how many pictures there are, how many of them of active channels, how many activate their unit
    more than its best patch does, how many of those started from the patch, how many activate nothing."""
    counts = {"pictures": 0, "living": 0, "stronger": 0, "from_patch": 0, "silent": 0}
    for layer in inputs.optimised_layers:
        numbers = run.store.arrays.layer(layer.name, "top", PRODUCT)
        value, start = numbers["ascent_value"], numbers["ascent_start"]
        made = start >= 0
        active = made & (numbers["top_image"][:, 0] >= 0)
        stronger = active & (value > numbers["top_value"][:, 0])
        counts["pictures"] += int(made.sum())
        counts["living"] += int(active.sum())
        counts["stronger"] += int(stronger.sum())
        counts["from_patch"] += int((stronger & (start == FROM_PATCH)).sum())
        counts["silent"] += int((made & (value <= 0)).sum())
    return counts
