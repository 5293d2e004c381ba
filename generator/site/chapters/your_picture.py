"""The chapter *Your picture*: the network in the reader's browser, on a picture of the reader's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypedDict

from generator.core.records import LayerInfo, Preprocessing
from generator.site.chapters.chapter import Chapter
from generator.site.packing import packed_numbers
from generator.site.policy import LIVE_POLICY
from generator.site.reading.atlas import Atlas
from generator.site.reading.live import FAINT, Live, channel_numbers, expected_high, layer_scores, read_live
from generator.site.reading.tiles import json_in_page
from generator.site.runtime import FOLDER, LICENCE, LICENCE_NAME, VERSION, runtime
from generator.site.writing import Site

WAIT_FROM = 10_000_000  # bytes; a page that loads more waits until the reader says so
LIGHT = 8_000_000  # bytes; what loads more for the graphics card uses it only where the page waits anyway
PAGE = 50_000  # bytes, rounded up: the page itself with its styles and scripts, compressed
# Below the network's folder.
MODEL, CHANNELS, CHECK = "live/network.gz", "live/channels.gz", "live/check.gz"
HIGH = 0.95  # the page counts the channels that the picture activates more than this share of the atlas's pictures do


@dataclass(frozen=True)
class Example:
    """A picture of the atlas that the page offers. picture: address of the file without loss, below the network's
    folder; shown: of what the page shows of it, the lossy whole picture where the site has that, a tenth of the size;
    bytes: of what is shown."""

    number: int
    label: str
    picture: str
    shown: str
    bytes: int


@dataclass(frozen=True)
class YourPicturePage:
    """policy: the page's Content-Security-Policy, in place of the other pages'; model_bytes: of the network as it is
    loaded; load_bytes: how much is loaded with the first picture, where the server compresses scripts on the way;
    card_load_bytes: how much in a browser with WebGPU, None where it is not used; pictures_count: of the atlas;
    has_outputs: whether there is a prediction; examples: pictures of the atlas; high: HIGH; chance: of how large a
    share of the channels a picture like the atlas's is above HIGH of them; data: JSON for the script; version: of
    onnxruntime-web; licence: address of its licence."""

    policy: str
    live: Live
    preprocessing: Preprocessing
    model_bytes: int
    load_bytes: int
    card_load_bytes: int | None
    pictures_count: int
    has_outputs: bool
    examples: Sequence[Example]
    high: float
    chance: float
    data: str
    version: str
    licence: str


def present(atlas: Atlas) -> bool:
    """Whether the network can run in a browser, and what runs it could be fetched."""
    live = read_live(atlas)
    return live is not None and not live.absent and not runtime().absent


def missing(atlas: Atlas) -> str:
    """Why an atlas whose profile asks for the page has none, in one sentence; '' where it has one or asks for none."""
    live = read_live(atlas)
    if live is None:
        return ""
    reason = live.absent or runtime().absent
    return f"{atlas.name} has no page Your picture: {reason}" if reason else ""


def write(site: Site, atlas: Atlas) -> None:
    """The page, the network, the channels' numbers, the pictures, and what runs the network."""
    live = read_live(atlas)
    if live is None:
        return
    numbers = channel_numbers(atlas, live.layers)
    site.write(f"{atlas.name}/{CHANNELS}", numbers)
    model = packed_numbers(atlas.store.pictures.live_path("network.onnx").read_bytes(), _width(live))
    site.write(f"{atlas.name}/{MODEL}", model)
    for number in live.examples:
        picture = f"pictures/{number}.webp"
        site.copy(atlas.store.pictures.live_path(picture), f"{atlas.name}/live/{picture}")
    for name, content in runtime().files:
        site.write(f"{FOLDER}/{name}", content)
    site.write(f"{FOLDER}/{LICENCE_NAME}", LICENCE)
    manifest = atlas.manifest
    expected = {info.name: expected_high(layer_scores(atlas, info), HIGH) for info in live.layers}
    sheets = sum(_sheet_bytes(atlas, info) for info in live.layers)
    load_bytes = len(model) + len(numbers) + runtime().bytes + sheets
    examples = [_example(atlas, number) for number in live.examples]
    card = _card(site, atlas, live, load_bytes, PAGE + sum(example.bytes for example in examples))
    page = YourPicturePage(
        policy=LIVE_POLICY,
        live=live,
        preprocessing=manifest.preprocessing,
        model_bytes=len(model),
        load_bytes=load_bytes,
        card_load_bytes=None if card is None else card["loadBytes"],
        pictures_count=len(atlas.pictures),
        has_outputs=manifest.head is not None,
        examples=examples,
        high=HIGH,
        chance=sum(count for count, _ in expected.values())
        / max(1, sum(active for _, active in expected.values())),
        data=json_in_page(
            page_data(atlas, live, expected, Sizes(len(model), len(numbers), load_bytes), card)
        ),
        version=VERSION,
        licence=f"../{FOLDER}/{LICENCE_NAME}",
    )
    CHAPTER.write_page(site, atlas, page)


def _example(atlas: Atlas, number: int) -> Example:
    pictures, picture = atlas.store.pictures, f"pictures/{number}.webp"
    exact = f"live/{picture}"
    if number in atlas.published:
        shown, path = picture, pictures.picture_path(number)
    else:
        shown, path = exact, pictures.live_path(picture)
    return Example(number, atlas.picture_labels[number], exact, shown, path.stat().st_size)


def _card(site: Site, atlas: Atlas, live: Live, load_bytes: int, page_bytes: int) -> _Card | None:
    """What a browser with a graphics card loads in place of the WebAssembly; None without a picture to check it by, and
    where a small network is not worth the bytes. page_bytes: that are loaded before the first picture."""
    if live.check is None:
        return None
    check, picture = live.check.packed(), f"pictures/{live.check.picture}.webp"
    size = runtime().card_bytes + len(check) + atlas.store.pictures.live_path(picture).stat().st_size
    whole = load_bytes - runtime().bytes + size
    if load_bytes < WAIT_FROM and page_bytes + whole >= LIGHT:
        return None
    site.write(f"{atlas.name}/{CHECK}", check)
    return {
        "runtimeBytes": size,
        "loadBytes": whole,
        "check": CHECK,
        "picture": f"live/{picture}",
    }


class _Card(TypedDict):
    """Of a browser with WebGPU. check: address of what the network says of the picture."""

    runtimeBytes: int
    loadBytes: int
    check: str
    picture: str


class _Layer(TypedDict):
    """offset: of its first channel among the model's outputs; expected: channels above the mark by chance."""

    name: str
    stage: int
    block: bool
    channels: int
    offset: int
    width: int
    field: list[float]
    bins: int
    expected: float
    columns: int


class _PageData(TypedDict):
    """As the page's script reads it."""

    runtime: str
    model: str
    modelBytes: int
    modelWidth: int
    runtimeBytes: int
    numbers: str
    numbersBytes: int
    faint: float
    pictures: int
    high: float
    loadBytes: int
    waitFrom: int
    card: _Card | None
    preprocessing: dict[str, object]
    head: str | None
    classes: list[str]
    layers: list[_Layer]


class Sizes(NamedTuple):
    """In bytes, as stored: the network, the channels' numbers, and all that is loaded with the first picture."""

    model: int
    numbers: int
    load: int


def _width(live: Live) -> int:
    """Bytes of each of the network's weights."""
    return 2 if live.half else 4


def page_data(
    atlas: Atlas, live: Live, expected: Mapping[str, tuple[float, int]], sizes: Sizes, card: _Card | None
) -> _PageData:
    """What the page's script must know. Addresses are relative to the page. expected: by layer, see expected_high."""
    manifest, preprocessing = atlas.manifest, atlas.manifest.preprocessing
    head, offset, layers = manifest.head, 0, []
    for info in live.layers:
        layers.append(_layer(atlas, info, offset, expected[info.name][0]))
        offset += info.channels
    return {
        "runtime": f"../{FOLDER}/",
        "model": MODEL,
        "modelBytes": sizes.model,
        "modelWidth": _width(live),
        "runtimeBytes": runtime().bytes,
        "numbers": CHANNELS,
        "numbersBytes": sizes.numbers,
        "faint": FAINT,
        "pictures": len(atlas.pictures),
        "high": HIGH,
        "loadBytes": sizes.load,
        "waitFrom": WAIT_FROM,
        "card": card,
        "preprocessing": {
            "resize": preprocessing.resize,
            "crop": list(atlas.input_size),
            "interpolation": preprocessing.interpolation,
            "transparency": preprocessing.transparency,
            "exif": preprocessing.exif,
            "channels": preprocessing.channels,
            "mean": [round(255 * mean / preprocessing.value_range) for mean in preprocessing.mean],
        },
        "head": None if head is None else head.kind,
        "classes": [] if head is None else _names(atlas),
        "layers": layers,
    }


def _names(atlas: Atlas) -> list[str]:
    head = atlas.manifest.head
    assert head is not None
    return [head.name(atlas.manifest.classes, output) for output in range(head.outputs)]


def _layer(atlas: Atlas, info: LayerInfo, offset: int, expected: float) -> _Layer:
    field = info.receptive_field
    return {
        "name": info.name,
        "stage": info.stage,
        "block": info.kind == "block",
        "channels": info.channels,
        "offset": offset,
        "width": info.width,
        "field": [field.side, field.stride, field.centre],
        "bins": len(layer_scores(atlas, info).ends),
        "expected": float(f"{expected:.3g}"),
        "columns": atlas.thumbnail_sheet(info.name)[0] if _sheet_bytes(atlas, info) else 0,
    }


def _sheet_bytes(atlas: Atlas, info: LayerInfo) -> int:
    """Size of the layer's sheet of thumbnails, 0 where it has none."""
    path = atlas.store.pictures.thumbs_path(info.name)
    return path.stat().st_size if path.exists() else 0


CHAPTER = Chapter(
    name="your-picture",
    title="Your picture",
    template="your_picture.html",
    summary="a picture of your own, seen by the network in your browser",
    present=present,
    write=write,
    styles=("your-picture",),
    script="your-picture/your-picture.js",
)
