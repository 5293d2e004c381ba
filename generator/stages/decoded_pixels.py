"""The decoded pixels of the pictures, kept on the disk while a run lasts, so that each picture is decoded once.

The first pass that needs a picture decodes it and writes its pixels into a file in `work/`
(generator/core/pixel_file.py); later passes, and a run that goes on after a kill, read them there. Nothing depends on
the file: where the disk has no room, and where a row is missing or damaged, pictures are decoded again.

Under torchrun all processes share the file, also those of several machines whose folder lies on a network drive: each
row has whole pages of its own, every pass opens the file again, and a row that another machine does not see yet, or not
whole, is decoded there too."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from generator.core.pixel_file import PAGE, PixelPlace
from generator.core.records import TOP
from generator.pictures.batch_reader import KeptPixels
from generator.stages import keys
from generator.stages.inputs import Inputs
from generator.stages.run import Run

# Left free for the atlas itself besides scores and tiles: more than the sprites, pictures and tables of all layers of a
# ResNet-50 take.
ATLAS_BYTES = 2_000_000_000


def kept_pixels(inputs: Inputs, run: Run) -> KeptPixels | None:
    """Where pixels may be kept; None where the profile does not want it, or where files are not watched: then nothing
    says of which bytes pixels are."""
    if not inputs.profile.compute.cache or inputs.contents is None:
        return None
    return KeptPixels(_place(inputs, run), inputs.contents)


@contextlib.contextmanager
def keeping_pixels(inputs: Inputs, run: Run) -> Iterator[None]:
    """A context: passes inside it keep the pixels that they decode, where the disk has room for them. At its end the
    summary is told how large the file has become; after an error it stays for the next run. It is removed with the rest
    of `work/`."""
    place = _place(inputs, run)
    is_begun = run.ranks.leads and _begin(inputs, run, place)
    run.ranks.meet()
    yield
    if not is_begun:
        return
    used = place.bytes_taken
    if not used:
        run.reporter.notes.append(
            "the disk did not take the decoded pixels: they were removed, and pictures decoded for each pass"
        )
    elif used > PAGE:
        run.reporter.notes.append(
            f"the decoded pixels were kept in {place.path} until the end of the run ({bytes_words(used)})"
        )


def _place(inputs: Inputs, run: Run) -> PixelPlace:
    preprocessing = inputs.network.preprocessing
    shape = (*preprocessing.size, preprocessing.channels)
    path = str(run.store.work.pixels_path())
    return PixelPlace(path, keys.pixels(inputs), len(inputs.pictures), shape)


def _begin(inputs: Inputs, run: Run, place: PixelPlace) -> bool:
    """Make the file ready, or remove what an earlier run left of it; returns whether pixels are kept."""
    room = room_for_pixels(inputs, run)
    if room is not None and room.suffices:
        with contextlib.suppress(OSError):  # the run itself will say what is wrong with the disk
            place.create()
            return True
    elif room is not None:
        run.reporter.notes.append(f"the decoded pixels were {room.words}")
    place.remove()
    return False


# -- room on the disk --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Room:
    """pixels: bytes of all decoded pictures; atlas: bytes that the rest of the run may need; free: bytes on the disk,
    with those that an earlier run's pixels take."""

    pixels: int
    atlas: int
    free: int

    @property
    def suffices(self) -> bool:
        """Whether there is room for both."""
        return self.pixels + self.atlas <= self.free

    @property
    def words(self) -> str:
        """What is done, in words that follow "the decoded pixels are"."""
        if self.suffices:
            return f"kept on the disk until the run ends ({bytes_words(self.pixels)} at most; --no-cache: they are not)"
        return (
            f"not kept: they take {bytes_words(self.pixels)} and the atlas up to {bytes_words(self.atlas)}, but only "
            f"{bytes_words(self.free)} are free on the disk; pictures are decoded for each pass"
        )


def room_for_pixels(inputs: Inputs, run: Run) -> Room | None:
    """Whether the disk has room for the pixels of all pictures; None where the profile does not want them kept."""
    if not inputs.profile.compute.cache:
        return None
    place = _place(inputs, run)
    folder = run.store.folder.absolute()
    while not folder.exists():  # before the first run
        folder = folder.parent
    return Room(place.bytes_in_all, _atlas_bytes(inputs), shutil.disk_usage(folder).free + place.bytes_taken)


def _atlas_bytes(inputs: Inputs) -> int:
    """What the rest of the run may need at the most: tiles; scores, readings, vectors, in `work/` and in the atlas."""
    layers = inputs.network.layers
    tiles = sum(
        inputs.channels(layer) * TOP * len(inputs.panels) * inputs.native(layer) ** 2 * 3 for layer in layers
    )
    numbers = 2 * sum(layer.channels for layer in layers)
    if inputs.reads_stream:
        numbers += 2 * sum(block.channels for block in inputs.stream_plan.blocks)
    bytes_each = 4 * numbers + 4 * sum(layer.channels for layer in inputs.scan_plan.located)  # scores, places
    scores = bytes_each * min(len(inputs.pictures), inputs.profile.compute.score_pictures)
    vector = inputs.network.last_vector
    length = 0 if vector is None else 2 * vector[1]
    vectors = 4 * length * min(len(inputs.pictures), inputs.profile.embedding.pictures)
    return tiles + scores + vectors + ATLAS_BYTES


def bytes_words(count: int) -> str:
    """A number of bytes, in MB or GB."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
