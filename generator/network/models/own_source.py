"""Where a network of your own is: a file, a Python package, or an installed package's entry point."""

from __future__ import annotations

import contextlib
import difflib
import functools
import hashlib
import importlib
import importlib.util
import os
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from torch import nn

from generator.core.errors import AtlasError
from generator.core.input_paths import split_model
from generator.network.user_code import error_in, sentence_about

GROUP = "residual_atlas.models"


@dataclass(frozen=True)
class OwnSource:
    """Where a callable is. name: of the callable, dots allowed; public: how pages call the model; where: the file or
    module, for messages; folder: what is put on sys.path meanwhile; load: gives the Python module."""

    name: str
    public: str
    where: str
    folder: Path
    load: Callable[[], Any]

    @contextlib.contextmanager
    def imports(self) -> Iterator[None]:
        """Python's search path begins with the source's folder; modules that lie there are forgotten afterwards, so
        that the next source finds its own of that name, and a changed file is read again."""
        before = set(sys.modules)
        writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        sys.path.insert(0, str(self.folder))
        importlib.invalidate_caches()
        try:
            yield
        finally:
            sys.path.remove(str(self.folder))
            sys.dont_write_bytecode = writes
            for name in set(sys.modules) - before:
                file = getattr(sys.modules[name], "__file__", None)
                if file and Path(file).is_relative_to(self.folder) and not name.startswith(_PRIVATE):
                    del sys.modules[name]

    def look_up(self) -> Any:
        """What the name stands for; raises AtlasError where there is nothing of that name."""
        thing = self.load()
        for part in self.name.split("."):
            if not hasattr(thing, part):
                raise AtlasError(
                    f"there is no {self.name}", self.where, near_names(self.name, _offers(thing))
                )
            thing = getattr(thing, part)
        return thing


_PRIVATE = "_residual_atlas_own_"


def find_source(name: str) -> OwnSource:
    """Where a network of the user's own comes from, by an entry point's name, `file.py:Name` or `module:Name`. Raises
    AtlasError where there is no such file, or it is given without a name."""
    if name in entry_points_offered():
        entry = entry_points_offered()[name]
        return OwnSource(
            entry.attr or "", name, entry.value, Path.cwd(), functools.partial(_import, entry.module)
        )
    where, attribute = split_model(name)
    if where.endswith(".py"):
        path = Path(where).expanduser()
        if not path.is_file():
            raise AtlasError("no such file of a network", where, "check the path")
        if not attribute:
            source = OwnSource("", "", where, path.absolute().parent, functools.partial(_run, path))
            with source.imports():
                offers = near_names("", _offers(source.load()))
            raise AtlasError(
                "the name of the network in the file is missing", where, f"say {path.name}:NAME; {offers}"
            )
        load = functools.partial(_run, path)
        return OwnSource(attribute, f"{path.name}:{attribute}", where, path.absolute().parent, load)
    return OwnSource(attribute, name, where, Path.cwd(), functools.partial(_import, where))


def _run(path: Path) -> types.ModuleType:
    """A file as a module under a name of its own, read again each time."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise AtlasError(f"the network's file cannot be read ({error.strerror})", path) from error
    name = _PRIVATE + hashlib.sha256(os.fsencode(path.absolute()) + b"\0" + text).hexdigest()[:16]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look there
    with sentence_about(path, "the network's file cannot be run"):
        exec(compile(text, str(path), "exec"), module.__dict__)
    return module


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
            raise AtlasError(
                f"the package {error.name} is missing, which {name} imports", name, "install it"
            ) from error
        raise AtlasError(
            "there is no such Python package",
            name,
            "install it, or give the path of a file that ends in .py",
        ) from error
    except Exception as error:
        raise error_in("the network's package cannot be imported", error, None, name) from error


@functools.cache
def entry_points_offered() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _offers(thing: Any) -> list[str]:
    """The callables and modules of a file, package or class that are its own."""
    root = str(getattr(thing, "__name__", "")).partition(".")[0]
    return [
        name
        for name, value in vars(thing).items()
        if not name.startswith("_")
        and (
            isinstance(value, nn.Module)
            or (callable(value) and str(getattr(value, "__module__", root)).partition(".")[0] == root)
        )
    ]


def near_names(name: str, known: list[str]) -> str:
    """A remedy for a name that is not among the known ones."""
    near = difflib.get_close_matches(name, known, n=3)
    if near:
        return f"did you mean {' or '.join(near)}?"
    shown = ", ".join(known[:12]) + (" and more" if len(known) > 12 else "")
    return f"it has {shown}" if known else "it has no function and no class"
