"""The site's page on using the package from Python: signatures and docstrings, read from the source alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path

# What others may build on: rooms in the order of the work, each with its public names ("" stands for all of them).
PUBLIC = (
    "stages.profile", "stages.pipeline", "stages.verify", "core.store", "core.records", "network.models",
    "network.models.model", "network.network", "pictures.reading", "engine.scan.scan",
    "engine.gradients.unit_gradients", "network.receptive_field", "site.render", "site.writing",
    "core.errors",
)  # fmt: skip
Definition = ast.FunctionDef | ast.ClassDef


def reference(package: Path | None = None) -> str:
    """The reference as Markdown, a section a room."""
    package = package or Path(__file__).resolve().parents[1]
    return "\n\n".join(_room(package, name) for name in PUBLIC)


def _room(package: Path, name: str) -> str:
    path = package / (name.replace(".", "/") + ".py")
    path = path if path.is_file() else package / name.replace(".", "/") / "__init__.py"
    tree = ast.parse(path.read_text("utf-8"))
    parts = [f"## generator.{name} {{#{name.replace('.', '-')}}}", _prose(ast.get_docstring(tree))]
    for definition in _public(tree.body):
        parts += _entry(name, definition)
    return "\n\n".join(part for part in parts if part)


def _public(body: list[ast.stmt]) -> Iterator[Definition]:
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield node


def _entry(room: str, node: Definition) -> list[str]:
    """A heading, the signature, the docstring; of a class its documented methods too."""
    anchor = f"{room}-{node.name}".replace(".", "-").lower()
    parts = [f"### {node.name} {{#{anchor}}}", _code(_signature(node)), _prose(ast.get_docstring(node))]
    if isinstance(node, ast.ClassDef):
        for method in _public(node.body):
            if isinstance(method, ast.FunctionDef) and (text := ast.get_docstring(method)):
                parts += [_code(_signature(method, node.name)), _prose(text)]
    return parts


def _signature(node: Definition, owner: str = "") -> str:
    if isinstance(node, ast.FunctionDef):
        arguments = ast.unparse(node.args).removeprefix("self, ").removeprefix("cls, ")
        arguments = "" if arguments in ("self", "cls") else arguments
        returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        is_property = any(isinstance(one, ast.Name) and one.id == "property" for one in node.decorator_list)
        name = f"{owner}.{node.name}" if owner else node.name
        return f"{name}{returns}" if is_property else f"{name}({arguments}){returns}"
    fields = [
        f"    {ast.unparse(statement)}"
        for statement in node.body
        if isinstance(statement, ast.AnnAssign) and not ast.unparse(statement.target).startswith("_")
    ]
    return "\n".join([f"class {node.name}", *fields])


def _code(text: str) -> str:
    # As HTML, so that nothing in it is taken for Markdown; the tabindex lets a keyboard scroll a long line.
    return f'<pre tabindex="0"><code>{escape(text, quote=False)}</code></pre>'


def _prose(text: str | None) -> str:
    """A docstring as paragraphs; examples stay as they are."""
    parts = [part for part in re.split(r"\n\s*\n", text or "") if part]
    return "\n\n".join(_code(part) if part.startswith((">>>", " ")) else _paragraph(part) for part in parts)


def _paragraph(text: str) -> str:
    html = escape(" ".join(text.split()), quote=False)
    html = re.sub(r"`([^`]+)`", r"<code>\1</code>", html)
    html = re.sub(r"arXiv:(\d{4}\.\d{4,5})", r'<a href="https://arxiv.org/abs/\1">arXiv:\1</a>', html)
    return f"<p>{html}</p>"
