"""The site in a browser: keys, finder, sorting, colours, from a folder, below a sub-path, without scripts."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from make_small_atlas import make_atlas
from serving import served

from generator.core.store import Store
from generator.site.reading.atlas import PANEL_NAMES, Atlas
from generator.site.render import render_site

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = pytest.mark.browser

SMALL = Path(__file__).parent / "small_atlas"
SUBPATH = "project/atlas"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("host")
    (root / SUBPATH).mkdir(parents=True)
    render_site([SMALL], root / SUBPATH)
    return root


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """The site below a sub-path of a local server."""
    with served(folder) as host:
        yield f"{host}/{SUBPATH}"


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """A page that fails the test on any console error and on any request that leaves the site."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light")
    opened = context.new_page()
    faults: list[str] = []
    host = address.removesuffix(f"/{SUBPATH}")
    opened.on("console", lambda m: faults.append(m.text) if m.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("request", lambda r: None if r.url.startswith((host, "file:")) else faults.append(r.url))
    opened.on("response", lambda r: faults.append(f"{r.status} {r.url}") if r.status >= 400 else None)
    yield opened
    context.close()
    assert faults == []


def test_keys_walk_across_channels_and_blocks(page: Any, address: str) -> None:
    page.goto(f"{address}/small/res2b/3.html")
    for key, there in (
        ("ArrowRight", "res2b/4"),
        ("ArrowLeft", "res2b/3"),
        ("ArrowDown", "res2c/3"),
        ("ArrowUp", "res2b/3"),
    ):
        page.keyboard.press(key)
        page.wait_for_url(f"**/small/{there}.html")


def test_finder_answers_units_and_classes(page: Any, address: str) -> None:
    page.goto(f"{address}/small/res2b/3.html")
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    box = page.get_by_role("combobox", name="Find")
    box.fill("layer2.1:7")
    first = page.get_by_role("option").first
    expect(first).to_contain_text("res3b 7")
    assert [url for url in requests if url.endswith("finder.js")] == [f"{address}/small/finder.js"]
    box.fill("spiral")
    expect(page.get_by_role("option").first).to_contain_text("spiral")
    box.fill("res3c 11")
    expect(first).to_contain_text("res3c 11")
    box.press("Enter")
    page.wait_for_url("**/small/res3c/11.html")


@pytest.fixture(scope="module")
def ranged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sites of two atlases with strips, of which one ("closed") publishes no pictures. Channel 1 of res2a has strips at
    the top, of all its pictures, and at the 90 % quantile, of pictures 0 to 8."""
    root = tmp_path_factory.mktemp("ranged")
    for name, publish in (("open", True), ("closed", False)):
        tiny: dict[str, Any] = {"stages": ((2, 2, 6),), "inner": (), "stem": 4, "side": 48, "tile": 12}
        make_atlas(root / name, pictures=12, publish_patches=publish, **tiny)
        store = Store(root / name)
        tops = store.arrays.layer("res2a")
        counts = np.zeros((6, 4), np.int64)
        counts[:] = [3, 4, 4, 1]
        image = np.stack([tops["top_image"], np.tile(np.arange(9, dtype=np.int32), (6, 1))], 1)
        arrays = {
            "histogram": counts,
            "histogram_bins": np.array([[-np.inf, 0], [0.5, 1], [1, 2], [2, 4]]),
            "strip_image": image,
            "strip_value": np.stack([tops["top_value"], np.tile(np.linspace(2, 1, 9), (6, 1))], 1),
            "strip_unit": np.zeros((6, 2, 9, 2), np.int64),
        }
        store.arrays.write_layer("res2a", "range", arrays)
        store.tables.write_json("label_range.json", {"quantiles": [100, 90]})
        render_site([root / name], root / f"{name}-site")
    return root


def test_the_tab_key_stops_once_at_a_strip_and_the_arrow_keys_move_along_it(page: Any, ranged: Path) -> None:
    page.goto((ranged / "open-site/small/res2a/1.html").as_uri())
    page.locator(".whole-range").scroll_into_view_if_needed()
    first, second = (
        page.get_by_role("group", name="strongest nine"),
        page.get_by_role("group", name="90 % quantile"),
    )
    links = second.get_by_role("link")
    expect(links).to_have_count(9)
    first.get_by_role("link").first.focus()
    page.keyboard.press("Tab")
    expect(links.first).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(links.nth(1)).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(links.first).to_be_focused()
    assert page.url.endswith("/res2a/1.html")
    assert links.locator("img").evaluate_all("all => all.map(e => e.alt)") == [
        f"picture {n}" for n in range(9)
    ]
    named = first.locator("img").evaluate_all("all => all.map(e => e.alt)")
    atlas = Atlas(ranged / "open")
    pictures = atlas.layer("res2a").images[1]
    assert named == [f"picture {n}, {atlas.picture_labels[n]}" for n in pictures if n >= 0]


def test_strips_without_published_pictures_have_no_boxes(page: Any, ranged: Path) -> None:
    page.goto((ranged / "closed-site/small/res2a/1.html").as_uri())
    expect(page.locator(".whole-range li b").first).to_have_text("strongest nine")
    expect(page.locator(".whole-range li")).to_have_count(2)
    expect(page.locator(".whole-range [data-p]")).to_have_count(0)


def test_a_list_from_a_link_is_whole_and_becomes_the_sessions_only_when_it_is_changed(
    page: Any, address: str
) -> None:
    page.goto(f"{address}/small/res2b/3.html")
    page.get_by_role("button", name="add to list").click()
    layers = [layer for layer in Atlas(SMALL).manifest.layers if not layer.is_inner]
    sent = [f"{layer.name}:{channel}" for layer in layers for channel in range(layer.channels)][:70]
    page.goto(f"{address}/small/list.html#list={','.join(sent)}")
    items, state = page.locator(".listed > li"), page.get_by_role("status")
    expect(items).to_have_count(60)
    expect(state).to_have_text(f"The page shows the first 60 of {len(sent)} channels.")
    assert page.evaluate("location.hash") == f"#list={','.join(sent)}"
    page.goto(f"{address}/small/res2b/3.html")
    expect(page.get_by_role("link", name="list of 1", exact=True)).to_be_visible()
    page.go_back()
    expect(items).to_have_count(60)
    items.first.get_by_role("button", name="Remove").click()
    expect(state).to_contain_text(f"The page shows the first 60 of {len(sent) - 1} channels.")
    page.goto(f"{address}/small/res2b/3.html")
    expect(page.get_by_role("link", name=f"list of {len(sent) - 1}")).to_be_visible()


def test_a_channel_page_works_where_the_host_leaves_out_the_ending_of_its_address(
    page: Any, address: str
) -> None:
    whole = f"{address}/small/res2b/3"
    page.route(whole, lambda route: route.fulfill(response=route.fetch(url=f"{whole}.html")))
    page.goto(whole)
    page.get_by_role("button", name="add to list").click()
    expect(page.get_by_role("link", name="list of 1")).to_have_attribute("href", re.compile("#list=res2b:3$"))
    page.get_by_text("Cite", exact=True).click()
    expect(page.locator("details.cite pre")).to_contain_text("res2b")


def test_finder_works_on_prose_pages(page: Any, address: str) -> None:
    page.goto(f"{address}/guide/method.html")
    page.get_by_role("combobox", name="Find").fill("res2a 1")
    expect(page.get_by_role("option").first).to_contain_text("res2a 1")
    page.get_by_role("combobox", name="Find").press("Enter")
    page.wait_for_url("**/small/res2a/1.html")


def _grid_data(script: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(script.removeprefix("residualAtlas.grid(").removesuffix(");\n"))
    return data


def test_grid_sorts_and_filters_and_keeps_the_address(page: Any, address: str) -> None:
    page.goto(f"{address}/small/res2b/index.html")
    page.get_by_label("sort").select_option("max")
    expect(page).to_have_url(f"{address}/small/res2b/index.html#sort=max")
    strongest = _grid_data(page.request.get(f"{address}/small/res2b/grid.js").text())["numbers"]["max"]
    order = [int(text) for text in page.locator(".grid li:visible").all_inner_texts()]
    values = [strongest[channel] for channel in order]
    assert values == sorted(values, reverse=True)
    page.get_by_label("class or group").fill("tandem")
    expect(page).to_have_url(f"{address}/small/res2b/index.html#sort=max&label=tandem")
    fewer = [int(text) for text in page.locator(".grid li:visible").all_inner_texts()]
    assert 0 < len(fewer) < len(order)
    page.reload()
    expect(page.locator(".grid li:visible")).to_have_text([str(channel) for channel in fewer])


def test_a_grid_of_several_lists_sorts_across_them_and_leaves_no_gaps(
    page: Any, other_sites: Path, tmp_path: Path
) -> None:
    site = tmp_path / "parts"
    shutil.copytree(other_sites / "few-site", site, symlinks=True)
    grid = site / "small/res2b/index.html"
    cell = re.compile(r'<li>(?=<a[^>]*href="?[24]\.html)')
    lists = cell.sub('</ol><ol class="grid"><li>', grid.read_text("utf-8"))
    grid.write_text(lists, "utf-8")
    page.goto(grid.as_uri())
    data = _grid_data((grid.parent / "grid.js").read_text("utf-8"))
    parts = page.locator(".grid:not(.dead)")
    before = [part.locator("li").count() for part in parts.all()]
    assert len(before) == 3

    def shown() -> list[list[int]]:
        return [
            [int(cell) for cell in part.locator("li:visible").all_text_contents()] for part in parts.all()
        ]

    page.get_by_label("sort").select_option("max")
    expect(page).to_have_url(re.compile("sort=max"))
    order = [channel for part in shown() for channel in part]
    values = [data["numbers"]["max"][channel] for channel in order]
    assert values == sorted(values, reverse=True) and [len(part) for part in shown()] == before
    page.get_by_label("with gradients").check()
    kept = shown()
    assert sum(map(len, kept)) == 3
    assert [channel for part in kept for channel in part] == [c for c in order if c in chain(*kept)]
    assert len(kept[0]) == min(3, before[0]) and page.locator(".grid:visible").count() == sum(map(bool, kept))
    page.get_by_label("with gradients").uncheck()
    expect(parts.locator("li:visible")).to_have_count(len(order))
    assert [channel for part in shown() for channel in part] == order


def test_dead_channels_are_shown_on_request(page: Any, address: str) -> None:
    page.goto(f"{address}/small/res2b/index.html")
    dead = page.locator(".grid.dead li").first
    expect(dead).to_be_hidden()
    page.get_by_label("dead channels too").check()
    expect(dead).to_be_visible()


def test_tiles_say_what_they_show(page: Any, address: str) -> None:
    page.goto(f"{address}/small/res2b/3.html")
    page.locator(".nine a").first.hover()
    card = page.locator(".card")
    expect(card).to_contain_text("act. · row")
    expect(card.locator(".mark path").first).to_be_attached()
    page.locator(".nine a").nth(1).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("res2b 3, 2 of 9")
    expect(page).to_have_url(f"{address}/small/res2b/3.html#2")
    page.keyboard.press("ArrowRight")
    expect(dialog).to_contain_text("3 of 9")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page).to_have_url(
        f"{address}/small/res2b/3.html"
    )  # a dialog's close event comes after it is hidden


def test_a_page_of_a_convolution_says_what_its_own_tiles_show(page: Any, address: str) -> None:
    atlas, layer = Atlas(SMALL), "res2b_branch2a"
    page.goto(f"{address}/small/{layer}/1.html")
    page.locator(".nine a").nth(2).click()
    dialog = page.get_by_role("dialog")
    picture, value, row, column = atlas.layer(layer).tops[1][2]
    label = atlas.picture_labels[picture]
    shown = f"{label} · {value:g} act. · row {row}, column {column} · picture {picture}"
    expect(dialog.locator("p")).to_have_text(shown)
    panels = page.locator(".panels > .panel > figcaption").all_inner_texts()
    assert dialog.locator("figcaption").all_inner_texts()[: len(panels)] == panels
    page.keyboard.press("Escape")
    page.get_by_text("The nine pictures").click()
    cells = page.locator(".table tbody tr").nth(2).locator("td")
    expect(cells).to_have_text(["3", label, f"{value:g}", f"{row}, {column}", str(picture)])


def test_a_label_may_hold_what_stands_between_labels(page: Any, address: str, folder: Path) -> None:
    path = f"{SUBPATH}/small/res2b_branch2a/1.html"
    text = (folder / path).read_text("utf-8")
    labels = re.findall(r"<i>([^<]+)</i>", text.partition('class="labels"')[2].partition("</p>")[0])
    odd = ["a\u00a03 · b", *labels[1:]]
    text = text.replace(f"<i>{labels[0]}</i>", f"<i>{odd[0]}</i>")
    page.route(f"**/{path}", lambda route: route.fulfill(body=text, content_type="text/html; charset=utf-8"))
    page.goto(f"{address}/small/res2b_branch2a/1.html")
    links = page.locator(".labels a")
    assert links.all_text_contents() == odd
    targets = links.evaluate_all("links => links.map((link) => decodeURIComponent(link.hash))")
    assert targets == [f"#label={label}" for label in odd]
    page.get_by_text("The nine pictures").click()
    atlas = Atlas(SMALL)
    shown = [atlas.picture_labels[picture] for picture, *_ in atlas.layer("res2b_branch2a").tops[1]]
    cells = page.locator(".table tbody td:nth-child(2)").all_text_contents()
    assert cells == [odd[0] if label == labels[0] else label for label in shown]


def test_names_of_statistics_lead_to_their_definitions(page: Any, address: str) -> None:
    page.goto(f"{address}/small/res2b/3.html")
    names = page.locator(".stats dt")
    assert names.count() > 10 and names.locator("a").count() == names.count()
    for link in (names.locator("a"), page.get_by_role("link", name="What the numbers of this page are")):
        for target in set(link.evaluate_all("links => links.map((link) => link.href)")):
            asked, _, anchor = target.partition("#")
            assert f'id="{anchor}"' in page.request.get(asked).text() or not anchor


def test_labels_lead_to_the_channels_that_share_them(page: Any, address: str) -> None:
    page.goto(f"{address}/small/res2b/3.html")
    label = page.locator("article .labels a").first
    text = label.inner_text()
    label.click()
    page.wait_for_url("**/small/res2b/index.html#label=*")
    expect(page.get_by_label("class or group")).to_have_value(text)


def test_a_panel_of_gradients_is_cut_into_tiles(page: Any, browser: Any, address: str) -> None:
    page.goto(f"{address}/small/res2b/3.html")
    panel = page.locator(".panels .p1")
    expect(panel.locator(".nine > i")).to_have_count(9)
    panel.locator(".nine > i").nth(4).click()
    expect(page.get_by_role("dialog")).to_contain_text("res2b 3, 5 of 9")
    cut = panel.locator(".nine").bounding_box()
    context = browser.new_context(viewport={"width": 1280, "height": 800}, java_script_enabled=False)
    plain = context.new_page()
    plain.goto(f"{address}/small/res2b/3.html")
    whole = plain.locator(".panels .p1 .frame").bounding_box()
    assert all(abs(whole[side] - cut[side]) < 1 for side in ("x", "y", "width", "height"))
    context.close()


def test_thumbnails_are_set_before_the_channels_that_feed_one(page: Any, folder: Path, address: str) -> None:
    terms = (
        """<li><a href="../res2a/5.html">5</a></li><li><a href="../res2a/6.html"><span></span>6</a></li>"""
    )
    text = (folder / SUBPATH / "small/res2b/3.html").read_text("utf-8")
    fed = folder / SUBPATH / "small/res2b/fed.html"
    fed.write_text(
        text.replace("</main>", f'<div class="feeds"><ul class="n4 f0">{terms}</ul></div></main>'), "utf-8"
    )
    page.goto(f"{address}/small/res2b/fed.html")
    images = page.locator(".feeds img")
    expect(images).to_have_count(1)  # the other has none
    assert images.get_attribute("class") == "x1 y1"
    images.scroll_into_view_if_needed()
    assert images.evaluate("image => image.decode().then(() => image.currentSrc)").endswith(
        "/small/res2a/thumbs.webp"
    )
    fed.unlink()


def test_a_grid_loads_its_numbers_when_it_is_used(page: Any, address: str) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(f"{address}/small/res2b/index.html", wait_until="networkidle")
    count = page.locator("output")
    before = count.text_content()
    assert before and not any(url.endswith("grid.js") for url in requests)
    with page.expect_request("**/grid.js"):
        page.get_by_label("large").focus()
    expect(count).to_have_text(before)


def test_an_address_selects_one_of_the_nine(page: Any, address: str) -> None:
    page.goto(f"{address}/small/res2b/3.html#4")
    expect(page.get_by_role("dialog")).to_contain_text("4 of 9")


def test_first_load_is_light_and_rows_come_with_the_view(page: Any, address: str) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.set_viewport_size({"width": 1280, "height": 560})
    page.goto(f"{address}/small/res3a/3.html", wait_until="networkidle")
    own = [url for url in requests if "/static/" not in url]
    assert len(own) <= 6
    assert not any("res3d" in url and url.endswith(".webp") for url in own)
    page.locator("[data-row=res3d]").scroll_into_view_if_needed()
    expect(page.locator("[data-row=res3d] img")).to_have_count(18)


def test_panels_can_be_switched(page: Any, address: str) -> None:
    page.goto(f"{address}/small/res2b/3.html")
    page.get_by_label("both").scroll_into_view_if_needed()
    line = page.locator(".strip .line.p0").first
    expect(line).to_be_visible()
    page.get_by_label("guided backprop", exact=True).check()
    expect(line).to_be_hidden()
    page.keyboard.press("Tab")
    page.goto(f"{address}/small/res2b/4.html")
    expect(page.get_by_label("guided backprop", exact=True)).to_be_checked()


PANELS = ("patches", "guided", "plain", "deconvnet", "saliency")


@pytest.fixture(scope="module")
def other_sites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sites with from one to five panels, one of them of an atlas that pictures three channels alone and whose classes
    share names."""
    root = tmp_path_factory.mktemp("panels")
    tiny: dict[str, Any] = {
        "stages": ((2, 2, 6),),
        "inner": (),
        "stem": 4,
        "pictures": 12,
        "side": 48,
        "tile": 12,
    }
    for count in (2, 3, 5):
        make_atlas(root / f"atlas{count}", panels=PANELS[:count], **tiny)
        render_site([root / f"atlas{count}"], root / str(count))
    labels = ("crane", "bow", "crane", "bow tie", "ring", "clock", "dish", "face")
    make_atlas(root / "few", labels=labels, **tiny | {"pictures": 32})
    for sprite in (root / "few/sprites").glob("*/*.webp"):
        if int(sprite.stem) >= 3:
            sprite.unlink()
    render_site([root / "few"], root / "few-site")
    return root


@pytest.mark.parametrize("count", [2, 3, 5])
def test_every_panel_can_be_shown_alone(page: Any, other_sites: Path, count: int) -> None:
    page.goto((other_sites / f"{count}/small/res2b/1.html").as_uri())
    expect(page.locator(".panels .panel")).to_have_count(count)
    page.locator(".strip").scroll_into_view_if_needed()
    together = page.get_by_label("both" if count == 2 else "all", exact=True)
    expect(together).to_be_checked()
    rows = page.locator(".strip .row")
    expect(rows.nth(1).locator(".line")).to_have_count(count)
    for number, panel in enumerate(PANELS[:count]):
        page.get_by_label(PANEL_NAMES[panel], exact=True).check()
        for row in (0, 1):
            for other in range(count):
                line = rows.nth(row).locator(f".line.p{other}")
                expect(line).to_be_visible(visible=other == number)
            # The tiles of this very panel: the sprite is shifted by so many panels.
            image = rows.nth(row).locator(f".line.p{number} img").first
            seen, sheet, width = image.evaluate(
                "e => [e.parentElement.getBoundingClientRect().x, e.getBoundingClientRect().x, e.offsetWidth]"
            )
            assert round((seen - sheet) / (width / count)) == number
    page.reload()
    page.locator(".strip").scroll_into_view_if_needed()
    expect(page.get_by_label(PANEL_NAMES[PANELS[count - 1]], exact=True)).to_be_checked()
    expect(rows.first.locator(f".line.p{count - 1}")).to_be_visible()
    expect(rows.first.locator(".line.p0")).to_be_hidden()
    page.get_by_label("both" if count == 2 else "all", exact=True).check()
    for number in range(count):
        expect(rows.first.locator(f".line.p{number}")).to_be_visible()


def test_a_channel_without_gradients_shows_and_lists_its_nine(page: Any, other_sites: Path) -> None:
    page.goto((other_sites / "few-site/small/res2b/4.html").as_uri())
    expect(page.get_by_text("no patches or gradients of this channel")).to_be_visible()
    tiles = page.locator(".whole-nine .whole")
    expect(tiles).to_have_count(9)
    # The fields, cut out of the pictures, stand beside the whole pictures.
    fields, wholes = (figure.bounding_box() for figure in page.locator(".panels figure").all())
    assert fields["y"] == wholes["y"] and fields["x"] + fields["width"] < wholes["x"]
    assert tiles.locator("img").evaluate_all("all => all.every(e => e.naturalWidth > 0)")
    # The mark lies where the unit's field lies in the picture.
    field, tops = page.evaluate("residualAtlas.tiles.rows.res2b")
    side = page.evaluate("residualAtlas.tiles.side")
    for tile, (_, _, row, column, _) in zip(tiles.all(), tops, strict=True):
        left, top, width = tile.locator("path").evaluate(
            "e => [e.getBBox().x, e.getBBox().y, e.getBBox().width]"
        )
        assert width == pytest.approx(100 * field[0] / side, abs=0.1)
        for start, place in ((left, column), (top, row)):
            middle = field[2] + place * field[1] + 0.5
            assert start + width / 2 == pytest.approx(100 * middle / side, abs=0.1)
    page.locator(".strip").scroll_into_view_if_needed()
    expect(page.locator(".strip .row").first.locator("a.whole .mark")).to_have_count(9)
    tiles.first.click()
    expect(page.get_by_role("dialog").locator(".mark")).to_have_count(1)
    page.keyboard.press("Escape")
    page.get_by_text("The nine pictures", exact=True).click()
    rows = page.locator("details.table tbody tr")
    expect(rows).to_have_count(9)
    expect(rows.first.locator("a")).to_have_attribute("href", re.compile(r"^\.\./pictures/"))
    page.goto((other_sites / "few-site/small/res2b/1.html").as_uri())
    page.get_by_text("The nine pictures", exact=True).click()
    expect(rows).to_have_count(9)
    expect(page.locator(".whole-nine")).to_have_count(0)
    page.goto((other_sites / "few-site/small/res2b/index.html").as_uri())
    page.locator(".grid a").nth(4).hover()
    expect(page.locator(".preview img")).to_have_attribute("src", re.compile(r"/pictures/\d+\.webp$"))
    page.get_by_label("with gradients").check()
    expect(page.locator(".grid li:visible")).to_have_count(3)
    page.reload()
    expect(page.get_by_label("with gradients")).to_be_checked()
    expect(page.locator(".grid li:visible")).to_have_count(3)


def test_the_grid_cuts_the_field_out_of_a_channels_strongest_picture(page: Any, other_sites: Path) -> None:
    page.goto((other_sites / "few-site/small/res2a/index.html").as_uri())
    cell = page.locator(".grid .cut").first
    window, picture = (
        each.evaluate("e => { const r = e.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]; }")
        for each in (cell, cell.locator("img"))
    )
    atlas = Atlas(other_sites / "few")
    info = atlas.manifest.layer("res2a")
    channel = int(cell.locator("..").inner_text())
    row, column = atlas.layer("res2a").units[channel][0]
    top, left, bottom, _ = info.receptive_field.box(row, column)
    scale = picture[2] / atlas.input_side  # px of the page for each of the input
    assert picture[2] == pytest.approx(picture[3]) and window[2] / scale == pytest.approx(
        bottom - top, rel=1e-3
    )
    assert (window[0] - picture[0]) / scale == pytest.approx(left, abs=0.51)
    assert (window[1] - picture[1]) / scale == pytest.approx(top, abs=0.51)


def test_two_classes_of_one_name_are_found_and_filtered_apart(page: Any, other_sites: Path) -> None:
    page.goto((other_sites / "few-site/small/res2b/index.html").as_uri())
    data = _grid_data((other_sites / "few-site/small/res2b/grid.js").read_text("utf-8"))
    assert {"crane (0)", "crane (2)", "bow", "bow tie"} <= set(data["labels"]) and "crane" not in data[
        "labels"
    ]

    def shown(text: str) -> list[int]:
        page.get_by_label("class or group").fill(text)
        return sorted(int(cell) for cell in page.locator(".grid li:visible").all_text_contents())

    def carrying(*names: str) -> list[int]:
        numbers = {data["labels"].index(name) for name in names}
        return [channel for channel, nine in enumerate(data["nine"]) if numbers & set(nine)]

    for name in data["labels"]:
        assert shown(name) == carrying(name)
    assert carrying("crane (0)") != carrying("crane (2)") and carrying("bow") != carrying("bow tie")
    assert shown("crane") == carrying("crane (0)", "crane (2)") and shown("bo") == carrying("bow", "bow tie")
    page.get_by_role("combobox", name="Find").fill("crane")
    answers = page.locator("#ra-answers li")
    expect(answers.first).to_contain_text("crane (")
    texts = [
        text for text in answers.all_inner_texts() if "\ngroup" not in text
    ]  # the group "crane" holds both
    names = [text.partition("\n")[0] for text in texts]  # channels stand below the classes
    assert {name.rpartition("crane")[2] for name in names if "crane" in name} <= {" (0)", " (2)"}


def test_colours_are_shared_with_prose_pages(page: Any, address: str) -> None:
    body, ground = page.locator("body"), "background-color"
    light, dark = "rgb(247, 247, 247)", "rgb(22, 22, 22)"  # --page in tokens.css
    page.goto(f"{address}/small/res2b/3.html")
    expect(body).to_have_css(ground, light)
    button = page.get_by_role("button", name="Colours")
    button.click()
    expect(button).to_have_accessible_name("Colours: light")
    button.click()
    expect(body).to_have_css(ground, dark)
    page.goto(f"{address}/guide/method.html")
    expect(body).to_have_css(ground, dark)
    page.get_by_role("button", name="Colours").click()  # as the system again
    expect(body).to_have_css(ground, light)
    page.emulate_media(color_scheme="dark")
    expect(body).to_have_css(ground, dark)


def test_nothing_is_wider_than_a_phone(page: Any, address: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for place in (
        "index",
        "small/res2b/index",
        "small/res2b/3",
        "small/conv1/kernels",
        "small/conv1/1",
        "small/refinement",
        "small/correspondence",
        "small/res3b/refinement",
        "small/res3a/from-res2c",
        "guide/layers",
    ):
        page.goto(f"{address}/{place}.html")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, place


def test_the_site_opens_from_a_folder(page: Any, folder: Path) -> None:
    page.goto((folder / SUBPATH / "index.html").as_uri())
    page.locator(".line-of-blocks a").nth(1).click()
    page.wait_for_url("**/small/res2a/index.html")
    page.locator(".grid a").nth(2).click()
    page.wait_for_url("**/small/res2a/2.html")
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**/small/res2a/3.html")
    page.get_by_role("combobox", name="Find").fill("res2b 1")
    expect(page.get_by_role("option").first).to_contain_text("res2b 1")
    page.keyboard.press("Enter")
    page.wait_for_url("**/small/res2b/1.html")
    page.locator("header nav a").last.click()
    page.wait_for_url("**/guide/reading.html")
    expect(page.locator(".md-typeset h1")).to_have_css("font-size", "24px")


def test_everything_can_be_read_without_scripts(browser: Any, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    opened = context.new_page()
    opened.goto(f"{address}/small/index.html")
    opened.locator(".line-of-blocks a").nth(2).click()
    expect(opened.locator(".grid a:visible")).to_have_count(12)
    opened.locator(".grid a").nth(1).click()
    expect(opened.locator(".nine a img").first).to_be_visible()
    opened.locator(".row img").first.scroll_into_view_if_needed()
    expect(opened.locator(".row img").first).to_be_visible()
    expect(opened.locator(".tools")).to_have_count(0)
    opened.locator("[data-go=right]").click()
    opened.wait_for_url("**/2.html")
    context.close()


PAGE_KINDS = (
    "index",
    "small/res2b/index",
    "small/res2b/3",
    "small/res2a/5",  # dead
    "small/res2b_branch2b/1",
    "small/conv1/kernels",
    "small/refinement",
    "small/correspondence",
    "small/res3b/refinement",
    "small/res3a/from-res2c",
    "small/res3b/from-res3a",
    "networks/index",
    "networks/resnet50",
    "guide/reading",
    "guide/layers",
    "guide/statistics",
)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_violation(page: Any, address: str, theme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.emulate_media(color_scheme=theme)
    found: list[str] = []

    def look(what: str) -> None:
        for fault in axe.run(page).response["violations"]:
            found.append(f"{what}: {fault['id']}: {fault['nodes'][0]['html'][:160]}")

    for place in PAGE_KINDS:
        page.goto(f"{address}/{place}.html")
        page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
        look(place)
    page.goto(f"{address}/small/list.html#list=res3b:2,res2c:1,nowhere:1")
    expect(page.locator(".listed li")).to_have_count(2)
    look("list")
    page.goto(f"{address}/small/res2b/3.html#2")
    expect(page.get_by_role("dialog")).to_be_visible()
    look("dialog")
    page.goto(f"{address}/index.html")
    page.get_by_role("combobox", name="Find").fill("res2a 1")
    expect(page.get_by_role("option").first).to_contain_text("res2a 1")
    look("finder")
    assert found == []


def test_the_dot_next_to_the_pointer_leads_to_its_channel(page: Any, address: str) -> None:
    page.goto(f"{address}/small/res2b/refinement.html")
    layer = page.locator("svg.dots").first
    layer.scroll_into_view_if_needed()
    plot = page.locator("svg:has(> svg.dots)").first.bounding_box()
    places = []
    for mark in layer.locator("path").all():
        starts = [place.split(" ") for place in mark.get_attribute("d")[1:].split("M")]
        words = mark.get_attribute("data-dots").split("|")
        assert len(starts) == len(words)
        places += [
            (plot["x"] + plot["width"] * float(x) / 1000, plot["y"] + float(y.removesuffix("h0")), text)
            for (x, y), text in zip(starts, words, strict=True)
        ]
    # The dot that is farthest from all others, so that a pixel beside it no other is nearer.
    x, y, text = max(
        places,
        key=lambda dot: min(math.dist(dot[:2], other[:2]) for other in places if other is not dot),
    )
    channel, words = text.split(" ", 1)
    link = page.locator("svg > a[tabindex='-1']")
    assert link.count() == 0
    page.mouse.move(x + 1, y)
    assert link.get_attribute("href") == f"{channel}.html"
    assert link.text_content() == f"{channel}: {words}"
    page.mouse.move(plot["x"] - 30, y)
    assert link.count() == 0
    page.mouse.click(x + 1, y)
    page.wait_for_url(f"**/{channel}.html")
