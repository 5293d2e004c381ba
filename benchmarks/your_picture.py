"""The page *Your picture* in a real browser, on photographs that are not in the atlas: its numbers beside those of the
Python engine, and what it asks the web server for.

    python -m benchmarks.your_picture PROFILE ATLAS PHOTOGRAPHS
        [--count 10] [--views desk wide phone] [--card] [--site FOLDER]

PROFILE: the one ATLAS was computed from. The photographs are spread evenly through their folder. The site is served as
GitHub Pages does: texts and scripts are compressed on the way, other files are not. --card: WebGPU, computed on the
processor by SwiftShader, which is very slow. Chromium and Playwright come with the tests' dependencies.

Printed for each view: the largest difference over all photographs of the scores (in the photograph's largest), of all
channels' largest values (in the layer's largest), and of the values that the page shows (each in itself), from three
computations in Python: of the published weights and of the exact ones on the page's own pixels, and of the exact ones
on the pixels that Pillow makes of the file; in how many photographs the prediction is the same; bytes and requests.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from generator.core.store import Store
from generator.network.network import Network
from generator.network.onnx_model import halved
from generator.pictures.decoding import read_picture
from generator.pictures.reading import evenly_spaced
from generator.site.render import render_site
from generator.stages import profile
from generator.stages.opening import open_network

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))  # chromium.py, serving.py

from chromium import AS_CARD, WEBGPU_ON_PROCESSOR, find  # noqa: E402
from serving import QuietHandler, served  # noqa: E402

VIEWS: dict[str, dict[str, Any]] = {
    "desk": {"viewport": {"width": 1280, "height": 900}},
    "wide": {"viewport": {"width": 1920, "height": 1080}},
    "phone": {
        "viewport": {"width": 390, "height": 844},
        "device_scale_factor": 3,
        "is_mobile": True,
        "has_touch": True,
    },
}
# As GitHub Pages compresses them.
COMPRESSED = {".html", ".css", ".js", ".mjs", ".json", ".svg", ".txt", ".csv", ".xml"}
# Keeps what the network was given and what it answered.
KEPT = """
import * as real from "./MODULE?real";
export const { env, Tensor } = real;
export const InferenceSession = {
  create: async (...given) => {
    const session = await real.InferenceSession.create(...given);
    const run = async (feeds) => {
      const outputs = await session.run(feeds);
      window.last = { pixels: Array.from(feeds.pixels.data), shape: feeds.pixels.dims };
      for (const [name, tensor] of Object.entries(outputs)) window.last[name] = Array.from(tensor.data);
      return outputs;
    };
    return { run, release: () => session.release() };
  },
};
"""
ENDS = " needed | cannot |no picture"  # of what the page says
WAIT = 600_000  # ms


class Pages(QuietHandler):
    """Serves a folder as GitHub Pages does."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.suffix not in COMPRESSED or not path.is_file():
            return super().do_GET()
        content = gzip.compress(path.read_bytes(), 6)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        return None


@dataclass
class Largest:
    """The largest differences so far, and of how many photographs the prediction is the same."""

    scores: float = 0.0
    layers: float = 0.0
    shown: float = 0.0
    same: int = 0


@dataclass
class Traffic:
    """What a page asked for. wire: bytes on the way."""

    wire: float = 0
    requests: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Answer:
    """Of the page, for one photograph. pixels: (H, W, channels) uint8; maxima: (C,); scores: (K,); shown: the channels
    on the page, as places in maxima."""

    pixels: np.ndarray
    maxima: np.ndarray
    scores: np.ndarray
    shown: np.ndarray
    sentence: str


@torch.no_grad()
def engine(network: Network, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The channels' largest values, one layer after the other, and the scores, by the Python engine."""
    prepared = network.prepare(torch.from_numpy(pixels.copy())[None])
    last, maxima, scores = len(network.graph) - 1, {}, torch.empty(0)
    for step, output in network.graph.visit(prepared, {*network.steps, last}):
        if step in network.steps:
            maxima[step] = output[0].amax((1, 2)).clone()
        if step == last:
            scores = output.flatten().clone()
    return torch.cat([maxima[step] for step in network.steps]).numpy(), scores.numpy()


def compare(largest: Largest, answer: Answer, network: Network, pixels: np.ndarray) -> None:
    """Add one photograph. pixels: on which the engine computes."""
    maxima, scores = engine(network, pixels)
    difference = np.abs(answer.maxima - maxima)
    first = 0
    for layer in network.layers:
        part = slice(first, first + layer.channels)
        largest.layers = max(largest.layers, float(difference[part].max() / np.abs(maxima[part]).max()))
        first += layer.channels
    active = answer.shown[maxima[answer.shown] != 0]  # a share of nothing cannot be said
    own = difference[active] / np.abs(maxima[active])
    largest.shown = max(largest.shown, float(own.max()))
    if scores.size:
        largest.scores = max(
            largest.scores, float(np.abs(answer.scores - scores).max() / np.abs(scores).max())
        )
        largest.same += int(answer.scores.argmax() == scores.argmax())


def asked(page: Any, photograph: Path, offsets: dict[str, int]) -> Answer:
    """Give the page a photograph and read what it says."""
    from playwright.sync_api import expect

    page.evaluate("delete window.last; document.querySelector('.state').textContent = ''")
    page.locator("input[type=file]").first.set_input_files(str(photograph))
    state = page.locator(".state")
    expect(state).to_contain_text(re.compile(f"{ENDS}|not loaded yet"), timeout=WAIT)
    if page.locator(".wait button").is_visible():
        page.locator(".wait button").click()
        expect(state).to_contain_text(re.compile(ENDS), timeout=WAIT)
    links = page.locator(".layers ol a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    parts = [re.fullmatch(r"([^/]+)/(\d+)\.html#yours=.+", link) for link in links]
    last = page.evaluate("window.last")
    return Answer(
        np.array(last["pixels"], np.uint8).reshape(last["shape"][1:]),
        np.array(last["maxima"], np.float32),
        np.array(last.get("scores", []), np.float32),
        np.array([offsets[part[1]] + int(part[2]) for part in parts if part]),
        str(state.text_content()),
    )


def with_outputs_kept(route: Any) -> None:
    """Answer the request for the runtime's module by one that passes everything on to it."""
    name = route.request.url.rpartition("/")[2]
    route.fulfill(body=KEPT.replace("MODULE", name), content_type="text/javascript")


def measure(
    context: Any,
    address: str,
    photographs: Sequence[Path],
    networks: dict[str, Network],
    offsets: dict[str, int],
) -> None:
    """Look at all photographs in one view and print what was found."""
    page, traffic = context.new_page(), Traffic()
    page.set_default_timeout(WAIT)
    page.add_init_script(AS_CARD)
    page.route(re.compile(r"/ort\.\w+\.min\.mjs$"), with_outputs_kept)
    devtools = context.new_cdp_session(page)
    devtools.send("Network.enable")
    devtools.on(
        "Network.loadingFinished",
        lambda event: setattr(traffic, "wire", traffic.wire + event["encodedDataLength"]),
    )
    page.on("request", lambda request: traffic.requests.append(f"{request.method} {request.url}"))
    page.goto(address)
    results = {name: Largest() for name in networks}
    end_to_end, pixels_off, equal, after_first = Largest(), 0, [], 0
    for number, photograph in enumerate(photographs):
        answer = asked(page, photograph, offsets)
        if not number:
            page.wait_for_load_state("networkidle")
            after_first = len(traffic.requests)
        for name, network in networks.items():
            compare(results[name], answer, network, answer.pixels)
        exact = networks["exact weights"]
        pillow = read_picture(photograph, exact.preprocessing).pixels
        off = np.abs(answer.pixels.astype(int) - pillow)
        pixels_off = max(pixels_off, int(off.max()))
        equal.append(float((off == 0).mean()))
        compare(end_to_end, answer, exact, pillow)
        print(f"  {answer.sentence}", flush=True)
    page.wait_for_load_state("networkidle")
    later = [line for line in traffic.requests[after_first:] if " blob:" not in line]
    origin = re.match(r"\w+://[^/]+", address)
    assert origin is not None
    foreign = [line for line in traffic.requests if not re.match(rf"GET (blob:)?{origin[0]}/", line)]
    for name, found in (*results.items(), ("exact weights, Pillow's pixels", end_to_end)):
        print(
            f"  {name}: scores {found.scores:.2e}, maxima in the layer's {found.layers:.2e}, values shown "
            f"{found.shown:.2e}, same prediction {found.same} of {len(photographs)}"
        )
    print(f"  pixels: up to {pixels_off} grey levels from Pillow's, {np.mean(equal):.1%} equal")
    sent = [line for line in traffic.requests if " blob:" not in line]
    print(
        f"  {len(sent)} requests, {traffic.wire / 1e6:.2f} MB on the way; {len(later)} after the first "
        f"photograph; {len(foreign)} to elsewhere or not GET; wider than the window: "
        f"{page.evaluate('document.documentElement.scrollWidth > window.innerWidth')}",
        flush=True,
    )


def main() -> None:
    """Read the options, render the site, and look at it in every view."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("profile")
    parser.add_argument("atlas", type=Path)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--views", nargs="+", choices=list(VIEWS), default=list(VIEWS))
    parser.add_argument("--card", action="store_true")
    parser.add_argument("--site", type=Path, help="the atlas's site, rendered already")
    given = parser.parse_args()
    from playwright.sync_api import sync_playwright

    atlas = Store(given.atlas)
    live = atlas.tables.read_json("live/live.json")
    inside = {Path(record.path).name for record in atlas.tables.images()}
    files = sorted(path for path in given.photographs.iterdir() if path.name not in inside)
    photographs = [files[number] for number in evenly_spaced(len(files), given.count)]
    exact = open_network(profile.load(given.profile)).keep(live["layers"]).to("cpu", torch.float32)
    published = halved(exact) if live["half"] else exact
    offsets = dict(
        zip(
            live["layers"], np.cumsum([0, *(layer.channels for layer in exact.layers)]).tolist(), strict=False
        )
    )
    with contextlib.ExitStack() as stack:
        site = given.site or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if not given.site:
            render_site([atlas.folder], site)
        host = stack.enter_context(served(site, Pages))
        play = stack.enter_context(sync_playwright())
        options = ["--no-sandbox", *(WEBGPU_ON_PROCESSOR if given.card else ())]
        browser = play.chromium.launch(executable_path=find(), args=options)
        stack.callback(browser.close)
        print(f"{atlas.manifest().name}, {len(photographs)} photographs, Chromium {browser.version}")
        for view in given.views:
            print(view)
            context = browser.new_context(**VIEWS[view])
            address = f"{host}/{atlas.manifest().name}/your-picture.html"
            networks = {"published weights": published, "exact weights": exact}
            measure(context, address, photographs, networks, offsets)
            context.close()


if __name__ == "__main__":
    main()
