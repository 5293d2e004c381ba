"""What the guide's pages show of the atlases and the package: tables and lists in place of a comment in their text."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from markupsafe import escape

from generator.core.correspondence import STRONG_PICTURES
from generator.core.records import LayerInfo
from generator.site.chapters.refinement_channels import channel_changes
from generator.site.reading.atlas import Atlas, GradientRow, in_full
from generator.site.reading.measure import Measure
from generator.site.reading.measures import MEASURES
from generator.site.reading.refinement import NAMES, Comparison, Estimate
from generator.site.record_files import FieldMeaning, record_fields
from generator.site.reference import reference
from generator.site.templates import render_template
from generator.site.trust_figures import optimised_paths, randomised_weights

RULE_KINDS = ("patches", "plain", "saliency", "deconvnet", "guided")  # in the order of the page Method
FOURTH = 4  # of the nine pictures, in an example
LAYER_COLUMNS = (
    "layer", "module", "kind", "channels", "map", "field", "stride", "centre", "shown",
)  # fmt: skip
KIND_NAMES = {"block": "block outputs", "inside": "convolutions inside blocks"}


def guide_parts(atlases: Sequence[Atlas]) -> Mapping[str, Callable[[], str]]:
    """By comment in a page's text, what makes the HTML or Markdown that replaces it. (As HTML, no name in a table is
    taken for Markdown.)"""
    shown = in_full(atlases)[0]
    return {
        "layers of the atlases": lambda: layer_tables(atlases),
        "definitions of the statistics": definitions,
        "gradient rules of the atlases": lambda: gradient_rules(shown),
        "randomised weights of the atlases": lambda: randomised_weights(shown),
        "paths of the atlases": lambda: optimised_paths(shown),
        "worked example of the atlases": lambda: worked_example(shown[0]),
        "sizes of a site": site_sizes,
        "examples of addresses": lambda: address_examples(shown[0]),
        "reference of the package": reference,
        "fields of a channel's record": record_table,
    }


# -- layers --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LayerRow:
    """A layer of a network. address: of its page, '' where the atlas does not hold it; panels: of its sprites."""

    layer: LayerInfo
    address: str
    panels: Sequence[str]


@dataclass(frozen=True)
class LayerTable:
    """The layers of one atlas's network."""

    name: str
    title: str
    rows: Sequence[LayerRow]


@dataclass(frozen=True)
class LayerTables:
    """The variables of guide/layers.html."""

    columns: Sequence[str]
    tables: Sequence[LayerTable]


def layer_tables(atlases: Sequence[Atlas]) -> str:
    """A table of layers for each atlas, as HTML."""
    tables = [
        LayerTable(
            atlas.name,
            atlas.manifest.title,
            [_layer_row(atlas, layer) for layer in atlas.manifest.layers],
        )
        for atlas in atlases
    ]
    return render_template("guide/layers.html", LayerTables(LAYER_COLUMNS, tables))


def _layer_row(atlas: Atlas, layer: LayerInfo) -> LayerRow:
    if not atlas.has(layer.name):
        return LayerRow(layer, "", ())
    return LayerRow(layer, f"{atlas.name}/{layer.name}/index.html", atlas.manifest.sprites[layer.name].panels)


# -- addresses -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AddressExample:
    """text: what the address leads to; address: below the site's folder."""

    text: str
    address: str


@dataclass(frozen=True)
class AddressExamples:
    """The variables of guide/addresses.html."""

    examples: Sequence[AddressExample]


def address_examples(atlas: Atlas) -> str:
    """Addresses of the atlas's own pages, as HTML."""
    layers = [layer for layer in atlas.layers if not layer.is_inner]
    stage = [layer for layer in layers if layer.stage == layers[-1].stage]
    # The second block of the last stage, where there is one: it is compared with the block before.
    layer = stage[min(1, len(stage) - 1)]
    numbers = atlas.layer(layer.name)
    active = [channel for channel, dead in enumerate(numbers.dead) if not dead]
    channel = next((channel for channel in active if channel in numbers.pictured), (active or [0])[0])
    grid = f"{atlas.name}/{layer.name}/index.html"
    page = f"{atlas.name}/{layer.name}/{channel}.html"
    examples = [AddressExample(f"channel {channel} of {layer.name}", page)]
    if channel in active and channel in numbers.pictured and len(numbers.nine(channel)) >= FOURTH:
        examples.append(AddressExample("the fourth of its top-9 pictures", f"{page}#{FOURTH}"))
    measures = {column.measure.key: column.measure for column in numbers.measures}
    for key, up, order in (
        ("overlap5_previous", "", "highest first"),
        ("spearman_previous", "&up=1", "lowest first"),
    ):
        if key in measures:
            text = f"{layer.name} by {measures[key].name}, {order}"
            examples.append(AddressExample(text, f"{grid}#sort={key}{up}"))
    label = next((name for name, _ in atlas.labels_of(layer.name, channel)), "") if channel in active else ""
    if label:
        text = f"{layer.name}, the channels with a top-9 picture of one class"
        examples.append(AddressExample(text, f"{grid}#label={quote(label)}"))
        if atlas.store.arrays.has_embedding():
            address = f"{atlas.name}/map.html#layout=pca&class={quote(label)}"
            examples.append(AddressExample("the map of the pictures by PCA, one class", address))
    return render_template("guide/addresses.html", AddressExamples(examples))


# -- kinds of gradients --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RuleTable:
    """Channels of one atlas, each pictured by every kind of gradient."""

    name: str
    title: str
    kinds: Sequence[str]
    rows: Sequence[GradientRow]


@dataclass(frozen=True)
class RuleTables:
    """The variables of guide/gradient_rules.html."""

    tables: Sequence[RuleTable]


def gradient_rules(atlases: Sequence[Atlas]) -> str:
    """Every kind of gradient side by side, a table of pictures for each atlas that has them, as HTML."""
    tables = [
        RuleTable(
            atlas.name,
            atlas.manifest.title,
            [kind for kind in RULE_KINDS if kind in atlas.gradient_rules[0].kinds],
            atlas.gradient_rules,
        )
        for atlas in atlases
        if atlas.gradient_rules
    ]
    return render_template("guide/gradient_rules.html", RuleTables(tables))


# -- a worked example ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Example:
    """A channel of a stage's last block, compared with its first: what its verdict is made of. least: pictures of nine
    that identity asks for; similarity, chance: s and s₀ of the label agreement; then, now: label agreements; error:
    standard error of the gain. The last ones are NaN without labels."""

    atlas: str
    title: str
    pair: Comparison
    channel: int
    shared: int
    least: int
    overlap: float
    identity: bool
    labels: str
    similarity: float
    chance: float
    then: float
    now: float
    gain: Estimate | None
    error: float
    verdict: str


@dataclass(frozen=True)
class WorkedExample:
    """The variables of guide/worked_example.md."""

    example: Example | None


def worked_example(atlas: Atlas) -> str:
    """A verdict of the atlas's last stage with all numbers behind it, as Markdown; empty where there is no stage."""
    return render_template("guide/worked_example.md", WorkedExample(_example(atlas)))


def _example(atlas: Atlas) -> Example | None:
    refinement = atlas.refinement
    if refinement is None or not refinement.stages:
        return None
    pair = refinement.stages[-1]
    changes = channel_changes(atlas, pair, refinement.bound)
    # One with a clear verdict, if there is one; else the first that has all numbers.
    changes.sort(
        key=lambda change: (change.kind not in ("refine", "blur"), change.gain is None, change.channel)
    )
    change = next((change for change in changes if change.overlap is not None), None)
    if change is None or change.overlap is None:
        return None
    chance = atlas.chance_similarity
    now = float("nan") if change.now is None else change.now
    return Example(
        atlas=atlas.name,
        title=atlas.manifest.title,
        pair=pair,
        channel=change.channel,
        shared=change.shared,
        least=STRONG_PICTURES,
        overlap=change.overlap,
        identity=change.kind != "other",
        labels=escape(
            ", ".join(f"{label} {count}" for label, count in atlas.labels_of(pair.target, change.channel))
        ),
        similarity=now * (1 - chance) + chance,
        chance=chance,
        then=float("nan") if change.then is None else change.then,
        now=now,
        gain=change.gain,
        error=change.gain.reach / refinement.bound if change.gain else float("nan"),
        verdict=NAMES[change.kind],
    )


# -- sizes ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SizeGroup:
    """Layers of one kind and stage. page: mean size of a channel's page, with its part of the layer's other files and
    of the tables; webp, avif: of its sprite."""

    name: str
    channels: int
    page: float
    webp: float
    avif: float

    @property
    def as_webp(self) -> float:
        """The size of all channels with sprites in WebP."""
        return self.channels * (self.page + self.webp)

    @property
    def as_avif(self) -> float:
        """The size of all channels with sprites in AVIF."""
        return self.channels * (self.page + self.avif)


@dataclass(frozen=True)
class SiteSizes:
    """The variables of guide/sizes.md. pictures: of the measured atlas; sample: channels measured; channels: of
    all groups; as_webp, as_avif: size of them all, by the sprites' format; blocks: of block outputs alone, with sprites
    in WebP; picture: mean size of a whole picture. Sizes are in bytes."""

    model: str
    date: str
    pictures: int
    sample: int
    groups: Sequence[SizeGroup]
    channels: int
    as_webp: float
    as_avif: float
    blocks: float
    picture: float


def site_sizes() -> str:
    """What to expect of a site's size, as Markdown, from what `python -m tools.site_sizes` has measured."""
    file = importlib.resources.files("generator.site") / "data" / "site_sizes.json"
    data = json.loads(file.read_text("utf-8"))
    measured = data["groups"]
    groups = [
        SizeGroup(
            name="first convolution"
            if group["stage"] == 1
            else f"stage {group['stage']}, {KIND_NAMES[group['kind']]}",
            channels=group["channels"],
            page=group["page"],
            webp=group["webp"],
            avif=group["avif"],
        )
        for group in measured
    ]
    return render_template(
        "guide/sizes.md",
        SiteSizes(
            model=data["model"],
            date=data["date"],
            pictures=data["pictures"],
            sample=sum(group["sample"] for group in measured),
            groups=groups,
            channels=sum(group.channels for group in groups),
            as_webp=sum(group.as_webp for group in groups),
            as_avif=sum(group.as_avif for group in groups),
            blocks=sum(
                group.as_webp
                for group, entry in zip(groups, measured, strict=True)
                if entry["kind"] == "block"
            ),
            picture=data["picture"],
        ),
    )


# -- statistics ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Definitions:
    """The variables of guide/statistics.md."""

    measures: Sequence[Measure]


def definitions() -> str:
    """The definition of every statistic as Markdown, each under the anchor that the pages link to."""
    return render_template("guide/statistics.md", Definitions(MEASURES))


# -- records of channels -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RecordTable:
    """The variables of guide/record.md."""

    fields: Sequence[FieldMeaning]


def record_table() -> str:
    """The fields of a channel's record with their meanings, as Markdown."""
    return render_template("guide/record.md", RecordTable(record_fields()))
