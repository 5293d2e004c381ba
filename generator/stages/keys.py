"""Fingerprints: what each stage's result depends on, as one SHA-256 per stage.

A key holds everything that a stage's result depends on and nothing else, so that a change recomputes exactly what
depends on it. No key holds a model's name for what the model does: the graph says that. All are pure functions of the
inputs."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from weakref import WeakKeyDictionary

import numpy as np
import PIL
import torch

from generator.core.records import SCHEMA, to_json
from generator.core.sprites import AVIF_SPEED, AVIF_TUNE, QUICK_METHOD, enlargement
from generator.core.store import Store, fingerprint
from generator.engine.loops.compiled import kind
from generator.methods.kernels import FirstLayer, first_layer
from generator.stages.inputs import Inputs

# Raise a number when a change of the code changes any number or picture that it stands for: older work is then redone.
CODE = 5  # everything
SCAN = 1  # what the scan keeps of every picture
CONNECTIONS = 2  # stages/connections.py alone
TILES = 2  # patches, gradients and the focus of units
CLASSES = 5  # stages/classes.py alone
CORRESPONDENCE = 4  # stages/correspondence.py alone
REFINEMENT = 5  # stages/refinement.py alone
ASCENT = 3  # optimised pictures: of channels, and of the residual stream
DREAMS = 3  # stages/dreams.py alone
FIRST_LAYERS = 1  # stages/first_layers.py alone
FEATURES = 3  # the vectors before the classifier
EMBEDDING = 1  # the map of the pictures, made from these vectors
STREAM = 6  # the readings in the residual stream

Key = Callable[[Inputs], str]


def _once(key: Key) -> Key:
    """The same function, computed once per inputs: some fingerprints read every weight."""
    known: WeakKeyDictionary[Inputs, str] = WeakKeyDictionary()

    @functools.wraps(key)
    def remembered(inputs: Inputs) -> str:
        if inputs not in known:
            known[inputs] = key(inputs)
        return known[inputs]

    return remembered


def arithmetic(device: torch.device) -> tuple[str, ...]:
    """What decides the last bits of a number computed on a device: its type, torch's version and, on a CPU, whether the
    loops are compiled."""
    return (device.type, torch.__version__, *([kind()] if device.type == "cpu" else []))


@_once
def pixels(inputs: Inputs) -> str:
    """The decoded pixels of the pictures, which are kept while a run lasts."""
    return fingerprint("pixels", CODE, PIL.__version__, inputs.digest, inputs.network.preprocessing.settings)


# -- the scan and what reads it ----------------------------------------------------------------------------------------


@_once
def scan(inputs: Inputs) -> str:
    """The scan: of the pictures their paths and bytes, not their labels; of the network what leads to its layers."""
    network = inputs.network
    return fingerprint(
        [
            SCHEMA,
            CODE,
            SCAN,
        ],  # files of another schema lie elsewhere in the folder: nothing of them can be taken over
        network.graph.digest(network.steps),
        network.preprocessing.settings,
        asdict(inputs.scan_plan),
        inputs.digest,
        inputs.profile.compute.score_pictures,
        list(inputs.arithmetic),
    )


@_once
def labels(inputs: Inputs) -> str:
    """The pictures' labels and the classes' WordNet numbers."""
    digest = hashlib.sha256()
    for file, wnid in zip(inputs.pictures.files, inputs.pictures.wnids(), strict=True):
        digest.update(f"{file.label_id}\0{file.label}\0{wnid}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _taps(inputs: Inputs) -> list[tuple[str, str, str, int]]:
    """How the layers are related, as far as the graph does not say it."""
    return [(layer.name, layer.kind, layer.block, layer.stage) for layer in inputs.network.layers]


@_once
def stream_readings(inputs: Inputs) -> str:
    """What the pictures themselves, not rescaled, say of the residual stream."""
    return fingerprint("stream readings", STREAM, scan(inputs), _taps(inputs))


@_once
def stream(inputs: Inputs) -> str:
    """The readings in the residual stream."""
    section = inputs.profile.stream
    magnitudes = {
        name: [_array_digest(of_block.convolution), _array_digest(of_block.norm), of_block.folded]
        for name, of_block in inputs.network.magnitudes.items()
    }
    return fingerprint(STREAM, scan(inputs), _taps(inputs), magnitudes, section.enabled, section.rescaled)


@_once
def optimised_stream(inputs: Inputs) -> str:
    """The stream's numbers at optimised pictures: they depend on no picture of the set."""
    section, network = inputs.profile.stream, inputs.network
    computed_on = list(inputs.arithmetic[:2])
    what = [network.graph.digest(network.steps), network.preprocessing.settings, _taps(inputs)]
    how = [inputs.profile.layers.channels, section.enabled, section.optimised_steps]
    return fingerprint("optimised", [SCHEMA, STREAM, ASCENT], computed_on, what, how)


@_once
def classes(inputs: Inputs) -> str:
    """What a channel's pictures say about classes."""
    given = inputs.profile.pictures.hierarchy is not None
    return fingerprint(scan(inputs), labels(inputs), given, sorted(inputs.hierarchy.parents.items()))


@_once
def connections(inputs: Inputs) -> str:
    """What channels share with the block before, which inputs they read, and what reads them: the classifier too."""
    network = inputs.network
    classifier = network.graph.digest([len(network.graph) - 1]) if network.outputs else ""
    return fingerprint(
        "connections", CONNECTIONS, scan(inputs), _taps(inputs), classifier, network.given_head
    )


@_once
def class_numbers(inputs: Inputs) -> str:
    """classes.json and its numbers: the scan, the labels, and the classes' hierarchy with its names."""
    tree = inputs.hierarchy
    named = [sorted(tree.titles.items()), tree.source]
    return fingerprint(classes(inputs), CLASSES, named, visual_features(inputs))


@_once
def visual_features(inputs: Inputs) -> str:
    """The features that say how alike pictures look: another atlas's, or the network's own."""
    given = inputs.profile.pictures.visual_features
    if given is None:
        return features(inputs)
    other = Store(given)
    digests = []
    for path in (other.arrays.features_path(), other.arrays.map_path()):
        digests.append(hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "")
    return fingerprint("visual", digests)


@_once
def correspondence(inputs: Inputs) -> str:
    """relations.json and the matches."""
    return fingerprint("correspondence", scan(inputs), CORRESPONDENCE, _taps(inputs))


@_once
def refinement(inputs: Inputs) -> str:
    """refinement.json and its numbers."""
    return fingerprint("refinement", class_numbers(inputs), REFINEMENT, _taps(inputs))


# -- pictures of units -------------------------------------------------------------------------------------------------


@_once
def tiles(inputs: Inputs) -> str:
    """Patches, gradients and the whole pictures shown behind them."""
    sprites_section, network = inputs.profile.sprites, inputs.network
    pictures: list[object] = [sprites_section.picture, sprites_section.quality, QUICK_METHOD]
    if any(inputs.channels(layer) < layer.channels for layer in network.layers):
        pictures.append("all lists")  # since channels without tiles have whole pictures too
    pictures.append("strips")
    strips = ["units of strips"] if inputs.profile.range.gradients else []
    return fingerprint(
        scan(inputs),
        TILES,
        inputs.panels,
        [(layer.name, inputs.native(layer), inputs.channels(layer)) for layer in network.layers],
        pictures if "patches" in inputs.panels else None,
        *strips,
    )


@_once
def sprites(inputs: Inputs) -> str:
    """The sprites."""
    layers = inputs.network.layers
    factors = [enlargement(inputs.native(layer), inputs.wanted_side(layer)) for layer in layers]
    quality = inputs.profile.sprites.quality
    encoding = [] if inputs.avif_quality is None else [AVIF_SPEED, AVIF_TUNE, inputs.avif_quality]
    # The thumbnails are WebP whatever the sprites are.
    return fingerprint(tiles(inputs), factors, quality, QUICK_METHOD, *encoding)


@_once
def gradient_rules(inputs: Inputs) -> str:
    """The comparison of the gradient rules; which channels it shows follows from their labels."""
    layers = [layer for layer in inputs.network.layers if not layer.is_inner]
    return fingerprint(
        "rules",
        [CLASSES, TILES],
        classes(inputs),
        [(layer.name, layer.stage, inputs.native(layer), inputs.wanted_side(layer)) for layer in layers],
        inputs.profile.layers.channels,
        inputs.profile.sprites.quality,
        inputs.profile.site.publish_patches,
        inputs.profile.gradients[0],
    )


@_once
def optimised_pictures(inputs: Inputs) -> str:
    """The optimised pictures, '' where the profile has no such section."""
    section = inputs.profile.ascent
    if section is None:
        return ""
    return fingerprint(
        ASCENT,
        scan(inputs),
        section.model_dump(),
        [layer.name for layer in inputs.optimised_layers],
        inputs.profile.layers.channels,
        inputs.profile.sprites.quality,
        inputs.profile.site.publish_patches,
    )


@_once
def dreams(inputs: Inputs) -> str:
    """The dreams, '' where the profile has no such section."""
    section = inputs.profile.deepdream
    if section is None:
        return ""
    numbered = any(start.number is not None for start in inputs.starts)  # their labels are shown
    return fingerprint(
        DREAMS,
        scan(inputs),
        _taps(inputs),
        labels(inputs) if numbered else "",
        section.model_dump(exclude={"pictures"}),
        [(start.number, start.path and start.path.name, start.sha256) for start in inputs.starts],
        inputs.profile.site.publish_patches,
    )


# -- the classifier and its input --------------------------------------------------------------------------------------


@_once
def features(inputs: Inputs) -> str:
    """The vectors before the classifier, '' where there is to be no map."""
    section, vector = inputs.profile.embedding, inputs.network.last_vector
    if not section.enabled or vector is None:
        return ""
    leads = inputs.network.graph.digest([vector[0]])
    return fingerprint("features", FEATURES, scan(inputs), leads, section.pictures)


@_once
def predictions(inputs: Inputs) -> str:
    """The classifier's outputs; '' where there is no classifier, or where neither an accuracy nor a map nor
    contributions to classes need a forward pass that goes so far."""
    network = inputs.network
    is_needed = (
        inputs.profile.effects.enabled
        or network.last_vector is not None
        or inputs.accuracy_basis.numbers is not None
    )
    if network.outputs is None or not is_needed:
        return ""
    return fingerprint("predictions", scan(inputs), network.graph.digest([len(network.graph) - 1]))


@_once
def embedding(inputs: Inputs) -> str:
    """The map of the pictures, '' where there is to be none."""
    if not features(inputs):
        return ""
    vector = inputs.network.last_vector
    assert vector is not None
    return fingerprint(
        EMBEDDING,
        features(inputs),
        inputs.network.graph.module_of(vector[0]),
        inputs.profile.embedding.model_dump(),
        [inputs.profile.site.publish_patches, inputs.profile.sprites.quality],
        version("scikit-learn"),
    )


@_once
def first_layers(inputs: Inputs) -> str:
    """The page on first layers."""
    network = inputs.network
    own = [] if network.kernels is None else [first_layer(network)]
    first = network.layers[0]

    def numbers(layer: FirstLayer) -> list[str]:
        return [_array_digest(layer.kernels), _array_digest(layer.gain)]

    return fingerprint(
        FIRST_LAYERS,
        [
            [layer.model, to_json(layer.weights), layer.path, layer.stride, layer.padding, numbers(layer)]
            for layer in (*own, *inputs.other_layers)
        ],
        [len(own), first.name, first.kind],
    )


def _array_digest(array: np.ndarray | torch.Tensor | None) -> str:
    """SHA-256 of an array's shape and numbers as float32, '' for none."""
    if array is None:
        return ""
    numbers = np.ascontiguousarray(array, np.float32)
    return hashlib.sha256(str(numbers.shape).encode() + numbers.tobytes()).hexdigest()
