"""The pages on the residual stream and on scale: what they say follows from the atlas, every dot leads somewhere."""

from __future__ import annotations

import csv
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from altering import alter_layer

from generator.core.store import Store
from generator.network.models import load
from generator.site.chapters import scale, stream
from generator.site.chapters.scale import scale_page
from generator.site.chapters.scale_chance import signs
from generator.site.chapters.scale_truth import NAMES, shipped_validation, validation
from generator.site.chapters.stream import StreamPage, stream_page
from generator.site.chapters.stream_block import ratio_plots
from generator.site.chapters.stream_figures import STYLES, mix_histogram
from generator.site.figures.axis import Axis
from generator.site.figures.many_dots import Dot
from generator.site.figures.svg_plots import Bar, Plot
from generator.site.links import check_links
from generator.site.reading.atlas import Atlas
from generator.site.reading.interval import Interval
from generator.site.reading.stream import (
    KINDS,
    ContributionBar,
    StreamBlock,
    channel_stream,
    contribution_bars,
    stream_blocks,
    stream_of,
    stream_sentence,
)
from generator.site.render import render_site

SMALL = Path(__file__).parent / "small_atlas"
# A bar of a histogram: its block, its channels, the style of its kind.
BAR = re.compile(r"<title>([^:<]+): (\d+) channels? with [^<]*</title><rect[^>]*/><rect class=\"(\w+)\"")


def _with_stream(folder: Path) -> Store:
    """The small atlas with drawn numbers of two blocks."""
    shutil.copytree(SMALL, folder)
    store, rng = Store(folder), np.random.default_rng(0)
    blocks = []
    for name, identity in (("res2a", False), ("res2b", True)):
        numbers = store.arrays.layer(name)
        channels = len(numbers["top_value"])
        alive = numbers["top_image"] >= 0
        ratio = rng.uniform(0, 3, channels).astype(np.float32)
        ratio[:4] = 10, 0.1, 1, 4.99
        scale = rng.normal(size=(2, channels)).astype(np.float32)
        scale[:, 2] = 1, 1  # channel 2 is scale invariant, its ratio being 1
        branch = rng.normal(size=alive.shape).astype(np.float32) * alive
        alter_layer(
            store,
            name,
            {
                "top_branch": branch,
                "top_shortcut": (numbers["top_value"] - branch) * alive,
                "shortcut_share": rng.uniform(0, 1, channels).astype(np.float32),
                "shortcut_share_error": np.full(channels, 0.02, np.float32),
                "active_share": rng.normal(0.5, 0.4, channels).astype(np.float32),
                "active_share_error": np.full(channels, 0.01, np.float32),
                "mix_ratio": ratio,
                # Channel 3's interval has no upper end, channel 2's lies within the limits of a mixture.
                "mix_ratio_low": ratio * np.where(np.arange(channels) == 2, 0.9, 0.5).astype(np.float32),
                "mix_ratio_high": ratio * np.where(np.arange(channels) == 3, np.inf, 1.25).astype(np.float32),
                "mix_overlap": np.arange(channels, dtype=np.uint8) % 10,
                "block_at_input": rng.normal(size=channels).astype(np.float32),
                "convolution_weight": rng.uniform(size=channels).astype(np.float32),
                "scale_block": scale[0],
                "scale_input": scale[1],
                "scale_sum": scale.sum(0),
                "scale_block_random": np.full(channels, 0.25, np.float32),
                "scale_input_random": np.full(channels, -0.25, np.float32),
                "scale_block_error": np.full(channels, 0.3, np.float32),
                "scale_input_error": np.full(channels, 0.3, np.float32),
                "zoom_invariance": rng.uniform(0, 1, channels).astype(np.float32),
                "zoom_invariance_error": rng.uniform(0, 0.1, channels).astype(np.float32),
                "zoom_correlation": rng.uniform(-1, 1, channels).astype(np.float32),
                "mix_ratio_optimised": rng.uniform(0, 3, channels).astype(np.float32),
                "scale_invariant": (scale > 0).all(0) & (ratio > 1 / 1.5) & (ratio < 1.5),
                **{
                    f"centre_{side}_{what}": np.abs(numbers[key])
                    for side in ("input", "block")
                    for what, key in (("image", "top_image"), ("value", "top_value"), ("output", "top_value"))
                },
            },
            "stream",
        )
        associations = {
            "convolution_weight": {"value": -0.5, "low": -0.6, "high": -0.4},
            "block_at_input": None,
        }
        medians = {"mix_ratio": {"value": 1.25, "low": 1.125, "high": None}, "shortcut_share": None}
        blocks.append(
            {"block": name, "channels": channels, "centre": [6, 6], "input": "res2a" if identity else "",
             "branch": "", "identity": identity, "untied_overlap": 0.25, "medians": medians,
             "associations": associations}
        )  # fmt: skip
    reach = {"shortcut_share": 2.0, "active_share": 2.0}
    report = {
        "pictures": 36,
        "sample": 36,
        "rescaled": True,
        "near_one": 1.5,
        "reach": reach,
        "blocks": blocks,
    }
    store.tables.write_json("stream.json", report)
    store.tables.write_json(
        "stream_optimised.json",
        {"steps": 64, "blocks": [{"block": "res2b", "associations": {"mix_ratio": 0.375}}]},
    )
    areas = {
        "invariant": {"auc": 0.48, "low": 0.41, "high": 0.55, "pairs": 256},
        "zoom_invariance": {"auc": 0.6, "low": 0.5, "high": 0.7, "pairs": 256},
        "zoom_correlation": None,
    }
    row = {"channels": 20, "median": 0.7, "reliability": 0.5, "auc": areas}
    curves = [
        {"block": "res2b", "channel": channel, "class": "<ring>", "invariance": 0.5, "invariant": invariant,
         "answers": {side: [0.0, 1.0, 2.0] for side in ("input", "block", "output")}}
        for channel, invariant in ((2, True), (3, False))
    ]  # fmt: skip
    store.tables.write_json(
        "scale_truth.json",
        {"scales": [0.25, 0.5, 1.0], "drawings": 2, "classes": 3, "driving": 3, "whole": row, "curves": curves,
         "blocks": [{"block": "res2b", **row}]},
    )  # fmt: skip
    reliability = {"reliability": {"zoom_invariance": 0.25, "zoom_correlation": None}}
    store.tables.write_json(
        "zooms.json",
        {"pictures": 36, "zooms": [0.5, 1.0, 2.0], "apart": [0.5, 1.0],
         "blocks": [{"block": name, **reliability} for name in ("res2a", "res2b")]},
    )  # fmt: skip
    return store


@pytest.fixture(scope="module")
def atlas(tmp_path_factory) -> Atlas:
    return Atlas(_with_stream(tmp_path_factory.mktemp("atlas") / "small").folder)


def _stream_page(atlas: Atlas) -> StreamPage:
    whole = stream_of(atlas)
    assert whole is not None
    return stream_page(atlas, whole)


@pytest.fixture(scope="module")
def site(atlas, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("site")
    render_site([atlas.store.folder], out)
    return out


def test_an_atlas_without_the_numbers_has_no_such_page():
    plain = Atlas(SMALL)
    assert not stream.present(plain) and not scale.present(plain) and stream_of(plain) is None


def test_every_address_of_the_site_leads_somewhere_and_nothing_is_styled_in_place(site):
    assert check_links(site) == []
    for page in ("small/stream.html", "small/scale.html", "small/res2b/stream.html", "small/res2b/0.html"):
        text = (site / page).read_text("utf-8")
        assert "style=" not in text and "<style" not in text


def test_every_channel_with_a_ratio_has_its_dot_and_stands_in_the_list_of_its_bar(atlas, site):
    block = stream_blocks(atlas)[1]
    text = (site / "small/res2b/stream.html").read_text("utf-8")
    known = np.flatnonzero(np.isfinite(block.ratio)).tolist()
    assert len(known) == (~block.dead).sum()
    dots = [dot.split()[0] for dots in re.findall(r'data-dots="([^"]+)"', text) for dot in dots.split("|")]
    # Two scatter plots of the ratio, the one of the scale criteria, and the one of both ratios.
    assert sorted(map(int, dots)) == sorted(known * 4)
    for channel in known:
        number = block.bin_of(float(block.ratio[channel]))
        listed = re.search(rf'<div id="m{number}"><dt>M ([^<]+)</dt><dd>(.*?)</dd>', text)
        assert listed and listed[1] == block.bin_name(number) and f'href="{channel}.html"' in listed[2]


def test_the_bars_of_the_histograms_count_every_channel_once(atlas, site):
    text = (site / "small/stream.html").read_text("utf-8")
    for block in stream_blocks(atlas):
        counts = re.findall(rf"<title>{block.info.name}: (\d+) channels? with M", text)
        assert sum(map(int, counts)) == np.isfinite(block.ratio).sum()
    assert re.search(r"is overwritten</span>\s+\(mixture", text)
    # Identity blocks and projections stand apart, in the histograms and in the tables.
    order = [match[1] for match in BAR.finditer(text.partition("Mix ratio at optimised")[0])]
    assert order == sorted(order, key=lambda name: name != "res2b") and set(order) == {"res2a", "res2b"}
    assert text.count('<th scope="rowgroup"') == 4
    assert ": 1 channel with M" in text and ": 1 channels" not in text
    # Bins of 0.25 from 0 to 5, and one more edge at 1 / 1.5.
    assert [block.bin_of(m) for m in (0, 0.249, 0.25, 0.66, 0.67, 4.99, 5, 10)] == [0, 0, 1, 2, 3, 20, 21, 21]
    names = [block.bin_name(n) for n in (0, 2, 3, 20, 21)]
    assert names == ["0 to 0.25", "0.5 to 0.667", "0.667 to 0.75", "4.75 to 5", "5 or above"]


@pytest.mark.parametrize("near_one", [1.5, 1.2, 2.0, 3.7])
def test_the_coloured_bars_count_what_the_table_counts(atlas, near_one):
    """Also at the limits themselves, and wherever the limits lie."""
    random = np.random.default_rng(1)
    ratio = np.concatenate([
        random.gamma(2, 0.6, 500), [0, 10, 1 / near_one, near_one, 0.25, 0.5, 0.75, 5, 4.999999],
        np.nextafter([1 / near_one, near_one], 0), np.nextafter([1 / near_one, near_one], 9),
    ])  # fmt: skip
    arrays = {"mix_ratio": ratio, "mix_ratio_optimised": ratio[::-1]}
    info = replace(stream_blocks(atlas)[0].info, channels=len(ratio))
    block = StreamBlock(info, arrays, np.zeros(len(ratio), bool), near_one)
    for key in arrays:
        counts = dict.fromkeys(KINDS, 0)
        for name, count, style in BAR.findall(str(mix_histogram(block, "", key=key).svg())):
            assert name == info.name
            counts[next(kind for kind in KINDS if STYLES[kind] == style)] += int(count)
        assert counts == {kind: block.count(kind) for kind in KINDS}, key
    listed: dict[str, int] = {}
    for value in ratio.tolist():
        kind = block.bin_kind(block.bin_of(value))
        assert kind == block.kind(value)
        listed[kind] = listed.get(kind, 0) + 1
    assert sum(listed.values()) == len(ratio)


def test_a_channel_s_line_follows_from_its_numbers(atlas):
    block = stream_blocks(atlas)[1]
    block.arrays["shortcut_share"][:3] = 0.83, 0.5, 0.1
    lines = [stream_sentence(block, channel) for channel in range(3)]
    assert lines == [
        "At its strongest units the branch supplies 17 % of the positive input and the shortcut 83 % (± 4), on "
        "average. At the neuron in the middle of the map, pictures that drive the shortcut give higher outputs than "
        "pictures that drive the branch (mix ratio 10.00, 95 % interval 5.00 to 12.50; the channel skips). Of the "
        "nine pictures that drive the shortcut most, 0 are also among the branch's nine (different channels: 0.25 "
        "on average).",
        "At its strongest units the branch supplies 50 % of the positive input and the shortcut 50 % (± 4), on "
        "average. At the neuron in the middle of the map, pictures that drive the shortcut give lower outputs than "
        "pictures that drive the branch (mix ratio 0.10, 95 % interval 0.05 to 0.12; the channel is overwritten). Of "
        "the nine pictures that drive the shortcut most, 1 is also among the branch's nine (different channels: "
        "0.25 on average); shared pictures move the ratio towards 1 by construction.",
        "At its strongest units the branch supplies 90 % of the positive input and the shortcut 10 % (± 4), on "
        "average. At the neuron in the middle of the map, pictures that drive the shortcut and pictures that drive the "
        "branch give similar outputs (mix ratio 1.00, 95 % interval 0.90 to 1.25; 0.67 to 1.5 is called mixed). Of the "
        "nine pictures that drive the shortcut most, 2 are also among the branch's nine (different channels: 0.25 "
        "on average); shared pictures move the ratio towards 1 by construction.",
    ]


def test_a_channel_whose_interval_holds_a_limit_is_not_said_to_be_of_a_kind_for_certain(atlas):
    block = replace(stream_blocks(atlas)[1], arrays=dict(stream_blocks(atlas)[1].arrays))
    known = (~block.dead).sum()
    for low, high, words in (
        (1.4, 1.9, "whether the channel skips or mixes is not certain"),
        (0.5, np.inf, "whether the channel skips or mixes or is overwritten is not certain"),
        (1.6, np.inf, "95 % interval from 1.60 up; the channel skips"),
    ):
        for key, value in (("mix_ratio", 1.8), ("mix_ratio_low", low), ("mix_ratio_high", high)):
            block.arrays[key] = np.full(block.info.channels, value)
        one = replace(block)  # what is cached belongs to the old numbers
        assert words in stream_sentence(one, int(np.flatnonzero(~block.dead)[0]))
        assert one.counts[0] == (known, known if low == 1.6 else 0)
    del block.arrays["mix_ratio_low"]
    without = replace(block)
    assert without.counts[0] == (known, None) and "interval" not in stream_sentence(without, 0)


def test_an_atlas_without_intervals_has_its_pages_and_leaves_them_out(tmp_path):
    store = _with_stream(tmp_path / "small")
    report = store.tables.read_json("stream.json")
    for block in report["blocks"]:
        path = store.folder / "layers" / block["block"] / "stream.npz"
        with np.load(path) as file:
            kept = {k: v for k, v in file.items() if not re.search("_low|_high|_error|overlap|active", k)}
        np.savez(path, **kept)
        for key in ("medians", "associations", "untied_overlap"):
            del block[key]
    del report["reach"]
    store.tables.write_json("stream.json", report)
    render_site([store.folder], tmp_path / "site")
    for page in ("stream.html", "res2b/stream.html", "res2b/0.html"):
        text = (tmp_path / "site" / "small" / page).read_text("utf-8")
        found = re.findall(
            ".{80}(?:for certain|are of 95 %|ratio [0-9.]+, 95 %|None|nan)",
            text.partition("<main")[2],
            re.DOTALL,
        )
        assert not found


@pytest.mark.parametrize(("key", "unit"), [("norm_weight", "|γ|"), ("norm_scale", "|γ| / σ"), (None, "")])
def test_the_weight_of_a_norm_is_called_what_it_is(tmp_path, key, unit):
    """γ where the statistics stand apart, γ / σ where they are folded in, and no column where there is no norm."""
    store = _with_stream(tmp_path / "small")
    report = store.tables.read_json("stream.json")
    for block in report["blocks"]:
        if key:
            numbers = store.arrays.layer(block["block"])
            values = np.linspace(0.5, 2, len(numbers["mix_ratio"]), dtype=np.float32)
            alter_layer(store, block["block"], {key: values}, "stream")
            block["associations"][key] = {"value": 0.25, "low": 0.125, "high": 0.375}
    store.tables.write_json("stream.json", report)
    atlas = Atlas(store.folder)
    page = _stream_page(atlas)
    units = [unit] if key else []
    assert [measure.unit for measure in page.others if "γ" in measure.unit] == units
    assert page.folded == (key == "norm_scale")
    assert (Interval(0.25, 0.125, 0.375) in page.groups[0].blocks[0].associations) == bool(key)
    block = stream_blocks(atlas)[1]
    listed = [number.measure.unit for number in channel_stream(block, 1).numbers]
    assert [name for name in listed if "γ" in name] == units
    assert [plot.measure.unit for plot in ratio_plots(block) if "γ" in plot.measure.unit] == units


def test_examples_are_channels_whose_pictures_the_atlas_holds(tmp_path):
    """An atlas of the first channels alone: its examples are among these, and it says how many others there are."""
    store = _with_stream(tmp_path / "small")
    for sprite in (store.folder / "sprites").glob("*/*.webp"):
        if int(sprite.stem) not in (0, 1, 3):
            sprite.unlink()
    atlas = Atlas(store.folder)
    page = _stream_page(atlas)
    assert page.examples and all(example.channel in (0, 1, 3) for example in page.examples)
    assert all(
        picture.address for example in page.examples for _, pictures in example.rows for picture in pictures
    )
    assert page.left_out > 0
    assert _stream_page(Atlas(_with_stream(tmp_path / "whole").folder)).left_out == 0


def test_where_no_example_can_be_shown_none_is_described(tmp_path):
    store = _with_stream(tmp_path / "small")
    for number, said in enumerate(("First row:", "No channel is shown here.")):
        site = tmp_path / f"site{number}"
        render_site([store.folder], site)
        examples = (site / "small/stream.html").read_text("utf-8").partition("<h2>Examples</h2>")[2]
        assert said in examples and ("First row:" in examples) == (
            "<figure" in examples or "<img" in examples
        )
        for sprite in (store.folder / "sprites").glob("*/*.webp"):
            sprite.unlink()


def test_a_bar_is_filled_by_the_sizes_of_its_two_parts_and_marks_what_takes_away(atlas):
    block = stream_blocks(atlas)[1]
    channel = int(np.flatnonzero((block.arrays["top_image"] >= 0).all(1))[0])
    block.arrays["top_shortcut"][channel, :3] = 3, 2, -1
    block.arrays["top_branch"][channel, :3] = 1, -2, 3
    assert contribution_bars(block, channel)[:3] == [
        ContributionBar(72, "", 3, 1),
        ContributionBar(48, "b", 2, -2),
        ContributionBar(24, "a", -1, 3),
    ]


def test_counts_of_the_criteria_stand_next_to_what_chance_gives(atlas):
    page = scale_page(atlas)
    for block, row in zip(stream_blocks(atlas), page.blocks, strict=True):
        first, second, ratio = (block.values(key) for key in ("scale_block", "scale_input", "mix_ratio"))
        alive = np.isfinite(first)
        mixing = alive & (ratio > 1 / 1.5) & (ratio < 1.5)
        for counted, among in ((row.all, alive), (row.mixing, mixing)):
            n, above = among.sum(), [(value[among] > 0) for value in (first, second)]
            assert (counted.count, counted.both) == (n, (above[0] & above[1]).sum())
            assert counted.expected == pytest.approx(above[0].mean() * above[1].mean() * n)
            assert counted.coins == n / 4
        assert row.mixing.both == (block.arrays["scale_invariant"] & ~block.dead).sum()
        # Student's t of 8 degrees of freedom: 2.306 standard errors.
        clear = [first - 0.25 - 2.306 * 0.3 > 0, second + 0.25 - 2.306 * 0.3 > 0]
        assert row.clear is not None and row.clear.both == (clear[0] & clear[1]).sum()
    assert page.whole.all.both == sum(row.all.both for row in page.blocks)


def test_the_criteria_say_nothing_where_signs_are_random():
    """Independent signs: the count is what independence predicts, and a block that both signs share is more."""
    rng = np.random.default_rng(0)
    one, other, everything = rng.random(20_000) < 0.3, rng.random(20_000) < 0.4, np.ones(20_000, bool)
    independent = signs(one, other, everything)
    assert independent.both == pytest.approx(independent.expected, rel=0.05)
    assert independent.share(independent.expected) == pytest.approx(0.12, abs=0.01)
    assert signs(one, one, everything).both > 2 * signs(one, one, everything).expected


def test_the_table_holds_every_channel_of_every_residual_block(atlas, site):
    with (site / "small/data/stream.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(block.info.channels for block in stream_blocks(atlas))
    row = next(row for row in rows if (row["block"], row["channel"]) == ("res2b", "2"))
    assert row["kind"] == "mixes" and row["scale_invariant"] == "1" and float(row["scale_sum"]) == 2


def test_the_scale_page_begins_with_the_validation_and_ranks_nothing(atlas, site):
    text = (site / "small/scale.html").read_text("utf-8")
    lead = text.partition('<p class="sentence">')[2].partition("</p>")[0]
    assert lead.startswith(
        "On drawings of known size Longon&#39;s criteria do not find the invariant channels:"
    )
    assert "0.48 (95 % interval 0.41 to 0.55; 0.5 is chance)" in lead and "ranks no channels" in lead
    assert 'id="ranking"' not in text and not scale_page(atlas).ranked
    # Six curves, each of two lines between three sizes.
    assert text.count('class="curve ') == 12 and "&lt;ring&gt;" in text
    assert "Scale invariant by" not in (site / "small/res2b/2.html").read_text("utf-8")


def test_a_measure_that_is_good_enough_ranks_the_channels(tmp_path):
    store = _with_stream(tmp_path / "small")
    report = store.tables.read_json("scale_truth.json")
    report["whole"]["auc"]["zoom_invariance"]["auc"] = 0.8
    store.tables.write_json("scale_truth.json", report)
    atlas = Atlas(store.folder)
    page = scale_page(atlas)
    assert "Channels are ranked by zoom invariance" in page.validation.sentences
    values = [row.value for row in page.ranked]
    every = np.concatenate([block.values("zoom_invariance") for block in stream_blocks(atlas)])
    assert (
        values == sorted(every[np.isfinite(every)].tolist(), reverse=True)[: len(values)] and len(values) > 5
    )


@pytest.mark.parametrize(
    ("auc", "low", "words"),
    [
        (0.55, 0.5, "do not find"),
        (0.3, 0.2, "do not find"),
        (0.7, 0.6, "hardly find"),
        (0.85, 0.7, "criteria find"),
    ],
)
def test_the_first_sentence_says_no_more_than_the_interval(tmp_path, auc, low, words):
    store = _with_stream(tmp_path / "small")
    report = store.tables.read_json("scale_truth.json")
    report["whole"]["auc"]["invariant"] = {"auc": auc, "low": low, "high": auc + 0.1, "pairs": 256}
    store.tables.write_json("scale_truth.json", report)
    sentences = validation(Atlas(store.folder)).sentences
    assert words in sentences and sentences.count("find the invariant channels") == 1


def test_an_atlas_without_known_sizes_shows_the_demo_network_s_validation(tmp_path):
    store = _with_stream(tmp_path / "small")
    (store.folder / "scale_truth.json").unlink()
    (store.folder / "zooms.json").unlink()
    page = scale_page(Atlas(store.folder))
    source = page.validation.source
    assert source is not None and source.network == "demo" and page.zooms is None
    assert "made for the demo network and not for this one" in page.validation.sentences
    render_site([store.folder], tmp_path / "site")
    text = (tmp_path / "site/small/scale.html").read_text("utf-8")
    assert source.sha256 in text and source.date in text and 'class="curve ' not in text


def test_the_shipped_validation_is_that_of_the_shipped_weights():
    shipped = shipped_validation()
    info = load("demo").weights
    assert shipped["source"]["sha256"] == info.sha256
    assert set(shipped["truth"]["whole"]["auc"]) == set(NAMES)


def test_the_ratio_at_optimised_pictures_stands_beside_the_natural_one(site):
    for page in ("small/stream.html", "small/res2b/stream.html"):
        assert "64 steps" in (site / page).read_text("utf-8")


def test_a_plot_puts_values_where_its_axes_say_and_escapes_what_it_writes():
    plot = Plot("a < b", Axis(0, 10, "x"), Axis(0, 100, "y"), 246)
    plot.dots([Dot(5, 50, 5, "<script>"), Dot(float("nan"), 1, 0, "none"), Dot(2, 0, 7, "a|b", "mix")])
    plot.bars([Bar(0, 10, 100, "all.html", "all")])
    text = str(plot.svg())
    # The middle of the width and of 10 … 210.
    assert '<path d="M500 110h0" data-dots="5 &lt;script&gt;"/>' in text
    assert '<path class="mix" d="M200 210h0" data-dots="7 a¦b"/>' in text
    assert text.index("M500 110") < text.index(
        "M200 210"
    )  # as many dots each: in their order, whatever the hashes
    assert "<script>" not in text and "none" not in text.replace('preserveAspectRatio="none"', "")
    assert '<rect class="hit" x="0%" y="10" width="100%" height="200"/>' in text
    assert '<rect x="0%" y="10" width="99.7%" height="200"/>' in text
