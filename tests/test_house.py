"""The rooms keep to their floors: imports point downward only, as the table says."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

GENERATOR = Path(__file__).resolve().parent.parent / "generator"

# Which rooms of this house a room may import. Numbers below, the site and the stages above.
NO_TORCH: dict[str, set[str]] = {
    "errors": set(),
    "profile": {"errors", "head"},
    "head": {"errors"},
    "places": set(),
    "records": {"errors", "head"},
    "files": {"errors"},
    "checksums": {"errors"},
    "processes": {"errors"},
    "decoding": {"records"},
    "batches": {"decoding", "processes", "records"},
    "store": {"records", "errors", "files", "checksums", "places"},
    "sprites": set(),
    "blueprint": {"errors"},
    "progress": set(),
    "hierarchy": {"errors"},
    "formats": set(),
    "labels": {"errors", "formats", "hierarchy", "labels"},
    "matching": {"records"},
    "compiled": {"spread_loop"},
    "spread_loop": set(),
}
TORCH: dict[str, set[str]] = {
    "device": {"errors"},
    "ranks": set(),
    "graph": {"errors"},
    "receptive_field": {"graph", "records"},
    "residual": {"graph"},
    "network": {"graph", "head", "receptive_field", "records", "residual", "errors"},
    "architecture": {"blueprint", "errors", "graph", "network", "receptive_field"},
    "weights": {"checksums", "errors", "records"},
    "pictures": {"batches", "formats", "labels", "records", "errors"},
    "top_units": {"compiled", "records", "errors"},
    "moments": {"compiled", "errors", "records"},
    "scan": {"network", "pictures", "top_units", "moments", "records", "errors", "graph"},
    "features": {"network", "scan"},
    "centre_tops": {"records"},
    "stream": {"centre_tops", "errors", "moments", "network", "residual"},
    "cones": {"graph", "errors"},
    "switches": {"graph", "network", "errors", "cones", "records"},
    "forwards": {"network", "switches"},
    "sparse": {"compiled", "graph"},
    "transposed": {"graph", "errors", "cones", "sparse"},
    "descent": {"compiled", "cones", "graph", "switches", "transposed", "errors"},
    "unit_gradients": {
        "network",
        "cones",
        "sparse",
        "switches",
        "transposed",
        "descent",
        "graph",
        "errors",
        "records",
    },
    "cone_walk": {"graph", "errors", "cones", "transposed"},
    "transforms": set(),
    "parametrisations": set(),
    "regularisers": set(),
    "explaining": {"cone_walk", "decoding", "errors", "head", "network", "records", "sprites"},
    "ascent": {"network", "cone_walk", "transforms", "parametrisations", "regularisers", "errors"},
}
FIRST_FLOORS = {*NO_TORCH, *TORCH}
SITE: dict[str, set[str]] = {}  # filled below: the site's rooms may import each other and these
SITE_ROOMS = (
    "citation",
    "class_names",
    "measures",
    "finder",
    "home",
    "links",
    "narrative",
    "reference",
    "pages",
    "render",
    "synthetic",
    "explanation_page",
    "relations",
    "figures",
    "chapters",
)
for room in SITE_ROOMS:
    SITE[room] = {"errors", "processes", "records", "store", "files", "blueprint", "matching", *SITE_ROOMS}
SITE["explanation_page"] |= {"head", "sprites"}
GALLERIES: dict[str, set[str]] = {
    "models": {"checksums", "network", "graph", "head", "records", "errors", "weights", "models"},
    "methods": {*FIRST_FLOORS, "methods"} - {"profile", "store", "files", "progress", "ranks"},
    "demo": {*FIRST_FLOORS, "demo", "models"},
    "reference_networks": {"models", "architecture", "blueprint"},
    "experiments": {*FIRST_FLOORS, "demo", "methods", "models", "experiments"},
}
UPPER: dict[str, set[str]] = {
    "stages": {*FIRST_FLOORS, *GALLERIES, "stages"},
    "pipeline": {*FIRST_FLOORS, *GALLERIES, "stages"},
    "studies": {*FIRST_FLOORS, *GALLERIES, "pipeline"},
    "verify": {*FIRST_FLOORS, *GALLERIES, "stages"},
    "__main__": {"errors"},
}
TABLE = {**NO_TORCH, **TORCH, **SITE, **GALLERIES, **UPPER}


def _room(path: Path) -> str:
    return path.relative_to(GENERATOR).parts[0].removesuffix(".py")


def _imports(path: Path, *, everywhere: bool) -> set[str]:
    """The rooms that a file imports; at its top alone, or inside functions too."""
    tree = ast.parse(path.read_text("utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "generator":
            found.update(alias.name for alias in node.names if alias.name != "__version__")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("generator."):
            found.add((node.module or "").split(".")[1])
        elif isinstance(node, ast.Import):
            found.update(
                alias.name.split(".")[1] for alias in node.names if alias.name.startswith("generator.")
            )
    return found


FILES = sorted(
    path
    for path in GENERATOR.rglob("*.py")
    if path != GENERATOR / "__init__.py" and "_resources" not in path.parts
)


def test_a_room_imports_only_what_its_floor_allows():
    assert len(FILES) > 100
    violations = []
    for path in FILES:
        room, name = _room(path), path.relative_to(GENERATOR)
        if room not in TABLE:
            violations.append(f"{name}: {room} stands in no floor of the table")
            continue
        # The roof imports floors inside its commands, so that `atlas --help` is quick.
        above = _imports(path, everywhere=room != "__main__") - TABLE[room]
        violations += [f"{name} imports {other}" for other in sorted(above)]
    assert violations == []


def test_the_imports_of_a_file_are_found(tmp_path):
    path = tmp_path / "room.py"
    path.write_text(
        "import generator.scan\nfrom generator import errors, __version__\nfrom generator.demo.world import CLASSES\n"
        "def late():\n    from generator import render\n"
    )
    assert _imports(path, everywhere=False) == {"scan", "errors", "demo"}
    assert _imports(path, everywhere=True) == {"scan", "errors", "demo", "render"}


def test_the_site_part_imports_no_torch():
    rooms = [*NO_TORCH, *SITE_ROOMS, "__main__", "stages.sprite_making"]
    code = (
        f"import sys\nfor room in {rooms}: __import__('generator.' + room)\nsys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


POSIX_ONLY = ["fcntl", "resource", "pwd", "grp", "termios", "posix_ipc", "_posixshmem"]


def test_what_needs_no_torch_can_be_imported_where_there_is_no_posix():
    """As on Windows, as far as imports go."""
    rooms = [*NO_TORCH, *SITE_ROOMS, "__main__", "stages.sprite_making", "demo.gallery", "demo.scales"]
    rooms.remove("spread_loop")  # for numba alone
    code = f"""
import sys
for name in {POSIX_ONLY}:
    sys.modules[name] = None
for room in {rooms}:
    __import__("generator." + room)
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
        if isinstance(node, ast.For) and any(isinstance(part, ast.Assert) for part in ast.walk(node)):
            called = node.iter.args[0] if _is_call(node.iter, "sorted") else node.iter
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
    assert not _never_fails("assert f(1) == f(2)\nfor page in some(site.glob('*')):\n    assert page")
