"""The commands of README, CONTRIBUTING, docs/ and the guide: the options exist; what can run here runs as it stands.

A folder is prepared with the files that the commands name. Each shell block then runs line by line in it, as a reader
would type it; a command that would take minutes gets options that make it small appended (click takes the last value).
What cannot run in a test is in ELSEWHERE with its reason, and is checked as far as its words go."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from html import unescape
from pathlib import Path
from urllib.parse import parse_qsl

import click
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from generator.__main__ import main
from generator.network import models
from generator.site.guide import address_examples
from generator.site.reading.atlas import Atlas
from generator.site.reading.measures import BY_KEY
from generator.stages import profile

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "site_src/guide").glob("*.md")),
]
BLOCK = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```", re.M | re.S)
INLINE = re.compile(r"`([^`]+)`")

# Commands that are not run here, by how they begin.
ELSEWHERE = {
    "make ": "installs packages and runs for minutes; the target is looked up in the Makefile",
    "pip ": "installs packages; extras are looked up in pyproject.toml",
    "torchrun ": "starts several processes, on several machines for some; tests/test_pipeline.py runs torchrun",
    "srun ": "needs SLURM",
    "first=": "needs SLURM",
    "gh ": "needs an account on GitHub",
    "atlas site efficientnet-lite0": "needs the extra [example]; tests/test_efficientnet_lite.py loads its weights",
    "python ": "runs for minutes; the module is looked up",
}
# Appended to what computes a ResNet-50's atlas: one layer, one channel, few pictures.
SMALL = "--layers conv1 --channels 1 --limit 9 --workers 0"


def commands(text: str) -> list[str]:
    """The commands of a document's shell blocks: continued lines joined, comments and blank lines left out."""
    lines = "\n".join(BLOCK.findall(text)).replace("\\\n", " ").splitlines()
    found = [re.sub(r"\s+#.*", "", line).strip() for line in lines if not line.lstrip().startswith("#")]
    return [re.sub(r"\s+", " ", line) for line in found if line]


def inline(text: str) -> list[str]:
    """What stands in backticks outside of blocks, each in one line."""
    return [" ".join(found.split()) for found in INLINE.findall(re.sub(r"```.*?```", "", text, flags=re.S))]


PROFILES = [
    (path.name, block)
    for path in DOCUMENTS
    for block in re.findall(r"^ *```toml\n(.*?)^ *```", path.read_text("utf-8"), re.M | re.S)
]
ALL = [(path, command) for path in DOCUMENTS for command in commands(path.read_text("utf-8"))]
RUN_HERE = [(path, command) for path, command in ALL if not command.startswith(tuple(ELSEWHERE))]


def atlas_arguments(command: str) -> list[str] | None:
    """The words after `atlas` (or `python -m generator`), None for another command."""
    words = shlex.split(command)
    if words[:1] == ["atlas"]:
        return words[1:]
    if "generator" in words and words[words.index("generator") - 1] == "-m":
        return words[words.index("generator") + 1 :]
    return None


def parse(arguments: list[str]) -> None:
    """Parse the words as click does, without running anything; raises click.UsageError."""
    command: click.Command = main
    context = click.Context(main, info_name="atlas")
    while isinstance(command, click.Group) and arguments:
        name, command_, arguments = command.resolve_command(context, arguments)
        assert name is not None and command_ is not None
        command = command_
        context = click.Context(command, info_name=name, parent=context)
    command.make_parser(context).parse_args(list(arguments))


def test_there_are_commands_to_check() -> None:
    assert {path.name for path, _ in RUN_HERE} == {
        "README.md",
        "CONTRIBUTING.md",
        "many-gpus.md",
        "hosting.md",
        "networks.md",
    }


@pytest.mark.parametrize(
    "command", [c for _, c in ALL if atlas_arguments(c) is not None], ids=lambda command: command[:70]
)
def test_every_option_of_a_documented_command_exists(command: str) -> None:
    arguments = atlas_arguments(command)
    assert arguments is not None
    parse(arguments)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_and_options_in_running_text_exist(path: Path) -> None:
    known = set(click.Context(main).help_option_names)
    pending: list[click.Command] = [main]
    while pending:
        command = pending.pop()
        known.update(name for parameter in command.params for name in parameter.opts)
        pending += command.commands.values() if isinstance(command, click.Group) else []
    for text in inline(path.read_text("utf-8")):
        if text.startswith("atlas "):
            parse(shlex.split(text)[1:])
        for option in re.findall(r"(?<![\w-])--[a-z][\w-]*", text):
            assert option in known, f"{path.name}: {text}"


def test_an_option_that_does_not_exist_is_noticed() -> None:
    with pytest.raises(click.UsageError):
        parse(["site", "resnet50", "--pictures", "photos/"])
    with pytest.raises(click.UsageError):
        parse(["mend", "build/demo"])


def test_make_targets_extras_and_modules_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for path in DOCUMENTS:
        text = path.read_text("utf-8")
        for command in (*commands(text), *inline(text)):
            if match := re.match(r"make ([\w-]+)$", command):
                assert match[1] in targets, command
            if match := re.match(r"pip install '?([^'\s]+)", command):
                where, _, extra = match[1].rstrip("]").partition("[")
                assert where == ".", f"{path.name}: {command}: there is no such distribution on the index"
                assert not extra or extra in project["optional-dependencies"], command
            if (match := re.match(r"python -m ([\w.]+)", command)) and match[1] != "generator":
                assert (ROOT / (match[1].replace(".", "/") + ".py")).is_file(), command


def test_files_and_names_of_the_source_that_documents_name_exist() -> None:
    for path in DOCUMENTS:
        for text in inline(path.read_text("utf-8")):
            if re.fullmatch(r"(generator|templates|tests|tools|docs|benchmarks)/[\w./-]+", text):
                new = {
                    "generator/network/models/twin.py",
                    "generator/site/chapters/inactive.py",
                    "generator/stages/popularity.py",
                    "generator/methods/decline.py",
                }  # the worked examples
                assert text in new or (ROOT / text).exists(), f"{path.name}: {text}"
    text = " ".join((ROOT / "CONTRIBUTING.md").read_text("utf-8").split())
    named = re.findall(r"`([A-Za-z_]+)` (?:of|in) `(generator/[\w/]+\.py)`", text)
    assert named
    for name, file in named:
        assert re.search(rf"^(def |class )?{name}\b", (ROOT / file).read_text("utf-8"), re.M), (
            f"{name} of {file}"
        )


def test_nobody_is_told_to_install_what_is_not_on_the_index() -> None:
    files = [*DOCUMENTS, *(ROOT / "templates").rglob("*.html"), *(ROOT / "generator").rglob("*.py")]
    for path in files:
        assert not re.search(r"pip install\s+'?residual-atlas", path.read_text("utf-8")), path


def test_the_linking_guides_addresses_sort_by_what_they_say() -> None:
    """Their parameters are those that the pages' scripts read, and a sorted column is the one that the row names."""
    modules = ROOT / "site_src/js"
    grid, the_map = ((modules / name).read_text("utf-8") for name in ("grid/grid.js", "map/address.js"))
    table = address_examples(Atlas(ROOT / "tests" / "small_atlas"))
    rows = [
        (unescape(words), unescape(address))
        for words, address in re.findall(r"<td>(.+?)</td>\s*<td>.*?<code>(.+?)</code>", table)
    ]
    assert len(rows) > 4
    sorted_by = {}
    for words, address in rows:
        page, _, state = address.partition("#")
        for name, value in parse_qsl(state if "=" in state else ""):
            assert f'"{name}"' in (the_map if page.endswith("map.html") else grid), address
            if name == "sort":
                sorted_by[value] = words
    assert len(sorted_by) == 2
    for key, words in sorted_by.items():
        assert BY_KEY[key].name.partition(",")[0].partition(" with")[0].lower() in words, f"{words}: {key}"


@pytest.mark.parametrize(("document", "block"), PROFILES, ids=[document for document, _ in PROFILES])
def test_a_documented_profile_is_valid(document: str, block: str) -> None:
    profile.validated(tomllib.loads(block), document)


# -- running them ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the commands name, and `bin/atlas` for the checkout's code with CONTRIBUTING's
    example network added as that page says."""
    place = tmp_path_factory.mktemp("reader")
    for folder in ("photos", "imagenet/val", "data/imagenet/val"):
        (place / folder).mkdir(parents=True)
        for index in range(10):
            rough = np.random.default_rng(index).integers(0, 256, (4, 4, 3), dtype=np.uint8)
            Image.fromarray(rough).resize((64, 64)).save(place / folder / f"{index}.png")
    Image.open(place / "photos/0.png").save(place / "photo.jpg")
    state = models.load_module("resnet50", "random").state_dict()
    torch.save(state, place / "mine.pt")
    cache = place / "torch/hub/checkpoints"  # in place of torchvision's download
    cache.mkdir(parents=True)
    (cache / "resnet50-11ad3fa6.pth").hardlink_to(place / "mine.pt")
    (place / "classes.txt").write_text("".join(f"class {n}\n" for n in range(1000)))
    caffe = models.load_module("resnet50-caffe", "random").state_dict()
    save_file(
        {name: tensor.contiguous() for name, tensor in caffe.items()}, place / "resnet50-caffe.safetensors"
    )
    own = re.findall(r"```python\n(.*?)```", (ROOT / "site_src/guide/networks.md").read_text("utf-8"), re.S)[
        0
    ]
    (place / "net.py").write_text(own)
    torch.save(models.find(f"{place / 'net.py'}:Net").build(3).state_dict(), place / "net.pt")
    shutil.copytree(ROOT / "tests/small_atlas", place / "data/atlas")  # in place of what torchrun computes
    _checkout_with_the_example(place)
    return place


def _checkout_with_the_example(place: Path) -> None:
    source = place / "source"
    shutil.copytree(ROOT / "generator", source / "generator", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("templates", "site_src", "mkdocs.yml"):
        (source / name).symlink_to(ROOT / name)
    code = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.S)[0]
    (source / "generator/network/models/twin.py").write_text(code)
    families = source / "generator/network/models/__init__.py"
    text = families.read_text("utf-8").replace("    timm_models,\n)", "    timm_models,\n    twin,\n)", 1)
    families.write_text(re.sub(r"(for family in \([^)]*\w),?\s*\)", r"\1, twin)", text, count=1), "utf-8")
    build = "import torch; from generator.network.models.twin import Twin; torch.save(Twin(10).state_dict(), 'twin.pt')"
    subprocess.run([sys.executable, "-c", build], cwd=place, env=_environment(place), check=True)
    (place / "bin").mkdir()
    (place / "bin/atlas").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m generator "$@"\n')
    (place / "bin/atlas").chmod(0o755)


def _environment(place: Path) -> dict[str, str]:
    path = f"{place / 'bin'}:{os.environ['PATH']}"
    return os.environ | {
        "PATH": path, "PYTHONPATH": str(place / "source"), "TORCH_HOME": str(place / "torch"), "OMP_NUM_THREADS": "1",
    }  # fmt: skip


# Its commands are those of README.md on other folders.
LONG = {"hosting.md"}


def run_all(document: str, place: Path) -> Path:
    """Run the document's commands one after another in a folder of its own, which is returned; each must succeed."""
    folder = place / "of" / document
    shutil.copytree(
        place, folder, copy_function=os.link, ignore=shutil.ignore_patterns("of", "source", "torch")
    )
    for command in (command for path, command in RUN_HERE if path.name == document):
        # A reader's absolute folders lie in the prepared one.
        line = re.sub(r"(?<=\s)/(data|shared)/", rf"{folder}/\1/", command)
        if "resnet50" in command and command.startswith(("atlas site", "atlas compute")):
            line += f" {SMALL}"
        bash = ["bash", "-ec", line]
        done = subprocess.run(bash, cwd=folder, env=_environment(place), capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, line
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "document",
    [
        pytest.param(name, marks=pytest.mark.long) if name in LONG else name
        for name in sorted({path.name for path, _ in RUN_HERE})
    ],
)
def test_commands_run_as_they_stand(document: str, place: Path) -> None:
    folder = run_all(document, place)
    if document == "CONTRIBUTING.md":
        assert (folder / "site/twin/res2b/index.html").is_file()
    if document == "networks.md":
        assert (folder / "site/net/res3b/0.html").is_file()
    if document == "README.md":
        assert (folder / "site-mine/mine/conv1/0.html").is_file()
        assert (folder / "site-caffe/resnet50-caffe/conv1/0.html").is_file()
        assert "site/resnet50/" in (folder / "photo.html").read_text("utf-8")
