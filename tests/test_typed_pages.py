"""Pages are made of records whose fields are known: frozen dataclasses, and no dictionary of anything."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import generator.site

SITE = Path(generator.site.__file__).parent
MODULES = [
    module.name
    for module in pkgutil.walk_packages(generator.site.__path__, "generator.site.")
    if not module.ispkg
]
# Not frozen: they are filled while they are used.
FILLED = {"SiteReport", "Layer"}
# What these functions return is JSON of the atlas, as it was read: records are made of it in the same file.
RETURN_JSON = {"dream_index", "reference_json", "shipped_validation"}


@pytest.mark.parametrize("name", MODULES)
def test_a_record_is_frozen_and_its_fields_are_typed(name: str) -> None:
    module = importlib.import_module(name)
    for record in vars(module).values():
        if not isinstance(record, type) or record.__module__ != name or not dataclasses.is_dataclass(record):
            continue
        assert record.__dataclass_params__.frozen or record.__name__ in FILLED, record.__name__
        for field in dataclasses.fields(record):
            assert not _is_open(ast.parse(str(field.type))), f"{record.__name__}.{field.name}: {field.type}"


@pytest.mark.parametrize("name", MODULES)
def test_no_function_returns_a_dictionary_of_anything(name: str) -> None:
    """It may take one: JSON that it turns into records."""
    tree = ast.parse((SITE / Path(*name.split(".")[2:]).with_suffix(".py")).read_text("utf-8"))
    opened = {
        function.name
        for function in _functions(tree)
        if function.returns is not None and _is_open(function.returns)
    }
    assert opened <= RETURN_JSON
    assert "dict[str, Any]" not in {ast.unparse(node) for node in ast.walk(tree)}


def test_a_dictionary_of_anything_is_found() -> None:
    """The two tests above would be of no use if their question were never answered with yes."""
    assert _is_open(ast.parse("Sequence[Mapping[str, Any]] | None"))
    assert not _is_open(ast.parse("Sequence[Mapping[str, float]] | None"))


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def _is_open(annotation: ast.AST) -> bool:
    """Whether Any occurs in an annotation."""
    return any(isinstance(node, ast.Name) and node.id == "Any" for node in ast.walk(annotation))
