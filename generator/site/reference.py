"""The reference of the public API on the site's page *Python*: signatures and docstrings of the names that the package
exports, and of the types that these name. griffe reads them from the source; nothing is imported, and only the modules
that define them are read: the whole package would take ten times as long."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from griffe import (
    Alias,
    Attribute,
    Class,
    Expr,
    ExprCall,
    ExprName,
    Function,
    GriffeLoader,
    Module,
    Object,
    visit,
)

from generator.site.templates import render_template


@dataclass(frozen=True)
class Paragraph:
    """Of a docstring. is_code: an example, whose lines stay as they are."""

    text: str
    is_code: bool


@dataclass(frozen=True)
class Member:
    """A method or property of a class."""

    signature: str
    paragraphs: Sequence[Paragraph]


@dataclass(frozen=True)
class Entry:
    """A function or class. names: of the package's types that it names, each with an entry of its own."""

    name: str
    signature: str
    paragraphs: Sequence[Paragraph]
    members: Sequence[Member]
    names: Sequence[str]


@dataclass(frozen=True)
class Reference:
    """The variables of guide/reference.md. public: what the package exports; types: of their arguments and results."""

    public: Sequence[Entry]
    types: Sequence[Entry]


@functools.cache
def reference(package: Path | None = None) -> str:
    """The reference as Markdown. package: the folder of the package that is described, by default this one."""
    folder = package or Path(__file__).resolve().parents[1]
    loader = GriffeLoader(search_paths=[folder.parent], allow_inspection=False)
    module = loader.load(folder.name, submodules=False)
    assert isinstance(module, Module)
    exported = {str(name): _target(module, str(name)) for name in module.exports or ()}
    public = dict(sorted(exported.items(), key=lambda item: item[1].is_class))  # functions first
    types = {
        named.name: named
        for definition in public.values()
        for named in _named_types(module, definition)
        if named not in public.values()
    }
    shown = {*public, *types}
    return render_template(
        "guide/reference.md",
        Reference(
            [_entry(module, name, definition, shown) for name, definition in public.items()],
            [_entry(module, name, definition, shown) for name, definition in sorted(types.items())],
        ),
    )


def _resolved(member: Object | Alias) -> Object:
    return member.final_target if isinstance(member, Alias) else member


def _definition(module: Module, path: str) -> Object:
    """What stands at a dotted path of the package, whose modules on the way are read if they were not yet; imported
    names lead to their definition, and the bases of a class are read too."""
    found: Object | Alias = module
    for name in path.split(".")[1:]:
        if name not in found.members and isinstance(found, Module):
            _read_module(found, name)
        found = found.members[name]
        if isinstance(found, Alias):
            found = _definition(module, found.target_path)
    assert isinstance(found, Object)
    for base in found.bases if isinstance(found, Class) else ():
        if isinstance(base, ExprName) and _is_inside(module, base.canonical_path):
            _definition(module, base.canonical_path)
    return found


def _read_module(parent: Module, name: str) -> None:
    assert isinstance(parent.filepath, Path)
    folder = parent.filepath.parent
    path = folder / name / "__init__.py" if (folder / name).is_dir() else folder / f"{name}.py"
    read = visit(
        name,
        path,
        path.read_text("utf-8"),
        parent=parent,
        lines_collection=parent.lines_collection,
        modules_collection=parent.modules_collection,
    )
    parent.set_member(name, read)


def _is_inside(module: Module, path: str) -> bool:
    return path.startswith(f"{module.name}.")


def _target(module: Module, name: str) -> Function | Class:
    definition = _definition(module, f"{module.name}.{name}")
    assert isinstance(definition, (Function, Class)), name
    return definition


def _entry(module: Module, name: str, definition: Function | Class, shown: set[str]) -> Entry:
    names = {named.name for named in _named_types(module, definition)} & shown - {name}
    if isinstance(definition, Function):
        return Entry(name, _signature(definition, name), _paragraphs(definition), (), sorted(names))
    fields = [f"    {_field(member)}" for member in _attributes(definition)]
    members = [
        Member(_signature(member, f"{name}.{member.name}"), _paragraphs(member))
        for member in _methods(definition)
    ]
    made = definition.members.get("__init__")
    head = f"class {name}"
    if isinstance(made, Function) and "dataclass" not in definition.labels:
        head = _signature(made, head).removesuffix(" -> None")
    return Entry(name, "\n".join([head, *fields]), _paragraphs(definition), members, sorted(names))


def _attributes(definition: Class) -> Iterator[Attribute]:
    """The fields of a class, those of its bases too; no constants of the class itself."""
    for name, member in definition.all_members.items():
        target = _resolved(member)
        if not isinstance(target, Attribute) or name.startswith("_") or "property" in target.labels:
            continue
        if target.annotation is not None or "class-attribute" not in target.labels:
            yield target


def _methods(definition: Class) -> Iterator[Function | Attribute]:
    """The documented methods and properties of a class, those of its bases too."""
    for name, member in definition.all_members.items():
        target = _resolved(member)
        is_method = isinstance(target, Function) or "property" in target.labels
        if is_method and target.docstring and not name.startswith("_"):
            assert isinstance(target, (Function, Attribute))
            yield target


def _field(attribute: Attribute) -> str:
    """`name: type = value`; of an attribute that is made in `__init__`, `name: type`."""
    if attribute.annotation is None and isinstance(attribute.value, ExprCall):
        return f"{attribute.name}: {attribute.value.function}"
    value = "" if attribute.value is None else f" = {attribute.value}"
    return f"{attribute.name}: {attribute.annotation}{value}"


def _signature(definition: Function | Attribute, name: str) -> str:
    if isinstance(definition, Function):
        return str(definition.signature(name=name))
    return f"{name} -> {definition.annotation}"


def _paragraphs(definition: Function | Class | Attribute) -> list[Paragraph]:
    text = inspect.cleandoc(definition.docstring.value) if definition.docstring else ""
    parts = [part for part in re.split(r"\n\s*\n", text) if part]
    return [
        Paragraph(part, True) if part.startswith((">>>", " ")) else Paragraph(" ".join(part.split()), False)
        for part in parts
    ]


def _named_types(module: Module, definition: Function | Class) -> Iterator[Class]:
    """The package's public classes in a function's arguments and result, or in a class's fields."""
    expressions: list[str | Expr | None] = []
    if isinstance(definition, Function):
        expressions = [*(parameter.annotation for parameter in definition.parameters), definition.returns]
    else:
        for attribute in _attributes(definition):
            made = attribute.value.function if isinstance(attribute.value, ExprCall) else None
            expressions.append(attribute.annotation or made)
    for expression in expressions:
        for part in expression.iterate() if isinstance(expression, Expr) else ():
            path = part.canonical_path if isinstance(part, ExprName) else ""
            if not _is_inside(module, path):
                continue
            target = _definition(module, path)
            if isinstance(target, Class) and not target.name.startswith("_"):
                yield target
