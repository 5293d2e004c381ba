"""The scan: one pass over the pictures for the top-9 and the statistics of every channel, batch by batch; a killed run
resumes after its last save."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice

import numpy as np
import torch

from generator.core.errors import AtlasError
from generator.core.files import ScoreFile
from generator.core.named_arrays import below, named
from generator.core.records import PictureRecord
from generator.engine.device import one_thread_each, use_tf32
from generator.engine.scan.rescoring import Rescoring, rescore
from generator.engine.scan.scan import Located, scan_side_by_side
from generator.engine.scan.state import ScanState
from generator.methods.strips import QUANTILES, strips, tie_order
from generator.network.network import Network
from generator.pictures.batch_reader import PictureBatch
from generator.pictures.reading import rows_of
from generator.stages import keys, stream_readings
from generator.stages.checkpointed_pass import Batches, CheckpointedPass, halving
from generator.stages.inputs import Inputs
from generator.stages.network_outputs import along_the_scan, begin_along_the_scan
from generator.stages.picture_reading import forwards_per_read, read_pictures
from generator.stages.run import Run

PASS = "scan"
# Of a usable file its place in the picture set, its width and height in px, and the SHA-256 of its bytes, in hex.
USABLE = np.dtype([("files", np.int64), ("sizes", np.int64, 2), ("digests", "S64")])


@dataclass
class ScanPart:
    """The result of some batches, each of one forward batch of pictures: the reducers' state, and what was learnt about
    each file.

    stream: what the same forward passes say of the residual stream, None where nobody asked; usable: of the usable
    files, some at a time, the fields of USABLE; skipped: place and reason of every unusable one."""

    state: ScanState
    stream: stream_readings.AlongTheScan | None = None
    usable: list[np.ndarray] = field(default_factory=list)
    skipped: list[tuple[int, str]] = field(default_factory=list)

    def add(self, batch: PictureBatch) -> None:
        """What was learnt about the files of a batch."""
        files = np.empty(len(batch.indices), USABLE)
        files["files"], files["digests"] = batch.indices.numpy(), batch.digests
        files["sizes"] = np.array(batch.sizes, np.int64).reshape(-1, 2)
        self.usable.append(files)
        self.skipped += batch.skipped

    def merge(self, other: ScanPart) -> None:
        """Take over what other batches brought."""
        self.state.merge(other.state)
        if self.stream is not None and other.stream is not None:
            self.stream.merge(other.stream)
        else:
            self.stream = self.stream or other.stream
        self.usable += other.usable
        self.skipped += other.skipped

    def files(self) -> np.ndarray:
        """(n,) USABLE, in the order of the picture set."""
        files = np.concatenate([np.empty(0, USABLE), *self.usable])
        return files[np.argsort(files["files"])]

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it as flat arrays."""
        files, stream = self.files(), self.stream
        return {
            **named("state", self.state.arrays()),
            **named("stream", {} if stream is None else stream.arrays()),
            **{name: np.ascontiguousarray(files[name]) for name in USABLE.names or ()},
            "skipped": np.array([index for index, _ in self.skipped], np.int64),
            "reasons": np.array([reason for _, reason in self.skipped], "U"),
        }

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, np.ndarray], device: torch.device | str = "cpu", stream_key: str = ""
    ) -> ScanPart:
        """The part that `arrays` came from, with what of the stream has this key."""
        usable = np.empty(len(arrays["files"]), USABLE)
        for name in USABLE.names or ():
            usable[name] = arrays[name]
        return cls(
            ScanState.from_arrays(below("state", arrays), device),
            stream_readings.AlongTheScan.from_arrays(below("stream", arrays), device, stream_key),
            [usable],
            list(zip(arrays["skipped"].tolist(), arrays["reasons"].tolist(), strict=True)),
        )


def scan_pictures(inputs: Inputs, run: Run) -> None:
    """Scan every picture; write top.npz and statistics.npz of every layer, scores/*.npy, images.csv and scan.json."""
    stream_key = stream_readings.key_along(inputs, run)
    scan = CheckpointedPass(
        run,
        PASS,
        keys.scan(inputs),
        "the scan",
        empty=lambda: ScanPart(
            ScanState.empty(inputs.scan_plan, run.device), stream_readings.begun(inputs, run)
        ),
        read=lambda arrays, device: ScanPart.from_arrays(arrays, device, stream_key),
        intact=lambda part, _: _has_scores(inputs, run, part),
    )
    if run.ranks.leads:
        _begin(inputs, run, scan)
    run.ranks.meet()

    def work(part: ScanPart, batches: list[int], done: Collection[int], forward: int) -> Batches:
        return _scan_batches(inputs, run, part, batches, done, forward)

    whole = scan.complete(inputs.forwards, inputs.forward, work)
    if run.ranks.leads:
        stream_readings.take_over(inputs, run, whole.stream)
        _write(inputs, run, whole)
    run.ranks.meet()


def _begin(inputs: Inputs, run: Run, scan: CheckpointedPass[ScanPart]) -> None:
    """Withdraw what an earlier scan of something else left."""
    begin_along_the_scan(inputs, run)
    stream_readings.begin_along_the_scan(inputs, run)
    scan.begin()


def _score_file(inputs: Inputs, run: Run) -> ScoreFile:
    return run.store.work.score_file([layer.channels for layer in inputs.network.layers], PASS)


def _place_file(inputs: Inputs, run: Run) -> ScoreFile:
    located = inputs.scan_plan.located
    positions = max((layer.height * layer.width for layer in located), default=0)
    return run.store.work.place_file([layer.channels for layer in located], positions, PASS)


def _has_scores(inputs: Inputs, run: Run, part: ScanPart) -> bool:
    """Whether the scores of all usable pictures of a part, and the places of the maxima, are in their files."""
    rows = inputs.sample_rows[part.files()["files"]]
    rows = rows[rows >= 0]
    with _score_file(inputs, run) as scores, _place_file(inputs, run) as places:
        return bool(scores.has(rows).all() and places.has(rows).all())


def _scan_batches(
    inputs: Inputs, run: Run, part: ScanPart, mine: list[int], done: Collection[int], forward: int
) -> Batches:
    """Add batches to the part, yielding the numbers of those added. done: those of earlier runs;
    forward: pictures that the network takes at once."""
    rows = inputs.sample_rows
    earlier = sum(len(inputs.span(batch)) for batch in done)
    total = earlier + sum(len(inputs.span(batch)) for batch in mine)
    use_tf32(inputs.profile.compute.precision == "tf32")
    network = inputs.network.to(run.device, inputs.scan_plan.dtype)
    with contextlib.ExitStack() as opened:
        threads = opened.enter_context(one_thread_each(run.device))
        scores = opened.enter_context(_score_file(inputs, run))
        located = Located(rows, opened.enter_context(_place_file(inputs, run)).write)
        vectors = opened.enter_context(along_the_scan(inputs, run))
        stream = opened.enter_context(stream_readings.along_the_scan(inputs, run, network, part.stream))
        advance = opened.enter_context(run.reporter.stage("scan", total, "pictures", earlier))
        read = read_pictures(inputs, run, np.concatenate([inputs.span(batch) for batch in mine]))
        numbers = iter(mine)
        for scanned in scan_side_by_side(
            network,
            read,
            part.state,
            threads=threads,
            forward=forward,
            vectors=vectors,
            stream=stream,
            located=located,
        ):
            batches: list[int] = []
            for batch, maxima in scanned:
                places = batch.indices.numpy()
                kept = rows[places] >= 0
                scores.write(rows[places][kept], maxima[kept])
                batches += islice(numbers, forwards_per_read(inputs))
                part.add(batch)
                advance(len(places) + len(batch.skipped))
            if part.stream is not None:
                part.stream.batches += batches
            yield batches


def _write(inputs: Inputs, run: Run, part: ScanPart) -> None:
    """Write the scan's results. Pictures are numbered without the unusable ones: their order stays the same, so no tie
    is decided differently."""
    usable = part.files()
    files = usable["files"]
    if not len(files):
        reason = part.skipped[0][1] if part.skipped else "none was found"
        raise AtlasError(
            f"not one picture could be used ({reason})", inputs.pictures.source, "give readable pictures"
        )
    state, rescoring = _exact(inputs, run, part.state)
    number = rows_of(files, len(inputs.pictures.files) + 1)  # the last one stands for −1, no picture
    _write_images(inputs, run, usable)
    _write_layers(inputs, run, state, number)
    skipped = [[inputs.pictures.files[place].path, reason] for place, reason in sorted(part.skipped)]
    kept = number[inputs.sample]
    report = {
        "pictures": len(files),
        "pictures_sha256": _pictures_sha256(inputs, usable),
        "skipped": skipped,
        "score_pictures": None if len(kept) == len(inputs.pictures.files) else kept[kept >= 0].tolist(),
        "rescoring": rescoring,
    }
    run.store.tables.write_json("scan.json", report)
    if skipped:
        path, reason = skipped[0]
        run.reporter.note(
            f"{len(skipped)} pictures could not be used, the first {path}: {reason}; manifest.json lists them"
        )


def _exact(inputs: Inputs, run: Run, state: ScanState) -> tuple[ScanState, dict[str, int] | None]:
    """The state with the top-9 chosen by fp32 scores, and how often a faster precision chose others."""
    if inputs.profile.compute.precision == "fp32":
        return state, None
    use_tf32(False)
    network = inputs.network.to(run.device, torch.float32)
    exact, rescoring = halving(
        run, inputs.forward, lambda forward: _rescored(inputs, run, network, state, forward)
    )
    run.reporter.note(
        f"{rescoring.reordered:,} of {rescoring.channels:,} channels had other pictures, or another order, in "
        f"{inputs.profile.compute.precision}; the atlas has the fp32 ones"
    )
    return exact, asdict(rescoring)


def _rescored(
    inputs: Inputs, run: Run, network: Network, state: ScanState, forward: int
) -> tuple[ScanState, Rescoring]:
    with run.reporter.stage("re-scoring in fp32", state.pictures, "pictures") as advance:

        def read(places: Sequence[int]) -> Iterator[PictureBatch]:
            for batch in read_pictures(inputs, run, places):
                yield batch
                advance(len(batch.indices))

        return rescore(network, state, read, forward)


def _write_layers(inputs: Inputs, run: Run, state: ScanState, number: np.ndarray) -> None:
    layers = inputs.network.layers
    rows = np.flatnonzero(number[inputs.sample] >= 0)
    pictures = number[inputs.sample[rows]]
    files = [inputs.pictures.files[place] for place in inputs.sample[rows]]
    read_strips = partial(_strips, ties=tie_order([file.path for file in files]), pictures=pictures)
    located = {layer.name: place for place, layer in enumerate(inputs.scan_plan.located)}
    with (
        _score_file(inputs, run) as scores,
        _place_file(inputs, run) as places,
        run.reporter.stage("statistics", len(layers), "layers") as advance,
    ):
        for index, layer in enumerate(layers):
            numbers = state.layer(layer.name)
            numbers["top_image"] = number[numbers["top_image"]].astype(np.int32)
            top = {name: numbers.pop(name) for name in ("top_value", "top_image", "top_unit")}
            run.store.arrays.write_layer(layer.name, "top", top)
            run.store.arrays.write_layer(layer.name, "statistics", numbers)
            scores_of_layer = scores.read(index, rows)
            run.store.arrays.write_scores(layer.name, scores_of_layer)
            spread = state.histogram(layer.name)
            if layer.name in located:
                at = places.read(located[layer.name], rows)
                spread |= read_strips(scores_of_layer, at, width=layer.width, top=top, dead=numbers["dead"])
            run.store.arrays.write_layer(layer.name, "range", spread)
            advance()


def _strips(
    scores: np.ndarray,
    places: np.ndarray,
    *,
    ties: np.ndarray,
    pictures: np.ndarray,
    width: int,
    top: Mapping[str, np.ndarray],
    dead: np.ndarray,
) -> dict[str, np.ndarray]:
    """A layer's strips as the atlas folder holds them: strip_image, strip_value (C, QUANTILES, 9) and strip_unit
    (C, QUANTILES, 9, 2), of which the strongest strip is the top-9 of all pictures; strip_counted (C, 1), how many of
    the pictures with stored scores lie above zero.

    scores, places: (n, C); ties, pictures: (n,) their order among equal scores and their numbers in images.csv."""
    chosen = strips(scores, ties)
    there = chosen.rows >= 0
    channel = np.arange(scores.shape[1])[:, None, None]
    at = places[chosen.rows, channel].astype(np.int32)
    image = np.where(there, pictures[chosen.rows], -1).astype(np.int32)
    value = np.where(there, scores[chosen.rows, channel], 0).astype(np.float32)
    unit = np.where(there[..., None], np.stack([at // width, at % width], 3), 0).astype(np.uint16)
    for strip, strongest in ((image, "top_image"), (value, "top_value"), (unit, "top_unit")):
        strip[:, QUANTILES.index(100)] = top[strongest]
    image[dead] = -1
    return {
        "strip_image": image,
        "strip_value": value,
        "strip_unit": unit,
        "strip_counted": chosen.counted[:, None],
    }


def _write_images(inputs: Inputs, run: Run, usable: np.ndarray) -> None:
    def records() -> Iterator[PictureRecord]:
        for index, (place, (width, height), _) in enumerate(usable):
            file = inputs.pictures.files[place]
            yield PictureRecord(index, file.path, file.label_id, file.label, int(width), int(height))

    run.store.tables.write_images(records())


def _pictures_sha256(inputs: Inputs, usable: np.ndarray) -> str:
    digest = hashlib.sha256()
    for place, _, content in usable:
        path = inputs.pictures.files[place].path
        digest.update(f"{path}\0{content.decode()}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
