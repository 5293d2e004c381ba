"""Checks of a built site: that every address leads somewhere, and how large it is."""

from __future__ import annotations

import os
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ADDRESS_ATTRIBUTES = ("href", "src", "poster", "data")


class _Addresses(HTMLParser):
    """Collects a page's addresses and the ids that a fragment may name."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.addresses: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value is None:
                continue
            if name == "id" or (tag == "a" and name == "name"):
                self.ids.add(value)
            elif name in ADDRESS_ATTRIBUTES and not (tag == "link" and ("rel", "canonical") in attrs):
                self.addresses.append(value)
            elif name == "srcset":
                self.addresses += [part.split()[0] for part in value.split(",") if part.strip()]

    def handle_data(self, data: str) -> None:
        # What a <noscript> holds is read as text by some parsers; this one reads it as elements, so
        # nothing to do.
        return


def check_links(out: Path) -> list[str]:
    """Every broken address of a built site, as 'page: address (reason)'; other hosts are left alone."""
    root = Path(out).resolve()
    pages: dict[Path, _Addresses] = {}
    files: set[str] = set()
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            files.add(str(path))
            if name.endswith(".html"):
                parser = _Addresses()
                parser.feed(path.read_text("utf-8"))
                pages[path] = parser
    broken: list[str] = []
    for page, found in pages.items():
        for address in dict.fromkeys(found.addresses):
            reason = _reason(page, address, root, files, pages)
            if reason:
                broken.append(f"{page.relative_to(root)}: {address} ({reason})")
    return sorted(broken)


def _reason(
    page: Path, address: str, root: Path, files: set[str], pages: dict[Path, _Addresses]
) -> str | None:
    """Why the address is broken, or None."""
    parts = urlsplit(address)
    if parts.scheme in ("http", "https", "mailto", "data") or parts.netloc:
        return None
    if parts.path.startswith("/"):
        return "absolute: it breaks under a sub-path"
    target = page if not parts.path else Path(os.path.normpath(page.parent / unquote(parts.path)))
    if not str(target).startswith(str(root)):
        return "leads out of the site"
    if str(target) not in files:
        return "no such file"
    if parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
        # The state of a layer's grid is kept in the fragment: it names no element.
        return None if "=" in parts.fragment else "no such place in the page"
    return None


def measure(out: Path) -> dict[str, int]:
    """Bytes by kind of file ('html', 'webp', …), and 'total'."""
    sizes: dict[str, int] = {}
    for folder, _, names in os.walk(out):
        for name in names:
            kind = Path(name).suffix.lstrip(".") or "other"
            sizes[kind] = sizes.get(kind, 0) + os.stat(os.path.join(folder, name)).st_size
    sizes["total"] = sum(sizes.values())
    return sizes
