"""The reference page: every public name, from the source, with nothing to run."""

from __future__ import annotations

import ast
from pathlib import Path

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
