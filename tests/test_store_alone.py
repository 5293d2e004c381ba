"""Only generator/core/store builds paths into an atlas folder."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from generator.stages import table

HIDDEN = (".cache", ".inputs.json", ".lock", "SHA256SUMS", "work")
INSIDE = {*table.roots(), *HIDDEN}
FOLDER = re.compile(r"(\bstore|\bStore\(.*\))\.folder$")
LISTING = {"joinpath", "join", "listdir", "scandir", "glob", "rglob", "iterdir", "open", "walk"}
NEIGHBOURS = {"parent", "parents", "with_name", "with_suffix", "with_stem"}


def _is_folder(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and FOLDER.search(ast.unparse(node)) is not None


def _first_name(node: ast.AST) -> str:
    """The first part of a path that is written as a literal, '' where it is not one."""
    if isinstance(node, ast.JoinedStr) and node.values:
        node = node.values[0]
    return node.value.split("/")[0] if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _builds_a_path(node: ast.AST) -> bool:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return _is_folder(node.left) or _first_name(node.right) in INSIDE
    if isinstance(node, ast.Call):
        function = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
        of_folder = isinstance(node.func, ast.Attribute) and _is_folder(node.func.value)
        return function in LISTING and (of_folder or any(map(_is_folder, node.args)))
    if isinstance(node, ast.Attribute) and node.attr in NEIGHBOURS:
        return _is_folder(node.value) or re.search(r"_path\(.*\)$", ast.unparse(node.value)) is not None
    return False


def paths_built(source: str) -> list[int]:
    """The lines of a module that build a path inside an atlas folder."""
    return sorted({node.lineno for node in ast.walk(ast.parse(source)) if _builds_a_path(node)})  # type: ignore[attr-defined]


def test_no_other_module_builds_a_path_into_an_atlas(root: Path) -> None:
    modules = sorted((root / "generator").rglob("*.py"))
    others = [path for path in modules if not path.is_relative_to(root / "generator" / "core" / "store")]
    assert len(modules) - len(others) == 6  # the package itself was found
    built = [f"{path}:{line}" for path in others for line in paths_built(path.read_text("utf-8"))]
    assert built == []


@pytest.mark.parametrize(
    "planted",
    [
        "job.store.folder / name",
        'folder / "layers" / "conv1"',
        'folder / f"rules/{kind}.webp"',
        'Store(folder).folder / "x"',
        "atlas.store.folder.joinpath(name)",
        "os.path.join(store.folder, name)",
        "os.listdir(atlas.store.folder)",
        "list(store.folder.glob('*'))",
        "store.pictures.sprite_path(layer, 0).parent",
        "store.folder.parent",
    ],
)
def test_a_planted_path_is_seen(planted: str) -> None:
    assert paths_built(f"x = 1\ny = {planted}\n") == [2]


@pytest.mark.parametrize("allowed", ["str(store.folder)", 'root / "drawings"', "store.tables.path(name)"])
def test_what_builds_no_path_into_an_atlas_is_let_through(allowed: str) -> None:
    assert paths_built(f"y = {allowed}\n") == []
