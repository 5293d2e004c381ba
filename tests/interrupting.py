"""What tests of interrupted runs share: ways to stop and to disturb one, what it did, and the bytes to compare at its
end."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

from generator.core.progress import Reporter

# Checks of files, and stages that only relate what others found: no picture is read for them.
WITHOUT_PICTURES = frozenset(
    (
        "fingerprints", "checksums", "connections", "classes", "categories", "correspondence", "refinement",
        "labels along the range", "machine scores",
    )
)  # fmt: skip


class Interrupting(Reporter):
    """Stops the job, as Ctrl-C does, after some things of one stage were done."""

    def __init__(self, stage: str, after: int) -> None:
        super().__init__(quiet=True)
        self._stage, self._left = stage, after

    def silent(self):
        return Interrupting(self._stage, self._left)

    @contextmanager
    def stage(self, name, total, unit, done=0):
        with super().stage(name, total, unit, done) as advance:

            def counting(count: int = 1) -> None:
                advance(count)
                if name == self._stage:
                    self._left -= count
                    if self._left <= 0:
                        raise KeyboardInterrupt

            yield counting


class Calling(Reporter):
    """Calls a function when a stage begins."""

    def __init__(self, stage: str, call: Callable[[], object]) -> None:
        super().__init__(quiet=True)
        self._stage, self._call = stage, call

    def silent(self):
        return Calling(self._stage, self._call)

    def stage(self, name, total, unit, done=0):
        if name == self._stage:
            self._call()
        return super().stage(name, total, unit, done)


def stages_at_work(reporter: Reporter) -> set[str]:
    """The stages that did something, those without pictures apart."""
    return {stage.name for stage in reporter.stages if stage.count} - WITHOUT_PICTURES


def file_bytes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of an atlas by its path, the lock apart."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
