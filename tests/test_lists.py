"""Lists of channels in the address, a random channel, link previews, and pages that are loaded ahead."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving import QuietHandler, served
from test_render import site

from generator.site.citation import cite
from generator.site.lists import layers_script, list_script
from generator.site.reading.atlas import Atlas
from generator.site.reading.channel_record import Found, channel_record
from generator.site.reading.measures import BY_KEY
from generator.site.render import render_site

__all__ = ["site"]
SMALL = Path(__file__).parent / "small_atlas"


def _data(script: str) -> Any:
    return json.loads(re.fullmatch(r"residualAtlas\.\w+\((.*)\);\n", script, re.S)[1])  # type: ignore[index]


def test_a_list_says_of_a_channel_what_its_record_says() -> None:
    atlas = Atlas(SMALL)
    info = atlas.manifest.layer("res3b")
    records = [
        channel_record(atlas, info, channel, Found.of(atlas, info, channel))
        for channel in range(info.channels)
    ]
    data = _data(list_script(atlas, info, records))
    assert {key for key, _, _ in data["numbers"]} >= {"max", "shared_previous", "label_agreement"}
    for record, (pictures, labels, numbers) in zip(records, data["channels"], strict=True):
        assert pictures == (1 if record.sprite else [])
        counts = zip(labels[::2], labels[1::2], strict=True)
        assert [(data["labels"][label], count) for label, count in counts] == [
            tuple(x) for x in record.labels
        ]
        for (key, name, _), text in zip(data["numbers"], numbers, strict=True):
            value = record.numbers[key]
            assert name == BY_KEY[key].name
            assert text == (
                "" if record.dead or value is None else BY_KEY[key].format(float(np.float32(value)))
            )


def test_bibtex_can_be_read_without_a_script(site: Path) -> None:
    atlas = Atlas(SMALL)
    address = re.search(r'<a href="([^"]+)">BibTeX', (site / "small/res3b/10.html").read_text("utf-8"))
    assert address
    text = (site / "small/res3b" / address[1]).read_text("utf-8")
    note, line, entry = text.split("\n\n", 2)
    assert note == "Put the channel's number in the place of every CHANNEL."
    own = cite(atlas.manifest, "res3b", 10, "https://example.org/atlas/small/res3b/10.html")
    assert entry.strip().replace("CHANNEL", "10") == own.bibtex
    assert line.replace("CHANNEL", "10") == f"{own.plain} {own.address}"


def test_dead_channels_are_named_so_that_none_is_opened_at_random() -> None:
    layers = {
        name: (channels, dead)
        for name, _, channels, dead, _ in _data(layers_script(Atlas(SMALL), ""))["layers"]
    }
    assert layers["res2a"] == (12, [5])


def test_link_previews_have_full_addresses_or_are_left_out(site: Path, tmp_path: Path) -> None:
    page = (site / "small/res2b/0.html").read_text("utf-8")
    assert '<meta property="og:image" content="https://example.org/atlas/small/res2b/0.webp">' in page
    assert re.search(r'<meta property="og:title" content="res2b 0 · [^"]+">', page)
    sentence = re.search(r'<p class="sentence">(.*?)</p>', page)
    assert sentence and f'<meta property="og:description" content="{sentence[1]}">' in page
    assert "og:image" not in (site / "small/res2a/5.html").read_text("utf-8")  # dead: no picture
    render_site([SMALL], tmp_path)
    assert "og:" not in (tmp_path / "small/res2b/0.html").read_text("utf-8")


@dataclass(frozen=True)
class _Server:
    """asked: what was asked for: path and the purpose that the browser gave."""

    folder: Path
    address: str
    asked: list[tuple[str, str]]


@pytest.fixture(scope="module")
def server(site: Path) -> Iterator[_Server]:
    asked: list[tuple[str, str]] = []

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("Sec-Purpose", "")))
            super().do_GET()

    with served(site, Handler) as host:
        yield _Server(site, f"{host}/small", asked)


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A tab; what its console says is an error."""
    context = browser.new_context()
    tab = context.new_page()
    problems: list[str] = []
    tab.on("console", lambda message: problems.append(message.text) if message.type != "log" else None)
    tab.on("pageerror", lambda error: problems.append(str(error)))
    yield tab
    context.close()
    assert problems == []


def _names(page: Any) -> list[str]:
    return page.locator(".listed h2").all_inner_texts()


@pytest.mark.browser
@pytest.mark.slow
def test_a_list_is_put_together_on_channel_pages_and_sent_as_an_address(server: _Server, page: Any) -> None:
    for name in ("res3b/2", "res2c/3"):
        page.goto(f"{server.address}/{name}.html")
        page.get_by_role("button", name="add to list").focus()
        page.keyboard.press("Enter")
        assert page.locator(".to-list [role=status]").inner_text() == "added"
    page.get_by_role("link", name="list of 2").click()
    page.wait_for_selector(".listed li:nth-child(2)")
    assert page.url.endswith("list.html#list=res3b:2,res2c:3")
    assert _names(page) == ["res3b 2", "res2c 3"]
    page.get_by_role("button", name="Move res3b 2 later").click()
    page.wait_for_url("**/list.html#list=res2c:3,res3b:2")
    assert _names(page) == ["res2c 3", "res3b 2"]
    assert page.locator(".list-state").inner_text() == "res3b 2 is number 2 now."
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Move res3b 2 earlier"
    page.get_by_role("button", name="Remove res2c 3 from the list").click()
    page.wait_for_url("**/list.html#list=res3b:2")
    shown = page.locator(".listed dd").first.inner_text().split()[0]
    record = json.loads((server.folder / "small/res3b/channels.json").read_text("utf-8"))
    assert shown == BY_KEY["max"].format(record["channels"][2]["numbers"][record["numbers"].index("max")])


@pytest.mark.browser
@pytest.mark.slow
def test_an_address_that_names_no_channel_is_said_in_one_sentence(server: _Server, page: Any) -> None:
    page.goto(f"{server.address}/list.html#list=res3b:2,nowhere:3,layer2.0:7,res2a:99,%E0%A4%A,res2c,res3b:2")
    page.wait_for_selector(".listed li:nth-child(2)")
    assert _names(page) == ["res3b 2", "res3a 7"]  # a layer by its path; the same channel once
    said = "Left out, because this atlas has no such channel: nowhere:3, res2a:99, %E0%A4%A, res2c."
    assert page.locator(".list-state").inner_text() == said


@pytest.mark.browser
@pytest.mark.slow
def test_a_page_is_cited_in_bibtex_by_its_own_number_and_address(server: _Server, page: Any) -> None:
    page.goto(f"{server.address}/res3b/10.html")
    page.get_by_text("Cite", exact=True).click()
    text = page.locator("details.cite pre").inner_text()
    atlas = Atlas(SMALL)
    own = cite(atlas.manifest, "res3b", 10, f"{server.address}/res3b/10.html")
    assert text == own.bibtex
    assert page.locator("details.cite p").inner_text() == f"{own.plain} {own.address}"


@pytest.mark.browser
@pytest.mark.slow
def test_an_empty_list_says_how_to_fill_it(server: _Server, page: Any) -> None:
    page.goto(f"{server.address}/list.html")
    page.wait_for_function(
        "document.querySelector('.list-state').textContent.startsWith('The list is empty')"
    )


@pytest.mark.browser
@pytest.mark.slow
def test_the_key_and_the_die_open_a_random_channel_that_is_not_dead(server: _Server, page: Any) -> None:
    page.goto(f"{server.address}/res2a/index.html")
    page.evaluate("Math.random = () => 0.11")
    page.keyboard.press("?")
    page.wait_for_url(re.compile(r"/small/\w+/\d+\.html$"))
    assert not page.url.endswith("res2a/5.html")
    page.goto(f"{server.address}/index.html")
    page.get_by_role("button", name="Open a random channel").click()
    page.wait_for_url(re.compile(r"/small/\w+/\d+\.html$"))


@pytest.mark.browser
@pytest.mark.slow
def test_neighbours_are_loaded_ahead_under_the_policy(server: _Server, page: Any) -> None:
    server.asked.clear()
    page.goto(f"{server.address}/res3b/6.html")
    page.wait_for_timeout(1500)
    ahead = {path for path, purpose in server.asked if "prefetch" in purpose}
    assert ahead >= {"/small/res3b/5.html", "/small/res3b/7.html"}, server.asked
