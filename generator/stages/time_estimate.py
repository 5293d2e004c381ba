"""How long a run will take: its work counted from the network's graph and the profile, times what a little of each kind
of work takes on this machine, as busy as it is now (trials.py)."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from generator.core.correspondence import layer_pairs
from generator.core.errors import AtlasError
from generator.core.records import TOP
from generator.engine.device import is_out_of_memory, trim_memory
from generator.engine.gradients.crop_cost import ForwardCosts
from generator.engine.loops import compiled
from generator.engine.scan.stream import residuals
from generator.methods.gradients import RULES
from generator.methods.zooms import ZOOMS
from generator.stages import scale_truth, zooms
from generator.stages.decoded_pixels import room_for_pixels
from generator.stages.done import Done
from generator.stages.dreams import dream_layers
from generator.stages.dreams import plan_of as dream_plan
from generator.stages.effects import has_effects
from generator.stages.gradient_rules import last_layers
from generator.stages.inputs import Inputs
from generator.stages.optimised_pictures import plan_of, within
from generator.stages.optimised_stream import recipe
from generator.stages.picture_map import MOST_THUMBS
from generator.stages.run import Run
from generator.stages.trials import Trials

# What has no multiplications to count, in those that one thread does in the same time.
TSNE = 480e6  # t-SNE's thousand rounds, a picture
CHANNEL = 30e6  # reading and writing a channel's row in every table
RANKED = 1.2e5  # ordering one score of one picture, as often as that is done
PERMUTED = 60.0  # one pair of channels in the tests by permutation
PAGE = 300e6  # a channel's page, and following its links

# What is left to multiply of a gradient, by the rule.
SPARSE = {"guided": 1.0, "deconvnet": 2.5, "plain": 2.5}

# How far a run may be off what the trials say: batches of other sizes, other units, other work on the machine.
LESS, MORE = 0.7, 1.4


@dataclass(frozen=True)
class Part:
    """One part of the time that is left. low, high: seconds; in_background: while the device computes other parts."""

    name: str
    low: float
    high: float
    in_background: bool = False

    @classmethod
    def about(cls, name: str, seconds: float) -> Part:
        """A part that is as uncertain as the trials are."""
        return cls(name, seconds * LESS, seconds * MORE)


@dataclass(frozen=True)
class Estimate:
    """The parts of what is left to do, in the order in which they are done."""

    parts: tuple[Part, ...]

    @property
    def low(self) -> float:
        """Seconds at the least."""
        return _whole((part.in_background, part.low) for part in self.parts)

    @property
    def high(self) -> float:
        """Seconds at the most."""
        return _whole((part.in_background, part.high) for part in self.parts)


def _whole(parts: Iterable[tuple[bool, float]]) -> float:
    """Seconds of all parts, each with whether it is in the background: those count only where they take longer."""
    seconds = {True: 0.0, False: 0.0}
    for in_background, part in parts:
        seconds[in_background] += part
    return max(seconds.values())


def estimate(
    inputs: Inputs, run: Run, done: Done, missing: int = 0, *, site: bool = False
) -> Estimate | None:
    """The time of what is left of a run; None where a trial failed: then the run itself will say why.

    missing: pictures still to be drawn; site: whether pages are rendered afterwards.
    """
    work = _Work(inputs, run, done, Trials.of(inputs, run), missing, site)
    names = [name for name, wanted in work.asked().items() if wanted]
    parts: list[Part] = []
    if run.device.type == "cpu":
        compiled.prepare(run.reporter.say)  # else the first trial would time the compiler
    try:
        with run.reporter.stage("timing this machine", len(names), "trials") as advance:
            for name in names:
                # Of the stages that are cpu_only.
                in_background = run.overlaps and name in ("map", "tables", "sprites")
                parts += [replace(part, in_background=in_background) for part in work.part(name)]
                advance()
    except Exception as error:
        if not isinstance(error, AtlasError) and not is_out_of_memory(error):
            raise
        return None
    finally:
        trim_memory()
    return Estimate(tuple(part for part in parts if part.high > 0))


def dream_starts(inputs: Inputs) -> int:
    """How many pictures dreams begin at: of the set's own those that there are, where they may be published."""
    own = [start for start in inputs.starts if start.number is not None]
    there = sum((start.number or 0) < len(inputs.pictures) for start in own)
    return len(inputs.starts) - len(own) + (there if inputs.profile.site.publish_patches else 0)


class _Work:
    """The work that is left, part by part."""

    def __init__(
        self, inputs: Inputs, run: Run, done: Done, trials: Trials, missing: int, site: bool
    ) -> None:
        self.inputs, self.run, self.done, self.trials, self.missing, self.site = (
            inputs,
            run,
            done,
            trials,
            missing,
            site,
        )
        self.units = done.units_left()
        self.sprites = done.sprites_left()
        self.pictures = len(inputs.pictures)
        room = room_for_pixels(inputs, run)
        self.kept = room is not None and room.suffices and done.needs("scan")  # decoded by the scan for all

    def asked(self) -> dict[str, bool]:
        """The parts by name, in their order, and whether there is anything to do."""
        done, layers = self.done, self.inputs.optimised_layers
        return {
            "drawing": self.missing > 0,
            "scan": done.needs("scan"),
            "predictions": done.has("scan") and (done.needs("features") or done.needs("predictions")),
            "map": done.needs("embedding"),
            "tables": True,
            "residual stream": done.needs("stream"),
            "optimised stream": done.needs("optimised stream"),
            "contributions to classes": done.needs("effects") and has_effects(self.inputs),
            "zooms": done.needs("zooms"),
            "sizes": done.needs("scale truth"),
            "patches and gradients": len(self.units) > 0,
            "sprites": any(self.sprites.values()),
            "gradient rules": done.needs("gradient rules"),
            "optimised pictures": any(not done.has_layer("optimised pictures", layer) for layer in layers),
            "dreams": done.needs("dreams"),
            "pages": self.site,
        }

    def part(self, name: str) -> list[Part]:
        """The time of one of the parts that `asked` names."""
        estimate = getattr(self, f"_{name.replace(' ', '_')}")()
        return [estimate] if isinstance(estimate, Part) else [Part.about(name, estimate)]

    # -- passes over the pictures ----------------------------------------------------------------------------------

    def _drawing(self) -> float:
        return self.trials.start + self.missing * self.trials.drawing / self.run.encoders

    def _forwards(self, pictures: int, seconds: float) -> float:
        """Of a pass in whole forwards, where each thread and each process has some. seconds: a picture's."""
        each = self.trials.threads * self.run.ranks.world
        size = self.inputs.forward
        rounds = -(-pictures // (size * each))
        # A round that is not full takes as long for each of its pictures, or less.
        return max(-(-pictures // size) / each, rounds / 1.5) * size * seconds

    def _decoded(self, pictures: int, meanwhile: float) -> float:
        """Seconds of a pass over pictures, decoding included. meanwhile: its seconds without decoding."""
        run, seconds = self.run, pictures * self.trials.read / self.run.ranks.world
        alone = seconds / max(1, run.decoders)
        if run.device.type == "cuda":  # the cores have nothing else to do
            return max(meanwhile, alone)
        return max(meanwhile + seconds / self.trials.threads, alone)

    def _read_again(self, pictures: int, meanwhile: float) -> float:
        """Seconds of a pass after the scan: the pictures are decoded again where the scan's pixels are not kept."""
        return meanwhile if self.kept else self._decoded(pictures, meanwhile)

    def _scan(self) -> float:
        left = self.pictures - self.done.pictures("scan")
        forwards = 1 if self.inputs.profile.compute.precision == "fp32" else 2  # the candidates once more
        seconds = self._forwards(left, self.trials.scanned)
        return self._decoded(left, seconds) + (forwards - 1) * self._read_again(left, seconds)

    def _predictions(self) -> float:
        return self._read_again(self.pictures, self._forwards(self.pictures, self.trials.scanned))

    def _residual_stream(self) -> float:
        done, profile = self.done, self.inputs.profile
        seconds = 0.0
        if profile.stream.rescaled:
            left = self.pictures - done.pictures("stream")
            seconds += self._read_again(left, self._forwards(left, self.trials.streamed))
        if done.has("scan") or profile.compute.precision != "fp32":  # else the scan brings these readings
            left = self.pictures - done.stream_readings
            seconds += self._read_again(left, self._forwards(left, self.trials.scanned))
        return seconds

    def _contributions_to_classes(self) -> float:
        left = self.pictures - self.done.pictures("effects")
        return self._read_again(left, self._forwards(left, self.trials.traced))

    def _zooms(self) -> float:
        pictures = min(self.pictures, zooms.ZOOM_PICTURES)
        seconds = self._forwards(pictures, len(ZOOMS) * self.trials.scanned) * self.run.ranks.world
        return self._read_again(pictures, seconds)

    def _sizes(self) -> float:
        from generator.pictures.drawn.scales import SCALES
        from generator.pictures.drawn.world import CLASSES

        count = len(CLASSES) * scale_truth.DRAWINGS * (1 + len(SCALES))
        drawn = self.trials.start + count * self.trials.drawing / self.run.encoders
        return drawn + self._forwards(count, self.trials.scanned) * self.run.ranks.world

    def _map(self) -> float:
        section, count = self.inputs.profile.embedding, self.pictures
        mapped = min(count, section.pictures)
        placed = min(mapped, section.exact)
        last_vector = self.inputs.network.last_vector
        length = 0 if last_vector is None else last_vector[1]
        products = 3 * mapped * mapped * length + mapped * length * min(length, mapped)
        read = self._read_again(min(mapped, MOST_THUMBS), 0.0)
        return (placed * TSNE + products) * self.trials.plain + read

    # -- units -----------------------------------------------------------------------------------------------------

    def _patches_and_gradients(self) -> float:
        inputs, run, trials, units = self.inputs, self.run, self.trials, self.units
        layers = inputs.network.layers
        here = np.bincount(units.layer, minlength=len(layers)).tolist()
        way_back = sum(count * trials.unit(layer) for count, layer in zip(here, layers, strict=True) if count)
        costs = ForwardCosts(inputs.network)
        alone = costs.alone(units.layer, units.picture)
        crops = sum(costs.crop(int(layer)) for layer in units.layer[alone])
        pictures, place = np.unique(units.picture, return_inverse=True)
        deepest = np.full(len(pictures), -1)
        np.maximum.at(deepest, place, np.where(alone, -1, units.layer))
        whole = sum(costs.whole(int(layer)) for layer in deepest[deepest >= 0])
        written = len(pictures) * trials.picture if "patches" in inputs.panels else 0.0
        seconds = way_back + (crops + whole) * trials.switched + written
        return self._read_again(len(pictures), seconds / (trials.threads * run.ranks.world))

    def _sprites(self) -> float:
        layers = {layer.name: layer for layer in self.inputs.network.layers}
        seconds = sum(
            count * self.trials.sprite(layers[name]) for name, count in self.sprites.items() if count
        )
        return self.trials.start + seconds / (self.run.encoders * self.run.ranks.world)

    def _gradient_rules(self) -> float:
        inputs, trials = self.inputs, self.trials
        layers = last_layers(inputs)
        rules, own = set(RULES.values()), {RULES[kind] for kind in inputs.profile.gradients}
        # Where no rule sets the negative half to zero, more is left to multiply.
        more = sum(SPARSE[rule] for rule in rules) / sum(SPARSE[rule] for rule in own)
        way_back = sum(trials.unit(layer) for layer in layers) * TOP * more
        forward = sum(trials.multiply_adds(inputs.network.step(layer.name)) for layer in layers)
        encoded = (
            sum(trials.sprite(layer) for layer in layers) * (len(RULES) + 1) / max(1, len(inputs.panels))
        )
        read = 0.0 if self.kept else TOP * len(layers) * trials.read
        return way_back + TOP * forward * trials.switched + encoded + read

    # -- pictures that are made ------------------------------------------------------------------------------------

    def _optimised_pictures(self) -> Part:
        """Pictures that are weaker than a patch are made once more, from there: how many is not known before."""
        inputs, run, trials, section = self.inputs, self.run, self.trials, self.inputs.profile.ascent
        assert section is not None
        shorter, network = min(inputs.network.preprocessing.size), inputs.network
        layers = [
            layer for layer in inputs.optimised_layers if not self.done.has_layer("optimised pictures", layer)
        ]
        whole = {layer.name: trials.multiply_adds(network.step(layer.name)) for layer in layers}
        ways = [trials.cone(one) if section.objective == "neuron" else whole[one.name] for one in layers]
        plans = [
            within(plan_of(section, min(layer.receptive_field.side, shorter)), section.work, max(way, 1))
            for layer, way in zip(layers, ways, strict=True)
        ]
        # A step has a cost of its own besides its multiply-adds: between the layers that are tried it lies on a line.
        points: dict[int, float] = {}
        for number in sorted({0, len(layers) // 2, len(layers) - 1}):
            channels = list(range(inputs.channels(layers[number])))
            rate = trials.ascent_step(layers[number].name, plans[number], channels)
            points[ways[number]] = rate * ways[number]
        tried = sorted(points)
        steps = np.interp(ways, tried, [points[way] for way in tried])
        seconds = sum(
            inputs.channels(layer) * (plan.steps + 1) * float(step)
            for layer, plan, step in zip(layers, plans, steps, strict=True)
        )
        seconds /= trials.threads * run.ranks.world
        again = section.objective == "neuron" and inputs.profile.site.publish_patches
        return Part("optimised pictures", seconds * LESS, seconds * MORE * (2 if again else 1))

    def _optimised_stream(self) -> float:
        inputs, run, trials, network = self.inputs, self.run, self.trials, self.inputs.network
        residual_blocks = residuals(network)
        blocks = inputs.stream_plan.blocks
        middle = blocks[len(blocks) // 2]
        steps, side = inputs.profile.stream.optimised_steps, min(network.preprocessing.size)
        layer = network.layer(middle.name)
        plan = recipe(layer, not residual_blocks[middle.name].is_identity, side, steps)
        rate = trials.ascent_step(
            residual_blocks[middle.name].branch, plan, list(range(inputs.channels(layer)))
        )
        pictures = [
            (2 * inputs.channels(network.layer(block.name)), trials.cone(network.layer(block.name)))
            for block in blocks
        ]
        work = sum(count * way for count, way in pictures) * steps
        return work * rate / (trials.threads * run.ranks.world)

    def _dreams(self) -> float:
        inputs, run, trials, section = self.inputs, self.run, self.trials, self.inputs.profile.deepdream
        assert section is not None
        plan, network = dream_plan(section, inputs.network), inputs.network
        area = sum(math.prod(size) for size in plan.sizes) / math.prod(network.preprocessing.size)
        ways = [trials.multiply_adds(network.step(layer.name)) for layer in dream_layers(inputs)]
        # A step goes there and back again.
        work = 2 * plan.steps * area * sum(ways) * dream_starts(inputs)
        return work * trials.switched / (trials.threads * run.ranks.world)

    # -- what is left ----------------------------------------------------------------------------------------------

    def _tables(self) -> float:
        inputs, pictures = self.inputs, min(self.pictures, self.inputs.profile.compute.score_pictures)
        layers = {layer.name: layer.channels for layer in inputs.network.layers}
        channels = sum(layers.values())
        pairs = sum(layers[pair.source] * layers[pair.target] for pair in layer_pairs(inputs.network.layers))
        work = channels * CHANNEL + channels * pictures * RANKED + pairs * (PERMUTED + pictures)
        seconds = work * self.trials.plain
        if self.run.overlaps or (os.cpu_count() or 1) == 1:
            return seconds
        # Beside the map, which keeps another core busy: what is left of them when it is done.
        return max(0.0, seconds - self._map()) / 2 if self.done.needs("embedding") else seconds / 2

    def _pages(self) -> float:
        channels = sum(layer.channels for layer in self.inputs.network.layers)
        return self.trials.start + channels * PAGE * self.trials.plain / self.run.encoders
