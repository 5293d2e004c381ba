"""The templates of the pages: where they lie, and how records are handed to them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from generator.core.errors import AtlasError
from generator.site.formats import FILTERS
from generator.site.lean import lean, lean_page
from generator.site.policy import POLICY
from generator.site.reading.atlas import PANEL_NAMES

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# One per channel, and those that list thousands of them.
LEAN_PAGES = frozenset({"channel.html", "layer.html"})


def resources() -> Path:
    """The folder that holds templates/, site_src/ and mkdocs.yml: the checkout, or inside the package."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_resources", package.parent):
        if (folder / "templates").is_dir() and (folder / "mkdocs.yml").is_file():
            return folder
    raise AtlasError(
        "the site's templates are missing",
        package,
        "install the package again, in its checkout: pip install --force-reinstall --no-deps .",
    )


class _WithoutIndentation(FileSystemLoader):
    """Templates are indented for those who read them. The pages are not: there are tens of thousands of them."""

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        source, path, is_current = super().get_source(environment, template)
        return _without_indentation(source), path, is_current


class _Lean(_WithoutIndentation):
    """The same for the pages of which a site has one per channel."""

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        source, path, is_current = super().get_source(environment, template)
        return lean(source), path, is_current


def _without_indentation(source: str) -> str:
    """
    >>> _without_indentation("<ul>\\n  <li>\\n</ul>\\n<pre>\\n  a\\n</pre>")
    '<ul>\\n<li>\\n</ul>\\n<pre>\\n  a\\n</pre>'
    """
    parts = source.split("<pre")
    lines = ["\n".join(line.lstrip(" ") for line in parts[0].split("\n"))]
    for part in parts[1:]:
        inside, end, after = part.partition("</pre>")
        lines.append(inside + end + "\n".join(line.lstrip(" ") for line in after.split("\n")))
    return "<pre".join(lines)


@functools.cache
def environment(*, is_lean: bool = False) -> Environment:
    """Autoescape is on everywhere, and an unknown name in a template is an error. is_lean: whether the pages shall take
    little room."""
    folder = resources() / "templates"
    loader = _Lean if is_lean else _WithoutIndentation
    env = Environment(
        loader=loader([folder, folder / "mkdocs"]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    env.filters.update(FILTERS)
    env.globals["names"] = PANEL_NAMES
    env.globals["policy"] = POLICY
    return env


def render_template(name: str, *records: DataclassInstance | Mapping[str, object]) -> str:
    """The template with the records' fields as its variables. No two records may have a field of the same name; the
    entries of a mapping replace fields."""
    variables: dict[str, object] = {}
    for record in records:
        fields = record if isinstance(record, Mapping) else _fields(record)
        if not isinstance(record, Mapping) and (twice := variables.keys() & fields.keys()):
            raise TypeError(f"{name} is given twice: {', '.join(sorted(twice))}")
        variables.update(fields)
    is_lean = name in LEAN_PAGES
    page = environment(is_lean=is_lean).get_template(name).render(variables)
    return lean_page(page) if is_lean else page


def _fields(record: DataclassInstance) -> dict[str, object]:
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
