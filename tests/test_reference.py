"""The public API: its reference page, which is read from the source, and the documents, which use nothing else."""

from __future__ import annotations

import ast
import dataclasses
import html
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import generator
from generator.site.reference import reference

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [
    ROOT / "README.md",
    *sorted((ROOT / "site_src").rglob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]


def _section(name: str) -> str:
    """The reference's text on one name."""
    (section,) = re.findall(rf"^### {name} {{#.*?(?=^##|\Z)", reference(), re.MULTILINE | re.DOTALL)
    return section


def _text(paragraph: str) -> str:
    return html.unescape(paragraph.replace("<code>", "`").replace("</code>", "`"))


@pytest.mark.parametrize("name", generator.__all__)
def test_a_public_name_stands_on_the_page_with_its_arguments_and_its_docstring(name: str) -> None:
    """Compared with what Python itself says of the imported object."""
    described = getattr(generator, name)
    section = _section(name)
    first = " ".join((inspect.getdoc(described) or "").split("\n\n")[0].split())
    assert first and f"<p>{first}</p>" in _text(section)
    fields = dataclasses.fields(described) if dataclasses.is_dataclass(described) else ()
    expected = [field.name for field in fields if not field.name.startswith("_")] or [
        parameter
        for parameter in getattr(described, "model_fields", None) or inspect.signature(described).parameters
        if parameter != "self"
    ]
    heading = section.split("<code>")[1].split("</code>")[0]
    assert expected and not [argument for argument in expected if not re.search(rf"\b{argument}: ", heading)]


def test_types_of_fields_and_arguments_have_entries_of_their_own_with_inherited_methods() -> None:
    assert 'href="#arrays"' in _section("Store") and "Arrays.layer(layer: str, *products: str)" in _section(
        "Arrays"
    )
    assert "Store.manifest() -&gt; Manifest" in _section("Store")
    assert 'href="#reporter"' in _section("compute")
    links = set(re.findall(r'href="#([^"]*)"', reference()))
    assert links and links <= set(re.findall(r"^###? .* {# ?([^ }]*)", reference(), re.MULTILINE))


def test_what_is_public_is_documented_and_typed() -> None:
    for name in generator.__all__:
        described = getattr(generator, name)
        methods = [described]
        if inspect.isclass(described):
            methods = [
                method
                for name, method in inspect.getmembers(described, inspect.isfunction)
                if not name.startswith("_") and method.__module__.startswith("generator.")
            ]
        for method in methods:
            assert inspect.getdoc(method), method
            signature = inspect.signature(method)
            assert signature.return_annotation is not inspect.Signature.empty, method
            arguments = [value for key, value in signature.parameters.items() if key not in ("self", "cls")]
            assert all(argument.annotation is not inspect.Parameter.empty for argument in arguments), method
    assert (ROOT / "generator" / "py.typed").is_file()


def test_docstrings_stay_text(tmp_path: Path) -> None:
    package = tmp_path / "described"
    package.mkdir()
    (package / "__init__.py").write_text("from described.room import f\n__all__ = ['f']\n")
    (package / "room.py").write_text(
        'def f(a: "list[<i>]" = "</code>") -> int:\n    """<script>x</script>, *a* and `<b>`.\n\n    <img>"""\n'
    )
    text = reference(package)
    assert "&lt;script&gt;x&lt;/script&gt;, *a* and <code>&lt;b&gt;</code>." in text
    assert not [tag for tag in ("<script>", "<img>", "<b>", "<i>") if tag in text]
    assert text.count("</code>") == text.count("<code>")


def _code(document: Path) -> list[str]:
    return re.findall(r"```py(?:thon)?\n(.*?)```", document.read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_document_uses_public_names_alone(document: Path) -> None:
    assert not [use for block in _code(document) for use in _private_uses(block)]


def test_a_private_name_in_a_document_is_found() -> None:
    text = "import generator as atlas\nfrom generator.core import store\nfrom generator import Store, Work\n"
    assert _private_uses(text + "atlas.compute()\natlas.stages.table\n") == [
        "generator.core",
        "Work",
        "stages",
    ]
    assert {document.name for document in DOCUMENTS if "generator" in "".join(_code(document))} == {
        "networks.md",
        "python.md",
    }


def _private_uses(code: str) -> list[str]:
    """What a piece of code takes of the package besides its public names."""
    tree = ast.parse(code)
    uses, called = [], set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "generator":
            private = [alias.name for alias in node.names if alias.name not in generator.__all__]
            uses += private if node.module == "generator" else [str(node.module)]
        elif isinstance(node, ast.Import):
            uses += [alias.name for alias in node.names if alias.name.startswith("generator.")]
            called |= {alias.asname or alias.name for alias in node.names if alias.name == "generator"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in called:
            uses += [node.attr] if node.attr not in generator.__all__ else []
    return uses


def test_the_public_names_are_imported_when_they_are_used() -> None:
    code = (
        "import sys, generator\n"
        "assert 'torch' not in sys.modules\n"
        "from generator import AtlasError, Store, load_profile, render_site\n"
        "assert load_profile('demo').name == 'demo' and 'torch' not in sys.modules\n"
        "for name in generator.__all__: assert getattr(generator, name).__name__ in (name, 'load'), name\n"
        "assert set(generator.__all__) <= set(dir(generator))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_guide_names_every_public_name() -> None:
    text = (ROOT / "site_src/guide/python.md").read_text("utf-8")
    assert not [name for name in generator.__all__ if f"`{name}`" not in text]


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        generator.nothing  # noqa: B018
