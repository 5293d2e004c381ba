"""Networks of your own: `path/to/file.py:name`, `package.module:name`, and those that installed packages offer as
entry points of the group `residual_atlas.models`.

A name stands for a callable that returns a module (a function or a class), for a module, or for a `Model`. Where the
callable has a parameter for the number of outputs, and --arg does not give it, the number is that of the weights."""

from __future__ import annotations

import contextlib
import difflib
import functools
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import torch
from torch import nn

from generator.core.errors import AtlasError
from generator.core.input_paths import split_model
from generator.core.records import Preprocessing, Size, size_words
from generator.network.copying import copied
from generator.network.models.model import IMAGENET, Model
from generator.network.user_code import exception_words, place_of

GROUP = "residual_atlas.models"
BUILT_IN, GIVEN = (
    "built-in",
    "given in Python",
)  # where a network's numbers are from, if from no file of weights

# Parameters that hold the number of outputs. Those of the second kind may mean something else (the n of 6n + 2 layers):
# they are filled only where the callable has no value of its own for them.
_OUTPUTS = ("num_classes", "n_classes", "nb_classes", "nclasses", "num_outputs", "n_outputs", "num_labels")
_PERHAPS_OUTPUTS = ("n", "classes", "outputs", "labels", "out_features", "out_dim")
_TRIALS = (10, 11)  # numbers of outputs with which a callable is tried
_USUAL = 1000
_SIDES = (
    28,
    32,
    64,
    96,
    128,
    160,
    192,
    224,
    256,
    299,
    384,
    448,
    512,
)  # px, tried where a network refuses another


def is_own(name: str) -> bool:
    """Whether a model's name says where its callable is, or is a package's entry point."""
    return name.endswith(".py") or split_model(name)[1] != "" or name in _entry_points()


def names() -> tuple[str, ...]:
    """The models that installed packages offer."""
    return tuple(sorted(_entry_points()))


def find(name: str, arguments: Mapping[str, Any], classes: int | None = None) -> Model:
    """The model behind such a name, called with these arguments; classes: the number of outputs where neither the
    weights nor the callable say it.

    Raises AtlasError where there is no such file, module or name, where the file raises an error, for arguments that
    are missing or unknown, and for a callable that returns no module.
    """
    source = _source(name)
    with source.imports():
        thing = source.look_up()
    if isinstance(thing, Model):
        return with_arguments(replace(thing, name=source.public), arguments)
    return _model(source, thing, arguments, classes)


def of_module(module: nn.Module) -> Model:
    """The model of a module that is given in Python."""
    return _entry(type(module).__name__, "a module given in Python", _Given(module, GIVEN))


def as_built(model: Model) -> tuple[nn.Module, str]:
    """Your own module with its own numbers, and where these are from; raises AtlasError where they are random: where
    another seed gives other numbers."""
    if isinstance(model.build, _Given):
        return own_copy(model.build(model.outputs)), model.build.source
    with seeded(0):
        module: nn.Module = model.build(model.outputs)
    with seeded(1):
        again = model.build(model.outputs).state_dict()
    if any(not torch.equal(tensor, again[name]) for name, tensor in module.state_dict().items()):
        raise AtlasError(
            f"{model.name} has random numbers: its function loads no weights",
            remedy="bring a file with --weights, or say --weights random",
        )
    return module, BUILT_IN


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's random numbers begin with this seed, and afterwards go on as before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def own_copy(module: nn.Module) -> nn.Module:
    """A module with tensors of its own, in float32 on the CPU: what is done to one does not change the other."""

    def own(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to("cpu", torch.float32 if tensor.is_floating_point() else None, copy=True)

    return copied(module, own)


@contextlib.contextmanager
def other_sizes(model: Model, module: nn.Module, preprocessing: Preprocessing) -> Iterator[None]:
    """Where your own network cannot be read at a size of pictures, the error names sizes that it takes."""
    try:
        yield
    except AtlasError as error:
        if not model.is_own or _takes(module, preprocessing.channels, preprocessing.size):
            raise
        sides = [side for side in _SIDES if _takes(module, preprocessing.channels, (side, side))]
        if not sides:
            raise
        said = ", ".join(map(str, sides[:-1])) + (" or " if sides[1:] else "") + str(sides[-1])
        raise AtlasError(
            f"the network does not take pictures of {size_words(preprocessing.size)}",
            model.name,
            f"say their size; it takes --crop {said}",
        ) from error


def _takes(module: nn.Module, channels: int, size: Size) -> bool:
    training = [part for part in module.modules() if part.training]
    try:
        with torch.no_grad():
            module.eval()(torch.zeros(1, channels, *size))
    except Exception:  # whatever the network raises
        return False
    finally:
        for part in training:
            part.training = True
    return True


def with_arguments(model: Model, arguments: Mapping[str, Any]) -> Model:
    """A model of the list whose builder is called with further arguments, under a name that says so."""
    if not arguments:
        return model
    rest = dict(arguments)
    outputs = rest.pop("num_classes", model.outputs)
    if not isinstance(outputs, int) or outputs < 1:
        raise AtlasError(
            "num_classes is no number of classes", str(outputs), "give a whole number, 1 or more"
        )
    fixed = outputs if "num_classes" in arguments else None
    name = f"{model.name}({_said(arguments)})"
    build = functools.partial(_built_with, model, rest, fixed)
    return replace(model, name=name, build=build, outputs=outputs, parameters=0)


def _built_with(model: Model, arguments: Mapping[str, Any], fixed: int | None, outputs: int) -> nn.Module:
    try:
        return model.build(outputs if fixed is None else fixed, **arguments)
    except Exception as error:  # every builder checks its arguments in its own way
        raise AtlasError(
            f"{model.name} cannot be built with these arguments ({exception_words(error)})",
            _said(arguments),
            "change what --arg gives",
        ) from error


def _said(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in arguments.items())


def _entry(name: str, text: str, build: Callable[[int], nn.Module], **fields: Any) -> Model:
    return Model(name, text, build, None, replace(IMAGENET, source=""), is_own=True, **fields)


@dataclass(frozen=True)
class _Given:
    """Builds a network that is there already."""

    module: nn.Module
    source: str

    def __call__(self, outputs: int) -> nn.Module:
        return self.module


# -- where it is -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Source:
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
                raise AtlasError(f"there is no {self.name}", self.where, _near(self.name, _offers(thing)))
            thing = getattr(thing, part)
        return thing


_PRIVATE = "_residual_atlas_own_"


def _source(name: str) -> _Source:
    if name in _entry_points():
        entry = _entry_points()[name]
        return _Source(
            entry.attr or "", name, entry.value, Path.cwd(), functools.partial(_import, entry.module)
        )
    where, attribute = split_model(name)
    if where.endswith(".py"):
        path = Path(where).expanduser()
        if not path.is_file():
            raise AtlasError("no such file of a network", where, "check the path")
        if not attribute:
            source = _Source("", "", where, path.absolute().parent, functools.partial(_run, path))
            with source.imports():
                offers = _near("", _offers(source.load()))
            raise AtlasError(
                "the name of the network in the file is missing", where, f"say {path.name}:NAME; {offers}"
            )
        load = functools.partial(_run, path)
        return _Source(attribute, f"{path.name}:{attribute}", where, path.absolute().parent, load)
    return _Source(attribute, name, where, Path.cwd(), functools.partial(_import, where))


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
    with _sentence(path, "the network's file cannot be run"):
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
        raise _error("the network's package cannot be imported", error, None, name) from error


@functools.cache
def _entry_points() -> dict[str, EntryPoint]:
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


def _near(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3)
    if near:
        return f"did you mean {' or '.join(near)}?"
    shown = ", ".join(known[:12]) + (" and more" if len(known) > 12 else "")
    return f"it has {shown}" if known else "it has no function and no class"


# -- what it is --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Builder:
    """Calls a callable. counts: its parameter for the number of outputs, '' for none."""

    source: _Source
    function: Callable[..., Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    counts: str = ""

    def __call__(self, outputs: int) -> nn.Module:
        arguments = {**self.arguments, **({self.counts: outputs} if self.counts else {})}
        path = Path(self.source.where) if self.source.where.endswith(".py") else None
        what = f"{self.source.name} cannot be called"
        with self.source.imports(), _sentence(path, what, self.source.public):
            result = self.function(**arguments)
        if not isinstance(result, nn.Module):
            kind = type(result).__name__
            raise AtlasError(
                f"{self.source.name} returns {_article(kind)}, not a torch.nn.Module",
                self.source.where,
                "name a function or class that returns the network alone",
            )
        return result


def _model(source: _Source, thing: Any, arguments: Mapping[str, Any], classes: int | None) -> Model:
    text = f"{source.name} of {source.public.partition(':')[0]}"
    if isinstance(thing, nn.Module):
        if arguments:
            raise AtlasError(
                f"{source.name} is a network already and takes no arguments", source.where, "leave out --arg"
            )
        return _entry(source.public, text, _Given(thing, BUILT_IN))
    if not callable(thing):
        raise AtlasError(
            f"{source.name} is {_article(type(thing).__name__)}, not a function, a class or a torch.nn.Module",
            source.where,
            "name one that returns the network",
        )
    signature = _signature(thing)
    counts = "" if signature is None else _counts(signature, arguments)
    if signature is not None:
        _check(source, signature, arguments, counts)
    public = f"{source.public}({_said(arguments)})" if arguments else source.public
    build = _Builder(source, thing, dict(arguments), counts)
    if not counts or signature is None:
        return _entry(public, text, build)
    own = signature.parameters[counts].default if counts in signature.parameters else None
    head = _head(build, required=own is inspect.Parameter.empty)
    if head is None:
        if own is not inspect.Parameter.empty:
            return _entry(public, text, replace(build, counts=""))
        raise AtlasError(
            f"{source.name} needs {counts}, and that is not its number of outputs",
            source.where,
            f"give it with --arg {counts}=…",
        )
    usual = classes or (own if isinstance(own, int) else _USUAL)
    return _entry(public, text, build, outputs=usual, head=head, counts=counts)


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def _counts(signature: inspect.Signature, arguments: Mapping[str, Any]) -> str:
    """The parameter for the number of outputs that is left to the atlas, '' for none."""
    free = {
        name: parameter
        for name, parameter in signature.parameters.items()
        if name not in arguments
        and parameter.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    }
    known = [name for name in free if name in _OUTPUTS]
    perhaps = [
        name
        for name, parameter in free.items()
        if name in _PERHAPS_OUTPUTS and parameter.default is inspect.Parameter.empty
    ]
    passes_on = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in signature.parameters.values())
    return next(
        iter([*known, *perhaps, *([_OUTPUTS[0]] if passes_on and _OUTPUTS[0] not in arguments else [])]), ""
    )


def _check(source: _Source, signature: inspect.Signature, arguments: Mapping[str, Any], counts: str) -> None:
    """Raises AtlasError for an argument that is unknown or missing."""
    parameters = signature.parameters
    taken = [
        name
        for name, parameter in parameters.items()
        if parameter.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    ]
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    for name in arguments:
        if name not in taken and not takes_any:
            near = difflib.get_close_matches(name, taken, n=1)
            takes = f"it takes {', '.join(taken)}" if taken else "it takes none"
            raise AtlasError(
                f"{source.name} has no argument {name}",
                source.where,
                f"did you mean {near[0]}?" if near else takes,
            )
    given = {*arguments, counts}
    missing = [
        name for name in taken if name not in given and parameters[name].default is inspect.Parameter.empty
    ]
    positional = [
        name
        for name, parameter in parameters.items()
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY
        and parameter.default is inspect.Parameter.empty
    ]
    if positional:
        raise AtlasError(
            f"{source.name} takes {', '.join(positional)} by position alone",
            source.where,
            "write a function around it that can be called by names",
        )
    if missing:
        raise AtlasError(
            f"{source.name} needs {', '.join(missing)}",
            source.where,
            "give " + " ".join(f"--arg {name}=…" for name in missing),
        )


def _head(build: _Builder, *, required: bool) -> str | None:
    """The weight whose first side is the number of outputs: the one that changes with it. None where none does, and
    where the callable does not take the number that it does not require."""
    try:
        first, second = (
            {name: tuple(tensor.shape) for name, tensor in _light(build, number).state_dict().items()}
            for number in _TRIALS
        )
    except AtlasError:
        if required:
            raise
        return None
    changing = [
        name
        for name, shape in first.items()
        if len(shape) in (2, 4) and shape[0] == _TRIALS[0] and second.get(name, (0,))[0] == _TRIALS[1]
    ]
    return changing[-1] if changing else None


def _light(build: _Builder, outputs: int) -> nn.Module:
    """The module on the meta device, which is quick; with numbers where it cannot be built without."""
    try:
        with torch.device("meta"):
            return build(outputs)
    except AtlasError:
        return build(outputs)


# -- errors in what the user wrote -------------------------------------------------------------------------------------


@contextlib.contextmanager
def _sentence(path: Path | None, what: str, where: str = "") -> Iterator[None]:
    try:
        yield
    except AtlasError:
        raise
    except (Exception, SystemExit) as error:
        raise _error(what, error, path, where) from error


def _error(what: str, error: BaseException, path: Path | None, where: str) -> AtlasError:
    """One sentence: what failed, the exception, and the file and line it came from."""
    return AtlasError(
        f"{what} ({exception_words(error)})", place_of(error, path) or where, "correct it there"
    )


def _article(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
