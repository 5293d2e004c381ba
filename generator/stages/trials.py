"""A little of each kind of work, timed on the run's device: the basis of the time estimate."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from generator.core.processes import in_processes
from generator.core.records import LayerInfo
from generator.core.sprites import QUICK_METHOD, as_colours, encoded_sprite, enlargement, shrink, sprite, webp
from generator.engine.ascent.ascent import Ascender, AscentPlan
from generator.engine.device import one_thread_each, use_tf32
from generator.engine.effects.effect_state import EffectLayer, EffectPlan, EffectReader, EffectState
from generator.engine.gradients.cones import Cone
from generator.engine.gradients.crop_cost import ForwardCosts
from generator.engine.gradients.unit_gradients import Units, forward_switches
from generator.engine.rounds import in_rounds
from generator.engine.scan.plan import ScanPlan
from generator.engine.scan.scan import scan_side_by_side
from generator.engine.scan.state import ScanState
from generator.engine.scan.stream import StreamSteps
from generator.engine.scan.stream_rescaled import RescaledReader, read_rescaled
from generator.engine.scan.stream_state import StreamReading, StreamState
from generator.methods.focus import frames
from generator.methods.gradients import GradientPictures
from generator.methods.patches import patches
from generator.network.network import Network
from generator.pictures.batch_reader import PictureBatch
from generator.pictures.decoding import PictureError, read_picture
from generator.pictures.reading import evenly_spaced
from generator.stages.effects import at_once, effect_layers
from generator.stages.inputs import Inputs
from generator.stages.run import Run
from generator.stages.sprite_encoding import loaded

MULTIPLY_ADDS = 4e9  # of a trial in each thread: less than a tenth of a second on a common processor
MOST_UNITS = {"cpu": 128, "cuda": 512}
DECODED = 8  # pictures read


@dataclass(frozen=True)
class Trials:
    """Timings in seconds, each taken once and only where it is needed. On a CPU all threads work at the same time, as
    in the run; the timing is that of one of them. threads: how many things are computed side by side."""

    inputs: Inputs
    run: Run
    threads: int

    @classmethod
    def of(cls, inputs: Inputs, run: Run) -> Trials:
        """Trials with as many threads as torch has now; within a trial it has one."""
        return cls(inputs, run, torch.get_num_threads() if run.device.type == "cpu" else 1)

    @cached_property
    def _network(self) -> Network:
        use_tf32(False)
        return self.inputs.network.to(self.run.device, torch.float32)

    @cached_property
    def shapes(self) -> dict[int, tuple[int, int, int]]:
        """(C, H, W) of every step's map."""
        network = self.inputs.network
        return dict(enumerate(network.graph.shapes(network.preprocessing.size)))

    def multiply_adds(self, step: int) -> int:
        """Of one picture's way to a step."""
        return self._by_step[step]

    @cached_property
    def _by_step(self) -> list[int]:
        return self.inputs.network.graph.running_multiply_adds(self.inputs.network.preprocessing.size)

    # -- pictures ----------------------------------------------------------------------------------------------------

    @cached_property
    def _pictures(self) -> tuple[np.ndarray, float]:
        """Pictures of the set, (n, H, W, C) uint8, and the seconds that reading a picture takes.

        Where no picture can be read yet: enlarged noise, and 0 s."""
        inputs, preprocessing = self.inputs, self.inputs.network.preprocessing
        pictures: list[np.ndarray] = []
        seconds: list[float] = []
        for place in evenly_spaced(len(inputs.pictures), DECODED):
            start = time.perf_counter()
            try:
                path = inputs.pictures.root / inputs.pictures.files[place].path
                pictures.append(read_picture(path, preprocessing).pixels)
            except PictureError:
                continue
            seconds.append(time.perf_counter() - start)
        if pictures:
            later = seconds[1:] or seconds  # the first one also loads the decoder
            return np.stack(pictures), sum(later) / len(later)
        height, width = preprocessing.size
        coarse = (2, height // 8 + 1, width // 8 + 1, preprocessing.channels)
        rough = np.random.default_rng(0).integers(0, 256, coarse, np.uint8)
        return rough.repeat(8, 1).repeat(8, 2)[:, :height, :width].copy(), 0.0

    @property
    def read(self) -> float:
        """Decoding one picture."""
        return self._pictures[1]

    def _pixels(self, count: int) -> torch.Tensor:
        pixels = self._pictures[0]
        return torch.from_numpy(pixels[np.arange(count) % len(pixels)])

    # -- forwards ----------------------------------------------------------------------------------------------------

    @cached_property
    def scanned(self) -> float:
        """One picture in the scan, which may bring the residual stream along."""
        inputs, run = self.inputs, self.run
        size = self._forward
        plan = ScanPlan.of(inputs.network, size, inputs.profile.compute.precision)
        use_tf32(inputs.profile.compute.precision == "tf32")
        network = inputs.network.to(run.device, plan.dtype)
        state, pixels = ScanState.empty(plan, run.device), self._pixels(size)
        stream = None
        if inputs.reads_stream and plan.precision == "fp32":
            streamed = replace(inputs.stream_plan, batch=size)
            stream = StreamReading(
                StreamSteps.of(network, streamed),
                StreamState(streamed, run.device),
                np.full(size, -1),
                lambda *_: None,
            )
        places = torch.arange(size)
        batch = PictureBatch(places, pixels, ((0, 0),) * size, ("",) * size, ())

        def trial() -> None:
            for _ in scan_side_by_side(
                network, [batch] * self.threads, state, threads=self.threads, forward=size, stream=stream
            ):
                pass

        with one_thread_each(run.device):
            seconds = self._second_time(trial)
        use_tf32(False)
        return seconds / size

    @cached_property
    def traced(self) -> float:
        """One picture forward and backward from one output."""
        network, layers = self._network, effect_layers(self.inputs.network)
        size = at_once(self.inputs)
        plan = EffectPlan(tuple(EffectLayer(x.name, x.channels, x.width) for x in layers), (0,))
        state, pixels, places = EffectState(plan, self.run.device), self._pixels(size), torch.arange(size)
        reader = EffectReader(network, plan, np.zeros(size, np.int64), np.zeros(size, np.int64))

        def trial() -> None:
            tasks = [(pixels, places)] * self.threads
            for _ in in_rounds(lambda task: reader.read(state, *task, size), tasks, self.threads):
                pass

        with one_thread_each(self.run.device):
            return self._second_time(trial) / size

    @cached_property
    def streamed(self) -> float:
        """The two rescaled copies of one picture in the pass over the residual stream."""
        reader = RescaledReader.of(self._network, self.inputs.stream_plan)
        batches = [self._pixels(self._forward)] * self.threads

        def trial() -> None:
            for _ in in_rounds(
                lambda batch: read_rescaled(reader, batch, self._forward), batches, self.threads
            ):
                pass

        with one_thread_each(self.run.device):
            return self._second_time(trial) / self._forward

    @cached_property
    def _forward(self) -> int:
        """Pictures of one forward that is tried."""
        whole = self.inputs.forward
        if self.run.device.type == "cuda":
            return whole
        return int(np.clip(MULTIPLY_ADDS / max(self._by_step[-1], 1), 1, whole))

    @cached_property
    def plain(self) -> float:
        """One multiply-add of a product of matrices on the CPU in a single thread: the measure of work that is not done
        on the device."""
        side = 256
        matrix = np.ones((side, side), np.float32)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            one = torch.from_numpy(matrix)
            torch.mm(one, one)
            start = time.perf_counter()
            for _ in range(16):
                torch.mm(one, one)
            return (time.perf_counter() - start) / (16 * side**3)
        finally:
            torch.set_num_threads(threads)

    # -- units -------------------------------------------------------------------------------------------------------

    @cached_property
    def _stages(self) -> dict[int, LayerInfo]:
        """Of every stage the layer that is tried: its last one outside of blocks, or its last."""
        layers = self.inputs.network.layers
        return {layer.stage: layer for layer in sorted(layers, key=lambda layer: not layer.is_inner)}

    @cached_property
    def switched(self) -> float:
        """One multiply-add of a forward pass that keeps what the way back needs."""
        return self._units[0]

    def unit(self, layer: LayerInfo) -> float:
        """The tiles of one unit of a layer, by the multiply-adds of the tried layer of its stage and its own."""
        tried = self._stages[layer.stage]
        return self._units[1][layer.stage] * self.cone(layer) / max(self.cone(tried), 1)

    def cone(self, layer: LayerInfo) -> int:
        """Multiply-adds in the cone of a unit in the middle of a layer's map; where torch computes the gradient, those
        of a forward and a backward pass."""
        return self._cones[layer.name]

    @cached_property
    def _cones(self) -> dict[str, int]:
        network = self.inputs.network
        graph, costs = network.graph, ForwardCosts(network)
        return {
            layer.name: Cone(graph, step).multiply_adds(self.shapes, layer.height // 2, layer.width // 2)
            if graph.is_windowed(step)
            else 3 * costs.crop(number)
            for number, (layer, step) in enumerate(zip(network.layers, network.steps, strict=True))
        }

    @cached_property
    def _units(self) -> tuple[float, dict[int, float], dict[int, np.ndarray]]:
        inputs, run, network = self.inputs, self.run, self._network
        pictures = GradientPictures(network, inputs.profile.gradients)
        deepest = network.layers[-1]
        on_gpu = run.device.type == "cuda"  # which wants as much at once as the job gives it
        fits = MULTIPLY_ADDS / max(self._by_step[network.steps[-1]], 1)
        count = inputs.forward if on_gpu else int(np.clip(fits, 1, 4))
        pixels = self._pixels(count)
        prepared = network.prepare(pixels)
        random = np.random.default_rng(0)
        seconds, tiles = {}, {}
        most = MOST_UNITS.get(run.device.type, MOST_UNITS["cpu"])
        with one_thread_each(run.device), ThreadPoolExecutor(self.threads, initializer=_alone) as pool:
            forward = self._second_time(lambda: forward_switches(network, prepared, deepest.name))
            switches = forward_switches(network, prepared, deepest.name)
            for stage, layer in self._stages.items():
                size = most if on_gpu else int(np.clip(MULTIPLY_ADDS / max(self.cone(layer), 1), 1, most))
                size = max(size, pictures.filled(layer.name, prepared))

                def picture(size: int, layer: LayerInfo = layer) -> np.ndarray:
                    columns = [
                        random.integers(0, most, size)
                        for most in (count, layer.channels, layer.height, layer.width)
                    ]
                    units = Units(*(torch.from_numpy(column) for column in columns))
                    native, field = inputs.native(layer), layer.receptive_field
                    place, _, row, column = columns
                    own = frames(field, network.preprocessing.size, row, column)
                    seen = own.seen if inputs.is_focused(layer) else None
                    made, squares = pictures.tiles(switches, layer.name, units, native, seen)
                    cut = patches(pixels.numpy(), field, place, row, column, native, {}, squares)
                    return np.stack([cut, *made], 1)[:, -len(inputs.panels) :]

                tiles[stage] = picture(size if on_gpu else 1)[:1]
                self._wait()
                start = time.perf_counter()
                list(pool.map(picture, [size] * self.threads))
                self._wait()
                seconds[stage] = (time.perf_counter() - start) / size
        return forward / (count * max(self._by_step[network.steps[-1]], 1)), seconds, tiles

    # -- files -------------------------------------------------------------------------------------------------------

    def sprite(self, layer: LayerInfo) -> float:
        """Encoding one sprite of a layer, as all processes do so."""
        native = self.inputs.native(layer)
        side = native * enlargement(native, self.inputs.wanted_side(layer))
        tried, seconds = self._sprites[layer.stage]
        return seconds * (side / tried) ** 2

    @cached_property
    def _sprites(self) -> dict[int, tuple[int, float]]:
        """By stage: side of the tried layer's tiles in px, and seconds."""
        inputs, run, section = self.inputs, self.run, self.inputs.profile.sprites
        by_stage: dict[int, tuple[int, float]] = {}
        with ThreadPoolExecutor(run.encoders) as pool:
            for stage, layer in self._stages.items():
                native = inputs.native(layer)
                factor = enlargement(native, inputs.wanted_side(layer))
                panels = self._units[2][stage][np.zeros(9, int)].transpose(1, 0, 2, 3, 4)  # (P, 9, s, s, 3)

                def encode(_: int, panels: np.ndarray = panels, factor: int = factor) -> bytes:
                    return encoded_sprite(sprite(panels, factor), section.quality, inputs.avif_quality)

                if not by_stage:
                    encode(0)  # the first one also loads the encoder
                start = time.perf_counter()
                list(pool.map(encode, range(run.encoders)))
                by_stage[stage] = (native * factor, time.perf_counter() - start)
        return by_stage

    @cached_property
    def picture(self) -> float:
        """Writing one whole picture."""
        sprites, pixels = self.inputs.profile.sprites, self._pictures[0][0]
        small = min(sprites.picture, max(pixels.shape[:2]))

        def encode() -> bytes:
            return webp(shrink(as_colours(pixels), small), sprites.quality, method=QUICK_METHOD)

        return self._second_time(encode)

    @cached_property
    def drawing(self) -> float:
        """Drawing one picture of the drawn world."""
        from generator.pictures.drawn import world

        return self._second_time(lambda: [world.draw(index) for index in range(4)]) / 4

    @cached_property
    def start(self) -> float:
        """Starting a process that draws or encodes."""
        start = time.perf_counter()
        remedy = "free some memory and run the same command again"
        list(in_processes(loaded, [None], 1, doing="tries how long a start takes", remedy=remedy))
        return time.perf_counter() - start

    # -- optimised pictures ------------------------------------------------------------------------------------------

    def ascent_step(self, step: int | str, plan: AscentPlan, channels: Sequence[int]) -> float:
        """One multiply-add of the forward pass, in a step of activation maximisation."""
        middle = Ascender(self._network, step, replace(plan, batch=1)).forward.multiplications
        most = 4 if self.run.device.type == "cpu" else len(channels)
        size = int(np.clip(MULTIPLY_ADDS / (4 * max(middle, 1)), 1, min(most * 2, len(channels))))
        steps = 2
        tried = Ascender(self._network, step, replace(plan, batch=size, steps=steps, leaky=0))

        def trial() -> None:
            list(pool.map(lambda _: tried.ascend(channels[:size]), range(self.threads)))

        with one_thread_each(self.run.device), ThreadPoolExecutor(self.threads, initializer=_alone) as pool:
            seconds = self._second_time(trial)
        return seconds / (size * (steps + 0.5) * max(middle, 1))

    # -- the clock ---------------------------------------------------------------------------------------------------

    def _second_time(self, trial: Callable[[], object]) -> float:
        """Seconds of the second call: the first one also prepares what later ones find."""
        trial()
        self._wait()
        start = time.perf_counter()
        trial()
        self._wait()
        return time.perf_counter() - start

    def _wait(self) -> None:
        if self.run.device.type == "cuda":
            torch.cuda.synchronize(self.run.device)


def _alone() -> None:
    torch.set_num_threads(1)
