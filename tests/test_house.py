"""The house is as CONTRIBUTING draws it: eight rooms, each with its description, and the imports that the contracts in
pyproject.toml allow (`lint-imports`, in `make lint`)."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

GENERATOR = Path(__file__).resolve().parent.parent / "generator"
ROOMS = {"core", "pictures", "network", "engine", "methods", "stages", "site", "experiments"}


def _packages() -> list[Path]:
    return sorted(path.parent for path in GENERATOR.rglob("__init__.py") if "_resources" not in path.parts)


def test_there_are_eight_rooms_and_the_two_doors():
    packages = {path.name for path in GENERATOR.iterdir() if (path / "__init__.py").is_file()}
    assert packages == ROOMS
    assert {path.name for path in GENERATOR.glob("*.py")} == {"__init__.py", "__main__.py"}


def test_every_room_says_what_lives_in_it():
    undescribed = [
        str(package.relative_to(GENERATOR))
        for package in _packages()
        if len(ast.get_docstring(ast.parse((package / "__init__.py").read_text("utf-8"))) or "") < 40
    ]
    assert not undescribed


def test_no_folder_with_code_lacks_its_init():
    folders = {path.parent for path in GENERATOR.rglob("*.py") if "_resources" not in path.parts}
    assert folders == set(_packages())


def test_contributing_draws_every_room():
    text = (GENERATOR.parent / "CONTRIBUTING.md").read_text("utf-8")
    assert not [room for room in ROOMS if f"{room}/" not in text]


def test_the_imports_keep_the_contracts():
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter], cwd=GENERATOR.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_site_part_imports_no_torch():
    parts = [
        "core.store",
        "site.render",
        "site.links",
        "site.explanation_page",
        "stages.profile",
        "stages.sprite_encoding",
        "__main__",
    ]
    code = (
        f"import sys\nfor part in {parts}: __import__('generator.' + part)\nsys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_needs_no_torch_can_be_imported_where_there_is_no_posix():
    """As on Windows, as far as imports go."""
    parts = [
        "core.store", "core.processes", "pictures.batches", "pictures.drawn.gallery", "pictures.drawn.scales",
        "site.render", "site.links", "site.explanation_page", "stages.profile", "stages.sprite_encoding", "__main__",
    ]  # fmt: skip
    posix_only = ["fcntl", "resource", "pwd", "grp", "termios", "posix_ipc", "_posixshmem"]
    code = f"""
import sys
for name in {posix_only}:
    sys.modules[name] = None
for part in {parts}:
    __import__("generator." + part)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# -- tests that could not fail -----------------------------------------------------------------------------------------


def _never_fails(code: str) -> list[str]:
    """Assertions of a test file that hold whatever the code under test does: comparisons of a thing with itself,
    constants, and those in a loop over whatever files there are, which may be none."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Assert):
            for part in ast.walk(node.test):
                if isinstance(part, ast.Compare) and len(part.ops) == 1:
                    sides = [ast.unparse(side) for side in (part.left, part.comparators[0])]
                    if sides[0] == sides[1]:
                        found.append(f"{node.lineno}: compares {sides[0]} with itself")
            ends = node.test.values if isinstance(node.test, ast.BoolOp) else [node.test]
            if any(
                isinstance(end, ast.Constant | ast.Tuple | ast.List | ast.Dict) and _is_true(end)
                for end in ends
            ):
                found.append(f"{node.lineno}: asserts a constant")
            every = [part for part in ast.walk(node.test) if _is_call(part, "all") and part.args]
            loops = [
                part.args[0].generators[0] for part in every if isinstance(part.args[0], ast.GeneratorExp)
            ]
        elif isinstance(node, ast.For) and any(isinstance(part, ast.Assert) for part in ast.walk(node)):
            loops = [node]
        else:
            continue
        for loop in loops:
            called = loop.iter.args[0] if _is_call(loop.iter, "sorted") else loop.iter
            if _is_call(called, "glob", "rglob", "iterdir"):
                found.append(f"{node.lineno}: loops over {ast.unparse(called)}, which may be empty")
    return found


def _is_call(node: ast.AST, *names: str) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in names


def _is_true(node: ast.AST) -> bool:
    return bool(node.value) if isinstance(node, ast.Constant) else True


def test_tests_can_fail():
    tests = sorted(Path(__file__).parent.glob("test_*.py"))
    assert len(tests) > 50
    assert [f"{path.name}:{line}" for path in tests for line in _never_fails(path.read_text("utf-8"))] == []


def test_what_cannot_fail_is_found():
    assert (
        _never_fails("assert f(1) == f(1)")
        and _never_fails("assert x or 1")
        and _never_fails("assert (x, 'why')")
    )
    assert _never_fails("for page in site.rglob('*'):\n    assert page.read_text()")
    assert _never_fails("for page in sorted(site.glob('*')):\n    assert page.read_text()")
    assert _never_fails("assert all(page.read_text() for page in site.glob('*'))")
    assert not _never_fails("assert f(1) == f(2)\nfor page in some(site.glob('*')):\n    assert page")
