"""Whatever lies on a disk: 11,200 generated cases, and each is used or one sentence says why not.
No traceback, no hang, no byte written where nothing belongs.

`make test` runs a tenth of the cases, chosen at random and named in the first lines of its output; `make test-all` runs
all of them. ATLAS_FUZZ repeats a choice."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import random
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bad_files
import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as some

from generator.core.errors import AtlasError
from generator.core.records import PictureRecord, Preprocessing
from generator.core.store import Store
from generator.network import models
from generator.pictures import labels
from generator.pictures.decoding import Picture, PictureError, read_picture
from generator.pictures.reading import find_pictures
from generator.stages import profile

pytestmark = pytest.mark.slow

PICTURES, WEIGHTS, PROFILES, LABELS, NAMES, PICKLES = 6900, 800, 1600, 1200, 300, 400
SMALL = Preprocessing(24, 16, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
CHOSEN = os.environ["ATLAS_FUZZ"]  # conftest.py chooses
ALL = CHOSEN == "all"
QUIET = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck), max_examples=1)


def chosen(cases: int) -> range:
    """The numbers of the cases that run: every tenth, or all."""
    return range(cases) if ALL else range(int(CHOSEN), cases, 10)


def generated(cases: int, *strategies: some.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Any]:
    """Run a test on so many cases that hypothesis generates, or on a tenth of them: the same for the same choice."""

    def wrapped(test: Callable[..., None]) -> Any:
        first = 10 if ALL else int(CHOSEN)
        return seed(first)(settings(QUIET, max_examples=len(chosen(cases)))(given(*strategies)(test)))

    return wrapped


# -- watching --------------------------------------------------------------------------------------------------------


class _Hang(BaseException):
    """Not an Exception: nothing on the way may take it for a broken file."""


def _ring(*_: object) -> None:
    raise _Hang


_watched: dict[str, Any] = {"allowed": None, "written": []}


def _is_ours(path: Any) -> bool:
    name = os.fsdecode(path)
    return name.startswith((_watched["allowed"], "/dev/")) or any(
        part in name
        for part in ("/.hypothesis/", "/__pycache__", "/torchinductor_")  # the last: torch's own, empty
    )


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _watched["allowed"] is None:
        return
    if event in ("os.system", "subprocess.Popen", "os.exec", "os.fork"):
        _watched["written"].append((event, arguments))
    elif event == "open" and not isinstance(arguments[0], int):
        path, mode, flags = arguments
        writes = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) if flags else "r" not in (mode or "r")
        if writes and not _is_ours(path):
            _watched["written"].append((event, path))
    elif event in ("os.mkdir", "os.rename", "os.symlink") and not _is_ours(
        arguments[1 if event != "os.mkdir" else 0]
    ):
        _watched["written"].append((event, arguments))


sys.addaudithook(_audit)


@pytest.fixture(autouse=True)
def _watch(tmp_path: Path) -> Iterator[None]:
    """Fails a test in which anything was written outside pytest's folder, or a program started."""
    _watched.update(allowed=str(tmp_path.parent.parent), written=[])
    before = signal.signal(signal.SIGALRM, _ring)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    _watched["allowed"] = None
    assert _watched["written"] == []


@contextlib.contextmanager
def _case(seconds: int = 20) -> Iterator[None]:
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def _one_sentence(error: Exception) -> None:
    text = str(error)
    assert text and "Traceback" not in text and "\n" not in text
    assert len(text) < 2000


# -- pictures --------------------------------------------------------------------------------------------------------


def _decode(path: Path) -> str:
    try:
        with _case():
            picture = read_picture(path, SMALL)
    except PictureError as error:
        _one_sentence(error)
        return "skipped"
    assert isinstance(picture, Picture) and picture.pixels.shape == (16, 16, 3)
    return "used"


def test_broken_pictures_are_used_or_skipped_with_a_reason(tmp_path):
    path, outcomes = tmp_path / "x.jpg", {"used": 0, "skipped": 0}
    for number in chosen(PICTURES):
        path.write_bytes(bad_files.broken(number))
        outcomes[_decode(path)] += 1
    assert sum(outcomes.values()) == (PICTURES if ALL else PICTURES // 10)
    # Both happen often, so the cases are near the border.
    assert min(outcomes.values()) > sum(outcomes.values()) / 25, outcomes


@pytest.mark.alone
@pytest.mark.parametrize("name", sorted(bad_files.BOMBS))
def test_bombs_cost_neither_memory_nor_time(tmp_path, name):
    import resource

    path = tmp_path / name
    path.write_bytes(bad_files.BOMBS[name]())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcome = _decode(path)
    # Two show a picture that can be used once the rest is left out.
    assert outcome == ("used" if name in ("unpacks.png", "needle.png") else "skipped")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # KB


# -- names -----------------------------------------------------------------------------------------------------------

_NAME = some.binary(min_size=1, max_size=250).map(lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"0"))


@generated(NAMES, some.sets(_NAME, min_size=1, max_size=4), some.booleans())
def test_any_name_is_found_labelled_and_written_back(tmp_path_factory, names, in_folder):
    root = tmp_path_factory.mktemp("names")
    made = set()
    for raw in names:
        name = os.fsdecode(raw)[:240].strip(".") or "x"
        with contextlib.suppress(OSError):  # longer than the file system takes
            place = root / name if in_folder else root
            place.mkdir(exist_ok=True)
            path = place / (f"{name[:60]}.png")
            path.write_bytes(b"not a picture")
            made.add(path.relative_to(root).as_posix())
    visible = {name for name in made if not any(part.startswith(".") for part in name.split("/"))}
    try:
        found = find_pictures(root)
    except AtlasError:
        assert not visible
        return
    assert {file.path for file in found.files} == visible
    records = [PictureRecord(i, f.path, f.label_id, f.label, 1, 1) for i, f in enumerate(found.files)]
    store = Store(root / ".atlas")
    store.tables.write_images(records)
    assert store.tables.images() == records
    store.tables.write_json("scan.json", {"skipped": [[f.path, "why"] for f in found.files]})
    assert [path for path, _ in store.tables.read_json("scan.json")["skipped"]] == [
        f.path for f in found.files
    ]


# -- profiles --------------------------------------------------------------------------------------------------------

_VALUE = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=12),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_SECTIONS = {
    "network": ("model", "weights", "seed", "classes"),
    "pictures": ("folder", "drawn", "labels", "limit", "resize", "crop"),
    "layers": ("which", "channels"),
    "sprites": ("tile", "inner_tile", "quality", "picture"),
    "compute": ("device", "batch", "workers", "precision", "score_pictures"),
    "kernels": ("others",),
    "deepdream": (
        "pictures",
        "layers",
        "side",
        "octaves",
        "octave_scale",
        "steps",
        "step_size",
        "jitter",
        "seed",
    ),
    "site": ("publish_patches", "max_site_bytes"),
}
_KEYS = [(section, key) for section, keys in _SECTIONS.items() for key in (*keys, "tpyo")]


@generated(
    PROFILES // 2, some.lists(some.tuples(some.sampled_from(_KEYS), _VALUE), min_size=1, max_size=3), _VALUE
)
def test_any_value_in_a_profile_is_taken_or_named(changes, whole):
    data: dict[str, Any] = {"name": "mine", "network": {"model": "resnet18"}}
    for (section, key), value in changes:
        data.setdefault(section, {})[key] = value
    for candidate in (data, {**data, "layers": whole}, {**data, "gradients": whole}, whole):
        try:
            profile.validated(candidate, "test")
        except AtlasError as error:
            _one_sentence(error)


@generated(PROFILES // 2, some.randoms(use_true_random=False))
def test_any_text_is_a_profile_or_one_sentence(tmp_path_factory, chance):
    text = bytearray(
        b'name = "mine"\ntitle = "a"\ngradients = ["guided"]\n[network]\nmodel = "demo"\n[pictures]\nlimit = 5\n'
        b"[layers]\nwhich = ['res2a']\n[sprites]\ntile = 96\n"
    )
    for _ in range(chance.choice((1, 2, 8))):
        place = chance.randrange(len(text))
        text[place : place + chance.choice((0, 1, 5))] = chance.choice(
            (
                b"",
                b"\0",
                b"\xff",
                b"[",
                b"]]",
                b'"',
                b"=",
                b"\n",
                b"1e999",
                b"'''",
                b"[[",
                b"{a={}}",
                b"\\u0000",
                b".",
            )
        )
    path = tmp_path_factory.getbasetemp() / "profile.toml"
    path.write_bytes(bytes(text))
    try:
        profile.load(str(path))
    except AtlasError as error:
        _one_sentence(error)


# -- weights ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return models.load_module("resnet20-cifar", "random").state_dict()


def _load(path: Path, *, may_do: bool = False) -> None:
    try:
        with _case():
            network = models.load("resnet20-cifar", str(path))
    except AtlasError as error:
        _one_sentence(error)
        return
    said = "left out: fc" in network.weights.note  # what is wrong with the classifier is left out, and named
    assert may_do or said, "weights that are not the network's were taken"


def test_damaged_safetensors_are_one_sentence(tmp_path, state):
    whole = safetensors.torch.save(state)
    (size,) = struct.unpack("<Q", whole[:8])
    path = tmp_path / "w.safetensors"
    for number in chosen(WEIGHTS // 2):
        chance = random.Random(number)
        data = bytearray(whole)
        kind = chance.randrange(5)
        match kind:
            case 0:
                data = data[: chance.randrange(len(data))]
            case 1:
                data[:8] = struct.pack(
                    "<Q", chance.choice((0, 1, size - 1, size + 1, 2**31, 2**63, 2**64 - 1))
                )
            case 2:
                for _ in range(8):
                    data[8 + chance.randrange(size)] = chance.randrange(256)
            case 3:
                header = json.loads(data[8 : 8 + size])
                _spoil(header, chance)
                text = json.dumps(header).encode()
                data = bytearray(struct.pack("<Q", len(text)) + text + data[8 + size :])
            case _:
                data = data[:8] + bytes(chance.randrange(256) for _ in range(size)) + data[8 + size :]
        path.write_bytes(bytes(data))
        _load(path, may_do=kind in (2, 3))  # what was hit may be what nobody needs


def _spoil(header: dict[str, Any], chance: random.Random) -> None:
    name = chance.choice([key for key in header if key.endswith("weight")])
    entry = header[name]
    match chance.randrange(6):
        case 0:
            entry["dtype"] = chance.choice(("F64", "I64", "BOOL", "F99", "", 5, None))
        case 1:
            entry["shape"] = chance.choice(
                ([], [0], [2**40, 2**40], [-1], "wide", [1.5], [*entry["shape"][::-1], 2])
            )
        case 2:
            entry["data_offsets"] = chance.choice(([0, 2**60], [9, 3], [], [0], "a", [0, 0]))
        case 3:
            header["stranger.weight"] = header.pop(name)
        case 4:
            del header[name]
        case _:
            header[name] = chance.choice((None, [], 7, {}))


def test_tensors_that_do_not_fit_are_named(tmp_path, state):
    """Sound files with wrong types, shapes and numbers."""
    names = [name for name in state if not name.endswith("num_batches_tracked")]
    kinds = (torch.int32, torch.int64, torch.bool, torch.complex64, torch.uint8)
    for number in chosen(WEIGHTS // 2):
        chance = random.Random(number)
        name = chance.choice(names)
        changed = dict(state)
        whole = changed[name]
        match chance.randrange(5):
            case 0:
                changed[name] = torch.zeros(whole.shape, dtype=chance.choice(kinds))
            case 1:
                changed[name] = torch.zeros(*whole.shape, 2)
            case 2:
                changed[name] = torch.full_like(
                    whole, chance.choice((float("nan"), float("inf"), -float("inf")))
                )
            case 3:
                changed[name] = torch.zeros(0)
            case _:
                changed[f"{name}.more"] = whole
        path = tmp_path / ("w.pt" if number % 3 else "w.safetensors")
        if path.suffix == ".pt":
            torch.save(changed, path)
        elif any(tensor.dtype == torch.complex64 for tensor in changed.values()):
            continue
        else:
            safetensors.torch.save_file(
                {key: value.contiguous().clone() for key, value in changed.items()}, path
            )
        _load(path)


class _Runs:
    """A pickle that runs something when it is opened."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def test_pickles_with_code_in_them_are_refused_and_nothing_runs(tmp_path, state):
    flag = tmp_path / "ran"
    calls = [
        (os.system, f"touch {flag}"), (eval, f"open({str(flag)!r}, 'w')"), (exec, f"open({str(flag)!r}, 'w')"),
        (open, str(flag), "w"), (os.mkdir, str(flag)), (__import__, "antigravity"), (Path.touch, flag),
    ]  # fmt: skip
    for number in chosen(PICKLES):
        chance = random.Random(number)
        code = _Runs(*chance.choice(calls))
        content = chance.choice(
            (code, {"state_dict": code}, {**state, "fc.weight": code}, [code], {code.call[0]: 1})
        )
        path = tmp_path / f"w{chance.choice(('.pt', '.pth'))}"
        if chance.random() < 0.5:
            torch.save(content, path, _use_new_zipfile_serialization=chance.random() < 0.5)
        else:
            path.write_bytes(pickle.dumps(content, protocol=chance.randrange(6)))
        if chance.random() < 0.3:
            data = bytearray(path.read_bytes())
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            path.write_bytes(bytes(data))
        _load(path, may_do=True)
        assert not flag.exists()


# -- labels ----------------------------------------------------------------------------------------------------------

_LINE = some.one_of(
    some.text(max_size=30),
    some.sampled_from(
        ["a.png,cat", "a.png dog", "b.jpg\t7", "path,label", "path,label,label_id", "a.png,cat,x", '"', ","]
    ),
)


@generated(LABELS, some.lists(_LINE, max_size=6), some.sampled_from(["utf-8", "utf-16", "latin-1"]))
def test_any_label_file_labels_or_is_one_sentence(tmp_path_factory, lines, encoding):
    path = tmp_path_factory.getbasetemp() / "labels.txt"
    path.write_bytes("\n".join(lines).encode(encoding, "replace"))
    for read in (labels.from_file, labels.from_table):
        try:
            found = read(path, ["a.png", "b.jpg"])
        except AtlasError as error:
            _one_sentence(error)
        else:
            assert len(found.of_picture) == 2 and all(
                place < len(found.classes) for place in found.of_picture
            )


# -- the whole way ---------------------------------------------------------------------------------------------------


def test_a_folder_of_everything_becomes_an_atlas_and_a_site(tmp_path, capsys):
    from generator.core.progress import Reporter
    from generator.site.links import check_links
    from generator.site.render import render_site
    from generator.stages.pipeline import compute

    root = tmp_path / "in"
    root.mkdir()
    for name, make in bad_files.BOMBS.items():
        (root / name).write_bytes(make())
    for number in range(60):
        (root / f"{number}.png").write_bytes(bad_files.broken(number))
    (root / "x.jpg").mkdir()
    (root / "loop").symlink_to(root)
    (root / "circle.png").symlink_to(root / "circle.png")
    (root / "gone.png").symlink_to(root / "nowhere.png")
    os.mkfifo(root / "pipe.png")
    names = [
        "a'b\"c.png",
        "<script>alert(1)<script>.png",
        "new\nline.png",
        "é" * 120 + ".png",
        "&amp;.png",
        "%2e%2e.png",
    ]
    good = io.BytesIO()
    from PIL import Image

    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(good, "PNG")
    for name in [*names, os.fsdecode(b"caf\xe9.png")]:
        (root / name).write_bytes(good.getvalue())
    text = f"""
name = "bad"
[network]
model = "resnet20-cifar"
weights = "random"
[layers]
which = ["conv1", "res2a"]
channels = 2
[pictures]
folder = "{root}"
[compute]
workers = 0
"""
    (tmp_path / "bad.toml").write_text(text)
    with _case(300):
        store = compute(profile.load(str(tmp_path / "bad.toml")), tmp_path / "atlas", Reporter(quiet=True))
        assert {*names, os.fsdecode(b"caf\xe9.png")} <= {image.path for image in store.tables.images()}
        manifest = store.manifest()
        assert len(manifest.pictures.skipped) >= 20
        _watched["allowed"] = None  # MkDocs writes where its own temporary files lie
        render_site([store.folder], tmp_path / "site")
    assert check_links(tmp_path / "site") == []
