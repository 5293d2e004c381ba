"""The stages, one row each: the whole way from the inputs to an atlas.

All code that needs to know the stages reads this table: the pipeline takes their order from it, the manifest their
fingerprints, repair and verification the files that each stage writes. A new stage is one file and one row
(CONTRIBUTING.md has an example)."""

from __future__ import annotations

import glob
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from generator.stages import (
    architecture,
    categories,
    classes,
    connections,
    correspondence,
    dreams,
    effects,
    first_layers,
    gradient_rules,
    keys,
    label_range,
    labels,
    live_network,
    machine_score,
    network_outputs,
    optimised_pictures,
    optimised_stream,
    path_check,
    picture_map,
    randomisation,
    refinement,
    residual_stream,
    scale_truth,
    scan,
    sprites,
    unit_pictures,
    zooms,
)
from generator.stages.inputs import Inputs
from generator.stages.run import Run


def always(inputs: Inputs) -> bool:
    """For a stage that every atlas has."""
    return True


@dataclass(frozen=True)
class Stage:
    """One stage.

    name: as it stands in keys.json and in messages.
    run: computes the outputs and writes them; called only where the outputs are missing or out of date.
    key: gives the fingerprint of everything that the outputs depend on; None for a stage so quick that it runs every
        time.
    outputs: the files that this stage alone writes, as patterns in which `*` stands for anything. Where a pattern has
        `{layer}`, the stage stamps every layer by itself and can repair single files.
    needs: the stages whose outputs it reads; they are computed before it, wherever its row stands.
    when: whether the stage is wanted for these inputs; where it is not, its outputs are removed.
    ranks: who runs it under torchrun: the leading process, or all of them together, each with its share.
    cpu_only: whether it needs no device; it runs in the background, while a GPU computes other stages, or beside other
        stages of this kind.
    all_cores: whether it keeps all cores busy by itself, so that it runs in the background only beside a GPU.
    """

    name: str
    run: Callable[[Inputs, Run], None]
    key: keys.Key | None
    outputs: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    when: Callable[[Inputs], bool] = always
    ranks: Literal["leader", "together"] = "leader"
    cpu_only: bool = False
    all_cores: bool = False

    @property
    def stamp(self) -> str:
        """The name of its stamp, and of the folder of its saved parts, in `work/`."""
        return self.name.replace(" ", "-")

    @property
    def is_by_layer(self) -> bool:
        """Whether each layer is complete by itself."""
        return any("{layer}" in pattern for pattern in self.outputs)

    @property
    def patterns(self) -> tuple[str, ...]:
        """The outputs of all layers."""
        return tuple(pattern.replace("{layer}", "*") for pattern in self.outputs)

    def writes(self, path: str) -> bool:
        """Whether it writes this file of the atlas."""
        return any(fnmatchcase(path, pattern) for pattern in self.patterns)

    def writes_for(self, layer: str, path: str) -> bool:
        """Whether it writes this file for this layer, as one of those that make the layer complete."""
        own = (pattern for pattern in self.outputs if "{layer}" in pattern)
        return any(fnmatchcase(path, pattern.replace("{layer}", glob.escape(layer))) for pattern in own)


STAGES: tuple[Stage, ...] = (
    # One pass over the pictures: top-9 pictures and statistics of every channel of every layer.
    Stage(
        "scan",
        scan.scan_pictures,
        keys.scan,
        (
            "scan.json",
            "images.csv",
            "scores/*.npy",
            "layers/*/top.npz",
            "layers/*/statistics.npz",
            "layers/*/range.npz",
        ),
        ranks="together",
    ),
    # The labels in images.csv: they may have changed since the scan wrote it.
    Stage("labels", labels.label_pictures, None, needs=("scan",)),
    # What the classifier reads and what it says, where the scan did not collect it on its way.
    Stage(
        "features",
        network_outputs.collect_features,
        keys.features,
        ("embedding/features.npy",),
        needs=("scan",),
        when=picture_map.is_wanted,
        ranks="together",
    ),
    Stage(
        "predictions",
        network_outputs.collect_predictions,
        keys.predictions,
        ("predictions.npz",),
        needs=("scan",),
        when=lambda inputs: bool(keys.predictions(inputs)),
        ranks="together",
    ),
    # The map of the pictures: PCA, t-SNE, nearest neighbours.
    Stage(
        "embedding",
        picture_map.map_pictures,
        keys.embedding,
        ("embedding/embedding.json", "embedding/map.npz", "embedding/thumbs.webp"),
        needs=("features",),
        when=picture_map.is_wanted,
        cpu_only=True,
    ),
    # The same channel from block to block, the inputs inside a block, and the channels that read each.
    Stage(
        "connections",
        connections.connect_layers,
        keys.connections,
        ("connections.json", "layers/*/connections.npz"),
        needs=("scan",),
        cpu_only=True,
    ),
    # What the strongest pictures and the scores of every channel say about classes.
    Stage(
        "classes",
        classes.describe_classes,
        keys.class_numbers,
        ("classes.json", "classes.csv", "halves.csv", "layers/*/classes.npz"),
        needs=("scan", "labels", "features"),
        cpu_only=True,
    ),
    # The matches of every channel in other layers.
    Stage(
        "correspondence",
        correspondence.relate_layers,
        keys.correspondence,
        ("relations.json", "matches/*.npz"),
        needs=("scan",),
        cpu_only=True,
    ),
    # How every channel changes from block to block of its stage.
    Stage(
        "refinement",
        refinement.refine_stages,
        keys.refinement,
        ("refinement.json", "layers/*/refinement.npz"),
        needs=("scan", "classes"),
        cpu_only=True,
    ),
    # For every class and group of classes the channels whose strongest pictures are of it.
    Stage(
        "categories",
        categories.find_channels,
        categories.key,
        ("categories.json", "categories.npz"),
        needs=("scan", "labels"),
        cpu_only=True,
    ),
    # How far labels agree below the strongest pictures.
    Stage(
        "label range",
        label_range.measure_range,
        label_range.key,
        ("label_range.json", "layers/*/range_labels.npz"),
        needs=("scan", "labels"),
        cpu_only=True,
    ),
    # How well a machine tells strong pictures from weak ones by examples of both.
    Stage(
        "machine score",
        machine_score.score_channels,
        machine_score.key,
        ("machine_score.json", "layers/*/machine_score.npz"),
        needs=("scan", "features"),
        when=lambda inputs: bool(keys.visual_features(inputs)),
        cpu_only=True,
    ),
    # Patches and gradients of every top-9 unit, as tiles in work/, and the pictures behind the patches, which belong to
    # the row below: the two make one product, with one fingerprint.
    Stage("tiles", unit_pictures.picture_units, None, needs=("scan",), ranks="together"),
    # One file per channel from its tiles, which are encoded while a GPU computes the stages below.
    Stage(
        "sprites",
        sprites.encode_sprites,
        keys.sprites,
        (
            "sprites/{layer}/*.webp",
            "sprites/{layer}/*.avif",
            "ranges/{layer}/*.webp",
            "ranges/{layer}/*.avif",
            "thumbs/{layer}.webp",
            "layers/{layer}/focus.npz",
            "pictures/*.webp",
        ),
        needs=("scan", "tiles"),
        ranks="together",
        cpu_only=True,
        all_cores=True,
    ),
    # What every block passes on, adds and replaces: the scan brought it along; one more pass for rescaled pictures.
    Stage(
        "stream",
        residual_stream.read_streams,
        keys.stream,
        ("stream.json", "layers/*/stream.npz", "feeds.json", "layers/*/feeds.npz"),
        needs=("scan",),
        when=lambda inputs: inputs.reads_stream,
        ranks="together",
    ),
    # The same at optimised pictures.
    Stage(
        "optimised stream",
        optimised_stream.optimise_streams,
        keys.optimised_stream,
        ("stream_optimised.json", "layers/*/stream_optimised.npz"),
        needs=("stream",),
        when=optimised_stream.is_wanted,
        ranks="together",
    ),
    # What every channel contributes to the classes: one forward and one backward pass per picture.
    Stage(
        "effects",
        effects.trace_effects,
        effects.key,
        ("effects.json", "layers/*/effects.npz", "contributions/*.npy"),
        needs=("scan", "predictions"),
        when=lambda inputs: inputs.profile.effects.enabled,
        ranks="together",
    ),
    # Whole pictures that only the lists of contributions hold.
    Stage("pictures of contributions", unit_pictures.picture_effects, None, needs=("tiles", "effects")),
    # The residual blocks' responses to some of the pictures, enlarged and reduced.
    Stage(
        "zooms",
        zooms.measure_zooms,
        zooms.key,
        ("zooms.json", "layers/*/zooms.npz"),
        needs=("scan",),
        when=zooms.applies,
    ),
    # On drawn pictures: what is known of scale invariance compared with the true sizes.
    Stage(
        "scale truth",
        scale_truth.measure_scale,
        scale_truth.key,
        ("scale_truth.json", "layers/*/scale.npz"),
        needs=("stream", "zooms"),
        when=scale_truth.applies,
    ),
    # Every kind of gradient side by side, for a few channels.
    Stage(
        "gradient rules",
        gradient_rules.compare_rules,
        keys.gradient_rules,
        ("rules.json", "rules/*.webp"),
        needs=("scan", "classes"),
    ),
    # Gradients of some units once more, with random weights in place of the learnt ones.
    Stage(
        "randomised weights",
        randomisation.compare_weights,
        randomisation.key,
        ("randomisation.json",),
        needs=("scan",),
    ),
    # The picture that maximises the activation of each channel.
    Stage(
        "optimised pictures",
        optimised_pictures.optimise_pictures,
        keys.optimised_pictures,
        ("optimised/{layer}/*.webp", "optimised/{layer}.webp", "layers/{layer}/optimised.npz"),
        needs=("scan",),
        when=lambda inputs: bool(inputs.optimised_layers),
        ranks="together",
    ),
    # What optimised and natural pictures activate in the layers below.
    Stage(
        "paths of optimised pictures",
        path_check.check_paths,
        path_check.key,
        ("path_check.json",),
        needs=("scan", "optimised pictures"),
        when=path_check.is_wanted,
    ),
    # DeepDream.
    Stage(
        "dreams",
        dreams.dream_pictures,
        keys.dreams,
        ("deepdream/*",),
        needs=("scan", "labels"),
        when=lambda inputs: inputs.profile.deepdream is not None,
        ranks="together",
    ),
    # The first convolutions of several networks, and the pixels of this one's kernels.
    Stage("first layers", first_layers.write_first_layers, keys.first_layers, ("first_layers/*",)),
    Stage("kernels", first_layers.write_kernels, None, ("kernels/*.webp",), when=first_layers.has_kernels),
    # The network as it runs in a browser.
    Stage(
        "live network",
        live_network.write_live_network,
        live_network.key,
        ("live/pictures/*", "live/*"),
        needs=("scan",),
        when=live_network.is_wanted,
    ),
    # The network as it is drawn.
    Stage("architecture", architecture.write_architecture, None, ("architecture.json",)),
)
# What every run writes at its end, from the outputs of all stages.
TABLES = ("channels.csv", "keys.json", "manifest.json")


def in_order() -> list[Stage]:
    """The stages, each after those that it needs, and otherwise as the rows stand."""
    rows = {stage.name: stage for stage in STAGES}
    ordered: dict[str, Stage] = {}

    def add(stage: Stage) -> None:
        for need in stage.needs:
            add(rows[need])
        ordered.setdefault(stage.name, stage)

    for stage in STAGES:
        add(stage)
    return list(ordered.values())


def named(name: str) -> Stage:
    """The stage of this name."""
    return next(stage for stage in STAGES if stage.name == name)


def fingerprints(inputs: Inputs) -> dict[str, str]:
    """Fingerprint by stage, of all that have one."""
    return {stage.name: stage.key(inputs) for stage in STAGES if stage.key is not None}


def writer(path: str) -> Stage | None:
    """The stage that writes a file of the atlas, None where no row names it."""
    return next((stage for stage in STAGES if stage.writes(path)), None)


def roots(*, repaired: bool = False) -> set[str]:
    """The files and folders at the top of an atlas that stages write: whatever lies in them belongs to the atlas.

    repaired: only those of stages that have a fingerprint, which do not write them in every run."""
    stages = [stage for stage in STAGES if stage.key is not None or not repaired]
    patterns = [pattern for stage in stages for pattern in stage.outputs]
    return {pattern.split("/")[0] for pattern in (*patterns, *(() if repaired else TABLES))}
