"""The lines printed before a run begins: what it works with, what it will make, and roughly how long that takes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import torch

from generator.core.progress import Reporter
from generator.core.records import ASSUMED, Preprocessing, Skipped, size_words
from generator.network.network import Network
from generator.pictures.reading import PictureSet
from generator.stages import keys
from generator.stages.accuracy import accuracy_basis
from generator.stages.decoded_pixels import room_for_pixels
from generator.stages.done import Done
from generator.stages.dreams import dream_layers
from generator.stages.effects import has_effects
from generator.stages.inputs import Inputs
from generator.stages.opening import Sought
from generator.stages.profile import PicturesSection
from generator.stages.repair import Earlier
from generator.stages.run import Run
from generator.stages.time_estimate import Estimate, Part, dream_starts, estimate

WIDTH = 13  # of the first column
USUAL = Preprocessing(0, 1, (0, 0, 0), (1, 1, 1))  # settings like these are not mentioned
MOST_REASONS, LONGEST = 3, 60  # of files passed over; letters of a name
MOST_NAMED = 4  # classes, parts of the estimate


def say(reporter: Reporter, name: str, text: str) -> None:
    """Print one line of the announcement."""
    reporter.say(f"{name:<{WIDTH}}{text}")


# -- what there is ---------------------------------------------------------------------------------------------------


def announce_network(reporter: Reporter, network: Network, layers: int, device: torch.device) -> None:
    """Print the network, its weights, how its outputs are read, its preprocessing, and the device. layers: how many the
    network has, of which the profile chose some."""
    say(reporter, "network", network_text(network, layers))
    say(reporter, "weights", weights_text(network))
    say(reporter, "outputs", "none" if network.head is None else network.head.advice)
    say(reporter, "input", input_text(network.preprocessing))
    say(reporter, "device", device_text(device))


def announce_pictures(reporter: Reporter, section: PicturesSection, network: Network, sought: Sought) -> None:
    """Print the pictures, where their labels come from, and whether there is an accuracy."""
    say(reporter, "pictures", pictures_text(section, sought))
    say(reporter, "labels", labels_text(sought.pictures))
    say(reporter, "accuracy", accuracy_text(network, sought.pictures, section.trained_on))


def network_text(network: Network, layers: int) -> str:
    """The network, its parameters, and the layers that are shown."""
    shown = len(network.layers)
    count = network.parameters
    size = f"{count / 1e6:,.1f} million parameters" if count >= 100_000 else _many(count, "parameter")
    first, last = network.layers[0].name, network.layers[-1].name
    which = first if shown == 1 else f"{first} to {last}"
    return f"{network.model} ({size}), {_many(layers, 'layer')} of which {shown:,} shown: {which}"


def weights_text(network: Network) -> str:
    """Where the weights come from."""
    weights = network.weights
    if weights.random:
        return f"{weights.note or 'random weights'}: nothing was learnt"
    return f"{weights.source}; {weights.note or 'the whole network'}"


def input_text(preprocessing: Preprocessing) -> str:
    """How a picture is preprocessed."""
    p = preprocessing
    if isinstance(p.resize, tuple):
        before = f"squashed to {size_words(p.resize)}"
        before += "" if p.resize == p.size else ", centre crop"
    else:
        before = f"shorter side to {p.resize}, centre crop" if p.resize else "centre crop, not resized"
    other = "" if p.interpolation == USUAL.interpolation else f", {p.interpolation}"
    files = "" if p.file_words == USUAL.file_words else f"; {p.file_words}"
    mean, std = (" ".join(f"{value:g}" for value in values) for values in (p.mean, p.std))
    scale = f", values 0 to {p.value_range:g}" if p.value_range != USUAL.value_range else ""
    shown = f"; {p.display_words}" if p.display_words else ""
    return (
        f"{size_words(p.size)}: {before}{other}{files}; mean {mean}, std {std}{scale} ({_source(p)}){shown}"
    )


def _source(preprocessing: Preprocessing) -> str:
    if preprocessing.assumption:
        what = preprocessing.source.removeprefix(ASSUMED)
        return f"assumed: {what}; give --mean and --std if it was trained with others"
    return preprocessing.source or "of the model"


def device_text(device: torch.device) -> str:
    """The GPU's name, or the CPU's threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"CPU, {_many(threads, 'thread')}"


def pictures_text(section: PicturesSection, sought: Sought) -> str:
    """How many pictures there are and where, and which files are passed over."""
    pictures = sought.pictures
    count = len(pictures)
    if sought.drawn is not None:
        of = f" of {section.drawn:,}" if section.drawn != count else ""
        missing = len(sought.missing)
        left = ", still to be drawn" if missing == count else f", {missing:,} of them still to be drawn"
        return f"{count:,}{of} of the drawn world{left if missing else ''}"
    limit = f", evenly spaced (limit {section.limit:,})" if section.limit == count else ""
    return f"{count:,} in {pictures.root}{limit}{_passed_over(pictures.passed_over)}"


def _passed_over(files: Sequence[Skipped]) -> str:
    """How many files cannot be used, by their reasons, the more frequent ones first."""
    if not files:
        return ""
    reasons = Counter(file.reason for file in files).most_common()
    named = "; ".join(
        f"{count:,}: {_short(reason.partition(', which is not read')[0])}"
        for reason, count in reasons[:MOST_REASONS]
    )
    rest = len(reasons) - MOST_REASONS
    others = f"; and {_many(rest, 'more reason')}" if rest > 0 else ""
    first = "" if len(files) > 1 else f" {_short(files[0].path)}"
    return f"; {len(files):,} passed over{first} ({named}{others})"


def labels_text(pictures: PictureSet) -> str:
    """Where the labels come from, and the classes."""
    reading = pictures.labels
    notes = "".join(f"; {note}" for note in reading.notes)
    if not reading.labelled:
        return f"none{notes}"
    classes = {(file.label_id, file.label) for file in pictures.files if file.label or file.label_id >= 0}
    names = [name or str(number) for number, name in sorted(classes)]
    left = len(pictures) - reading.labelled
    bare = f"; {left:,} without a label" if left else ""
    return f"from {reading.source}: {_many(reading.classes, 'class', 'classes')} ({_few(names)}){bare}{notes}"


def accuracy_text(network: Network, pictures: PictureSet, trained_on: bool | None = None) -> str:
    """Whether there is an accuracy, how labels and outputs are matched, and whether the network was trained on the
    pictures, where the profile says so."""
    basis = accuracy_basis(network, pictures)
    if basis.numbers is None:
        return basis.sentence.replace("no accuracy: ", "none: ", 1)
    trained = "it is not said whether the network was trained on these pictures (--trained-on yes or no)"
    if trained_on is not None:
        trained = f"the network was {'' if trained_on else 'not '}trained on these pictures"
    return f"can be computed: {basis.sentence}; {trained}"


# -- what will be --------------------------------------------------------------------------------------------------


def announce(inputs: Inputs, run: Run, earlier: Earlier, missing: int, *, site: bool) -> None:
    """Print what will be made, what of it is there already, and how long the rest takes. missing: pictures still to be
    drawn; site: whether pages are rendered afterwards."""
    if run.reporter.quiet:
        return  # and the trials would be for nothing
    done = Done(inputs, run, earlier)
    say(run.reporter, "atlas", str(run.store.folder))
    say(run.reporter, "makes", makes_text(inputs))
    room = room_for_pixels(inputs, run)
    say(run.reporter, "pixels", "decoded for each pass, as was asked" if room is None else room.words)
    if names := done.names:
        say(run.reporter, "done before", ", ".join(names))
    if missing and run.store.folder.exists():
        say(run.reporter, "done before", "cannot be said before the pictures are drawn")
    expected = estimate(inputs, run, done, missing, site=site)
    say(run.reporter, "takes", "not known: a trial failed" if expected is None else takes_text(expected))


def makes_text(inputs: Inputs) -> str:
    """What will be made."""
    network, profile = inputs.network, inputs.profile
    pictured = inputs.pictured
    channels = sum(layer.channels for layer in network.layers)
    products = [f"top-9 pictures of {_many(channels, 'channel')}"]
    kinds = [
        *(["patches"] if "patches" in inputs.panels else []),
        *(f"{kind} gradients" for kind in profile.gradients),
    ]
    many = profile.sprites.format == "auto" and inputs.sprite_format == "avif"
    chosen = ", AVIF because they are many" if many else ""
    products.append(
        f"{' and '.join(kinds)} of {pictured:,} of them ({_many(pictured, 'sprite')} at most{chosen})"
    )
    if keys.embedding(inputs):
        products.append("map of the pictures")
    if profile.stream.enabled and inputs.stream_plan.blocks:
        steps = profile.stream.optimised_steps
        more = f", also at optimised pictures of {steps:,} steps" if steps else ""
        products.append(f"residual stream of {_many(len(inputs.stream_plan.blocks), 'block')}{more}")
    if profile.effects.enabled and has_effects(inputs):
        products.append("contributions to classes")
    if inputs.optimised_layers:
        made = sum(inputs.channels(layer) for layer in inputs.optimised_layers)
        products.append(
            f"{_many(made, 'optimised picture')} in {_many(len(inputs.optimised_layers), 'layer')}"
        )
    if profile.deepdream is not None and (dreams := dream_starts(inputs) * len(dream_layers(inputs))):
        products.append(_many(dreams, "dream"))
    return ", ".join(products)


def takes_text(estimate: Estimate) -> str:
    """The whole as a range, and its larger parts in the same unit."""
    if estimate.high < 10:
        return "less than 10 seconds"
    size, unit = _unit(estimate.high)
    smaller, its = _unit(estimate.low) if estimate.low < size else (size, "")
    low, high = _rounded(estimate.low / smaller, up=False), _rounded(estimate.high / size, up=True)
    whole = f"{low:,g} {its} to".replace("  ", " ") + f" {high:,g} {unit}"
    if low == high and not its:
        whole = f"{high:,g} {unit}"
    parts = sorted(estimate.parts, key=lambda part: -part.high)[:MOST_NAMED]
    named = [f"{part.name} {_about(part, size)}" for part in parts if part.high >= 0.1 * estimate.high]
    return f"about {whole} ({', '.join(named)})"


UNITS = ((3600.0, "hours", 10800.0), (60.0, "minutes", 120.0), (1.0, "seconds", 0.0))


def _unit(seconds: float) -> tuple[float, str]:
    """The unit that so long a time is told in: how many seconds it has, and its name."""
    return next((size, unit) for size, unit, least in UNITS if seconds >= least)


def _rounded(value: float, *, up: bool) -> float:
    """So coarse that it does not say more than is known."""
    step = 10 if value > 100 else 5 if value > 10 else 1 if value >= 1 else 0.5
    return (math.ceil(value / step) if up else math.floor(value / step)) * step


def _about(part: Part, size: float) -> str:
    """One number, or two where a part may take much more or less than it seems."""
    if part.high > 3 * part.low:
        return f"{_figure(part.low / size)} to {_figure(part.high / size)}"
    return _figure((part.low + part.high) / 2 / size)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 2 else f"{value:.1f}"


# -- words ---------------------------------------------------------------------------------------------------------


def _many(count: int, one: str, several: str = "") -> str:
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def _few(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    shown = [_short(name) for name in names[:MOST_NAMED]]
    more = f" and {len(names) - len(shown):,} more" if len(names) > len(shown) else ""
    return ", ".join(shown) + more


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
