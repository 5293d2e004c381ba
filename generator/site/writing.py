"""The folder of a site, and what is written into it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from generator.core.errors import AtlasError
from generator.core.files import disk_error
from generator.site.frame import frame_of, shared_frame
from generator.site.reading.atlas import Atlas
from generator.site.reading.comparison import NetworkComparison, comparable, compare
from generator.site.templates import render_template

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

MARKER = ".residual-atlas"  # lies in every site that this program wrote: only there may it remove files


@dataclass
class SiteReport:
    """What was done to a site. written, unchanged: pages; copied: files; removed: files of an earlier site;
    bytes: size of the whole site by kind of file ('html', 'webp', …), and 'total'; notes: what the site lacks and why,
    a sentence each."""

    written: int = 0
    unchanged: int = 0
    copied: int = 0
    removed: int = 0
    seconds: float = 0.0
    bytes: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Site:
    """A site being written. Files that are already right are left alone; `tidy` removes those of an earlier site.

    atlases: all of the site; progress: is told what takes long.
    """

    def __init__(
        self,
        out: Path,
        atlases: Sequence[Atlas] = (),
        progress: Callable[[str], object] = lambda what: None,
    ) -> None:
        self.out, self.atlases = out, atlases
        self._progress = progress
        self._comparisons: dict[str, list[NetworkComparison]] = {}  # of the atlas asked for last
        self.report = SiteReport()
        self._addresses: set[str] = {MARKER}  # of all files of this site
        self._folders: set[str] = set()

    def claim(self) -> None:
        """Raise AtlasError if the folder holds something other than a site; mark it otherwise, so that files may be
        removed from it."""
        out = self.out
        if out.is_dir() and any(out.iterdir()) and not (out / MARKER).exists():
            raise AtlasError(
                "this folder holds something other than a site", out, "choose another, or empty it first"
            )
        self.write(
            MARKER,
            "A site written by Residual Atlas: files that are no part of it are removed at the next build.\n",
        )

    @property
    def addresses(self) -> Set[str]:
        """Of all files that were written or copied so far."""
        return self._addresses

    def merge(self, other: Site) -> None:
        """Add what another process wrote into the same folder."""
        self._addresses |= other._addresses
        self.report.written += other.report.written
        self.report.unchanged += other.report.unchanged
        self.report.copied += other.report.copied

    def page(self, address: str, template: str, *records: DataclassInstance | Mapping[str, object]) -> None:
        """Write a page: the template with the records' fields as its variables."""
        self.write(address, render_template(template, *records))

    def page_of(
        self, atlas: Atlas, address: str, template: str, *records: DataclassInstance | Mapping[str, object]
    ) -> None:
        """Write a page of one atlas. address: below the atlas's folder."""
        root = "../" * (1 + address.count("/"))
        self.page(f"{atlas.name}/{address}", template, frame_of(atlas, self.atlases, root), *records)

    def shared_page(
        self, address: str, template: str, *records: DataclassInstance | Mapping[str, object]
    ) -> None:
        """Write a page that belongs to no atlas. address: below the folder networks/."""
        self.page(f"networks/{address}", template, shared_frame(self.atlases, "../"), *records)

    def comparisons(self, atlas: Atlas) -> Sequence[NetworkComparison]:
        """The atlas's network against every other one of the site that looked at the same pictures."""
        if atlas.name not in self._comparisons:
            compared = []
            for other in self.atlases:
                if other.name != atlas.name and comparable(atlas, other):
                    self._progress(f"{atlas.name} against {other.name}")
                    compared.append(compare(atlas, other))
            self._comparisons = {atlas.name: [each for each in compared if each is not None]}
        return self._comparisons[atlas.name]

    def write(self, address: str, content: str | bytes) -> None:
        """Write a file. address: below the site's folder, with '/'."""
        if isinstance(content, str):
            content = content.encode("utf-8", "surrogateescape")
        try:
            path = self._path(address)
            try:
                same = path.read_bytes() == content
            except OSError:
                same = False
            if not same:
                path.write_bytes(content)
        except OSError as error:
            raise disk_error(error, self.out / address) from error
        if address.endswith(".html"):
            if same:
                self.report.unchanged += 1
            else:
                self.report.written += 1

    def copy(self, source: str | Path, address: str) -> None:
        """Copy a file unless its copy has the same size and time. Never a link: GitHub Pages refuses links."""
        try:
            path = self._path(address)
            new = os.stat(source)
            try:
                old = os.stat(path)
                if old.st_size == new.st_size and old.st_mtime_ns == new.st_mtime_ns:
                    return
            except OSError:
                pass
            shutil.copyfile(source, path)
            os.utime(path, ns=(new.st_atime_ns, new.st_mtime_ns))
        except OSError as error:
            raise disk_error(error, self.out / address) from error
        self.report.copied += 1

    def _path(self, address: str) -> Path:
        """The file's path, its folder made."""
        self._addresses.add(address)
        folder = address.rpartition("/")[0]
        if folder not in self._folders:
            (self.out / folder).mkdir(parents=True, exist_ok=True)
            self._folders.add(folder)
        return self.out / address

    def tidy(self) -> None:
        """Remove the files of an earlier site that are no part of this one. A CNAME file belongs to the host."""
        for folder, folders, names in os.walk(self.out, topdown=False):
            inside = os.path.relpath(folder, self.out)
            for name in names:
                address = name if inside == "." else f"{inside}/{name}".replace(os.sep, "/")
                is_of_host = address == "CNAME" or address.startswith(".git")
                if address not in self._addresses and not is_of_host:
                    os.unlink(os.path.join(folder, name))
                    self.report.removed += 1
            if (folders or inside != ".") and inside != "." and not os.listdir(folder):
                os.rmdir(folder)
