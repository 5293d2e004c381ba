"""Checks of a built site: that every address leads somewhere, and how large it is."""

from __future__ import annotations

import html
import os
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from generator.core.errors import AtlasError
from generator.core.processes import in_workers, page_processes
from generator.site.formats import megabytes

ADDRESS_ATTRIBUTES = ("href", "src", "poster", "data")
PAGES_PER_TASK = 200
WORTH_PROCESSES = 2000  # pages; below, starting processes takes longer than reading


# A comment, the text of a script or a style sheet, or a tag with its attributes: several times as fast as html.parser,
# which a test compares it with.
_ATTRIBUTES = r"[^'\">]*(?:(?:\"[^\"]*\"|'[^']*')[^'\">]*)*"
_TAG = re.compile(
    rf"<!--.*?-->|<(?P<raw>script|style)(?P<of_raw>{_ATTRIBUTES})>.*?</(?P=raw)\s*>"
    rf"|<(?P<name>[a-zA-Z][^\s/>]*)(?P<attributes>{_ATTRIBUTES})>",
    re.DOTALL | re.IGNORECASE,
)
_ATTRIBUTE = re.compile(r"([^\s=>\"'/]+)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>]+)))?")
_READ = frozenset((*ADDRESS_ATTRIBUTES, "id", "name", "rel", "srcset"))


class _PageLinks:
    """A page's addresses, and the ids that a fragment may name."""

    def __init__(self, page: str) -> None:
        self.addresses: list[str] = []
        self.ids: set[str] = set()
        for tag in _TAG.finditer(page):
            text = tag["attributes"] or tag["of_raw"]
            if text and "=" in text:
                self._read((tag["name"] or tag["raw"]).lower(), text)

    def _read(self, tag: str, text: str) -> None:
        attributes = [
            (name.lower(), html.unescape(double or single or bare))
            for name, double, single, bare in _ATTRIBUTE.findall(text)
            if name.lower() in _READ
        ]
        for name, value in attributes:
            if name == "id" or (tag == "a" and name == "name"):
                self.ids.add(value)
            elif name in ADDRESS_ATTRIBUTES and not (tag == "link" and ("rel", "canonical") in attributes):
                self.addresses.append(value)
            elif name == "srcset":
                self.addresses += [part.split()[0] for part in value.split(",") if part.strip()]


def check_links(out: Path, progress: Callable[[int, int], object] = lambda done, total: None) -> list[str]:
    """Every broken address of a built site, as 'page: address (reason)'. Addresses on other hosts are not checked.
    progress: called with how many pages are done, of how many."""
    site = _BuiltSite(Path(out))
    pages = sorted(name for name in site.files if name.endswith(".html"))
    parts = [pages[start : start + PAGES_PER_TASK] for start in range(0, len(pages), PAGES_PER_TASK)]
    broken: list[str] = []
    progress(0, len(pages))
    results = in_workers(
        _checker,
        (site,),
        parts,
        page_processes(len(pages), WORTH_PROCESSES),
        doing="checks links",
        remedy="close what needs much memory and run the same command again",
    )
    for done, (_, found) in enumerate(results, 1):
        broken += found
        progress(min(done * PAGES_PER_TASK, len(pages)), len(pages))
    return sorted(broken)


def _checker(site: _BuiltSite) -> Callable[[Sequence[str]], list[str]]:
    return site.broken


class _BuiltSite:
    """A built site whose pages are read one by one. files: every file's address below the site's folder."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self.files = {
            os.path.relpath(os.path.join(folder, name), out).replace(os.sep, "/")
            for folder, _, names in os.walk(out)
            for name in names
        }
        self._ids: dict[str, set[str]] = {}  # of the pages that fragments lead into: few

    def broken(self, pages: Sequence[str]) -> list[str]:
        """The broken addresses of these pages, as `check_links` reports them."""
        broken: list[str] = []
        known: dict[tuple[str, str], str | None] = {}  # many addresses occur on all pages of a folder
        for page in pages:
            links = self._read(page)
            folder = posixpath.dirname(page)
            for address in dict.fromkeys(links.addresses):
                if address[:1] in ("", "#", "?"):  # the page itself
                    reason = _missing(urlsplit(address).fragment, links.ids)
                else:
                    if (folder, address) not in known:
                        known[folder, address] = self._reason(folder, address)
                    reason = known[folder, address]
                if reason:
                    broken.append(f"{page}: {address} ({reason})")
        return broken

    def _read(self, page: str) -> _PageLinks:
        return _PageLinks((self._out / page).read_text("utf-8"))

    def _reason(self, folder: str, address: str) -> str | None:
        """Why an address on a page of this folder is broken, or None."""
        parts = urlsplit(address)
        if parts.scheme in ("http", "https", "mailto", "data") or parts.netloc:
            return None
        if parts.path.startswith("/"):
            return "absolute: it breaks under a sub-path"
        target = posixpath.normpath(posixpath.join(folder, unquote(parts.path)))
        if target.startswith(".."):
            return "leads out of the site"
        if target not in self.files:
            return "no such file"
        if not parts.fragment or not target.endswith(".html"):
            return None
        if target not in self._ids:
            self._ids[target] = self._read(target).ids
        return _missing(parts.fragment, self._ids[target])


def _missing(fragment: str, ids: set[str]) -> str | None:
    """Why a fragment leads nowhere in a page with these ids, or None."""
    # A fragment with "=" is the state of a layer's grid and names no element.
    leads_somewhere = not fragment or "=" in fragment or unquote(fragment) in ids
    return None if leads_somewhere else "no such place in the page"


def measure(out: Path) -> dict[str, int]:
    """Bytes by kind of file ('html', 'webp', …), and 'total'."""
    sizes: dict[str, int] = {}
    for folder, _, names in os.walk(out):
        for name in names:
            kind = Path(name).suffix.lstrip(".") or "other"
            sizes[kind] = sizes.get(kind, 0) + os.stat(os.path.join(folder, name)).st_size
    sizes["total"] = sum(sizes.values())
    return sizes


def check_size(sizes: Mapping[str, int], max_bytes: int | None) -> None:
    """Raise AtlasError if a site is larger than max_bytes, with what takes the room and which settings reduce it.
    sizes: what `measure` returns."""
    total = sizes.get("total", 0)
    if max_bytes is None or total <= max_bytes:
        return
    kinds = sorted(((size, kind) for kind, size in sizes.items() if kind != "total"), reverse=True)
    parts = ", ".join(f"{kind} {megabytes(size)}" for size, kind in kinds[:3])
    raise AtlasError(
        f"the site is {megabytes(total)}, above its budget of {megabytes(max_bytes)} ({parts})",
        remedy='in the profile, leave out inner layers, set sprites.format = "avif", lower sprites.picture, '
        "sprites.tile or sprites.quality, or raise max_site_bytes",
    )
