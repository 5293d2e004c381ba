"""The page Your picture in a browser: the network's values, the pixels it is given, and what the page asks for."""

from __future__ import annotations

import base64
import contextlib
import io
import math
import re
import shutil
import socketserver
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_job
import torch
from chromium import AS_CARD, WEBGPU_ON_PROCESSOR
from PIL import Image
from serving import served
from test_live_network import share_below

from generator.core.records import Preprocessing
from generator.core.store import Store
from generator.network import models
from generator.network.onnx_model import halved
from generator.pictures.decoding import read_picture
from generator.site import runtime as runtimes
from generator.site.packing import packed_numbers
from generator.site.reading.live import LayerScores
from generator.site.render import render_site

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = pytest.mark.browser

MODULES = Path(__file__).parent.parent / "site_src" / "js"
NO_CARD = "No available adapters."  # what Chromium writes where it has no graphics card
WAIT = 60_000  # ms; a busy machine takes long to compile the WebAssembly


@pytest.fixture(scope="module")
def folder(atlas: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of an atlas with a network that runs in a browser."""
    if absent := runtimes.runtime().absent:
        pytest.skip(f"the page Your picture is not tested in a browser: {absent}")
    site = tmp_path_factory.mktemp("live")
    report = render_site([atlas.folder], site)
    assert report.notes == []
    return site


@pytest.fixture(scope="module")
def host(folder: Path) -> Iterator[str]:
    with served(folder) as address:
        yield address


# Remembers the memory of every WebAssembly module.
REMEMBER = """
window.memories = [];
const Memory = WebAssembly.Memory;
WebAssembly.Memory = class extends Memory {
  constructor(...given) { super(...given); window.memories.push(this); }
};
"""


@pytest.fixture
def page(browser: Any, host: str) -> Iterator[Any]:
    """The page, which fails the test on any error and on any request that leaves the site."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    opened.add_init_script(REMEMBER)
    yield from _watched(opened, host)
    context.close()


def _watched(opened: Any, host: str) -> Iterator[Any]:
    """The page in an empty tab, and afterwards what it must not have done."""
    faults: list[str] = []
    opened.on("console", lambda m: faults.append(m.text) if m.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: faults.append(str(error)))
    own = (host, f"blob:{host}")  # blob: from the page's own memory
    opened.on("request", lambda r: None if r.url.startswith(own) else faults.append(r.url))
    opened.on("response", lambda r: faults.append(f"{r.status} {r.url}") if r.status >= 400 else None)
    opened.goto(f"{host}/small/your-picture.html")
    yield opened
    assert [fault for fault in faults if fault != NO_CARD] == []


def png(picture: Image.Image) -> dict[str, Any]:
    """A file as an input element takes it."""
    content = io.BytesIO()
    picture.save(content, "PNG")
    return {"name": "mine.png", "mimeType": "image/png", "buffer": content.getvalue()}


def rough(size: tuple[int, int], seed: int = 0, mode: str = "RGB") -> Image.Image:
    """Noise on large blots: sharp and smooth parts."""
    rng = np.random.default_rng(seed)
    bands = len(mode)
    blots = Image.fromarray(rng.integers(0, 256, (5, 7, bands), dtype=np.uint8), mode).resize(size)
    noise = rng.integers(-40, 40, (*size[::-1], bands))
    return Image.fromarray(np.clip(np.asarray(blots) + noise, 0, 255).astype(np.uint8), mode)


def give(page: Any, file: dict[str, Any]) -> None:
    page.locator("input[type=file]").first.set_input_files(file)


def done(page: Any, name: str = "mine.png", wait: int = WAIT) -> None:
    expect(page.locator(".state")).to_contain_text(f"{name}: the network needed", timeout=wait)


def shown_values(page: Any) -> dict[tuple[str, int], float]:
    """Of the channels on the page, with six digits, as their links pass them on."""
    links = page.locator(".layers ol a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    parts = [re.fullmatch(r"(\w+)/(\d+)\.html#yours=(.+)", link) for link in links]
    return {(part[1], int(part[2])): float(part[3]) for part in parts if part}


def test_the_values_are_the_engines(page: Any, atlas: Store, tmp_path: Path) -> None:
    file = png(rough((32, 32)))
    give(page, file)
    done(page)
    (tmp_path / "mine.png").write_bytes(file["buffer"])
    network = models.load("resnet20-cifar", "random").with_preprocessing(atlas.manifest().preprocessing)
    pixels = torch.from_numpy(read_picture(tmp_path / "mine.png", network.preprocessing).pixels)[None]
    shown = shown_values(page)
    layers = atlas.tables.read_json("live/live.json")["layers"]
    assert {layer for layer, _ in shown} == set(layers) and len(shown) == 6 * len(layers)
    # As the network with the rounded weights, and within what rounding may change as the exact one.
    for engine, relative, of_layer in ((halved(network), 1e-4, 0.0), (network, 0.0, 1e-3)):
        engine = engine.to("cpu", torch.float32)
        maps = {step: output.clone() for step, output in engine.graph.run(engine.prepare(pixels))}
        for (layer, channel), value in shown.items():
            largest = maps[engine.step(layer)][0].amax((1, 2))
            within = max(relative * float(largest[channel]), of_layer * float(largest.max()))
            assert value == pytest.approx(float(largest[channel]), abs=within)
    probabilities = maps[len(network.graph) - 1][0].softmax(0).sort(descending=True)
    rows = page.locator(".prediction tbody tr").all_text_contents()
    assert [row.split(" ")[0] for row in rows] == ["class" for _ in rows]
    for row, probability, output in zip(rows, *(part.tolist() for part in probabilities), strict=False):
        assert row.startswith(f"class {output}")
        percent = float(row.removeprefix(f"class {output}").strip("<> %"))
        assert percent == pytest.approx(100 * probability, abs=0.51)


def test_a_picture_of_the_atlas_has_the_atlass_values_and_standing(page: Any, atlas: Store) -> None:
    number = atlas.tables.read_json("live/live.json")["examples"][3]
    button = page.locator(".examples button").nth(3)
    assert button.get_attribute("data-picture") == f"live/pictures/{number}.webp"
    assert button.locator("img").get_attribute("src") == f"pictures/{number}.webp"  # smaller, with loss
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".state")).to_contain_text("the network needed", timeout=WAIT)
    ranks = others = 0
    words = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"]
    for layer in page.locator(".layers > li").all():
        name = layer.locator("h3").text_content()
        arrays = atlas.arrays.layer(name)
        top_scores = np.where(arrays["top_image"] >= 0, arrays["top_value"], np.nan)
        scores = LayerScores(arrays["histogram_bins"][:, 1], top_scores, arrays["histogram"])
        own = np.load(atlas.folder / "scores" / f"{name}.npy")[number]
        for item in layer.locator("ol li").all():
            text = item.locator("small").text_content()
            channel = int(item.get_by_role("link").text_content())
            top = arrays["top_image"][channel].tolist()
            if number in top[-2:]:
                continue  # the rounded weights may bring it a little below the ninth, to the bins
            if number in top:
                # A neighbour whose score is nearly the same may change places with it.
                near = range(max(0, top.index(number) - 1), min(9, top.index(number) + 2))
                assert text in [f"would be {words[rank]}" for rank in near]
                ranks += 1
            else:
                # Its score is known to a thousandth: it may lie at a bin's edge.
                near_scores = [float(own[channel]) * factor for factor in (0.999, 1, 1.001)]
                shares = [share_below(scores, channel, small_job.COUNT, score) for score in near_scores]
                assert text in [f"above {math.floor(100 * share + 1e-6)} %" for share in shares]
                others += 1
    assert ranks > 0 and others > 0
    page.locator(".layers > li").first.locator("button").last.click()
    expect(page.locator(".chosen-channel")).to_contain_text(
        re.compile(r"It would be \w+ of the channel's top-9|above \d+ % of the 80 pictures")
    )


def test_a_channels_page_says_where_the_picture_would_stand(page: Any) -> None:
    give(page, png(rough((32, 32))))
    done(page)
    link = page.locator(".layers ol a").first
    value = float(link.get_attribute("href").partition("=")[2])
    link.click()
    line = page.locator(".yours")
    expect(line).to_contain_text(f"Your picture activates this channel to {value:.3g}".rstrip("0"))
    address = page.url.partition("#")[0]
    page.goto(f"{address}#yours=1e9")
    expect(line).to_contain_text("it would be first of the pictures shown here")
    page.goto(f"{address}#yours={page.evaluate('(1.23456e-5).toPrecision(6)')}")
    expect(line).to_contain_text("activates this channel to 1.23e−5")
    page.goto(f"{address}#yours={page.evaluate('(1e-6).toPrecision(6)')}")
    expect(line).to_contain_text("activates this channel to 1e−6")
    page.goto(f"{address}#yours=-5")
    expect(line).to_contain_text("−5: that is below all of the pictures shown here")
    for wrong in ("<b>1</b>", "1e999999", "NaN", "", "1;2"):
        page.goto(f"{address}#yours={wrong}")
        expect(line).to_have_count(0)


def test_keys_choose_a_channel_and_its_place_is_drawn(page: Any) -> None:
    give(page, png(rough((32, 32))))
    done(page)
    second = page.locator(".layers > li").nth(2).locator("button").nth(1)
    second.focus()
    page.keyboard.press("Enter")
    expect(second).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".layers button[aria-pressed=true]")).to_have_count(1)
    expect(page.locator(".shown-picture svg.mark")).to_have_count(1)
    name = second.get_attribute("aria-label").removeprefix("Show ").split(" ")
    chosen = page.locator(".chosen-channel")
    expect(chosen).to_contain_text(f"Channel {name[1]} of {name[0]}")
    expect(chosen.locator("caption")).to_have_text(f"Channel {name[1]} along stage 2")  # res2a and res2b
    assert chosen.locator("tbody th").all_text_contents() == ["res2a", "res2b"]


def test_covering_a_part_changes_what_depends_on_it_and_uncovering_brings_it_back(page: Any) -> None:
    give(page, png(rough((32, 32))))
    done(page)
    before = page.locator(".chosen-channel").text_content()
    page.get_by_label("Cover a part").check()
    page.get_by_label("size").fill("100")
    expect(page.locator(".prediction thead")).to_contain_text("covered")
    covered = page.locator(".layers ol i").first
    expect(covered).to_contain_text("→")
    value = float(page.locator(".layers ol b").first.text_content())
    expect(covered).not_to_have_text(f"→ {value}")
    page.get_by_label("Cover a part").uncheck()
    expect(covered).to_have_text("")
    expect(page.locator(".chosen-channel")).to_have_text(before)
    page.locator(".shown-picture canvas").click(position={"x": 5, "y": 5})
    expect(page.get_by_label("Cover a part")).to_be_checked()
    expect(page.get_by_label("left to right")).to_have_value(re.compile(r"^[0-3]$"))


@pytest.mark.parametrize(
    "content", [b"\x89PNG\r\n\x1a\n and no more", b"", b"<svg/>"], ids=["cut", "empty", "svg"]
)
def test_a_broken_file_gives_one_sentence_and_the_next_picture_works(page: Any, content: bytes) -> None:
    give(page, {"name": "broken.png", "mimeType": "image/png", "buffer": content})
    expect(page.locator(".state")).to_have_text(
        "This file is no picture that the browser can read, or it is damaged."
    )
    give(page, png(rough((32, 32))))
    done(page)


def test_what_the_page_asks_for_does_not_depend_on_the_picture(browser: Any, host: str) -> None:
    asked: list[list[str]] = []
    ranked = []
    for seed in (1, 2):
        page = browser.new_page()
        addresses: list[str] = []
        page.on("request", lambda r, addresses=addresses: addresses.append(r.url))
        page.goto(f"{host}/small/your-picture.html")
        give(page, png(rough((32, 32), seed)))
        done(page)
        expect(page.locator(".layers ol img").first).to_have_js_property("complete", True)
        page.wait_for_load_state("networkidle")
        ranked.append(list(shown_values(page)))
        first = [address for address in addresses if not address.startswith("blob:")]
        give(page, {**png(rough((32, 32), seed + 10)), "name": "second.png"})
        done(page, "second.png")
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(300)
        assert [address for address in addresses if not address.startswith("blob:")] == first
        asked.append(sorted(first))
        page.close()
    assert ranked[0] != ranked[1]
    assert asked[0] == asked[1]
    layers = {address.split("/")[-2] for address in asked[0] if address.endswith("/thumbs.webp")}
    assert layers == {layer for layer, _ in ranked[0]}


def test_a_channel_without_a_thumbnail_has_a_word_in_place_of_an_empty_frame(page: Any, host: str) -> None:
    def without_thumbnails(route: Any) -> None:
        script = route.fetch().text()
        assert script.count("this.#numbers.places[channel]") == 1
        route.fulfill(
            body=script.replace("this.#numbers.places[channel]", "-1"), content_type="text/javascript"
        )

    page.route("**/your-picture.js", without_thumbnails)
    page.goto(f"{host}/small/your-picture.html")
    give(page, png(rough((32, 32))))
    done(page)
    buttons = page.locator(".layers ol button")
    assert set(buttons.all_inner_texts()) == {"show"} and page.locator(".layers ol span").count() == 0
    buttons.nth(1).click()
    expect(buttons.nth(1)).to_have_attribute("aria-pressed", "true")


# Before every run of the network the page waits for window.before(), where there is one.
HELD_RUNTIME = """
import * as real from "./ort.wasm.min.mjs?real";
export const { env, Tensor } = real;
export const InferenceSession = {
  create: async (...given) => {
    const session = await real.InferenceSession.create(...given);
    return { run: async (feeds) => { await window.before?.(); return session.run(feeds); } };
  },
};
"""


def test_a_run_that_fails_while_a_part_is_covered_is_said_and_the_next_one_works(page: Any) -> None:
    page.route(
        re.compile(r"ort\.wasm\.min\.mjs$"),
        lambda route: route.fulfill(body=HELD_RUNTIME, content_type="text/javascript"),
    )
    give(page, png(rough((32, 32))))
    done(page)
    page.evaluate("() => { window.before = () => Promise.reject(new Error('out of memory')); }")
    page.get_by_label("Cover a part").check()
    expect(page.locator(".state")).to_have_text("The network cannot be run: out of memory")
    page.evaluate("() => { window.before = null; }")
    page.get_by_label("size").fill("100")
    expect(page.locator(".layers ol i").first).to_contain_text("→")


def test_of_two_pictures_the_newer_is_shown_even_if_the_older_is_ready_later(page: Any) -> None:
    page.evaluate(
        """() => {
          const decode = window.createImageBitmap;
          let isFirst = true;
          window.createImageBitmap = async (...given) => {
            if (isFirst) {
              isFirst = false;
              await new Promise((resolve) => (window.release = resolve));
            }
            return decode(...given);
          };
        }"""
    )
    give(page, {**png(rough((32, 32), 1)), "name": "older.png"})
    expect(page.locator(".state")).to_have_text("Reading older.png …")
    give(page, {**png(rough((32, 32), 2)), "name": "newer.png"})
    done(page, "newer.png")
    shown = shown_values(page)
    page.evaluate("release()")
    page.wait_for_timeout(1000)
    done(page, "newer.png")
    assert shown_values(page) == shown


def test_a_large_network_is_loaded_when_the_reader_says_so(page: Any, host: str) -> None:
    def lowered(route: Any) -> None:
        answer = route.fetch()
        text, count = re.subn(r'"waitFrom": ?\d+', '"waitFrom":1000', answer.text())
        assert count == 1
        route.fulfill(response=answer, body=text)

    page.route("**/your-picture.html", lowered)
    page.reload()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for name in ("first.png", "second.png"):
        give(page, {**png(rough((32, 32))), "name": name})
        expect(page.locator(".state")).to_contain_text("The network is not loaded yet")
    button = page.get_by_role("button", name="Load the network")
    expect(button).to_have_text(re.compile(r"^Load the network \(\d+\.\d MB\)$"))
    said = page.locator(".choose .facts").text_content()
    assert re.search(r"[\d.]+", button.text_content())[0] == re.search(r"loads ([\d.]+)", said)[1]  # type: ignore[index]
    assert not [address for address in asked if re.search(r"runtime|/live/\w+\.gz|thumbs", address)]
    button.focus()
    page.keyboard.press("Enter")
    done(page, "second.png")
    expect(button).to_be_hidden()
    give(page, {**png(rough((32, 32), 3)), "name": "third.png"})
    done(page, "third.png")


def test_memory_is_freed_after_every_picture(page: Any) -> None:
    sizes = []
    for number in range(12):
        give(page, {**png(rough((32, 32), number)), "name": f"{number}.png"})
        done(page, f"{number}.png")
        sizes.append(page.evaluate("memories.reduce((sum, memory) => sum + memory.buffer.byteLength, 0)"))
    assert sizes[2] > 1e6 and sizes[-1] == sizes[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_nothing_is_wider_than_a_phone(page: Any, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.emulate_media(color_scheme=scheme)
    faults = [fault["id"] for fault in axe.run(page).response["violations"]]
    give(page, png(rough((32, 32))))
    done(page)
    page.get_by_label("Cover a part").check()
    expect(page.locator(".layers ol i").first).to_contain_text("→")
    faults += [
        f"{fault['id']}: {fault['nodes'][0]['html'][:160]}" for fault in axe.run(page).response["violations"]
    ]
    assert faults == []
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_page_from_a_folder_says_what_to_do(browser: Any, folder: Path) -> None:
    page = browser.new_page()
    page.goto((folder / "small" / "your-picture.html").as_uri())
    expect(page.get_by_text("Start a web server")).to_be_visible()
    expect(page.locator("input[type=file]").first).to_be_hidden()
    page.close()


def test_the_runtimes_licence_is_published_beside_it_and_linked(folder: Path, page: Any) -> None:
    link = page.get_by_role("link", name="licence: MIT").get_attribute("href")
    text = (folder / "small" / link).resolve().read_text("utf-8")
    assert (folder / "small" / link).resolve().parent == folder.resolve() / "static" / "runtime"
    assert text.startswith("MIT License") and "Copyright (c) Microsoft Corporation" in text


def test_only_this_page_may_compile_and_only_the_sites_files_may_be_asked_for(folder: Path) -> None:
    allowed = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*.html")
        if "wasm-unsafe-eval" in path.read_text("utf-8")
    }
    assert allowed == {"small/your-picture.html"}
    text = (folder / "small" / "your-picture.html").read_text("utf-8")
    assert "connect-src 'self'" in text and "unsafe-inline" not in text and "'unsafe-eval'" not in text


# -- the graphics card -------------------------------------------------------------------------------------------------

# A card that is there, and that nothing can be computed with.
BROKEN_CARD = """
const adapter = { info: {}, features: new Set(), limits: {}, requestDevice: async () => { throw new Error("lost"); } };
Object.defineProperty(navigator, "gpu", { value: { requestAdapter: async () => adapter }, configurable: true });
"""
IMITATED_CARD = BROKEN_CARD.replace("info: {}", "info: { isFallbackAdapter: true }")
NO_WEBGPU = """Object.defineProperty(navigator, "gpu", { value: undefined, configurable: true });"""
CARD_WAIT = 400_000  # ms; SwiftShader is slow, and the build for the card large to compile


@pytest.fixture
def prepared_page(browser: Any, host: str) -> Iterator[Callable[[str], Any]]:
    """(script that runs before the page's own) → the page, watched as `page` is."""
    with contextlib.ExitStack() as stack:

        def opened(script: str) -> Any:
            context = browser.new_context()
            stack.callback(context.close)
            page = context.new_page()
            page.add_init_script(script)
            return stack.enter_context(contextlib.contextmanager(_watched)(page, host))

        yield opened


def loaded(page: Any) -> list[str]:
    """Names of the files that the page asks for from now on."""
    names: list[str] = []
    page.on("request", lambda request: names.append(request.url.rpartition("/")[2]))
    return names


@pytest.mark.slow
def test_on_the_graphics_card_the_values_are_those_of_webassembly(
    chromium_path: str, host: str, atlas: Store, page: Any
) -> None:
    values = {}
    with contextlib.ExitStack() as stack:
        other = page.context.browser.browser_type.launch(
            executable_path=chromium_path, args=["--no-sandbox", *WEBGPU_ON_PROCESSOR]
        )
        stack.callback(other.close)
        card = other.new_page()
        card.add_init_script(AS_CARD)
        tab = stack.enter_context(contextlib.contextmanager(_watched)(card, host))
        if not tab.evaluate("navigator.gpu?.requestAdapter().then((adapter) => Boolean(adapter))"):
            pytest.skip("this Chromium has no WebGPU, not even by SwiftShader")
        names = loaded(tab)
        for each, wait, way in (
            (page, WAIT, r"by WebAssembly\.$"),
            (tab, CARD_WAIT, r"on the graphics card by WebGPU\.$"),
        ):
            give(each, png(rough((32, 32))))
            expect(each.locator(".state")).to_contain_text(re.compile(way), timeout=wait)
            values[each] = shown_values(each)
        assert "ort-wasm-simd-threaded.jsep.wasm.gz" in names
        assert "ort-wasm-simd-threaded.wasm.gz" not in names
    assert values[tab] == pytest.approx(values[page], rel=1e-4)


@pytest.mark.parametrize("script", [NO_WEBGPU, IMITATED_CARD], ids=["no WebGPU", "imitated"])
def test_without_a_graphics_card_nothing_of_webgpu_is_loaded(
    prepared_page: Callable[[str], Any], atlas: Store, script: str
) -> None:
    page = prepared_page(script)
    names = loaded(page)
    give(page, png(rough((32, 32))))
    done(page)
    expect(page.locator(".state")).to_contain_text(re.compile(r"s by WebAssembly\.$"))
    assert "ort-wasm-simd-threaded.wasm.gz" in names
    assert not [name for name in names if re.search(r"webgpu|jsep|check", name)]


def test_a_card_that_fails_is_left_in_one_sentence_without_loading_the_other_build(
    prepared_page: Callable[[str], Any],
) -> None:
    page = prepared_page(BROKEN_CARD)
    names = loaded(page)
    give(page, png(rough((32, 32))))
    done(page, wait=CARD_WAIT)
    state = page.locator(".state")
    expect(state).to_contain_text(re.compile(r" s by WebAssembly\. The graphics card is not used: [^.]+\.$"))
    assert "ort-wasm-simd-threaded.jsep.wasm.gz" in names
    assert "ort-wasm-simd-threaded.wasm.gz" not in names


# In place of the graphics card's session one of WebAssembly, whose outputs window.altered changes.
HELD_CARD = """
import * as real from "./ort.webgpu.min.mjs?real";
export const { env, Tensor } = real;
export const InferenceSession = {
  create: async (model, { executionProviders: [provider] }) => {
    const session = await real.InferenceSession.create(model, { executionProviders: ["wasm"] });
    const run = async (feeds) => {
      const outputs = await session.run(feeds);
      if (provider === "webgpu") window.altered?.(outputs);
      return outputs;
    };
    return { run, release: () => session.release() };
  },
};
"""


@pytest.mark.parametrize(
    ("altered", "way"),
    [
        ("outputs.maxima.data[3] *= 1.0005", r"on the graphics card by WebGPU\.$"),
        ("outputs.maxima.data[3] += 10", r"not used: its values differ from those of the atlas\.$"),
        ("outputs.scores.data[1] = NaN", r"not used: its values differ from those of the atlas\.$"),
        ("if (window.seen) throw new Error('device lost'); window.seen = 1", r"not used: device lost\.$"),
    ],
    ids=["near", "a channel", "a score", "lost later"],
)
def test_values_of_a_card_are_held_to_the_atlass(
    prepared_page: Callable[[str], Any], altered: str, way: str
) -> None:
    page = prepared_page(BROKEN_CARD)
    page.route(
        re.compile(r"ort\.webgpu\.min\.mjs$"),
        lambda route: route.fulfill(body=HELD_CARD, content_type="text/javascript"),
    )
    page.evaluate(f"() => {{ window.altered = (outputs) => {{ {altered}; }}; }}")
    give(page, png(rough((32, 32))))
    done(page, wait=CARD_WAIT)
    expect(page.locator(".state")).to_contain_text(re.compile(way))


# -- the pixels --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def modules(browser: Any) -> Iterator[Any]:
    """A page that can import the sources of the scripts."""
    with served(MODULES) as address:
        page = browser.new_page()
        page.goto(f"{address}/")
        yield page
        page.close()


PREPARE = """async ([base, type, settings]) => {
  const { prepared } = await import("/your-picture/preprocessing.js");
  const file = new Blob([Uint8Array.from(atob(base), (each) => each.charCodeAt(0))], { type });
  const { width, height, channels, data } = await prepared(file, settings);
  return [height, width, channels, Array.from(data)];
}"""


def in_browser(modules: Any, content: bytes, settings: Preprocessing, kind: str = "image/png") -> np.ndarray:
    given = {
        "resize": settings.resize,
        "crop": list(settings.size),
        "interpolation": settings.interpolation,
        "transparency": settings.transparency,
        "channels": settings.channels,
    }
    *shape, data = modules.evaluate(PREPARE, [base64.b64encode(content).decode(), kind, given])
    return np.array(data, np.uint8).reshape(shape)


def in_python(tmp_path: Path, content: bytes, settings: Preprocessing) -> np.ndarray:
    (tmp_path / "picture").write_bytes(content)
    return read_picture(tmp_path / "picture", settings).pixels


def plain(resize: Any, crop: Any, channels: int = 3, **more: Any) -> Preprocessing:
    return Preprocessing(resize, crop, (0.5,) * channels, (0.5,) * channels, **more)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(40, 40), (57, 43), (31, 64)], ids=str)
def test_a_png_that_is_not_resized_has_pillows_pixels(
    modules: Any, tmp_path: Path, size: Any, channels: int
) -> None:
    content = png(rough(size))["buffer"]
    settings = plain(0, (38, 40), channels)
    np.testing.assert_array_equal(
        in_browser(modules, content, settings), in_python(tmp_path, content, settings)
    )


@pytest.mark.parametrize("interpolation", ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"])
@pytest.mark.parametrize(
    ("size", "resize"),
    [((301, 207), 64), ((23, 31), 64), ((150, 150), (48, 70))],
    ids=["less", "more", "squash"],
)
def test_a_resized_png_is_pillows(
    modules: Any, tmp_path: Path, size: Any, resize: Any, interpolation: str
) -> None:
    content = png(rough(size))["buffer"]
    settings = plain(resize, 48, interpolation=interpolation)
    given, wanted = in_browser(modules, content, settings), in_python(tmp_path, content, settings)
    difference = np.abs(given.astype(int) - wanted)
    assert difference.max() <= 1 and (difference == 0).mean() > 0.999


@pytest.mark.parametrize("ground", ["white", "black"])
def test_transparency_lies_on_the_atlass_ground(modules: Any, tmp_path: Path, ground: Any) -> None:
    content = png(rough((40, 40), mode="RGBA"))["buffer"]
    settings = plain(0, 40, transparency=ground)
    given, wanted = in_browser(modules, content, settings), in_python(tmp_path, content, settings)
    assert np.abs(given.astype(int) - wanted).max() <= 2  # a canvas multiplies by the opacity first


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_upright(modules: Any, tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    rough((64, 48)).resize((320, 240)).save(file, "JPEG", quality=95, exif=exif)
    settings = plain(64, 64)
    given = in_browser(modules, file.getvalue(), settings, "image/jpeg")
    wanted = in_python(tmp_path, file.getvalue(), settings)
    assert np.abs(given.astype(int) - wanted).max() <= 3  # two decoders of JPEG


WRITE = """async ([name, shares]) => shares.map((await import("/your-picture/words.js"))[name])"""


def test_shares_are_rounded_for_probabilities_and_rounded_down_for_what_is_certainly_below(
    modules: Any,
) -> None:
    probabilities = [0.58, 0.576, 0.29, 0.0123, 0.00456, 0.0001, 0, 0.9951, 0.99999, 1]
    assert modules.evaluate(WRITE, ["percent", probabilities]) == [
        "58 %", "58 %", "29 %", "1 %", "0.5 %", "< 0.1 %", "0 %", "99.5 %", "> 99.9 %", "100 %",
    ]  # fmt: skip
    below = [0.58, 0.576, 0.29, 0.57, 0.9979, 0.007]
    assert modules.evaluate(WRITE, ["percentAtLeast", below]) == [
        "58 %", "57 %", "29 %", "57 %", "99.7 %", "0.7 %",
    ]  # fmt: skip


@pytest.mark.parametrize("width", [2, 4])
@pytest.mark.parametrize("length", [0, 3, 4096, 4099])
def test_packed_numbers_are_unpacked_to_the_same_bytes(modules: Any, width: int, length: int) -> None:
    content = np.random.default_rng(length).integers(0, 256, length, np.uint8).tobytes()
    packed = list(packed_numbers(content, width))
    unpack = """async ([packed, width]) => {
      const { unpackedNumbers } = await import("/your-picture/files.js");
      return Array.from(new Uint8Array(await unpackedNumbers(Uint8Array.from(packed), width)));
    }"""
    assert bytes(modules.evaluate(unpack, [packed, width])) == content


def test_a_channel_that_is_dead_but_for_rounding_has_no_standing(modules: Any) -> None:
    """The strongest of the layer has 2; 1e-4 of it is left out, twice that is not."""
    tops = [[2.0, 1.0], [2e-4, 1e-4], [4e-4, 1e-4]]
    ask = """async ([tops]) => {
      const { readChannels } = await import("/your-picture/channels.js");
      const nine = tops.flatMap((own) => Array.from({ length: 9 }, (_, place) => own[place] ?? NaN));
      const parts = [[0, 3], nine].map((values) => new Float32Array(values));
      parts.push(new Int32Array([0, 4, 0, 4, 0, 4]), new Int32Array(3));
      const buffer = await new Blob(parts).arrayBuffer();
      const [channels] = readChannels(buffer, [{ channels: 3, bins: 2 }], 4, 1e-4);
      return [0, 1, 2].map((channel) => channels.standing(channel, 3)?.rank ?? null);
    }"""
    assert modules.evaluate(ask, [tops]) == [1, None, 1]


# -- without the page --------------------------------------------------------------------------------------------------


def test_without_the_registry_the_site_is_whole_but_for_the_page_and_says_so(
    atlas: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")
    runtimes.runtime.cache_clear()
    try:
        report = render_site([atlas.folder], tmp_path / "site")
    finally:
        runtimes.runtime.cache_clear()
    (note,) = report.notes
    assert note.startswith(
        "small has no page Your picture: onnxruntime-web 1.20.1 could not be had from the npm"
    )
    assert not (tmp_path / "site" / "small" / "your-picture.html").exists()
    assert "your-picture.html" not in (tmp_path / "site" / "small" / "index.html").read_text("utf-8")


def test_a_package_with_another_hash_is_refused_and_a_damaged_cache_is_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"onnxruntime-web/-/onnxruntime-web-{runtimes.VERSION}.tgz"
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_bytes(b"something else")
    kept = runtimes.runtime().files
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if kept:  # the cache of this machine, with one byte of each file changed
        folder = runtimes.cache_folder()
        assert folder is not None
        folder.mkdir(parents=True)
        for file, content in kept:
            (folder / file).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    runtimes.runtime.cache_clear()
    with served(tmp_path) as registry:
        monkeypatch.setenv("npm_config_registry", registry)
        found = runtimes.runtime()
    runtimes.runtime.cache_clear()
    assert found.files == () and "another hash" in found.absent


def absence(monkeypatch: pytest.MonkeyPatch, registry: str, cache: Path | None) -> str:
    """Why the runtime is absent, with this registry and an empty cache, or without a home folder."""
    monkeypatch.setenv("npm_config_registry", registry)
    if cache is None:
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.delenv("HOME", raising=False)
        monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    runtimes.runtime.cache_clear()
    try:
        found = runtimes.runtime()
    finally:
        runtimes.runtime.cache_clear()
    assert found.files == ()
    start = f"onnxruntime-web {runtimes.VERSION} could not be had from the npm registry ("
    assert found.absent.startswith(start)
    return found.absent.removeprefix(start).removesuffix(")")


def test_a_registry_without_a_scheme_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (
        absence(monkeypatch, "registry.local", tmp_path)
        == "npm_config_registry is no address: registry.local"
    )
    assert "Invalid IPv6" in absence(monkeypatch, "http://[::1", tmp_path)


def test_a_user_without_a_home_folder_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    assert absence(monkeypatch, "http://127.0.0.1:9", None) == "Connection refused"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"SSH-2.0-OpenSSH\r\n", "its answer is not HTTP: SSH-2.0-OpenSSH"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + 1500 * b"x",
            "the download broke off after 1,500 of 20,000 bytes",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n" + 100 * b"x",
            "the download broke off",
        ),
    ],
    ids=["no HTTP", "broken off", "a chunk broken off"],
)
def test_a_registry_that_breaks_off_gives_the_right_reason(
    answer: bytes, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(answer)

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = absence(monkeypatch, f"http://127.0.0.1:{server.server_address[1]}", tmp_path)
        server.shutdown()
    assert found.strip() == reason


def test_a_network_that_cannot_be_written_has_no_page_and_the_site_says_why(
    atlas: Store, tmp_path: Path
) -> None:
    copy = Store(shutil.copytree(atlas.folder, tmp_path / "atlas"))
    live = copy.tables.read_json("live/live.json")
    copy.tables.write_json(
        "live/live.json", {**live, "absent": "the operation fold cannot be written as ONNX"}
    )
    report = render_site([copy.folder], tmp_path / "site")
    assert report.notes == ["small has no page Your picture: the operation fold cannot be written as ONNX"]
    assert not (tmp_path / "site" / "small" / "your-picture.html").exists()
