"""The pass that reads the residual stream, in batches that are done once each and survive a kill."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from generator.device import one_thread_each, use_tf32
from generator.files import ScoreFile
from generator.pictures import PictureBatch
from generator.scan import in_rounds
from generator.stages.job import Job
from generator.stages.scanning import sample
from generator.stages.stream_tables import withdraw_stream, write_stream
from generator.stream import BlockReadings, BlockUnits, StreamState, read_stream

CHECKPOINT_SECONDS = 15.0  # work lost to a kill at most
PASS, MERGED = "stream", "merged"


@dataclass
class Part:
    """What some batches brought. batches: numbers done."""

    state: StreamState
    batches: list[int] = field(default_factory=list)

    def arrays(self) -> dict[str, np.ndarray]:
        state = {f"state.{name}": array for name, array in self.state.arrays().items()}
        return {**state, "batches": np.array(self.batches, np.int64)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Part:
        state = {name[6:]: array for name, array in arrays.items() if name.startswith("state.")}
        return cls(StreamState.from_arrays(state), arrays["batches"].tolist())


def read_streams(job: Job) -> None:
    """Read every residual block on every picture and add what was found to layers/*.npz, with stream.json.

    Does nothing but withdraw earlier numbers where the profile says so or the network has no residual block.
    """
    if job.store.stamp(PASS) == job.stream_key:
        return
    if not job.profile.stream.enabled or not job.stream_plan.blocks:
        if job.ranks.leads:
            withdraw_stream(job)
            job.store.write_stamp(PASS, job.stream_key)
        job.ranks.meet()
        return
    if job.ranks.leads:
        _begin(job)
        _merge_parts(job)
    job.ranks.meet()  # from here on the parts of earlier runs are one, and nobody else touches it
    _read_rest(job, _done(job))
    job.ranks.meet()
    if job.ranks.leads:
        _merge_parts(job)
        part = Part.from_arrays(job.store.read_part(MERGED, PASS))
        with _sample_file(job) as readings:
            write_stream(job, part.state, readings, sampled(job)[1])
        job.store.write_stamp(PASS, job.stream_key)
        job.store.drop_parts(pass_=PASS)
    job.ranks.meet()


def sampled(job: Job) -> tuple[np.ndarray, int]:
    """For every picture its row in the sample whose readings are kept, −1 where it is not in it, (N,) int64; and how
    many rows there are. The pictures are those whose scores the scan keeps."""
    files = job.files()
    kept = np.flatnonzero(np.isin(files, sample(job)))
    rows = np.full(len(files), -1, np.int64)
    rows[kept] = np.arange(len(kept))
    return rows, len(kept)


def _begin(job: Job) -> None:
    """Withdraw what an earlier pass over something else left."""
    job.store.unstamp(PASS)
    if job.store.stamp("stream-of") != job.stream_key:
        job.store.drop_parts(pass_=PASS)
        job.store.write_stamp("stream-of", job.stream_key)


def _merge_parts(job: Job) -> None:
    """Make one part of all that are on disk, so that the next run may have any number of processes."""
    names = job.store.part_names(PASS)  # the merged one first
    merged: Part | None = None
    for name in names:
        part = Part.from_arrays(job.store.read_part(name, PASS))
        if merged is None:
            merged = part
        elif not set(merged.batches) & set(part.batches):  # else killed between merging and dropping
            merged.state.merge(part.state)
            merged.batches += part.batches
    if merged is not None and names != [MERGED]:
        job.store.write_part(MERGED, merged.arrays(), PASS)
        job.store.drop_parts(but=MERGED, pass_=PASS)


def _done(job: Job) -> set[int]:
    if MERGED not in job.store.part_names(PASS):
        return set()
    return set(job.store.read_part(MERGED, PASS)["batches"].tolist())


def _sample_file(job: Job) -> ScoreFile:
    """A row a picture of the sample: of every block Input, then Block, at the centre."""
    channels = [block.channels for block in job.stream_plan.blocks for _ in ("input", "block")]
    return job.store.score_file(channels, PASS)


def _read_rest(job: Job, done: set[int]) -> None:
    plan, files = job.stream_plan, job.files()
    size, count = plan.batch, len(files)
    todo = [number for number in range(-(-count // size)) if number not in done]
    mine = job.ranks.share(todo)
    spans = {number: np.arange(number * size, min((number + 1) * size, count)) for number in mine}
    earlier = sum(min(size, count - number * size) for number in done)
    total = sum(map(len, spans.values())) + earlier
    part = Part(StreamState(plan))
    rows, _ = sampled(job)
    use_tf32(False)
    network = job.network.to(job.device, torch.float32)
    units = _Units(job)
    saved = time.monotonic()
    with contextlib.ExitStack() as opened:
        threads = opened.enter_context(one_thread_each(job.device))
        kept = opened.enter_context(_sample_file(job))
        advance = opened.enter_context(job.reporter.stage("residual stream", total, "pictures", earlier))
        asked = files[np.concatenate([files[:0], *spans.values()])]
        batches = zip(spans, job.read_again(asked, batch=size), strict=True)

        def read(
            numbered: tuple[int, PictureBatch],
        ) -> tuple[dict[str, BlockReadings], dict[str, BlockUnits]]:
            number, batch = numbered
            found = units.within(spans[number])
            return read_stream(network, batch.pixels, job.stream_plan, found), found

        for finished in in_rounds(read, batches, threads):
            for (number, _), (readings, found) in finished:
                pictures = spans[number]
                part.state.update(torch.from_numpy(pictures), readings, found)
                _keep_sample(kept, readings, rows[pictures])
                part.batches.append(number)
                advance(len(pictures))
                if time.monotonic() - saved > CHECKPOINT_SECONDS:
                    job.store.write_part(f"rank-{job.ranks.rank}", part.arrays(), PASS)
                    saved = time.monotonic()
    job.store.write_part(f"rank-{job.ranks.rank}", part.arrays(), PASS)


def _keep_sample(file: ScoreFile, readings: Mapping[str, BlockReadings], rows: np.ndarray) -> None:
    inside = torch.from_numpy(rows >= 0)
    if inside.any():
        sides = [side[inside] for read in readings.values() for side in (read.input, read.block)]
        file.write(rows[rows >= 0], torch.cat(sides, 1).numpy())


class _Units:
    """The strongest nine units of every residual block's channels, found by their picture."""

    def __init__(self, job: Job) -> None:
        self._tables: dict[str, np.ndarray] = {}  # (U, 5): picture, channel, slot, row, column, by picture
        for block in job.stream_plan.blocks:
            numbers = job.store.layer(block.name)
            channel, slot = np.nonzero(numbers["top_image"] >= 0)
            picture, place = numbers["top_image"][channel, slot], numbers["top_unit"][channel, slot]
            table = np.column_stack([picture, channel, slot, place]).astype(np.int64)
            self._tables[block.name] = table[np.argsort(picture, kind="stable")]

    def within(self, pictures: np.ndarray) -> dict[str, BlockUnits]:
        """Those in a span of pictures."""
        first, last = int(pictures[0]), int(pictures[-1])
        found = {}
        for name, table in self._tables.items():
            part = table[np.searchsorted(table[:, 0], first) : np.searchsorted(table[:, 0], last, "right")]
            columns = (part - [first, 0, 0, 0, 0]).T
            found[name] = BlockUnits(*(torch.from_numpy(column.copy()) for column in columns))
        return found
