"""The records of an atlas, as frozen dataclasses, and their JSON form."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from generator.core.errors import AtlasError
from generator.core.head import Head

SCHEMA = 2  # of the atlas folder; a reader refuses any other
TOP = 9  # pictures listed per channel, as in arXiv:1701.02362
STUDY = "study/"  # how the models of the experiments' small networks begin

# Where the numbers of a preprocessing come from; one that was assumed names what it was taken from behind ASSUMED.
PUBLISHED = "published with the weights"
IN_FILE = "written in the weights' file"
GIVEN = "given"
ASSUMED = "assumed: "

Size = tuple[int, int]  # height and width in px

# "layer": of a network without residual blocks, whose channels are tied to no other layer's.
LayerKind = Literal["stem", "block", "layer", "branch", "projection"]


@dataclass(frozen=True)
class ReceptiveField:
    """Which pixels of the network's input one unit of a layer can see; square, the same in both directions.

    side: length in px; stride: px between neighbouring units, a fraction where the network resizes its maps; centre: px
    coordinate of the middle of unit (0, 0) (pixel 0's middle is at 0.0). beyond: whether the unit also depends on the
    rest of the picture, through something that reads whole maps (a norm over positions, a gate made from pooled maps).
    """

    side: int
    stride: int | float
    centre: float
    beyond: bool = False

    @property
    def stride_words(self) -> str:
        """The stride with at most two decimals."""
        return f"{round(self.stride, 2):g}"

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """Top, left, bottom, right in px (bottom and right exclusive), not clipped to the picture."""
        top = round(self.centre + row * self.stride - (self.side - 1) / 2)
        left = round(self.centre + column * self.stride - (self.side - 1) / 2)
        return top, left, top + self.side, left + self.side


@dataclass(frozen=True)
class LayerInfo:
    """A tapped layer.

    name: Caffe's (`res2a_branch2b`); path: torchvision's alias (`layer1.0.conv2`);
    channels, height, width: of its activation map for the profile's picture size;
    block: the block it belongs to (`res2a`; the layer's own name for a block output; '' for the stem);
    stage: 2 … 5, 1 for the stem; rectified: whether its values come out of a ReLU; by_torch: names of the operations
    because of which torch computes its units' gradients on whole maps, () where they have a way of their own.
    """

    name: str
    path: str
    kind: LayerKind
    block: str
    stage: int
    channels: int
    height: int
    width: int
    rectified: bool
    receptive_field: ReceptiveField
    by_torch: tuple[str, ...] = ()

    @property
    def is_inner(self) -> bool:
        """Whether the layer lies inside a block."""
        return self.kind in ("branch", "projection")


@dataclass(frozen=True, slots=True)  # there may be a million
class PictureRecord:
    """One row of images.csv. label_id is −1 and label '' where nothing is known; width and height are the file's."""

    index: int
    path: str
    label_id: int
    label: str
    width: int
    height: int


@dataclass(frozen=True)
class Skipped:
    """A file that could not be used, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Preprocessing:
    """From a picture file to the network's input.

    resize: the shorter side in px (0: leave), or (height, width), which ignores the aspect ratio; crop: side of the
    centre crop in px, or its (height, width); mean, std: of each channel that the network reads (one: grey, two: grey
    and alpha, three: red, green, blue; four: with alpha); value_range: 1.0 if the network expects values in [0, 1],
    255.0 if in [0, 255]; then (x − mean) / std.
    interpolation: Pillow's filter of that name, with antialiasing; transparency: 'white' or 'black', the ground under
    transparent pixels, or 'drop' (the colours are taken as if nothing were transparent); exif: whether the picture is
    turned upright as its EXIF orientation says; bits: of greyscale samples in files of 16 bits (0: as the file says).
    source: where mean and std come from: PUBLISHED, IN_FILE, GIVEN, ASSUMED and what was assumed, or another sentence;
    '' if it is unknown. It does not change the numbers, so two preprocessings that differ in it alone are equal.
    """

    resize: int | Size
    crop: int | Size
    mean: tuple[float, ...]
    std: tuple[float, ...]
    value_range: float = 1.0
    interpolation: str = "bilinear"
    transparency: str = "white"
    exif: bool = True
    bits: int = 0
    source: str = field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.crop, tuple) and self.crop[0] == self.crop[1]:
            object.__setattr__(self, "crop", self.crop[0])  # a square has one form

    @property
    def size(self) -> Size:
        """Height and width of the network's input in px."""
        return self.crop if isinstance(self.crop, tuple) else (self.crop, self.crop)

    @property
    def channels(self) -> int:
        """How many channels of a picture the network reads."""
        return len(self.mean)

    @property
    def channels_words(self) -> str:
        """What the network's channels are, in words."""
        match self.channels:
            case 1:
                return "grey"
            case 2:
                return "grey and transparency"
            case 3:
                return "red, green, blue"
            case _:
                return f"the {self.channels} channels of the files, in their order"

    @property
    def display_words(self) -> str:
        """How pictures of this many channels are shown, '' for colours as they are."""
        match self.channels:
            case 1:
                return "shown in grey"
            case 2:
                return "shown in false colour: grey as red, transparency as green"
            case 3:
                return ""
            case _:
                return "shown in the colours that their first three channels make as red, green and blue"

    @property
    def settings(self) -> dict[str, Any]:
        """All that pixels and values depend on, as plain values: every field but the source."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "source"}

    @property
    def size_words(self) -> str:
        """Resize and crop in words."""
        crop = f"the central {size_words(self.size)}"
        if isinstance(self.resize, tuple):
            squash = f"resized to {size_words(self.resize)} whatever the aspect ratio ({self.interpolation})"
            return squash if self.resize == self.size else f"{squash}, then {crop}"
        if self.resize == 0:
            return f"{crop}, not resized"
        return f"shorter side resized to {self.resize} px ({self.interpolation}), then {crop}"

    @property
    def values_words(self) -> str:
        """Value range, mean and standard deviation in words."""
        mean, std = (", ".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        return f"0 to {self.value_range:g}, mean {mean}, standard deviation {std} ({self.channels_words})"

    @property
    def file_words(self) -> str:
        """What is done with transparency, EXIF and files of 16 bits, in words."""
        if self.channels in (2, 4):  # the alpha channel is one of the network's own
            under = "kept as a channel"
        else:
            under = "dropped" if self.transparency == "drop" else f"laid on {self.transparency}"
        turned = "turned upright as EXIF says" if self.exif else "EXIF orientation ignored"
        bits = f"; greyscale of 16-bit files read as {self.bits} bits" if self.bits else ""
        return f"transparency {under}; {turned}{bits}"

    @property
    def assumption(self) -> str:
        """The sentence that says what was assumed, '' if nothing was."""
        if not self.source.startswith(ASSUMED):
            return ""
        what = self.source.removeprefix(ASSUMED)
        were = "were" if " and " in what else "was"
        return f"{what} {were} assumed: these weights do not say what they were trained with"


@dataclass(frozen=True)
class WeightsInfo:
    """Where the weights came from. source: 'built-in', a torchvision enum's name, a file's name, or 'random'."""

    source: str
    sha256: str
    random: bool = False
    note: str = ""


@dataclass(frozen=True)
class LabelReading:
    """Where the pictures' labels come from. source: in words, '' where no picture has one; labelled: how many pictures
    have one; classes: how many classes these are of; notes: what was left out or taken for granted, a sentence each."""

    source: str = ""
    labelled: int = 0
    classes: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PictureSetInfo:
    """The pictures. sha256 is over every usable file's relative path and bytes, in order of index; skipped: the files
    that could not be used; trained_on: whether the network was trained on them, None where it is not said."""

    source: str
    sha256: str
    count: int
    skipped: tuple[Skipped, ...] = ()
    labels: LabelReading = field(default_factory=LabelReading)
    trained_on: bool | None = None


@dataclass(frozen=True)
class SpriteInfo:
    """How the sprites of one layer are laid out: panels side by side, each 3 × 3 tiles, strongest first, row by row.

    panels: e.g. ('patches', 'guided'); tile: side of a tile in px; side: of the picture in its middle, the rest is
    ground (0: as large as the tile); format: of the files, and the end of their names.
    """

    panels: tuple[str, ...]
    tile: int
    side: int = 0
    format: str = "webp"


@dataclass(frozen=True)
class Manifest:
    """manifest.json: what the atlas is, and everything needed to cite and to check it."""

    name: str
    title: str
    model: str
    weights: WeightsInfo
    pictures: PictureSetInfo
    preprocessing: Preprocessing
    profile: Mapping[str, Any]
    versions: Mapping[str, str]
    date: str
    layers: tuple[LayerInfo, ...]
    sprites: Mapping[str, SpriteInfo]
    publish_patches: bool = True
    parameters: int = 0
    accuracy: float | None = None  # top-1 on these pictures, where labels and outputs mean the same classes
    accuracy_interval: tuple[float, float] | None = None  # of 95 %: other pictures of the same kind
    accuracy_pictures: int = 0  # whose class is known
    accuracy_basis: str = ""  # how labels and outputs were matched, or why there is no accuracy
    schema: int = SCHEMA
    classes: tuple[str, ...] = ()  # names of the network's outputs, where they are known
    head: Head | None = None  # how the outputs are read; None: the weights end before them
    extra: Mapping[str, Any] = field(default_factory=dict)

    def layer(self, name: str) -> LayerInfo:
        """The layer with this name or torchvision path."""
        return find_layer(self.layers, name)


def source_of(own: str, given: Sequence[str]) -> str:
    """Where mean and std come from, if those of them that are named in `given` are given; own: where they came from
    before."""
    if not given:
        return own
    if len(given) == 2:
        return GIVEN
    (missing,) = {"mean", "std"} - set(given)
    if own.startswith(ASSUMED):
        return own.replace("mean and std", missing)
    return f"{given[0]} given, {missing} {own or 'of the model'}"


def size_words(size: Size) -> str:
    """A height and a width in words.

    >>> size_words((224, 224)), size_words((224, 320))
    ('224 × 224 px', '224 × 320 px (height × width)')
    """
    height, width = size
    order = "" if height == width else " (height × width)"
    return f"{height} × {width} px{order}"


def title_of(model: str, weights: WeightsInfo) -> str:
    """What an atlas is called whose profile has no title of its own: the network and the weights that were used.

    >>> title_of("resnet50", WeightsInfo("mine.pt", ""))
    'resnet50, weights mine.pt'
    """
    if weights.random:
        return f"{model}, random weights"
    return f"{model}, weights {weights.source}"


def study_name(kind: str, depth: int) -> str:
    """The model of the experiments' network of a kind and a depth."""
    return f"{STUDY}{kind.lower().replace(' ', '-')}-{depth}"


def find_layer(layers: tuple[LayerInfo, ...], name: str) -> LayerInfo:
    """The layer with this Caffe name or torchvision path; raises AtlasError that lists the nearest names."""
    import difflib

    for layer in layers:
        if name in (layer.name, layer.path):
            return layer
    known = [layer.name for layer in layers] + [layer.path for layer in layers]
    near = difflib.get_close_matches(name, known, n=3)
    raise AtlasError(
        "unknown layer", name, f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
    )


def to_json(record: Any) -> dict[str, Any]:
    """A record as JSON-ready dictionaries and lists; what is rarely true stands there only where it is."""
    return dataclasses.asdict(record, dict_factory=_without_rare)


_RARE = ("beyond", "by_torch")


def _without_rare(items: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in items if value or name not in _RARE}


def _size_from_json(size: int | list[int]) -> int | Size:
    if isinstance(size, int):
        return size
    height, width = size
    return height, width


def layer_from_json(data: Mapping[str, Any]) -> LayerInfo:
    """A layer from its JSON form; raises KeyError or TypeError where that has other fields."""
    given = {**data, "by_torch": tuple(data.get("by_torch", ()))}
    return LayerInfo(**{**given, "receptive_field": ReceptiveField(**data["receptive_field"])})


def _pictures_from_json(data: Mapping[str, Any]) -> PictureSetInfo:
    labels = data.get("labels", {})
    return PictureSetInfo(
        **{
            **data,
            "skipped": tuple(Skipped(**file) for file in data["skipped"]),
            "labels": LabelReading(**{**labels, "notes": tuple(labels.get("notes", ()))}),
        }
    )


def manifest_from_json(data: Mapping[str, Any], path: Path | None = None) -> Manifest:
    """Read a manifest's JSON, of the file `path`; raises AtlasError if it is of another schema or lacks a field."""
    if data.get("schema") != SCHEMA:
        raise AtlasError(
            f"the atlas has schema {data.get('schema')!r}, this version reads {SCHEMA}",
            path,
            "compute the atlas again",
        )
    try:
        pictures = data["pictures"]
        preprocessing = data["preprocessing"]
        accuracy_interval = data.get("accuracy_interval")
        return Manifest(
            **{
                **data,
                "weights": WeightsInfo(**data["weights"]),
                "pictures": _pictures_from_json(pictures),
                "preprocessing": Preprocessing(
                    **{
                        **preprocessing,
                        "resize": _size_from_json(preprocessing["resize"]),
                        "crop": _size_from_json(preprocessing["crop"]),
                        "mean": tuple(preprocessing["mean"]),
                        "std": tuple(preprocessing["std"]),
                    }
                ),
                "layers": tuple(layer_from_json(layer) for layer in data["layers"]),
                "classes": tuple(data.get("classes", ())),
                "accuracy_interval": None if accuracy_interval is None else tuple(accuracy_interval),
                "head": Head(**data["head"]) if data.get("head") else None,
                "sprites": {
                    layer: SpriteInfo(
                        tuple(sprite["panels"]),
                        sprite["tile"],
                        sprite.get("side", 0),
                        sprite.get("format", "webp"),
                    )
                    for layer, sprite in data["sprites"].items()
                },
            }
        )
    except (KeyError, TypeError, ValueError) as error:
        raise AtlasError(f"manifest.json is damaged ({error})", path, "compute the atlas again") from error
