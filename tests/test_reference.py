"""The reference page: every public name, from the source, with nothing to run."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import generator
from generator.site.reference import PUBLIC, reference

ROOT = Path(__file__).resolve().parent.parent


def test_every_public_room_has_its_section_and_its_names() -> None:
    text = reference()
    for room in PUBLIC:
        assert f"## generator.{room} {{#{room.replace('.', '-')}}}" in text
    for name in (
        "compute",
        "verify",
        "load",
        "Store",
        "Manifest",
        "UnitGradients",
        "render_site",
        "AtlasError",
    ):
        assert f"### {name} {{#" in text
    assert (
        "compute(profile: Profile, folder: Path, reporter: Reporter | None=None, *, dry_run: bool=False"
        in text
    )


def test_what_is_public_is_documented_and_typed() -> None:
    for room in PUBLIC:
        path = ROOT / "generator" / (room.replace(".", "/") + ".py")
        path = path if path.is_file() else ROOT / "generator" / room.replace(".", "/") / "__init__.py"
        tree = ast.parse(path.read_text("utf-8"))
        assert ast.get_docstring(tree), room
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                assert node.returns is not None, f"{room}.{node.name}"
                assert all(argument.annotation for argument in (*node.args.args, *node.args.kwonlyargs))
    assert (ROOT / "generator" / "py.typed").is_file()


def test_docstrings_stay_text(tmp_path: Path) -> None:
    for room in PUBLIC:
        path = tmp_path / (room.replace(".", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            '"""<script>x</script> and `<b>`."""\ndef f(a: "list[<i>]" = "</code>") -> int:\n    """<img>"""\n'
        )
    text = reference(tmp_path)
    assert "<script>" not in text and "<img>" not in text and "<b>" not in text and "</code>'" not in text


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
