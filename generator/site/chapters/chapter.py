"""What a chapter is. Each stands in a file of its own, and in a row of `registry.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from generator.site.reading.atlas import Atlas
from generator.site.writing import Site

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Subject = TypeVar("Subject")


@dataclass(frozen=True)
class _Chapter(Generic[Subject]):
    """name: of its page, without .html; title: of the links to it; template: of the page; summary: what the home page
    says after the title, '' where the home page does not list the chapter.

    present: whether the subject has the chapter; write: writes its page, and the pages and files below it; `write` is
    called only where the chapter is present. styles: names of the style sheets in site_src/css/ that its pages need
    beyond those of all pages; script: address in site_src/js/ of the module that only the chapter's pages load, from
    static/, or ''.
    """

    name: str
    title: str
    template: str
    present: Callable[[Subject], bool]
    write: Callable[[Site, Subject], None]
    summary: str = ""
    styles: Sequence[str] = ()
    script: str = ""


@dataclass(frozen=True)
class Chapter(_Chapter[Atlas]):
    """A chapter of one atlas; its page is `<network>/<name>.html`."""

    def write_page(
        self, site: Site, atlas: Atlas, *records: DataclassInstance | Mapping[str, object]
    ) -> None:
        """Write the chapter's page: its template with the records' fields as variables."""
        site.page_of(atlas, f"{self.name}.html", self.template, *records)


@dataclass(frozen=True)
class SharedChapter(_Chapter[Sequence[Atlas]]):
    """A chapter on all atlases of a site; its page is `networks/<name>.html`."""

    def write_page(self, site: Site, *records: DataclassInstance | Mapping[str, object]) -> None:
        """Write the chapter's page: its template with the records' fields as variables."""
        site.shared_page(f"{self.name}.html", self.template, *records)
