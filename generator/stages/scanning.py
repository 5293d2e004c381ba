"""The one pass over the pictures, in batches that are done once each, by whichever process, and survive a kill."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice

import numpy as np
import torch

from generator.core.errors import AtlasError
from generator.core.files import ScoreFile
from generator.core.records import PictureRecord
from generator.engine.device import one_thread_each, use_tf32
from generator.engine.scan.scan import FORWARD, Rescoring, ScanState, rescore, scan_side_by_side
from generator.network.network import Network
from generator.pictures.reading import PictureBatch, evenly_spaced
from generator.stages.checkpointed_pass import CheckpointedPass, halving
from generator.stages.collecting import along_the_scan, begin_collecting
from generator.stages.job import Job

PASS = "scan"
Batches = Generator[list[int], None, None]  # yields the numbers of batches
# Of a usable file its place in the picture set, its width and height in px, and the SHA-256 of its bytes, in hex.
USABLE = np.dtype([("files", np.int64), ("sizes", np.int64, 2), ("digests", "S64")])


@dataclass
class ScanPart:
    """What some batches, of the pictures of one forward each, brought: the reducers' state, and what was learnt about
    each file.

    usable: of the usable files, some at a time, the fields of USABLE; skipped: place and reason of every unusable one.
    """

    state: ScanState
    usable: list[np.ndarray] = field(default_factory=list)
    skipped: list[tuple[int, str]] = field(default_factory=list)

    def add(self, batch: PictureBatch) -> None:
        """What was learnt about the files of a batch."""
        found = np.empty(len(batch.indices), USABLE)
        found["files"], found["digests"] = batch.indices.numpy(), batch.digests
        found["sizes"] = np.array(batch.sizes, np.int64).reshape(-1, 2)
        self.usable.append(found)
        self.skipped += batch.skipped

    def merge(self, other: ScanPart) -> None:
        self.state.merge(other.state)
        self.usable += other.usable
        self.skipped += other.skipped

    def files(self) -> np.ndarray:
        """(n,) USABLE, in the order of the picture set."""
        found = np.concatenate([np.empty(0, USABLE), *self.usable])
        return found[np.argsort(found["files"])]

    def arrays(self) -> dict[str, np.ndarray]:
        files = self.files()
        return {
            **{f"state.{name}": array for name, array in self.state.arrays().items()},
            **{name: np.ascontiguousarray(files[name]) for name in USABLE.names or ()},
            "skipped": np.array([index for index, _ in self.skipped], np.int64),
            "reasons": np.array([reason for _, reason in self.skipped], "U"),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], device: torch.device | str = "cpu") -> ScanPart:
        state = {name[6:]: array for name, array in arrays.items() if name.startswith("state.")}
        usable = np.empty(len(arrays["files"]), USABLE)
        for name in USABLE.names or ():
            usable[name] = arrays[name]
        return cls(
            ScanState.from_arrays(state, device),
            [usable],
            list(zip(arrays["skipped"].tolist(), arrays["reasons"].tolist(), strict=True)),
        )


def scan_pictures(job: Job) -> None:
    """Scan every picture; write top.npz and statistics.npz of every layer, scores/*.npy, images.csv and scan.json."""
    if job.store.work.stamp(PASS) == job.scan_key:
        return
    scan = CheckpointedPass(
        job,
        PASS,
        job.scan_key,
        "the scan",
        empty=lambda: ScanPart(ScanState.empty(job.scan_plan, job.device)),
        read=ScanPart.from_arrays,
        intact=lambda part, _: _has_scores(job, part),
    )
    if job.ranks.leads:
        _begin(job, scan)
    job.ranks.meet()

    def work(part: ScanPart, batches: list[int], done: Collection[int], forward: int) -> Batches:
        return _scan_batches(job, part, batches, done, forward)

    found = scan.run(-(-len(job.pictures.files) // FORWARD), FORWARD, work)
    if job.ranks.leads:
        _write(job, found)
        job.store.work.write_stamp(PASS, job.scan_key)
        scan.drop()
    job.ranks.meet()


def sample(job: Job) -> np.ndarray:
    """Places of the pictures whose scores are kept: all, or as many as the profile allows, evenly spaced."""
    return evenly_spaced(len(job.pictures.files), job.profile.compute.score_pictures)


def _begin(job: Job, scan: CheckpointedPass[ScanPart]) -> None:
    """Withdraw what an earlier scan of something else left."""
    job.store.work.unstamp(PASS)
    begin_collecting(job)
    scan.begin()


def _score_rows(job: Job) -> np.ndarray:
    """For every file its row in the file of scores, −1 where its scores are not kept, (N,) int64."""
    rows = np.full(len(job.pictures.files), -1, np.int64)
    rows[sample(job)] = np.arange(len(sample(job)))
    return rows


def _span(job: Job, batch: int) -> np.ndarray:
    """The places of a batch's files."""
    return np.arange(batch * FORWARD, min((batch + 1) * FORWARD, len(job.pictures.files)))


def _score_file(job: Job) -> ScoreFile:
    return job.store.work.score_file([layer.channels for layer in job.network.layers], PASS)


def _has_scores(job: Job, part: ScanPart) -> bool:
    """Whether the scores of all usable pictures of a part are in their file."""
    rows = _score_rows(job)[part.files()["files"]]
    with _score_file(job) as scores:
        return bool(scores.has(rows[rows >= 0]).all())


def _scan_batches(job: Job, part: ScanPart, mine: list[int], done: Collection[int], forward: int) -> Batches:
    """Take batches into the part, yielding the numbers of those that it has taken in. done: those of earlier runs;
    forward: pictures that the network takes at once."""
    rows = _score_rows(job)
    earlier = sum(len(_span(job, batch)) for batch in done)
    total = earlier + sum(len(_span(job, batch)) for batch in mine)
    network = job.network.to(job.device, job.scan_plan.dtype)
    use_tf32(job.profile.compute.precision == "tf32")
    with contextlib.ExitStack() as opened:
        threads = opened.enter_context(one_thread_each(job.device))
        scores = opened.enter_context(_score_file(job))
        vectors = opened.enter_context(along_the_scan(job))
        advance = opened.enter_context(job.reporter.stage("scan", total, "pictures", earlier))
        read = job.read(np.concatenate([_span(job, batch) for batch in mine]))
        numbers = iter(mine)
        for scanned in scan_side_by_side(
            network, read, part.state, threads=threads, forward=forward, vectors=vectors
        ):
            batches: list[int] = []
            for batch, maxima in scanned:
                places = batch.indices.numpy()
                kept = rows[places] >= 0
                scores.write(rows[places][kept], maxima[kept])
                batches += islice(numbers, job.forwards)
                part.add(batch)
                advance(len(places) + len(batch.skipped))
            yield batches


def _write(job: Job, part: ScanPart) -> None:
    """The scan's results as the files that people read. Pictures are numbered anew without the unusable ones: that
    keeps their order, so no tie is decided otherwise."""
    usable = part.files()
    files = usable["files"]
    if not len(files):
        reason = part.skipped[0][1] if part.skipped else "none was found"
        raise AtlasError(
            f"not one picture could be used ({reason})", job.pictures.source, "give readable pictures"
        )
    state, rescoring = _exact(job, part.state)
    number = np.full(len(job.pictures.files) + 1, -1, np.int64)  # the last one stands for −1, no picture
    number[files] = np.arange(len(files))
    _write_images(job, usable)
    _write_layers(job, state, number)
    skipped = [[job.pictures.files[place].path, reason] for place, reason in sorted(part.skipped)]
    kept = number[sample(job)]
    report = {
        "pictures": len(files),
        "pictures_sha256": _pictures_sha256(job, usable),
        "skipped": skipped,
        "score_pictures": None if len(kept) == len(job.pictures.files) else kept[kept >= 0].tolist(),
        "rescoring": rescoring,
    }
    job.store.tables.write_json("scan.json", report)
    if skipped:
        path, reason = skipped[0]
        job.reporter.note(
            f"{len(skipped)} pictures could not be used, the first {path}: {reason}; manifest.json lists them"
        )


def _exact(job: Job, state: ScanState) -> tuple[ScanState, dict[str, int] | None]:
    """The state with the nine chosen by fp32 scores, and how often a fast precision had them otherwise."""
    if job.profile.compute.precision == "fp32":
        return state, None
    use_tf32(False)
    network = job.network.to(job.device, torch.float32)
    exact, found = halving(job, FORWARD, lambda forward: _rescored(job, network, state, forward))
    job.reporter.note(
        f"{found.reordered:,} of {found.channels:,} channels had other pictures, or another order, in "
        f"{job.profile.compute.precision}; what is published are the fp32 ones"
    )
    return exact, asdict(found)


def _rescored(job: Job, network: Network, state: ScanState, forward: int) -> tuple[ScanState, Rescoring]:
    with job.reporter.stage("re-scoring in fp32", state.pictures, "pictures") as advance:

        def read(places: Sequence[int]) -> Iterator[PictureBatch]:
            for batch in job.read(places):
                yield batch
                advance(len(batch.indices))

        return rescore(network, state, read, forward)


def _write_layers(job: Job, state: ScanState, number: np.ndarray) -> None:
    layers = job.network.layers
    rows = np.flatnonzero(number[sample(job)] >= 0)
    with (
        _score_file(job) as scores,
        job.reporter.stage("statistics", len(layers), "layers") as advance,
    ):
        for index, layer in enumerate(layers):
            numbers = state.layer(layer.name)
            numbers["top_image"] = number[numbers["top_image"]].astype(np.int32)
            top = {name: numbers.pop(name) for name in ("top_value", "top_image", "top_unit")}
            job.store.arrays.write_layer(layer.name, "top", top)
            job.store.arrays.write_layer(layer.name, "statistics", numbers)
            job.store.arrays.write_scores(layer.name, scores.read(index, rows))
            advance()


def _write_images(job: Job, usable: np.ndarray) -> None:
    def records() -> Iterator[PictureRecord]:
        for index, (place, (width, height), _) in enumerate(usable):
            file = job.pictures.files[place]
            yield PictureRecord(index, file.path, file.label_id, file.label, int(width), int(height))

    job.store.tables.write_images(records())


def _pictures_sha256(job: Job, usable: np.ndarray) -> str:
    digest = hashlib.sha256()
    for place, _, content in usable:
        path = job.pictures.files[place].path
        digest.update(f"{path}\0{content.decode()}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
