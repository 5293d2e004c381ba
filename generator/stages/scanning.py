"""The one pass over the pictures, in batches that are done once each, by whichever process, and survive a kill."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice

import numpy as np
import torch

from generator.device import is_out_of_memory, one_thread_each, use_tf32
from generator.errors import AtlasError
from generator.network import Network
from generator.pictures import PictureBatch, evenly_spaced
from generator.records import PictureRecord
from generator.scan import FORWARD, Rescoring, ScanState, rescore, scan_side_by_side
from generator.stages.collecting import along_the_scan, begin_collecting
from generator.stages.job import Job

CHECKPOINT_SECONDS = 15.0  # work lost to a kill at most
MERGED = "merged"  # the part that holds what earlier runs did
# Of a usable file its place in the picture set, its width and height in px, and the SHA-256 of its bytes, in hex.
USABLE = np.dtype([("files", np.int64), ("sizes", np.int64, 2), ("digests", "S64")])


@dataclass
class Part:
    """What some batches, of the pictures of one forward each, brought: the reducers' state, and what was learnt about
    each file.

    batches: numbers done; usable: of the usable files, some at a time, the fields of USABLE; skipped: place and reason
    of every unusable one.
    """

    state: ScanState
    batches: list[int] = field(default_factory=list)
    usable: list[np.ndarray] = field(default_factory=list)
    skipped: list[tuple[int, str]] = field(default_factory=list)

    def add(self, batch: PictureBatch) -> None:
        """What was learnt about the files of a batch."""
        found = np.empty(len(batch.indices), USABLE)
        found["files"], found["digests"] = batch.indices.numpy(), batch.digests
        found["sizes"] = np.array(batch.sizes, np.int64).reshape(-1, 2)
        self.usable.append(found)
        self.skipped += batch.skipped

    def merge(self, other: Part) -> None:
        self.state.merge(other.state)
        self.batches += other.batches
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
            "batches": np.array(self.batches, np.int64),
            **{name: np.ascontiguousarray(files[name]) for name in USABLE.names or ()},
            "skipped": np.array([index for index, _ in self.skipped], np.int64),
            "reasons": np.array([reason for _, reason in self.skipped], "U"),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], device: torch.device | str = "cpu") -> Part:
        state = {name[6:]: array for name, array in arrays.items() if name.startswith("state.")}
        usable = np.empty(len(arrays["files"]), USABLE)
        for name in USABLE.names or ():
            usable[name] = arrays[name]
        return cls(
            ScanState.from_arrays(state, device),
            arrays["batches"].tolist(),
            [usable],
            list(zip(arrays["skipped"].tolist(), arrays["reasons"].tolist(), strict=True)),
        )


def scan_pictures(job: Job) -> None:
    """Scan every picture and write layers/*.npz, scores/*.npy, images.csv and scan.json."""
    if job.store.stamp("scan") == job.scan_key:
        return
    if job.ranks.leads:
        _begin(job)
    job.ranks.meet()
    if job.ranks.leads:
        _merge_parts(job)
    job.ranks.meet()  # from here on the parts of earlier runs are one, and nobody else touches it
    _scan_rest(job, _done(job))
    job.ranks.meet()
    if job.ranks.leads:
        _merge_parts(job)
        _write(job, Part.from_arrays(job.store.read_part(MERGED)))
        job.store.write_stamp("scan", job.scan_key)
        job.store.drop_parts()
    job.ranks.meet()


def sample(job: Job) -> np.ndarray:
    """Places of the pictures whose scores are kept: all, or as many as the profile allows, evenly spaced."""
    return evenly_spaced(len(job.pictures.files), job.profile.compute.score_pictures)


def _begin(job: Job) -> None:
    """Withdraw what an earlier scan of something else left."""
    job.store.unstamp("scan")
    begin_collecting(job)
    for stamp in ("stream", "scale-truth", "optimised-stream"):  # these add to the files that the scan writes
        job.store.unstamp(stamp)
    if job.store.stamp("scan-of") != job.scan_key:
        job.store.drop_parts()
        job.store.write_stamp("scan-of", job.scan_key)


def _merge_parts(job: Job) -> None:
    """Make one part of all that are on disk, so that the next run may have any number of processes."""
    merged: Part | None = None
    seen: set[int] = set()
    names = job.store.part_names()  # the merged one first
    for name in names:
        try:
            part = Part.from_arrays(job.store.read_part(name))
        except (AtlasError, KeyError, ValueError):
            job.reporter.note("what an interrupted run left is damaged: its pictures are scanned again")
            continue
        if seen & set(part.batches):
            continue  # killed between merging and dropping: the merged part holds these batches already
        seen |= set(part.batches)
        if merged is None:
            merged = part
        else:
            merged.merge(part)
    if merged is None:
        job.store.drop_parts()
    elif names != [MERGED]:
        job.store.write_part(MERGED, merged.arrays())
        job.store.drop_parts(but=MERGED)


def _done(job: Job) -> set[int]:
    """The batches that earlier runs did."""
    return set(job.store.read_part(MERGED)["batches"].tolist()) if MERGED in job.store.part_names() else set()


def _scan_rest(job: Job, done: set[int]) -> None:
    """Scan what is left of this process's share, with less at once after the memory did not suffice."""
    count, forward = len(job.pictures.files), FORWARD
    mine = job.ranks.share([number for number in range(-(-count // FORWARD)) if number not in done])
    while mine:
        try:
            _scan_batches(job, mine, done, forward)
            return
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        forward = job.smaller(forward)
        # The state was in the midst of a picture: go on from what is on disk, as after a kill.
        saved = set(_saved(job).batches)
        mine, done = [number for number in mine if number not in saved], done | saved


def _saved(job: Job) -> Part:
    """What this process has saved of its share since the parts of earlier runs were merged."""
    name = f"rank-{job.ranks.rank}"
    if name in job.store.part_names():
        return Part.from_arrays(job.store.read_part(name), job.device)  # where the scan goes on with it
    return Part(ScanState.empty(job.scan_plan, job.device))


def _scan_batches(job: Job, mine: list[int], done: set[int], forward: int) -> None:
    count, size = len(job.pictures.files), FORWARD
    rows = np.full(count, -1)
    rows[sample(job)] = np.arange(len(sample(job)))
    earlier = min(len(done) * size, count)
    total = earlier + sum(min(size, count - number * size) for number in mine)
    part = _saved(job)
    network = job.network.to(job.device, job.scan_plan.dtype)
    use_tf32(job.profile.compute.precision == "tf32")
    saved = time.monotonic()
    with contextlib.ExitStack() as opened:
        threads = opened.enter_context(one_thread_each(job.device))
        scores = opened.enter_context(job.store.score_file([layer.channels for layer in network.layers]))
        vectors = opened.enter_context(along_the_scan(job))
        advance = opened.enter_context(job.reporter.stage("scan", total, "pictures", earlier))
        spans = [np.arange(number * size, min((number + 1) * size, count)) for number in mine]
        read = job.read(np.concatenate(spans))
        numbers = iter(mine)
        for scanned in scan_side_by_side(
            network, read, part.state, threads=threads, forward=forward, vectors=vectors
        ):
            for batch, maxima in scanned:
                places = batch.indices.numpy()
                kept = rows[places] >= 0
                scores.write(rows[places][kept], maxima[kept])
                part.batches += islice(numbers, job.forwards)
                part.add(batch)
                advance(len(places) + len(batch.skipped))
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                job.store.write_part(f"rank-{job.ranks.rank}", part.arrays())
                saved = time.monotonic()
    job.store.write_part(f"rank-{job.ranks.rank}", part.arrays())


def _write(job: Job, part: Part) -> None:
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
    job.store.write_json("scan.json", report)
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
    network, forward = job.network.to(job.device, torch.float32), FORWARD
    while True:
        try:
            exact, found = _rescored(job, network, state, forward)
            break
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        forward = job.smaller(forward)
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
        job.store.score_file([layer.channels for layer in layers]) as scores,
        job.reporter.stage("statistics", len(layers), "layers") as advance,
    ):
        for index, layer in enumerate(layers):
            numbers = state.layer(layer.name)
            numbers["top_image"] = number[numbers["top_image"]].astype(np.int32)
            job.store.write_layer(layer.name, numbers)
            job.store.write_scores(layer.name, scores.read(index, rows))
            advance()


def _write_images(job: Job, usable: np.ndarray) -> None:
    def records() -> Iterator[PictureRecord]:
        for index, (place, (width, height), _) in enumerate(usable):
            file = job.pictures.files[place]
            yield PictureRecord(index, file.path, file.label_id, file.label, int(width), int(height))

    job.store.write_images(records())


def _pictures_sha256(job: Job, usable: np.ndarray) -> str:
    digest = hashlib.sha256()
    for place, _, content in usable:
        path = job.pictures.files[place].path
        digest.update(f"{path}\0{content.decode()}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
