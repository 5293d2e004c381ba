"""What to say of an error in code that is not the package's: the exception in a few words, and where it came from."""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Iterator
from pathlib import Path

import torch

from generator.core.errors import AtlasError

# Where no code of the user's lies: torch, Python's own library, this package, and code that is in no file.
_LIBRARIES = (*map(os.path.dirname, (torch.__file__, os.__file__, str(Path(__file__).parent))), "<")


def exception_words(error: BaseException) -> str:
    """The exception's kind and the first line of its message that says something, shortened."""
    if isinstance(error, SystemExit):
        return "it ends the program"
    message = str(error.msg if isinstance(error, SyntaxError) else error)
    text = next((line.strip() for line in message.splitlines() if line.strip()), "")
    text = text if len(text) <= 160 else text[:159] + "…"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def place_of(error: BaseException, path: Path | None = None) -> str:
    """The file and line that an error came from, '' where it came from libraries alone; path: the file that is meant,
    if it is one of those on the way."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    meant = [frame for frame in frames if path is not None and frame.filename == str(path)]
    own = meant or [frame for frame in frames if not frame.filename.startswith(_LIBRARIES)]
    return f"{own[-1].filename}, line {own[-1].lineno}" if own else ""


@contextlib.contextmanager
def sentence_about(path: Path | None, what: str, where: str = "") -> Iterator[None]:
    """Whatever the user's code raises inside becomes one sentence; path: its file; where: the place, if the error names
    none."""
    try:
        yield
    except AtlasError:
        raise
    except (Exception, SystemExit) as error:
        raise error_in(what, error, path, where) from error


def error_in(what: str, error: BaseException, path: Path | None, where: str) -> AtlasError:
    """One sentence: what failed, the exception, and the file and line it came from."""
    return AtlasError(
        f"{what} ({exception_words(error)})", place_of(error, path) or where, "correct it there"
    )
