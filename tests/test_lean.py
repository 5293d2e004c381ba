"""Channels' pages in fewer bytes: the same page for a browser, and small enough for a site of 37,760 of them."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest
from test_focused_tiles import focused as focused

from generator.core.store import Store
from generator.site import templates
from generator.site.frame import frame_of
from generator.site.layer_pages import LayerPages
from generator.site.lean import lean
from generator.site.reading.atlas import Atlas
from generator.site.writing import Site

SMALL = Path(__file__).parent / "small_atlas"
LAYERS = ("conv1", "res2b", "res2b_branch2a", "res3d")
IMPLIED = ("li", "dt", "dd", "p", "head", "body", "html")
PUBLISHED = templates.LEAN_PAGES  # as it is without conftest's fixture
PARTS = ("whole-range", "effects", "feeds", "number-groups", 'id="focus"')  # of a channel's page
FIRST_LOAD = 60_000  # bytes of a page with what it loads at once, besides files of many pages


def _pages(folder: Path, source: Path = SMALL, layers: Sequence[str] = LAYERS) -> dict[str, str]:
    """By address the grids and the channels' pages of some layers of an atlas."""
    atlas = Atlas(source)
    site = Site(folder, [atlas])
    pages = LayerPages(atlas, frame_of(atlas, [atlas], "../../"), [], "")
    for name in layers:
        pages.write(site, name)
    return _read_pages(folder)


def _read_pages(folder: Path) -> dict[str, str]:
    paths = sorted(path for path in folder.rglob("*.html") if path.stem.isdigit() or path.stem == "index")
    return {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in paths}


@pytest.fixture(scope="module")
def lean_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lean")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(templates, "LEAN_PAGES", PUBLISHED)
        _pages(folder)
    return folder


@pytest.fixture(scope="module")
def lean_pages(lean_folder: Path) -> dict[str, str]:
    return _read_pages(lean_folder)


class _Read(HTMLParser):
    """What a browser reads of a page: tags with their attributes, and texts with one space for any white space."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.read: list[object] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "head":  # the first of its elements implies it
            self.read.append((tag, [(name, value or "") for name, value in attrs]))

    def handle_endtag(self, tag: str) -> None:
        if tag not in IMPLIED:
            self.read.append(tag)

    def handle_data(self, data: str) -> None:
        if words := re.split(r"[ \n]+", data.strip(" \n")):
            self.read += [word for word in words if word]


def test_lean_pages_read_the_same(lean_pages: dict[str, str], tmp_path: Path) -> None:
    long = _pages(tmp_path)
    assert long.keys() == lean_pages.keys() and len(long) == 39 + len(LAYERS)
    for address, page in long.items():
        assert len(lean_pages[address]) < 0.97 * len(page)
        assert _Read(lean_pages[address]).read == _Read(page).read, address


@pytest.mark.slow
def test_lean_pages_of_an_atlas_with_every_pass_read_the_same(
    atlas: Store, focused: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pages(form: str) -> dict[str, str]:
        layers = [layer.name for layer in atlas.manifest().layers]
        computed = _pages(tmp_path / form, atlas.folder, layers)
        drawn = _pages(tmp_path / f"{form}-focused", focused, ("res2a", "res2b"))
        return computed | {f"focused/{address}": page for address, page in drawn.items()}

    long = pages("long")
    monkeypatch.setattr(templates, "LEAN_PAGES", PUBLISHED)
    short = pages("short")
    assert short.keys() == long.keys()
    assert [part for part in PARTS if not any(part in page for page in long.values())] == []
    for address, page in long.items():
        assert _Read(short[address]).read == _Read(page).read, address


def test_words_are_not_joined_where_a_tag_is_left_out() -> None:
    page = '<p>\none <b>two</b>\n<a href="a b">three</a>\nfour\n</p>\n<p>five</p>'
    assert lean(page) == '<p>one <b>two</b>\n<a href="a b">three</a>\nfour<p>five</p>'


@pytest.mark.parametrize("value", ["{{ label }}", "a b", "a'b", "a=b", "{{ category.address }}", "<", "`"])
def test_values_that_need_quotes_keep_them(value: str) -> None:
    assert lean(f'<a title="{value}">') == f'<a title="{value}">'


def test_scripts_and_their_data_stay_as_they_are() -> None:
    script = '<script type="application/json">{"a": "<li>x</li>\n\n<p>", "b": 2}</script>'
    assert lean(script) == script


# Bytes of the small atlas's pages by kind, a few per cent above what they are.
@pytest.mark.parametrize(("layer", "most"), [("res2b_branch2a", 4_300), ("res3d", 6_100)])
def test_pages_do_not_grow(lean_pages: dict[str, str], layer: str, most: int) -> None:
    sizes = [
        len(page.encode())
        for address, page in lean_pages.items()
        if f"/{layer}/" in address and not address.endswith("/index.html")
    ]
    assert 0.9 * most < statistics.median(sizes) <= most, "smaller by far: lower the budget"


def test_a_page_loads_little_at_once(lean_folder: Path, lean_pages: dict[str, str]) -> None:
    for address, page in lean_pages.items():
        folder = (lean_folder / address).parent
        images = re.findall(r"<img(?![^>]*loading=.?lazy)[^>]*src=[\"']?([\w./-]+)", page)
        own = {folder / name for name in images if name.endswith(".webp") and not name.startswith("../")}
        assert len(page.encode()) + sum(path.stat().st_size for path in own) <= FIRST_LOAD, address
        assert all(path.is_file() for path in own)
