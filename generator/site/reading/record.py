"""One record per channel: what its page, the published JSON and the tables are written from.

A part that adds something to the channel's page adds its data here, in three lines: a type of its own (a NamedTuple for
what is listed: it becomes a short row in the JSON), a field of `ChannelRecord` with its meaning in `Field`, and in
channel_record.py its value. The JSON Schema, the files and the guide's table of fields follow from the types. Field
names are a contract with those who read the files: none is renamed, removed or changes what it means without need.
Raise SCHEMA with every change of the fields, and say in SINCE which came with it. A new array of one number per channel
needs nothing: it is among `numbers`.

Numbers have the precision of the atlas (float32), in as few digits as give it back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

from pydantic import Field, WithJsonSchema

from generator.core.records import TOP
from generator.site.reading.layer_numbers import Number

SCHEMA = 2
# By version, the fields that came with it.
SINCE: Mapping[int, Sequence[str]] = {
    2: ("histogram", "raises_exact", "lowers_exact", "feeds", "weights", "outputs"),
}


class TopPicture(NamedTuple):
    """One of the channel's top-9 pictures."""

    picture: Annotated[int, Field(description="its number in images.csv")]
    value: Annotated[float, Field(description="the channel's score: the strongest value of its map")]
    row: Annotated[int, Field(description="of this value in the activation map, from 0")]
    column: Annotated[int, Field(description="of this value in the activation map, from 0")]
    shortcut: Annotated[
        float | None,
        Field(description="of a residual block: what the shortcut gave this unit before the last ReLU"),
    ]
    branch: Annotated[float | None, Field(description="of a residual block: what the branch gave it")]
    focus_row: Annotated[
        int | None,
        Field(description="where the tiles are cut to the unit's focus: its first row in the picture, in px"),
    ]
    focus_column: Annotated[int | None, Field(description="its first column in the picture, in px")]
    focus_side: Annotated[int | None, Field(description="its side in px")]


class RangeStrip(NamedTuple):
    """Nine pictures at a quantile of the channel's scores above zero."""

    quantile: Annotated[int, Field(description="in per cent; 100: the top-9, 0: the weakest nine")]
    lowest: Annotated[float, Field(description="the lowest of their scores")]
    highest: Annotated[float, Field(description="the highest of their scores")]
    agreement: Annotated[float | None, Field(description="their label agreement; null where it is not known")]
    pictures: Annotated[Sequence[int], Field(description="their numbers in images.csv, strongest first")]


class LabelCount(NamedTuple):
    """A label of the top-9 pictures."""

    label: str
    pictures: Annotated[int, Field(description="how many of them carry it")]


class CategoryCount(NamedTuple):
    """A class or a group of classes that many of the top-9 pictures are of."""

    name: str
    pictures: Annotated[int, Field(description="how many of them are of it")]
    expected: Annotated[float, Field(description="how many of as many random pictures, on average")]
    average_precision: Annotated[float | None, Field(description="of the channel's scores for it")]
    chance: Annotated[float, Field(description="the average precision of a random order")]


class DescriptionRow(NamedTuple):
    """What somebody else says that the channel responds to."""

    text: str
    score: Annotated[float | None, Field(description="how well it fits, on the scale of its source")]
    source: str


class Verdict(NamedTuple):
    """What becomes of the channel since an earlier block of its stage."""

    since: Annotated[str, Field(description="the earlier block")]
    verdict: Annotated[str, Field(description="as on the page Refinement")]


class SimilarChannel(NamedTuple):
    """A channel of another layer that matches this one."""

    layer: str
    channel: int
    shared: Annotated[int, Field(description="how many of their top-9 pictures are the same")]
    rho: Annotated[float | None, Field(description="rank correlation of the scores")]
    partial_rho: Annotated[float | None, Field(description="partial rank correlation")]


class DistantChannel(NamedTuple):
    """A channel of another network that matches this one."""

    network: Annotated[str, Field(description="the other network's folder on the site")]
    layer: str
    channel: int
    shared: Annotated[int, Field(description="how many of their top-9 pictures are the same")]
    rho: Annotated[float | None, Field(description="rank correlation of the scores")]
    partial_rho: Annotated[float | None, Field(description="partial rank correlation")]


class ClassContribution(NamedTuple):
    """A class whose output the channel raises or lowers."""

    name: str
    mean: Annotated[float, Field(description="its mean contribution in the pictures of the class")]
    reach: Annotated[float | None, Field(description="of the mean's 95 % interval to each side")]
    rank: Annotated[int, Field(description="of the channel for this class in its layer, from 1")]
    pictures: Annotated[int, Field(description="how many pictures the mean is of")]


class ExactContribution(NamedTuple):
    """A class whose output the channel raises or lowers, over all pictures."""

    name: str
    mean: Annotated[
        float, Field(description="its mean contribution in all pictures, by the classifier's weights")
    ]


class ContributingPicture(NamedTuple):
    """A picture to whose class the channel contributes most."""

    picture: Annotated[int, Field(description="its number in images.csv")]
    contribution: float
    row: Annotated[int, Field(description="of the unit that gives most of it, from 0")]
    column: Annotated[int, Field(description="of that unit, from 0")]


class InputStrength(NamedTuple):
    """One of the strongest inputs of a convolution's channel."""

    layer: str
    channel: int
    strength: float


class UnitPart(NamedTuple):
    """What the shortcut or the branch of a residual block gives to the channel's units, before the last ReLU."""

    part: Annotated[str, Field(description="branch or shortcut")]
    value: Annotated[float, Field(description="what it gives, the mean over the channel's top-9 units")]
    layer: Annotated[
        str, Field(description="whose channels it is made of; '' where it is not taken apart into channels")
    ]
    channels: Annotated[Sequence[int], Field(description="that give the largest terms")]
    terms: Annotated[Sequence[float], Field(description="what each of them gives")]
    others: Annotated[int, Field(description="how many further channels there are")]
    rest: Annotated[float, Field(description="what these give together")]
    constant: Annotated[float, Field(description="what comes of no channel: the folded bias")]


class WeightRow(NamedTuple):
    """A channel to which one of the largest weights leads, or from which it comes."""

    kind: Annotated[
        str,
        Field(
            description="along: into this channel, through the block's branch; onward: from it, through the next "
            "block's branch; reader: a convolution that reads it"
        ),
    ]
    layer: Annotated[str, Field(description="of the other channel")]
    channel: Annotated[int, Field(description="the other channel")]
    weight: Annotated[
        float,
        Field(
            description="along, onward: with its sign, × standard deviation; reader: the strength, without"
        ),
    ]
    sign: Annotated[int, Field(description="of the weight; 0 where neither sign outweighs the other")]


class OutputWeight(NamedTuple):
    """A weight of the classifier, less its mean over the outputs."""

    output: str
    weight: float


@dataclass(frozen=True)
class ChannelRecord:
    """Everything that the site says of a channel."""

    channel: Annotated[int, Field(description="its number in the layer, from 0")]
    dead: Annotated[bool, Field(description="whether no picture activates it")]
    sprite: Annotated[
        bool, Field(description="whether its tiles are published, in `<channel>.webp` or `.avif`")
    ]
    sentence: Annotated[str, Field(description="what its page says first")]
    top: Annotated[
        Sequence[TopPicture], Field(description="its top-9 pictures, strongest first", max_length=TOP)
    ]
    range: Annotated[
        Sequence[RangeStrip],
        Field(description="nine pictures each from the strongest to the weakest; none inside a block"),
    ]
    histogram: Annotated[
        Sequence[int],
        Field(
            description="how many pictures' scores lie in each of the file's `bins`; none for a dead channel"
        ),
    ]
    labels: Annotated[Sequence[LabelCount], Field(description="of these pictures, most frequent first")]
    categories: Annotated[
        Sequence[CategoryCount], Field(description="classes and groups of classes that it is found for")
    ]
    descriptions: Annotated[
        Sequence[DescriptionRow], Field(description="what others say that it responds to")
    ]
    changes: Annotated[
        Sequence[Verdict], Field(description="what becomes of it from earlier blocks of the stage")
    ]
    similar: Annotated[
        Sequence[SimilarChannel],
        Field(description="matching channels in the layers next to it, strongest first"),
    ]
    across: Annotated[
        Sequence[DistantChannel], Field(description="matching channels of other networks of the site")
    ]
    raises: Annotated[
        Sequence[ClassContribution], Field(description="the classes that it raises most, the most first")
    ]
    lowers: Annotated[
        Sequence[ClassContribution], Field(description="the classes that it lowers most, the most first")
    ]
    raises_exact: Annotated[
        Sequence[ExactContribution],
        Field(description="in the last block: the classes that it raises most over all pictures"),
    ]
    lowers_exact: Annotated[Sequence[ExactContribution], Field(description="those that it lowers most")]
    contributes: Annotated[
        Sequence[ContributingPicture],
        Field(description="the pictures to whose class it contributes most, the most first", max_length=TOP),
    ]
    inputs: Annotated[
        Sequence[InputStrength],
        Field(description="the strongest inputs of a convolution; of a block, those of its last convolution"),
    ]
    feeds: Annotated[
        Sequence[UnitPart], Field(description="in a residual block: what its top-9 units are made of")
    ]
    weights: Annotated[
        Sequence[WeightRow], Field(description="the largest weights into it and from it, by kind and layer")
    ]
    outputs: Annotated[
        Sequence[OutputWeight],
        Field(description="where the classifier reads it: its largest weights, then its smallest"),
    ]
    numbers: Annotated[
        Mapping[str, Number],
        WithJsonSchema({"type": "array", "items": {"type": ["number", "null"]}}),
        Field(
            description="its numbers in channels.csv, in the order of the file's list `numbers`; null for none"
        ),
    ]
