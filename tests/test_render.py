"""The written site, read back: every page kind, every link, nothing unescaped, nothing written twice."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from make_small_atlas import make_atlas
from PIL import Image

from generator.core.errors import AtlasError
from generator.site import layer_pages, links, templates
from generator.site.links import _PageLinks, check_links, check_size, measure
from generator.site.reading.atlas import PANEL_NAMES, Atlas
from generator.site.reading.measures import MEASURES
from generator.site.render import render_site

SMALL = Path(__file__).parent / "small_atlas"
PUBLISHED = templates.LEAN_PAGES  # as it is without conftest's fixture
TINY: dict[str, Any] = {"stages": ((2, 2, 4),), "inner": (), "stem": 4, "pictures": 9, "side": 48, "tile": 12}


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    render_site([SMALL], out, base_url="https://example.org/atlas")
    return out


def test_every_page_kind_is_there(site: Path) -> None:
    for address in (
        "index.html",
        "small/index.html",
        "small/res2b/index.html",
        "small/res2b/0.html",
        "small/res2b/0.webp",
        "small/res2b_branch2c/0.html",
        "small/res2a/5.html",  # dead
        "small/conv1/kernels.html",
        "small/finder.js",
        "small/data/manifest.json",
        "small/data/channels.csv",
        "small/data/images.csv",
        "small/pictures/0.webp",
        "guide/reading.html",
        "guide/layers.html",
        "static/atlas.css",
        "static/theme.js",
    ):
        assert (site / address).is_file(), address
    assert not (site / "small/res2a/5.webp").exists()
    assert not (site / "small/revisited.html").exists()


def test_no_link_is_broken(site: Path) -> None:
    assert check_links(site) == []


def test_broken_links_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<a href="b.html">x</a><a href="#no">x</a><img src="/c.webp"><a href="https://x.org">x</a>'
    )
    assert [line.partition(" (")[0] for line in check_links(tmp_path)] == [
        "a.html: #no",
        "a.html: /c.webp",
        "a.html: b.html",
    ]


def test_links_into_other_pages_end_at_a_place_in_them(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.html").write_text(
        '<p id="here &amp; now">x</p><a href="#label=3">state</a><a href="?x">y</a>'
    )
    (tmp_path / "deep/b.html").write_text(
        '<a href="../a.html#here%20&amp;%20now">x</a><a href="../a.html#there">x</a><a href="./b.html#">x</a>'
        '<a href="../../a.html">x</a><a href="../deep/">x</a><a href="data:,#x">x</a>'
    )
    assert check_links(tmp_path) == [
        "deep/b.html: ../../a.html (leads out of the site)",
        "deep/b.html: ../a.html#there (no such place in the page)",
        "deep/b.html: ../deep/ (no such file)",
    ]


@pytest.mark.slow
def test_links_looked_through_by_several_processes_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for page in range(7):
        (tmp_path / f"{page}.html").write_text(f'<a href="{page - 1}.html">x</a><a href="{page}.webp">x</a>')
    alone = check_links(tmp_path)
    monkeypatch.setattr(links, "WORTH_PROCESSES", 1)
    monkeypatch.setattr(links, "PAGES_PER_TASK", 2)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    told: list[tuple[int, int]] = []
    assert check_links(tmp_path, lambda done, total: told.append((done, total))) == alone
    assert len(alone) == 8 and told == [(0, 7), (2, 7), (4, 7), (6, 7), (7, 7)]


@pytest.mark.slow
def test_a_process_that_dies_is_said_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)

    (tmp_path / "0.html").write_text("x")
    monkeypatch.setattr(links, "WORTH_PROCESSES", 1)
    monkeypatch.setattr(links, "_checker", lambda site: os._exit(9))
    with pytest.raises(AtlasError, match=r"a process that checks links was killed, .* — close what"):
        check_links(tmp_path)


def _some(paths: Iterable[Path]) -> list[Path]:
    """The paths, of which there are some: a loop over none would find nothing wrong."""
    found = list(paths)
    assert found
    return found


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in _some(site.rglob("*.html")):
        text = page.read_text("utf-8")
        assert not re.search(r'(?:src|srcset)="(?:https?:)?//', text), page
        links = re.findall(r"<link[^>]+>", text)
        assert links
        for link in links:
            # The page's own address is not loaded.
            assert 'rel="canonical"' in link or not re.search(r'href="(?:https?:)?//', link), (page, link)
        assert "Content-Security-Policy" in text, page
    for style in _some(site.rglob("*.css")):
        assert not re.search(r"url\(\s*['\"]?(?:https?:)?//", style.read_text("utf-8")), style


def test_no_script_stands_in_a_page(site: Path) -> None:
    """The policy would block it."""
    scripts = 0
    for page in _some(site.rglob("*.html")):
        for attributes, body in re.findall(r"<script([^>]*)>(.*?)</script>", page.read_text("utf-8"), re.S):
            scripts += 1
            assert 'type="application/json"' in attributes or not body.strip(), page
    assert scripts


def test_every_statistic_has_its_definition(site: Path) -> None:
    text = (site / "guide/statistics.html").read_text("utf-8")
    for known in MEASURES:
        assert f'id="{known.key}"' in text


def test_citation_names_address_and_fingerprints(site: Path) -> None:
    text = (site / "small/res2b/bibtex.txt").read_text("utf-8")
    assert "https://example.org/atlas/small/res2b/CHANNEL.html" in text
    assert re.search(
        r"Residual Atlas 0, 2026-01-15; .*weights random [0-9a-f]{12}, 36 pictures [0-9a-f]{12}\.", text
    )


def test_random_weights_are_said_on_every_page(site: Path) -> None:
    said = "The weights of this network are random, not trained: a trial."
    for page in _some((site / "small").rglob("*.html")):
        assert said in page.read_text("utf-8"), page


def test_unchanged_pages_are_not_rewritten(tmp_path: Path) -> None:
    make_atlas(tmp_path / "atlas", **TINY)
    render_site([tmp_path / "atlas"], tmp_path / "site")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "site").rglob("*") if path.is_file()}
    report = render_site([tmp_path / "atlas"], tmp_path / "site")
    assert (report.written, report.copied, report.removed) == (0, 0, 0)
    assert times == {
        path: path.stat().st_mtime_ns for path in (tmp_path / "site").rglob("*") if path.is_file()
    }


@pytest.mark.slow
def test_what_is_no_longer_part_of_the_site_is_removed(tmp_path: Path) -> None:
    make_atlas(tmp_path / "atlas", **TINY)
    render_site([tmp_path / "atlas"], tmp_path / "site")
    (tmp_path / "site/small/old").mkdir()
    (tmp_path / "site/small/old/1.html").write_text("x")
    assert render_site([tmp_path / "atlas"], tmp_path / "site").removed == 1
    assert not (tmp_path / "site/small/old").exists()


def test_a_folder_that_is_not_a_site_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(AtlasError, match="something other than a site"):
        render_site([SMALL], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]


def test_labels_are_escaped(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>\"'"
    make_atlas(tmp_path / "atlas", labels=(evil, "plain & simple"), title=evil, **TINY)
    render_site([tmp_path / "atlas"], tmp_path / "site")
    texts = [page.read_text("utf-8") for page in (tmp_path / "site").rglob("*.html")]
    assert not [text for text in texts if "<script>alert" in text]
    assert [text for text in texts if "&lt;script&gt;alert(1)" in text]  # they are shown all the same
    assert check_links(tmp_path / "site") == []


def test_without_leave_no_picture_is_published(tmp_path: Path) -> None:
    make_atlas(tmp_path / "atlas", publish_patches=False, **TINY)
    (tmp_path / "atlas/pictures").mkdir()  # even if the atlas holds them
    shutil.copy(SMALL / "pictures/0.webp", tmp_path / "atlas/pictures/0.webp")
    render_site([tmp_path / "atlas"], tmp_path / "site")
    assert not (tmp_path / "site/small/pictures").exists()
    page = (tmp_path / "site/small/res2a/0.html").read_text("utf-8")
    assert "patches</figcaption>" not in page
    assert "guided backprop" in page
    assert "taken down" not in page
    assert check_links(tmp_path / "site") == []


def pictures_of(folder: Path) -> list[Path]:
    """Every file of the folder that a browser would draw."""
    kinds = {".webp", ".png", ".jpg", ".jpeg", ".gif", ".avif", ".ico", ".bmp"}
    return [path for path in folder.rglob("*") if path.suffix in kinds]


def has_colour(path: Path, colour: tuple[int, int, int]) -> bool:
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return bool((np.abs(pixels - colour).max(-1) < 20).any())


def test_without_leave_not_one_pixel_of_a_picture_is_in_the_site(tmp_path: Path) -> None:
    """The pictures are of one colour that no gradient has: no file of the site may show it."""
    colour = (250, 0, 250)
    for name, publish in (("open", True), ("closed", False)):
        make_atlas(tmp_path / name, publish_patches=publish, signature=colour, **TINY)
        # The atlas folder may hold pictures from an earlier run: they are not for the site either.
        make_atlas(tmp_path / "stray", signature=colour, **TINY)
        shutil.copytree(tmp_path / "stray/pictures", tmp_path / name / "pictures", dirs_exist_ok=True)
        shutil.copy(tmp_path / "stray/sprites/res2a/0.webp", tmp_path / name / "sprites/res2a/99.webp")
        render_site([tmp_path / name], tmp_path / f"site-{name}")
    assert any(has_colour(path, colour) for path in pictures_of(tmp_path / "site-open"))
    shown = pictures_of(tmp_path / "site-closed")
    assert len(shown) > 10
    assert [path for path in shown if has_colour(path, colour)] == []
    for kind in ("html", "svg"):
        for page in _some((tmp_path / "site-closed").rglob(f"*.{kind}")):
            assert "data:image" not in page.read_text("utf-8"), page


def test_an_atlas_may_have_one_panel_alone(tmp_path: Path) -> None:
    make_atlas(tmp_path / "atlas", panels=("guided",), publish_patches=False, **TINY)
    render_site([tmp_path / "atlas"], tmp_path / "site")
    page = (tmp_path / "site/small/res2a/0.html").read_text("utf-8")
    assert re.findall(r"<figcaption>(.*?)</figcaption>", page) == [PANEL_NAMES["guided"]]
    assert check_links(tmp_path / "site") == []


@pytest.mark.slow
def test_several_atlases_stand_side_by_side(tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_atlas(tmp_path / name, name=name, title=f"Network {name}", **TINY)
    render_site([tmp_path / "one", tmp_path / "two"], tmp_path / "site")
    home = (tmp_path / "site/index.html").read_text("utf-8")
    assert "one/index.html" in home
    assert "two/index.html" in home
    assert "Network two" in home
    table = re.search(r'<table class="compare".*?</table>', home, re.S)
    assert table
    assert table[0].count("<tr>") == 3
    assert home.count('class="striking') == 2
    assert 'id="networks"' in home
    across = (tmp_path / "site/one/correspondence.html").read_text("utf-8")
    assert 'class="heat"' in across and "Against Network two" in across
    assert 'href="../../two/res2a/0.html"' in (tmp_path / "site/one/res2a/0.html").read_text("utf-8")
    assert 'href="../../index.html#networks"' in (tmp_path / "site/two/res2a/0.html").read_text("utf-8")
    assert check_links(tmp_path / "site") == []
    with pytest.raises(AtlasError, match="two atlases are named one"):
        render_site([tmp_path / "one", tmp_path / "one"], tmp_path / "site")


@pytest.mark.slow
def test_the_papers_page(tmp_path: Path) -> None:
    options: dict[str, Any] = {**TINY, "stages": ((2, 3, 256),), "distinct": 1}
    make_atlas(tmp_path / "atlas", name="resnet50-caffe", model="resnet50-caffe", **options)
    render_site([tmp_path / "atlas"], tmp_path / "site")
    text = (tmp_path / "site/resnet50-caffe/revisited.html").read_text("utf-8")
    for channel in (12, 79, 150, 210):
        assert f'id="c{channel}"' in text
    assert "The paper, revisited" in (tmp_path / "site/index.html").read_text("utf-8")
    assert check_links(tmp_path / "site") == []


@pytest.mark.slow
def test_the_papers_page_leaves_out_channels_that_the_atlas_does_not_picture(tmp_path: Path) -> None:
    options: dict[str, Any] = {**TINY, "stages": ((2, 3, 256),), "distinct": 1}
    make_atlas(tmp_path / "atlas", name="resnet50-caffe", model="resnet50-caffe", **options)
    for sprite in (tmp_path / "atlas/sprites").glob("*/*.webp"):
        if int(sprite.stem) >= 100:  # as `--channels 100` leaves it
            sprite.unlink()
    shutil.rmtree(tmp_path / "atlas/pictures")
    render_site([tmp_path / "atlas"], tmp_path / "site")
    text = (tmp_path / "site/resnet50-caffe/revisited.html").read_text("utf-8")
    assert 'id="c79"' in text
    assert 'id="c150"' not in text
    assert check_links(tmp_path / "site") == []


@pytest.mark.slow
def test_layers_written_by_several_processes_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates, "LEAN_PAGES", PUBLISHED)  # which the processes know
    make_atlas(tmp_path / "atlas", **TINY)
    render_site([tmp_path / "atlas"], tmp_path / "site")
    monkeypatch.setattr(layer_pages, "WORTH_PROCESSES", 1)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    report = render_site([tmp_path / "atlas"], tmp_path / "site")
    assert (report.written, report.copied, report.removed) == (0, 0, 0)


def test_a_site_above_its_budget_is_refused() -> None:
    sizes = {"webp": 800_000_000, "html": 200_000_000, "total": 1_000_000_000}
    check_size(sizes, 1_000_000_000)
    with pytest.raises(AtlasError, match=r"1,000 MB, above its budget of 900 MB \(webp 800 MB.*inner layers"):
        check_size(sizes, 900_000_000)


def test_sizes_are_measured_by_kind(site: Path) -> None:
    sizes = measure(site)
    assert sizes["total"] == sum(size for kind, size in sizes.items() if kind != "total")
    assert sizes["total"] == sum(path.stat().st_size for path in site.rglob("*") if path.is_file())


def test_a_channel_page_is_light(site: Path) -> None:
    assert max(path.stat().st_size for path in (site / "small").rglob("[0-9]*.html")) < 12_000


def test_the_site_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path; from generator.site.render import render_site\n"
        f"render_site([Path({str(SMALL)!r})], Path({str(tmp_path / 'site')!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=SMALL.parent.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_channel_without_a_sprite_shows_its_pictures_whole_or_says_why_it_shows_none(
    tmp_path: Path,
) -> None:
    make_atlas(tmp_path / "atlas", **TINY)
    (tmp_path / "atlas/sprites/res2b/1.webp").unlink()
    page, grid = (tmp_path / f"site/small/res2b/{name}.html" for name in ("1", "index"))
    render_site([tmp_path / "atlas"], tmp_path / "site")
    nine = Atlas(tmp_path / "atlas").layer("res2b").nine(1)
    text = page.read_text("utf-8").partition('class="panel whole-nine"')[2].partition("</figure>")[0]
    assert re.findall(r'src="\.\./pictures/(\d+)\.webp"', text) == [str(number) for number in nine]
    assert text.count("<path") == len(nine)
    assert "no patches or gradients of this channel" in page.read_text("utf-8")
    assert f'src="../pictures/{nine[0]}.webp" loading="lazy"' in grid.read_text("utf-8")
    assert check_links(tmp_path / "site") == []
    shutil.rmtree(tmp_path / "atlas/pictures")
    render_site([tmp_path / "atlas"], tmp_path / "site")
    assert "not pictured in this atlas" in page.read_text("utf-8") and "../pictures/" not in grid.read_text(
        "utf-8"
    )
    assert check_links(tmp_path / "site") == []


class _ByHtmlParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.addresses: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attrs if value is not None}
        if "id" in values:
            self.ids.add(values["id"])
        if tag == "a" and "name" in values:
            self.ids.add(values["name"])
        if not (tag == "link" and values.get("rel") == "canonical"):
            self.addresses += [value for name, value in values.items() if name in ("href", "src")]


def test_addresses_and_ids_are_those_that_html_parser_reads(site: Path) -> None:
    tricky = """<!doctype html><!-- <a href="no"> --><link rel=canonical href="x"><A HREF='a&amp;b' title='id="no" > x'>
        <script>if (a < b) document.write("<a href='no'>")</script><script src="yes.js"></script ><p id=bare class>
        <style>a[href="no"] {}</style>
        <img src="1.webp" alt="a > b src='no'"/><a name="old" href="#old">a < b</a><br/>"""
    pages = [tricky, *(path.read_text("utf-8") for path in sorted(site.rglob("*.html"))[::5])]
    for page in pages:
        expected = _ByHtmlParser()
        expected.feed(page)
        found = _PageLinks(page)
        assert (found.addresses, found.ids) == (expected.addresses, expected.ids)
    assert len(pages) > 5
