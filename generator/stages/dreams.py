"""DeepDream: the pictures and the layers that the profile names.

A dream is stored under the fingerprint of everything that it depends on, its start picture included. So it is computed
once, whatever other pictures and layers there are, and an interrupted run resumes after the last one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from generator.core.checksums import file_digest
from generator.core.errors import AtlasError
from generator.core.records import LayerInfo, PictureRecord, Preprocessing, Size
from generator.core.sprites import as_colours, webp
from generator.core.store import fingerprint
from generator.methods.deepdream import Dreamer, DreamPlan
from generator.network.network import Network
from generator.pictures.decoding import Picture, PictureError, read_picture
from generator.pictures.reading import find_pictures
from generator.stages import keys
from generator.stages.checkpointed_pass import halving, in_threads, note_damage
from generator.stages.inputs import Inputs, Start
from generator.stages.picture_reading import (
    picture_changed,
)
from generator.stages.profile import DeepDreamSection
from generator.stages.run import Run

KEY = 16  # hex digits that name a dream's files


@dataclass(frozen=True)
class Subject:
    """A start picture, opened. name: of its file; pixels: (h, w, channels) uint8; record: of images.csv, or None."""

    name: str
    pixels: np.ndarray
    record: PictureRecord | None

    @property
    def key(self) -> str:
        """The part of file names that identifies the picture."""
        return fingerprint(self.pixels.tobytes().hex())[:KEY]


@dataclass(frozen=True)
class Task:
    """A dream to be made. key: fingerprint of all it depends on."""

    subject: Subject
    layer: LayerInfo
    key: str


# -- the profile's pictures and layers -------------------------------------------------------------------------------


def open_starts(section: DeepDreamSection | None, network: Network) -> tuple[Start, ...]:
    """The start pictures, none where the profile asks for no dreams; raises AtlasError for a file that is no picture,
    and where the octaves do not fit."""
    if section is None:
        return ()
    size = plan_of(section, network).sizes[-1]
    starts: list[Start] = []
    for given in section.pictures:
        if isinstance(given, int):
            starts.append(Start(given))
            continue
        path = Path(given)
        files = [path / f.path for f in find_pictures(path, labels="none").files] if path.is_dir() else [path]
        for file in files:
            _read(file, _cut(network, size))
            starts.append(Start(None, file, file_digest(file)))
    return tuple(starts)


def plan_of(section: DeepDreamSection, network: Network) -> DreamPlan:
    """The profile's settings for a dream by this network."""
    return DreamPlan(
        section.side or network.preprocessing.crop,
        section.octaves,
        section.octave_scale,
        section.steps,
        section.step_size,
        section.jitter,
        section.seed,
    )


def dream_layers(inputs: Inputs) -> list[LayerInfo]:
    """The layers that dreams maximise, in forward order, without those that the atlas leaves out."""
    assert inputs.profile.deepdream is not None
    which = inputs.profile.deepdream.layers
    layers = inputs.network.layers
    if not isinstance(which, str):
        return [layer for layer in layers if {layer.name, layer.path} & set(which)]
    blocks = [layer for layer in layers if layer.kind in ("block", "layer")]
    if which == "blocks":
        return blocks
    return list({layer.stage: layer for layer in blocks}.values())  # the last of each


def _cut(network: Network, size: Size) -> Preprocessing:
    """Preprocessing that resizes a picture, never squashing it, and cuts out its middle. size: height and width in
    px."""
    return replace(network.preprocessing, resize=max(size), crop=size)


def _read(path: Path, cut: Preprocessing) -> Picture:
    try:
        return read_picture(path, cut)
    except PictureError as error:
        raise AtlasError(
            f"a picture to dream of cannot be used: {error}", path, "name a picture file"
        ) from None


# -- the stage -------------------------------------------------------------------------------------------------------


def dream_pictures(inputs: Inputs, run: Run) -> None:
    """Write deepdream/: every dream that is not there yet, each start picture, and the list of them. Pictures of the
    set are left out where the profile may not publish any."""
    tasks: list[Task] = []
    subjects: list[Subject] = []
    if inputs.profile.deepdream is not None:
        plan = plan_of(inputs.profile.deepdream, inputs.network)
        records = run.store.tables.images()
        opened = (_open(inputs, run, records, start, plan) for start in inputs.starts)
        subjects = [subject for subject in opened if subject is not None]
        layers = dream_layers(inputs)
        tasks = [
            Task(subject, layer, _key(inputs, run, subject, layer))
            for subject in subjects
            for layer in layers
        ]
    missing = {task.key: task for task in tasks if not _is_there(run, task)}
    run.ranks.meet()  # every process has seen the same before any makes one
    if missing:
        done = len(tasks) - len(missing)
        with run.reporter.stage("dreams", len(tasks), "dreams", done) as advance:
            _make(inputs, run, run.ranks.share(list(missing.values())), advance)
    run.ranks.meet()
    if run.ranks.leads:
        _write_index(inputs, run, subjects, tasks)
    run.ranks.meet()


def _is_there(run: Run, task: Task) -> bool:
    """Whether the dream was made, by an earlier run too, and is still what was written; else it is computed again."""
    if (
        stamp := run.store.work.stamp(_stamp(task.key))
    ) is None:  # of a finished atlas: its checksums were compared
        return run.store.pictures.dream(task.key) is not None
    if stamp == run.store.pictures.dream_digest(task.key):
        return True
    note_damage(run, "the dreams")
    return False


def _stamp(key: str) -> str:
    return f"dream-{key}"


def _open(
    inputs: Inputs, run: Run, records: Sequence[PictureRecord], start: Start, plan: DreamPlan
) -> Subject | None:
    """The start's pixels; None where the set has no such picture, or it may not be published."""
    cut = _cut(inputs.network, plan.size)
    if start.path is not None:
        picture = _read(start.path, cut)
        if picture.sha256 != start.sha256:
            raise picture_changed(start.path)
        if not inputs.profile.site.publish_patches and _is_of_the_set(inputs, picture):
            return None
        return Subject(start.path.name, picture.pixels, None)
    if not inputs.profile.site.publish_patches:
        return None
    assert start.number is not None
    if start.number >= len(records):
        run.reporter.note(
            f"no dreams of picture {start.number}: there are {len(records):,} pictures, counted from 0"
        )
        return None
    record = records[start.number]
    picture = _read(inputs.pictures.root / record.path, cut)
    place = [file.path for file in inputs.pictures.files].index(record.path)
    if inputs.contents is not None and picture.sha256 != inputs.contents[place].tobytes().hex():
        raise picture_changed(record.path)
    return Subject(Path(record.path).name, picture.pixels, record)


def _is_of_the_set(inputs: Inputs, picture: Picture) -> bool:
    """Whether one of the set's files has the same bytes."""
    if inputs.contents is None:
        return False
    return bool((inputs.contents == np.frombuffer(bytes.fromhex(picture.sha256), np.uint8)).all(1).any())


def _key(inputs: Inputs, run: Run, subject: Subject, layer: LayerInfo) -> str:
    section = inputs.profile.deepdream
    assert section is not None
    p = inputs.network.preprocessing
    parts = (
        keys.DREAMS,
        [inputs.network.graph.digest([inputs.network.step(layer.name)]), p.mean, p.std, p.value_range],
        [run.device.type, torch.__version__],
        layer.name,
        asdict(plan_of(section, inputs.network)),
        section.quality,
        subject.key,
    )
    return fingerprint(*parts)[:KEY]


def _make(inputs: Inputs, run: Run, tasks: list[Task], advance: Callable[[int], object]) -> None:
    """Compute dreams in threads, one at a time in each: the numbers do not depend on how many threads there are."""
    assert inputs.profile.deepdream is not None
    plan = plan_of(inputs.profile.deepdream, inputs.network)
    network = inputs.network.to(run.device, torch.float32)
    dreamers = {task.layer.name: Dreamer(network, task.layer.name, plan) for task in tasks}

    def dream(task: Task, _at_once: int = 1) -> int:
        result = dreamers[task.layer.name].dream(torch.from_numpy(task.subject.pixels))
        numbers = {"layer": task.layer.name, "before": result.before, "after": result.after}
        run.store.work.unstamp(_stamp(task.key))
        run.store.pictures.write_dream(task.key, _encoded(inputs, result.picture.numpy()), numbers)
        run.store.work.write_stamp(_stamp(task.key), run.store.pictures.dream_digest(task.key))
        return 1

    for task in in_threads(run, tasks, dream, advance):  # alone, without other threads' dreams, it may fit
        advance(
            halving(run, 1, partial(dream, task), "set a smaller side in the profile's section deepdream")
        )


def _encoded(inputs: Inputs, pixels: np.ndarray) -> bytes:
    assert inputs.profile.deepdream is not None
    return webp(as_colours(pixels), inputs.profile.deepdream.quality)


def _write_index(inputs: Inputs, run: Run, subjects: list[Subject], tasks: list[Task]) -> None:
    store, section = run.store, inputs.profile.deepdream
    if section is None or not tasks:
        store.pictures.keep_dreams(())
        return
    names, pictures = {"index.json"}, []
    for subject in subjects:
        start = f"{fingerprint(subject.key, section.quality)[:KEY]}-start.webp"
        if not store.pictures.dream_path(start).is_file():
            store.pictures.write(store.pictures.dream_path(start), _encoded(inputs, subject.pixels))
        own = [task for task in tasks if task.subject is subject]
        names |= {start, *(f"{task.key}.{kind}" for task in own for kind in ("webp", "json"))}
        pictures.append(
            {
                "name": subject.name,
                "number": None if subject.record is None else subject.record.index,
                "label": "" if subject.record is None else subject.record.label,
                "start": start,
                "dreams": [
                    {**(store.pictures.dream(task.key) or {}), "file": f"{task.key}.webp"} for task in own
                ],
            }
        )
    plan = plan_of(section, inputs.network)
    sides = [height if height == width else [height, width] for height, width in plan.sizes]
    settings = {**asdict(plan), "sides": sides, "quality": section.quality}
    store.tables.write_json("deepdream/index.json", {"settings": settings, "pictures": pictures})
    store.pictures.keep_dreams(names)
