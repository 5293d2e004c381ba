"""The statistics of a channel's page in groups of what they are about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from generator.site.reading.layer_numbers import Layer, MeasureColumn

# By group its heading and the statistics in it, besides those of no other group, which belong to the first.
ACTIVITY, PREVIOUS, CLASSES, STREAM = "activity", "previous", "classes", "stream"
TITLES = {
    ACTIVITY: "Activity",
    PREVIOUS: "Compared with the block before",
    CLASSES: "Labels and classes",
    STREAM: "Residual stream",
}
MEMBERS = {
    PREVIOUS: (
        "shared_previous", "places_previous", "spearman_previous", "pearson_previous", "overlap5_previous",
        "gain_previous",
    ),
    CLASSES: (
        "label_purity", "label_entropy", "group_purity", "label_agreement", "agreement_decline", "visual_agreement",
        "machine_score",
        "class_auroc", "group_auroc",
    ),
    STREAM: ("shortcut_share", "mix_ratio"),
}  # fmt: skip


@dataclass(frozen=True)
class MeasureGroup:
    """The statistics of a group that the layer has. key: one of TITLES."""

    key: str
    columns: Sequence[MeasureColumn]


def measure_groups(layer: Layer) -> list[MeasureGroup]:
    """The layer's listed statistics by group, in the order of TITLES, also groups of which it has none."""
    group_of = {key: group for group, keys in MEMBERS.items() for key in keys}
    return [
        MeasureGroup(
            group,
            [column for column in layer.measures if group_of.get(column.measure.key, ACTIVITY) == group],
        )
        for group in TITLES
    ]
