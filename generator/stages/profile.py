"""The profile: which network, which pictures, which layers, how. A TOML file, validated."""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from generator.core.errors import AtlasError
from generator.core.head import HeadKind
from generator.core.input_paths import split_model
from generator.core.sprites import AVIF_QUALITY

PositiveInt = Annotated[int, Field(ge=1)]
_LARGEST = 4096  # px, of a side
Mean = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Std = Annotated[float, Field(gt=0, allow_inf_nan=False)]
GradientName = Literal["guided", "deconvnet", "plain", "saliency"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _arguments(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError("give a table of names and values")
    return {_named(name): _plain(part) for name, part in value.items()}


def _named(name: Any) -> str:
    if isinstance(name, str) and name.isidentifier():
        return name
    raise ValueError(f"{name!r} cannot be the name of an argument")


def _plain(value: Any) -> Any:
    """A value that JSON and TOML can hold."""
    if (
        value is None
        or isinstance(value, bool | int | str)
        or (isinstance(value, float) and math.isfinite(value))
    ):
        return value
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return {name: _plain(part) for name, part in value.items()}
    raise ValueError(f"{value!r} is no number, text, list or table")


def _without(values: dict[str, Any], *keys: str) -> dict[str, Any]:
    """The values without these keys where they are empty: an older atlas has the same profile."""
    return {key: value for key, value in values.items() if value or key not in keys}


class NetworkSection(_Section):
    """model: a name that `atlas list models` knows, or your own network (path/to/file.py:name, package.module:name);
    args: further arguments of its function, a table; weights: a file, a torchvision enum's name, 'random', or the
    model's own default where left out; weights_key: where in a file with several sets of tensors the network's stand,
    such as 'state_dict_ema' or 'teacher' (left out: found by search); seed: of random weights; classes: a file with
    one class name per line (for one output its class, or two lines, its own class second); head: how the outputs are
    read, 'softmax' (left out: of several), 'sigmoid' (each by itself; left out: of one) or 'none' (plain scores)."""

    model: str
    weights: str | None = None
    weights_key: str | None = None
    seed: int = 0
    classes: str | None = None
    head: HeadKind | None = None
    args: Annotated[dict[str, Any], PlainValidator(_arguments)] = {}

    @model_serializer(mode="wrap")
    def _without_empty(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without(dump(self), "args", "weights_key")


def _resize(value: Any) -> int | list[int] | None:
    if value is None:
        return None
    if _is_number(value) and 0 <= value <= _LARGEST:
        return int(value)
    if _is_pair(value) and all(1 <= side <= _LARGEST for side in value):
        return list(value)
    raise ValueError(f"give a number of px from 0 to {_LARGEST}, or [height, width]")


def _crop(value: Any) -> int | list[int] | None:
    if value is None:
        return None
    if _is_number(value) and 8 <= value <= _LARGEST:
        return int(value)
    if _is_pair(value) and all(8 <= side <= _LARGEST for side in value):
        return value[0] if value[0] == value[1] else list(value)
    raise ValueError(f"give a number of px from 8 to {_LARGEST}, or [height, width]")


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_number, value))


class PicturesSection(_Section):
    """folder: the pictures, or drawn = a number of drawn ones (the demo's world); labels: a label file, 'folders' or
    'none'; hierarchy: a CSV with the columns child and parent that says which classes are near each other (left out:
    the drawn world's families, WordNet where every label is a class of ImageNet, else none); visual_features: the
    folder of an atlas of the same pictures, whose network's final features say how alike pictures look (left out: this
    network's own); limit: use that many, evenly spaced; trained_on: whether the network was trained on these pictures,
    which the site states next to its accuracy (left out: the site says that it is not known).

    What is done to each picture, where it differs from what the network's weights or its model say: resize: the shorter
    side in px (0: none), or [height, width]; fit: 'squash' resizes whatever the aspect ratio, to a square as large as
    resize or, without it, to the size of crop; interpolation: Pillow's filter; crop: side of the central square, or
    [height, width]; range: 1 or 255, the largest value that the network expects; mean, std: one number for each
    channel that the network reads (three: red, green, blue), in that range; transparency: the ground it is laid on, or
    'drop' to take the colours as they are; exif: turn pictures upright (transparency = "drop" and exif = false give the
    pixels of torchvision's ImageFolder); bits: of greyscale samples in files of 16 bits."""

    folder: str | None = None
    drawn: PositiveInt | None = None
    labels: str | None = None
    hierarchy: str | None = None
    visual_features: str | None = None
    limit: PositiveInt | None = None
    trained_on: bool | None = None
    resize: Annotated[int | list[int] | None, PlainValidator(_resize)] = None
    crop: Annotated[int | list[int] | None, PlainValidator(_crop)] = None
    fit: Literal["shorter", "squash"] | None = None
    interpolation: Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"] | None = None
    range: Literal[1, 255] | None = None
    mean: Annotated[list[Mean], Field(min_length=1)] | None = None
    std: Annotated[list[Std], Field(min_length=1)] | None = None
    transparency: Literal["white", "black", "drop"] | None = None
    exif: bool | None = None
    bits: Annotated[int, Field(ge=8, le=16)] | None = None

    @model_validator(mode="after")
    def _no_contradiction(self) -> Self:
        if self.folder is not None and self.drawn is not None:
            raise ValueError("folder and drawn are two kinds of pictures: leave one out")
        if self.labels is not None and self.drawn is not None:
            raise ValueError("labels belong to a folder of pictures, drawn ones have their own")
        least = min(self.resize) if isinstance(self.resize, list) else self.resize
        if least and isinstance(self.crop, int) and self.crop > least:
            raise ValueError(f"crop ({self.crop} px) is larger than what resize leaves ({least} px)")
        if self.fit == "shorter" and isinstance(self.resize, list):
            raise ValueError("fit = 'shorter' wants one number for resize")
        if self.fit == "squash" and self.resize == 0:
            raise ValueError("fit = 'squash' wants a size for resize, not 0")
        return self


class LayersSection(_Section):
    """which: 'blocks' (conv1 and every block output), 'all' (the convolutions inside too), or a list of names;
    channels: how many of each layer are pictured, the first ones, for a quick look; names: further names of layers, a
    table of names and paths of modules (`stem = "features.0"`)."""

    which: Literal["blocks", "all"] | list[str] = "blocks"
    channels: PositiveInt | None = None
    names: dict[str, str] = {}

    @model_serializer(mode="wrap")
    def _without_empty(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without(dump(self), "names")


class SpritesSection(_Section):
    """tile: wanted side in px of a tile of a block output, inner_tile: of a convolution inside a block (small patches
    are enlarged by the whole factor that comes nearest); format: of sprites, 'webp', 'avif', which takes less room and
    more time, or 'auto': AVIF where there are very many; quality: of WebP, also of the pictures that are WebP in any
    case; avif_quality: of sprites in AVIF; picture: side in px of whole pictures."""

    tile: Annotated[int, Field(ge=16, le=512)] = 96
    inner_tile: Annotated[int, Field(ge=16, le=512)] = 64
    format: Literal["auto", "webp", "avif"] = "auto"
    quality: Annotated[int, Field(ge=1, le=100)] = 60
    avif_quality: Annotated[int, Field(ge=1, le=100)] = AVIF_QUALITY
    picture: Annotated[int, Field(ge=32, le=1024)] = 160


class RangeSection(_Section):
    """The strips of nine pictures along a channel's range. gradients: also picture their units, each patch with the
    first of the profile's gradients below it, in one more file per channel with up to six times the units of the
    top-9."""

    gradients: bool = False


Share = Annotated[float, Field(ge=0, lt=1)]


class RegulariserSection(_Section):
    """As generator/engine/ascent/regularisers.py has them; zero turns each off."""

    l2_decay: Share = 0.0
    blur: Annotated[float, Field(ge=0, le=100)] = 0.0
    blur_every: PositiveInt = 4
    clip_norm: Share = 0.0
    clip_contribution: Share = 0.0
    total_variation: Annotated[float, Field(ge=0, le=100)] = 0.0


class AscentSection(_Section):
    """Optimised pictures. layers: 'blocks' (block outputs), 'all', or a list of names; objective: the neuron in the
    middle of the channel's map, or the channel's mean; work: billions of multiplications, on the way there, that one
    picture may take (where it would take more it makes fewer and longer steps); jitter: px of motion, as a share of the
    side that a unit sees; scales, angles (degrees): drawn from at every step; pad: px of grey around; precision: of the
    network during the optimisation; side: wanted side in px of the picture kept."""

    layers: Literal["blocks", "all"] | list[str] = "blocks"
    objective: Literal["neuron", "channel"] = "neuron"
    parametrisation: Literal["fourier", "pixel"] = "fourier"
    steps: PositiveInt = 128
    work: Annotated[float, Field(gt=0)] | None = None
    lr: Annotated[float, Field(gt=0, le=10)] = 0.1
    jitter: Annotated[float, Field(ge=0, le=0.5)] = 0.0625
    scales: Annotated[list[Annotated[float, Field(ge=0.25, le=4)]], Field(min_length=1)] = [
        0.95, 0.975, 1.0, 1.025, 1.05
    ]  # fmt: skip
    angles: Annotated[list[Annotated[float, Field(ge=-90, le=90)]], Field(min_length=1)] = [
        -5.0, -2.5, 0.0, 2.5, 5.0
    ]  # fmt: skip
    pad: Annotated[int, Field(ge=0, le=256)] = 0
    regularisers: RegulariserSection = RegulariserSection()
    seed: Annotated[int, Field(ge=0)] = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    side: Annotated[int, Field(ge=32, le=1024)] = 144


class OtherNetwork(_Section):
    """model, weights: as of the profile's own network."""

    model: str
    weights: str | None = None


class KernelsSection(_Section):
    """others: further networks whose first kernels the page *First layers* shows next to the profile's own."""

    others: Annotated[list[OtherNetwork], Field(max_length=32)] = []


class DeepDreamSection(_Section):
    """pictures: what the dreams start from: files, folders, or numbers of the profile's own pictures (images.csv);
    layers: 'stages' (the last block of every stage), 'blocks', or a list of names; side: of the dream
    in px (left out: of the network's input); octaves, octave_scale, steps (an octave), step_size (255ths), jitter (px):
    as generator/methods/deepdream.py has them; quality: of WebP."""

    pictures: Annotated[list[str | Annotated[int, Field(ge=0)]], Field(min_length=1)]
    layers: Literal["stages", "blocks"] | Annotated[list[str], Field(min_length=1)] = "stages"
    side: Annotated[int, Field(ge=32, le=4096)] | None = None
    octaves: Annotated[int, Field(ge=1, le=16)] = 4
    octave_scale: Annotated[float, Field(gt=1, le=4)] = 1.4
    steps: PositiveInt = 10
    step_size: Annotated[float, Field(gt=0, le=255)] = 1.5
    jitter: Annotated[int, Field(ge=0, le=1024)] = 32
    seed: Annotated[int, Field(ge=0)] = 0
    quality: Annotated[int, Field(ge=1, le=100)] = 85


class ComputeSection(_Section):
    """How, not what. batch: pictures read at a time, in whole forwards of 32, so that no number depends on it; workers:
    processes that decode pictures, and at most as many that encode sprites (left out: chosen by the machine);
    cache: keep the decoded pixels in the atlas's folder until the job ends, so that each picture is decoded once;
    precision: of the scan's forward; score_pictures: keep the scores of at most this many pictures, evenly spaced, for
    rank correlations."""

    device: str = "auto"
    batch: PositiveInt = 32
    workers: Annotated[int, Field(ge=0, le=256)] | None = None
    cache: bool = True
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    score_pictures: PositiveInt = 5000


class StreamSection(_Section):
    """enabled: read the residual stream of networks that have one (one more forward a picture); rescaled: read it on
    an enlarged and a reduced copy of every picture too, for the scale criteria (two more); optimised_steps: steps of
    the ascent that makes one picture each of Input and Block for every channel, after arXiv:2407.05340 (which takes
    2560; 0: no optimised pictures, only those of the set)."""

    enabled: bool = True
    rescaled: bool = True
    optimised_steps: Annotated[int, Field(ge=0, le=100_000)] = 0


class EffectsSection(_Section):
    """What channels contribute to classes. enabled: measured where the weights hold a classifier (one forward and one
    backward pass per picture)."""

    enabled: bool = True


class EmbeddingSection(_Section):
    """The map of the pictures by the vector before the classifier. enabled: made where the atlas holds the network's
    last block and its weights the classifier; pictures: at most this many, evenly spaced; perplexity, seed: of t-SNE;
    exact: of more pictures than this t-SNE places only this many, drawn by the seed; the others go next to their
    nearest of these."""

    enabled: bool = True
    pictures: Annotated[int, Field(ge=2, le=1_000_000)] = 50_000
    perplexity: Annotated[float, Field(ge=2, le=1000)] = 30.0
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    exact: Annotated[int, Field(ge=100, le=200_000)] = 5_000


class SiteSection(_Section):
    """publish_patches: whether pieces of the pictures appear on the site; author: whom a citation of a page names (left
    out: the contributors of Residual Atlas); max_site_bytes: the build fails above it; descriptions: tables of
    descriptions of channels (CSV) that the pages show; scores: publish every channel's score on every picture and its
    mean contribution to every class, in half precision (two bytes each); parquet: publish channels.csv as Parquet too
    (needs pyarrow); live: publish the network itself, with a page that runs it on a picture of the reader's own in the
    browser, and, where publish_patches is set, up to twelve whole pictures of the set without loss, as the network sees
    them."""

    publish_patches: bool = True
    author: str = ""
    max_site_bytes: PositiveInt = 950_000_000
    descriptions: list[str] = []
    scores: bool = False
    parquet: bool = False
    live: bool = False

    @model_serializer(mode="wrap")
    def _without_empty(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without(dump(self), "live")


class Profile(_Section):
    """Everything an atlas is made from. name is the first part of every address: `<name>/<layer>/<channel>.html`; title
    heads its pages (left out: made from the model and the weights that are used). Paths are relative to the folder in
    which the program runs, not to the profile's."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    title: str = ""
    network: NetworkSection
    pictures: PicturesSection = PicturesSection()
    layers: LayersSection = LayersSection()
    gradients: Annotated[list[GradientName], Field(min_length=1)] = ["guided"]
    sprites: SpritesSection = SpritesSection()
    range: RangeSection = RangeSection()
    ascent: AscentSection | None = None
    deepdream: DeepDreamSection | None = None
    kernels: KernelsSection = KernelsSection()
    compute: ComputeSection = ComputeSection()
    stream: StreamSection = StreamSection()
    effects: EffectsSection = EffectsSection()
    embedding: EmbeddingSection = EmbeddingSection()
    site: SiteSection = SiteSection()

    @field_validator("gradients")
    @classmethod
    def _no_gradient_twice(cls, value: list[GradientName]) -> list[GradientName]:
        if len(set(value)) < len(value):
            raise ValueError("a gradient is named twice")
        return value

    def changed(self, name: str | None = None, **sections: Any) -> Profile:
        """A copy with some values of some sections replaced, and validated: `layers={"channels": 8}`. What is no
        section is replaced as a whole: `gradients=["plain"]`. None leaves a value as it is. Raises AtlasError naming
        the key at fault."""
        data = self.model_dump()
        sections = {key: value for key, value in sections.items() if value is not None}
        if self._title_ends(sections):
            data["title"] = ""
        if name is not None:
            data["name"] = name
            if data["title"] in ("", _shipped_title(self.name)):
                data["title"] = name
        if _values(sections, "pictures").get("folder") is not None:
            data["pictures"]["drawn"] = None  # other pictures than the profile's
        if self._other_training(sections):
            data["pictures"]["trained_on"] = None
        for section, values in sections.items():
            if isinstance(values, Mapping):
                given = {key: value for key, value in values.items() if value is not None}
                data[section] = {
                    **(data.get(section) or {}),
                    **given,
                }  # a section may have been left out until now
            else:
                data[section] = values
        return validated(data, f"changes to {self.name}")

    def _other_training(self, sections: Mapping[str, Any]) -> bool:
        """Whether other pictures, another network or other weights replace those of which the profile says that the
        network was, or was not, trained on them."""
        network, pictures = _values(sections, "network"), _values(sections, "pictures")
        return any(
            values.get(key) is not None
            for values, key in (
                (network, "model"),
                (network, "weights"),
                (network, "args"),
                (pictures, "folder"),
            )
        )

    def _title_ends(self, sections: Mapping[str, Any]) -> bool:
        """Whether the title is one of the package's profiles' own, which speak of the network, the weights and the
        drawn pictures that these profiles name, and one of them is replaced. Every other title is its writer's."""
        if not self.title or self.title != _shipped_title(self.name):
            return False
        network, pictures = _values(sections, "network"), _values(sections, "pictures")
        other_network = any(network.get(key) is not None for key in ("model", "weights", "args"))
        return other_network or (self.pictures.drawn is not None and pictures.get("folder") is not None)


def _values(sections: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The values given for a section, none where it is not given or is no section (which the validation refuses)."""
    values = sections.get(name)
    return values if isinstance(values, Mapping) else {}


def _shipped_title(name: str) -> str:
    """The title of the package's profile of this name, '' where there is none."""
    return load(name).title if name in names() else ""


def names() -> tuple[str, ...]:
    """The profiles that come with the package."""
    folder = resources.files("generator.stages") / "profiles"
    return tuple(sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load(profile: str) -> Profile:
    """A profile by its name or its file's path; raises AtlasError naming the key at fault."""
    if profile in names():
        text, where = (
            (resources.files("generator.stages") / "profiles" / f"{profile}.toml").read_text("utf-8"),
            profile,
        )
    elif profile.startswith("timm/") or split_model(profile)[1]:  # any of timm's networks, or your own
        return of_model(profile)
    elif (path := Path(profile)).suffix == ".toml":
        try:
            text, where = path.read_text("utf-8"), str(path)
        except (OSError, UnicodeDecodeError) as error:
            raise AtlasError(
                "the profile cannot be read", path, str(getattr(error, "strerror", "") or error)
            ) from error
    else:
        near = difflib.get_close_matches(profile, names(), n=1)
        remedy = (
            f"did you mean {near[0]}?"
            if near
            else f"known: {', '.join(names())}; or give a path to a .toml file"
        )
        raise AtlasError("unknown profile", profile, remedy)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise AtlasError(f"the profile is not TOML ({error})", where) from error
    return validated(data, where)


def of_model(model: str) -> Profile:
    """The profile that carries the model's name, or the default settings where none does. Whether there is such a model
    is for `models.find` to say: it needs torch."""
    if model in names():
        return load(model)
    where, attribute = split_model(model)
    if where.endswith(".py"):  # without the folders: a name is published
        where = PurePath(where).stem
    said = f"{where}-{attribute}" if attribute else where
    name = re.sub(r"[^a-z0-9._-]+", "-", said.lower()).strip("-._")[:64].rstrip("-._") or "network"
    return validated({"name": name, "network": {"model": model}}, model)


def validated(data: Mapping[str, Any], where: str) -> Profile:
    """A profile from its values; raises AtlasError naming the key at fault. where: what they come from."""
    try:
        return Profile.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            near = difflib.get_close_matches(str(first["loc"][-1]), _keys(first["loc"][:-1]), n=1)
            raise AtlasError(
                f"unknown key {_printable(key)} in the profile",
                where,
                f"did you mean {near[0]}?" if near else None,
            ) from None
        raise AtlasError(f"{key} in the profile: {_said(first)}", where) from None


def _said(error: Mapping[str, Any]) -> str:
    """What is wrong, as part of a sentence: Pydantic's own words, or those of the checks here without its prefix."""
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    return str(error["msg"]).lower()


def _keys(section: tuple[int | str, ...]) -> list[str]:
    """The keys of a section, which may be one of a list of sections or one that may be left out."""
    model: Any = Profile
    for part in section:
        if isinstance(part, str):
            model = model.model_fields[part].annotation
        while not hasattr(model, "model_fields"):
            model = get_args(model)[0]
    return list(model.model_fields)


def _printable(text: str) -> str:
    """Line breaks and the like written out: an error is one line."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
