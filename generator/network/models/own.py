"""Networks of your own: `path/to/file.py:name`, `package.module:name`, and those that installed packages offer as
entry points of the group `residual_atlas.models`.

A name stands for a callable that returns a module (a function or a class), for a module, or for a `Model`. Where the
callable has a parameter for the number of outputs, and --arg does not give it, the number is that of the weights."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from generator.core.errors import AtlasError
from generator.core.input_paths import split_model
from generator.network.models.model import IMAGENET, Model
from generator.network.models.own_module import BUILT_IN, GIVEN, GivenModule
from generator.network.models.own_source import OwnSource, entry_points_offered, find_source
from generator.network.user_code import exception_words, sentence_about

# Parameters that hold the number of outputs. Those of the second kind may mean something else (the n of 6n + 2 layers):
# they are filled only where the callable has no value of its own for them.
_OUTPUTS = ("num_classes", "n_classes", "nb_classes", "nclasses", "num_outputs", "n_outputs", "num_labels")
_PERHAPS_OUTPUTS = ("n", "classes", "outputs", "labels", "out_features", "out_dim")
_TRIALS = (10, 11)  # numbers of outputs with which a callable is tried
_USUAL = 1000


def is_own(name: str) -> bool:
    """Whether a model's name says where its callable is, or is a package's entry point."""
    return name.endswith(".py") or split_model(name)[1] != "" or name in entry_points_offered()


def names() -> tuple[str, ...]:
    """The models that installed packages offer."""
    return tuple(sorted(entry_points_offered()))


def find(name: str, arguments: Mapping[str, Any], classes: int | None = None) -> Model:
    """The model behind such a name, called with these arguments; classes: the number of outputs where neither the
    weights nor the callable say it.

    Raises AtlasError where there is no such file, module or name, where the file raises an error, for arguments that
    are missing or unknown, and for a callable that returns no module.
    """
    source = find_source(name)
    with source.imports():
        thing = source.look_up()
    if isinstance(thing, Model):
        return with_arguments(replace(thing, name=source.public), arguments)
    return _model(source, thing, arguments, classes)


def of_module(module: nn.Module) -> Model:
    """The model of a module that is given in Python."""
    return _entry(type(module).__name__, "a module given in Python", GivenModule(module, GIVEN))


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


# -- what a name stands for --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Builder:
    """Calls a callable. counts: its parameter for the number of outputs, '' for none."""

    source: OwnSource
    function: Callable[..., Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    counts: str = ""

    def __call__(self, outputs: int) -> nn.Module:
        arguments = {**self.arguments, **({self.counts: outputs} if self.counts else {})}
        path = Path(self.source.where) if self.source.where.endswith(".py") else None
        what = f"{self.source.name} cannot be called"
        with self.source.imports(), sentence_about(path, what, self.source.public):
            result = self.function(**arguments)
        if not isinstance(result, nn.Module):
            kind = type(result).__name__
            raise AtlasError(
                f"{self.source.name} returns {_article(kind)}, not a torch.nn.Module",
                self.source.where,
                "name a function or class that returns the network alone",
            )
        return result


def _model(source: OwnSource, thing: Any, arguments: Mapping[str, Any], classes: int | None) -> Model:
    text = f"{source.name} of {source.public.partition(':')[0]}"
    if isinstance(thing, nn.Module):
        if arguments:
            raise AtlasError(
                f"{source.name} is a network already and takes no arguments", source.where, "leave out --arg"
            )
        return _entry(source.public, text, GivenModule(thing, BUILT_IN))
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


def _check(
    source: OwnSource, signature: inspect.Signature, arguments: Mapping[str, Any], counts: str
) -> None:
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


def _article(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
