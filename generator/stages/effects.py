"""What channels do to the network's answer: their contributions to classes, by one forward and one backward pass per
picture. A killed run resumes after its last save.

The arithmetic is in engine/effects/ and methods/effects.py."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from torch import Tensor

from generator.core.head import Head
from generator.core.records import LayerInfo
from generator.core.store import fingerprint
from generator.engine.device import use_tf32
from generator.engine.effects.effect_state import EffectLayer, EffectPlan, EffectReader, EffectState
from generator.methods import effects as methods
from generator.methods.effects import ClassMeans
from generator.network.network import Network
from generator.pictures.reading import rows_of
from generator.stages import keys
from generator.stages.checkpointed_pass import Batches, CheckpointedPass
from generator.stages.inputs import Inputs
from generator.stages.picture_reading import usable_files
from generator.stages.run import Run
from generator.stages.stream_readings import in_forwards

CODE = 5  # raise it when a change of this file or of those that it names alters a number
PASS = "effects"
PRODUCT = "effects"  # of a layer's arrays
# Numbers of the maps that a backward pass keeps, at most, by type of device: they decide how many pictures it takes.
KEPT = {"cpu": 1 << 28, "cuda": 1 << 33}
KEPT_AT_ONCE = 1 << 31  # the same of all threads on the CPU: they decide how many compute at the same time
# Bytes of all sums by class: where there are more classes, only those with most pictures have means.
LARGEST_STATE = 2 << 30


def key(inputs: Inputs) -> str:
    """The scan, the classifier, the layers, and the classes that are asked for."""
    network = inputs.network
    return fingerprint(
        "effects",
        CODE,
        keys.scan(inputs),
        network.graph.digest([len(network.graph) - 1]),
        [layer.name for layer in effect_layers(network)],
        [network.outputs, network.without_outputs, None if network.head is None else network.head.kind],
        [list(network.classes), inputs.accuracy_basis.numbers, inputs.accuracy_basis.sentence],
        "" if inputs.accuracy_basis.numbers is None else keys.labels(inputs),
    )


def effect_layers(network: Network) -> list[LayerInfo]:
    """The layers whose channels' contributions are measured: all but those inside blocks."""
    return [layer for layer in network.layers if not layer.is_inner]


def has_effects(inputs: Inputs) -> bool:
    """Whether there are contributions to measure: of layers, to the outputs of a classifier."""
    return not _absence(inputs)


def _absence(inputs: Inputs) -> str:
    """Why there is nothing to measure, '' where there is."""
    network = inputs.network
    if network.outputs is None:
        return network.without_outputs
    if network.head is not None and network.head.kind == "none":
        return "the outputs are plain scores, not classes"
    return "" if effect_layers(network) else "the atlas has only layers inside blocks"


def trace_effects(inputs: Inputs, run: Run) -> None:
    """Write effects.npz and the mean contributions to all classes of every layer that is not inside a block, and
    effects.json; of a network without a classifier effects.json alone, which says so."""
    network = inputs.network
    if absent := _absence(inputs):
        if run.ranks.leads:
            _remove_earlier(inputs, run)
            run.store.tables.write_json("effects.json", {"absent": absent})
        run.ranks.meet()
        return
    plan, numbers = effect_plan(inputs, run), inputs.accuracy_basis.numbers
    answers = _answers(inputs, run, plan)
    of_class = answers if numbers is None else np.array(numbers, np.int64)
    effects = CheckpointedPass(
        run,
        PASS,
        key(inputs),
        "the contributions to classes",
        empty=lambda: EffectState(plan, run.device),
        read=EffectState.from_arrays,
    )
    if run.ranks.leads:
        effects.begin()
    run.ranks.meet()

    def work(state: EffectState, batches: list[int], done: Collection[int], forward: int) -> Batches:
        use_tf32(inputs.profile.compute.precision != "fp32")
        reader = EffectReader(network.to(run.device, torch.float32), plan, of_class, answers)

        def read(pixels: Tensor, images: Tensor) -> None:
            reader.read(state, pixels, images, forward)

        most = max(1, KEPT_AT_ONCE // (forward * _kept(inputs)))
        yield from in_forwards(inputs, run, "contributions to classes", batches, done, forward, read, most)
        use_tf32(False)

    state = effects.complete(inputs.forwards, at_once(inputs), work)
    if run.ranks.leads:
        _write(inputs, run, state)
    run.ranks.meet()


def _answers(inputs: Inputs, run: Run, plan: EffectPlan) -> np.ndarray:
    """(N,) int64: of every picture of the set the network's answer, as it stands in predictions.npz; −1 for a picture
    that was not read."""
    found = run.store.arrays.predictions()
    assert found is not None  # the stage needs that of the predictions
    output, score = found
    answers = np.full(len(inputs.pictures.files), -1, np.int64)
    answers[usable_files(inputs, run)] = score > 0 if plan.signs else output
    return answers


def at_once(inputs: Inputs) -> int:
    """Pictures per forward of this pass, from the shapes alone: as in the other passes, halved until the maps fit."""
    batch, kind = inputs.forward, inputs.arithmetic[0]
    while batch > 1 and batch * _kept(inputs) > KEPT.get(kind, KEPT["cpu"]):
        batch //= 2
    return batch


def _kept(inputs: Inputs) -> int:
    """Numbers of the maps of one picture that a backward pass keeps."""
    return sum(map(math.prod, inputs.network.graph.shapes(inputs.network.preprocessing.size)))


def effect_plan(inputs: Inputs, run: Run) -> EffectPlan:
    """The layers, and the classes that are summed up: those with a picture, or all where the class is the network's
    answer; as many as fit into the memory."""
    layers = effect_layers(inputs.network)
    most = LARGEST_STATE // (32 * sum(layer.channels for layer in layers))
    head, classes = inputs.network.head, _wanted_classes(inputs, run)
    assert head is not None
    if len(classes) > most:  # which answers have pictures is not known before the pass
        classes = [] if inputs.accuracy_basis.numbers is None else classes[:most]
    return EffectPlan(
        tuple(EffectLayer(layer.name, layer.channels, layer.width) for layer in layers),
        tuple(sorted(classes)),
        head.is_binary,
    )


def _wanted_classes(inputs: Inputs, run: Run) -> list[int]:
    """The classes with a picture, those with most first, or all where the class is the network's answer."""
    head, numbers = inputs.network.head, inputs.accuracy_basis.numbers
    assert head is not None
    if numbers is None:
        return list(range(_class_count(head)))
    of_usable = np.array(numbers, np.int64)[usable_files(inputs, run)]
    there, pictures = np.unique(of_usable[of_usable >= 0], return_counts=True)
    return list(there[np.argsort(-pictures, kind="stable")].tolist())


def _class_count(head: Head) -> int:
    """How many classes the outputs stand for."""
    return 2 if head.is_binary else head.outputs


def exact_weights(network: Network) -> tuple[str, np.ndarray] | None:
    """The layer whose mean activations the classifier reads, and its weights (K, C), a row per class; None where
    something lies between them, so that a backward pass gives the contributions to first order alone."""
    found, head = network.graph.pooled_classifier(), network.head
    if found is None or head is None:
        return None
    pooled, weights = found[0], found[1].numpy()
    layer = next((x for x in effect_layers(network) if network.step(x.name) == pooled), None)
    if layer is None or weights.shape[1] != layer.channels:
        return None
    return layer.name, np.concatenate([-weights, weights]) if head.is_binary else weights


def class_name(network: Network, number: int) -> str:
    """The name of a class by its number; one output stands for two classes, itself for the second."""
    head = network.head
    assert head is not None
    if not head.is_binary:
        return head.name(network.classes, number)
    names = network.classes if len(network.classes) == 2 else ("class 0", head.name(network.classes, 0))
    return names[number]


def _write(inputs: Inputs, run: Run, state: EffectState) -> None:
    _remove_earlier(inputs, run)
    network, store, plan = inputs.network, run.store, state.plan
    files = usable_files(inputs, run)
    number_of = rows_of(files, len(inputs.pictures.files) + 1)  # −1 at the end, for none
    classes = np.array(plan.classes, np.int64)
    exact = exact_weights(network)
    for layer in plan.layers:
        means = ClassMeans.of(
            state.sums[layer.name].value(), state.squares[layer.name].value(), state.pictures
        )
        value, image, unit = state.top(layer.name)
        arrays = {
            "effect_value": value,
            "effect_image": number_of[image].astype(np.int32),
            "effect_unit": unit,
            **methods.of_channels(means, classes),
            **methods.of_classes(means),
        }
        if exact is not None and exact[0] == layer.name:
            activation = store.arrays.layer(layer.name, "statistics")["mean"]
            arrays |= methods.of_weights(exact[1], activation)
        store.arrays.write_layer(layer.name, PRODUCT, arrays)
        store.arrays.write_contributions(layer.name, np.stack([means.mean, means.reach]).astype(np.float32))
    store.tables.write_json("effects.json", _report(inputs, run, state, "" if exact is None else exact[0]))


def _report(inputs: Inputs, run: Run, state: EffectState, exact: str) -> dict[str, Any]:
    """What effects.json says. exact: the layer whose contributions follow from the weights, '' for none."""
    network, plan, basis = inputs.network, state.plan, inputs.accuracy_basis
    head = network.head
    assert head is not None
    return {
        "of": len(usable_files(inputs, run)),
        "pictures": int(state.used[0]),
        "by": "answer" if basis.numbers is None else "label",
        "sentence": basis.sentence,
        "head": head.kind,
        "outputs": head.outputs,
        "exact": exact or None,
        "layers": [layer.name for layer in plan.layers],
        "names": [class_name(network, number) for number in range(_class_count(head))],
        "left_out": len(_wanted_classes(inputs, run)) - len(plan.classes),
        "classes": _class_rows(inputs, state),
    }


def _class_rows(inputs: Inputs, state: EffectState) -> list[dict[str, Any]]:
    """A row of effects.json for each class that is summed up."""
    scores, numbers = state.scores.value()[:, 0], inputs.accuracy_basis.numbers
    labels: dict[int, dict[tuple[int, str], None]] = {}
    for file, number in zip(inputs.pictures.files, numbers or (), strict=False):
        labels.setdefault(number, {})[file.label_id, file.label] = None
    rows: list[dict[str, Any]] = []
    for row, number in enumerate(state.plan.classes):
        count = int(state.pictures[row])
        rows.append(
            {
                "number": number,
                "name": class_name(inputs.network, number),
                "labels": [list(label) for label in labels.get(number, ())],
                "pictures": count,
                "correct": None if numbers is None else int(state.correct[row]),
                "score": round(float(scores[row]) / count, 6) if count else None,
            }
        )
    return rows


def _remove_earlier(inputs: Inputs, run: Run) -> None:
    """Remove what an earlier run wrote of other layers."""
    for layer in inputs.network.layers:
        run.store.arrays.drop_layer(layer.name, PRODUCT)
    run.store.arrays.keep_contributions(())
