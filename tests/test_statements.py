"""What the pages state follows from the atlas: counts, ranges, names, verdicts, lists, citations, definitions."""

from __future__ import annotations

import csv
import html
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import pytest
from altering import alter_layer
from finder_script import index_of
from make_small_atlas import PAPER_STAGES, make_atlas

from generator.core.records import (
    LayerInfo,
    Manifest,
    PictureRecord,
    ReceptiveField,
    WeightsInfo,
    title_of,
)
from generator.core.store import Store
from generator.methods.auroc import LabelSet, balanced_halvings, best_classes
from generator.methods.purity import Classes, agreement, classes_of_nine
from generator.methods.refinement import rank_correlation
from generator.site.chapters.paper_claims import CLAIMS, WORDS, Claim, Evidence
from generator.site.chapters.refinement import refinement_page
from generator.site.chapters.refinement_channels import channel_changes
from generator.site.chapters.refinement_figures import SORTINGS
from generator.site.chapters.revisited import ORIGINAL, revisited_page
from generator.site.citation import cite
from generator.site.finder import finder_index
from generator.site.frame import made_from
from generator.site.home import counts
from generator.site.links import check_links
from generator.site.reading.atlas import Atlas
from generator.site.reading.channel import channel_page
from generator.site.reading.highlights import highlights, highlights_rule, left_out
from generator.site.reading.layer import layer_grid
from generator.site.reading.measures import BY_KEY, MEASURES
from generator.site.reading.tiles import shared_tile_data
from generator.site.reading.unique_labels import unique_labels
from generator.site.render import render_site
from generator.stages import profile

SMALL = Path(__file__).parent / "small_atlas"
TINY: dict[str, Any] = {"stages": ((2, 2, 4),), "inner": (), "stem": 4, "pictures": 9, "side": 48, "tile": 12}


def _change(folder: Path, **values: Any) -> None:
    """Other values in an atlas's manifest."""
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **values}), "utf-8")


def _without_sprites(folder: Path, kept: Callable[[int], bool]) -> Path:
    """As `--channels` leaves an atlas: only some channels are pictured."""
    for sprite in (folder / "sprites").glob("*/*.webp"):
        if not kept(int(sprite.stem)):
            sprite.unlink()
    return folder


# -- comparisons are of active channels ----------------------------------------------------------------------------


def test_refinement_counts_the_channels_that_are_active_in_both_blocks(tmp_path: Path) -> None:
    """Also where a channel is dead in one block and active in the next: table, page and comparison agree."""
    atlas = Atlas(SMALL)
    page = refinement_page(atlas)
    for pair in (*page.refinement.neighbours, *page.refinement.stages):
        dead = [np.array(atlas.layer(name).dead) for name in (pair.source, pair.target)]
        alive = int((~dead[0] & ~dead[1]).sum())
        assert pair.channels == alive == sum(pair.counts.values())
        assert len(channel_changes(atlas, pair, page.refinement.bound)) == alive


@pytest.mark.parametrize("kind", SORTINGS)
def test_a_part_of_a_bar_leads_to_what_its_title_names(kind: str) -> None:
    page = refinement_page(Atlas(SMALL))
    sortings = [part.sorting for row in page.bars.rows for part in row.parts if part.kind == kind]
    assert sortings
    for sorting in sortings:
        assert sorting.words.startswith(BY_KEY[sorting.measure].name)
        assert sorting.words.endswith(
            ("lowest first", "fewest first") if sorting.up else ("highest first", "most first")
        )


# -- ranges --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signed", [False, True])
def test_every_value_lies_in_the_range_that_its_measure_names(signed: bool) -> None:
    """Of noise, whose agreement is below zero as often as above."""
    random = np.random.default_rng(7)
    of_picture = random.integers(0, 6, 200)
    scores = random.normal(size=(200, 300)) - (0 if signed else 0.3)
    scores = scores if signed else np.maximum(scores, 0)
    nine = np.argsort(-scores, axis=0)[:9].T
    classes = Classes.of([(int(n), f"c{n}") for n in of_picture], None, None)
    agreed = agreement(classes_of_nine(nine, classes.of_picture), classes)
    halves = balanced_halvings([of_picture], len(scores))
    (best,) = best_classes(scores, halves, [LabelSet.of(of_picture, halves, 6)])
    rho = rank_correlation(scores, scores[:, ::-1])
    found = {
        "label_agreement": agreed,
        "class_auroc": best.auroc,
        "class_precision": best.precision,
        "spearman_previous": rho,
        "gain_previous": agreed - agreed[::-1],
    }
    assert agreed.min() < 0 and best.auroc.min() < 0.5
    for key, values in found.items():
        measure = BY_KEY[key]
        known = values[np.isfinite(values)]
        assert known.min() >= measure.least and known.max() <= measure.most, key
        if known.min() < 0:
            assert "0 …" not in measure.unit and "between 0" not in measure.unit


def test_stored_numbers_lie_in_their_ranges_and_a_unit_never_names_a_wrong_one() -> None:
    atlas = Atlas(SMALL)
    seen = set()
    for info in atlas.layers:
        for measure in MEASURES:
            values = atlas.layer(info.name).arrays.get(measure.key)
            if values is None:
                continue
            known = values[measure.present(values)]
            if known.size:
                seen.add(measure.key)
                slack = 1e-6
                assert known.min() >= measure.least - slack and known.max() <= measure.most + slack, (
                    measure.key
                )
    assert {"label_agreement", "spearman_previous", "label_entropy"} <= seen
    assert not [measure.key for measure in MEASURES if "…" in measure.unit]


# -- classes -------------------------------------------------------------------------------------------------------


def _pictures(*rows: tuple[int, str, str]) -> list[PictureRecord]:
    return [PictureRecord(n, path, number, label, 8, 8) for n, (number, label, path) in enumerate(rows)]


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        ([(0, "tench", "a/1.jpg"), (1, "crane, bird", "b/1.jpg")], ["tench", "crane"]),
        (
            [
                (134, "crane", "n02012849_crane.JPEG"),
                (517, "crane", "n03126707_crane.JPEG"),
                (-1, "", "x.jpg"),
            ],
            ["crane (n02012849)", "crane (n03126707)"],
        ),
        ([(134, "crane", "1.jpg"), (517, "crane", "2.jpg")], ["crane (134)", "crane (517)"]),
        (
            [(638, "maillot", "1.jpg"), (639, "maillot, tank suit", "2.jpg")],
            ["maillot (638)", "maillot (639)"],
        ),
        ([(1, "crane", "n02012849/1.jpg"), (2, "crane", "other/1.jpg")], ["crane (1)", "crane (2)"]),
        ([(1, "crane", "n02012849/1.jpg"), (2, "crane", "n02012849/2.jpg")], ["crane (1)", "crane (2)"]),
        ([(3, "maillot", "1.jpg"), (3, "maillot, tank suit", "2.jpg")], ["maillot", "maillot, tank suit"]),
        ([(1, "a", "1.jpg"), (2, "a", "2.jpg"), (3, "a (1)", "3.jpg")], ["a (1)", "a (2)", "a (1) [2]"]),
    ],
)
def test_two_classes_never_share_a_name(rows: list[tuple[int, str, str]], names: list[str]) -> None:
    found = unique_labels(_pictures(*rows))
    assert list(found.values()) == names and len(set(found.values())) == len(found)


def test_finder_filter_and_pages_keep_two_classes_of_one_name_apart(tmp_path: Path) -> None:
    labels = ("crane", "ring", "crane", "maillot", "maillot, tank suit", "bow", "bow tie")
    make_atlas(tmp_path / "atlas", **TINY | {"labels": labels, "pictures": 28})
    atlas = Atlas(tmp_path / "atlas")
    names = {"crane (0)", "ring", "crane (2)", "maillot (3)", "maillot (4)", "bow", "bow tie"}
    index = index_of(finder_index(atlas))
    assert set(index["classes"]) == names and len(index["classes"]) == len(names)
    assert index["synonyms"][index["classes"].index("maillot (4)")] == "maillot, tank suit"
    assert set(layer_grid(atlas, atlas.manifest.layer("res2a")).label_names) <= names
    for channel in range(4):
        label_ids = [atlas.pictures[image].label_id for image in atlas.layer("res2a").nine(channel)]
        often = dict(atlas.labels_of("res2a", channel))
        for number, name in ((0, "crane (0)"), (2, "crane (2)"), (3, "maillot (3)"), (4, "maillot (4)")):
            assert often.get(name, 0) == label_ids.count(number)
        page = channel_page(atlas, atlas.manifest.layer("res2a"), channel, "")
        assert {tile.label for tile in page.top.tiles} <= names


# -- channels that are not pictured --------------------------------------------------------------------------------


def test_a_channel_that_is_not_pictured_shows_what_is_known_of_it(tmp_path: Path) -> None:
    make_atlas(tmp_path / "atlas", **TINY | {"pictures": 14})
    _without_sprites(tmp_path / "atlas", lambda channel: channel != 1)
    atlas = Atlas(tmp_path / "atlas")
    gone = atlas.layer("res2b").nine(1)[0]
    (tmp_path / "atlas/pictures" / f"{gone}.webp").unlink()
    atlas = Atlas(tmp_path / "atlas")
    page = channel_page(atlas, atlas.manifest.layer("res2b"), 1, "")
    assert page.top.absent == "" and not page.top.whole
    assert [picture.number for picture in page.top.wholes] == [None, *atlas.layer("res2b").nine(1)[1:]]
    data: Any = shared_tile_data(atlas, atlas.manifest.layer("res2b"), 1)
    assert page.data == "" and page.data_file == "res2b/1.js"
    assert [tile[0] for tile in data["rows"]["res2b"][1]] == atlas.layer("res2b").nine(1)
    assert data["without"] == [gone]
    render_site([tmp_path / "atlas"], tmp_path / "site")
    text = (tmp_path / "site/small/res2b/1.html").read_text("utf-8")
    assert "8 of its 9 pictures, whole" in text and "shows the whole picture" not in text
    assert check_links(tmp_path / "site") == []
    pictured = channel_page(atlas, atlas.manifest.layer("res2b"), 0, "")
    assert pictured.top.wholes == []


def test_without_published_pictures_it_shows_none_and_says_so(tmp_path: Path) -> None:
    make_atlas(tmp_path / "atlas", publish_patches=False, **TINY)
    _without_sprites(tmp_path / "atlas", lambda channel: channel != 1)
    atlas = Atlas(tmp_path / "atlas")
    page = channel_page(atlas, atlas.manifest.layer("res2b"), 1, "")
    assert page.top.absent == "not pictured in this atlas" and page.top.wholes == []
    data = shared_tile_data(atlas, atlas.manifest.layer("res2b"), 1)
    assert len(page.top.tiles) == 9 and data is not None and "without" not in data


def test_a_dead_channel_offers_no_list_of_pictures(tmp_path: Path) -> None:
    page = channel_page(Atlas(SMALL), Atlas(SMALL).manifest.layer("res2a"), 5, "")
    assert page.top.tiles == [] == page.top.wholes


@pytest.mark.parametrize("few", [4, 1, 0])
def test_where_whole_pictures_are_there_no_featured_channel_is_left_out(tmp_path: Path, few: int) -> None:
    shutil.copytree(SMALL, tmp_path / "atlas")
    _without_sprites(tmp_path / "atlas", lambda channel: channel < few)
    atlas = Atlas(tmp_path / "atlas")
    for listed, complete in zip(
        refinement_page(atlas).lists, refinement_page(Atlas(SMALL)).lists, strict=True
    ):
        assert listed.left_out == 0
        assert [entry.change for entry in listed.entries] == [entry.change for entry in complete.entries]
        for entry in listed.entries:
            assert all(bool(frame.wholes) == (entry.change.channel >= few) for frame in entry.frames)
    # Of the home page's channels, those with gradients come first.
    assert highlights(atlas) and all(h.channel < few or not few for h in highlights(atlas))
    render_site([tmp_path / "atlas"], tmp_path / "site")
    assert check_links(tmp_path / "site") == []
    assert "not pictured in this atlas" not in _text(tmp_path / "site/small/res2b/4.html")


@pytest.mark.parametrize("few", [4, 1, 0])
def test_featured_channels_are_pictured_and_the_others_counted(tmp_path: Path, few: int) -> None:
    shutil.copytree(SMALL, tmp_path / "atlas")
    shutil.rmtree(tmp_path / "atlas/pictures")
    _without_sprites(tmp_path / "atlas", lambda channel: channel < few)
    atlas = Atlas(tmp_path / "atlas")
    chosen = highlights(atlas)
    assert all(highlight.channel < few for highlight in chosen) and bool(chosen) == bool(few)
    # Channel 5 is dead everywhere: it could not be chosen anyhow.
    assert left_out(atlas) == 2 * len([c for c in range(12) if c >= few and c != 5])
    lists, whole = refinement_page(atlas).lists, refinement_page(Atlas(SMALL)).lists
    for listed, complete in zip(lists, whole, strict=True):
        assert listed.name == complete.name and complete.left_out == 0
        assert all(not frame.absent for entry in listed.entries for frame in entry.frames)
        assert all(entry.change.channel < few for entry in listed.entries)
    assert any(listed.left_out for listed in lists)
    render_site([tmp_path / "atlas"], tmp_path / "site")
    text = _text(tmp_path / "site/small/refinement.html")
    assert "not pictured in this atlas" not in text
    assert re.search(r"this atlas does not picture (it|them) in both blocks", text)
    home = _text(tmp_path / "site/small/index.html")
    assert f"{left_out(atlas)} active channels of these stages could not be chosen" in home
    sprites = len(list((tmp_path / "atlas/sprites").glob("*/*.webp")))
    assert f"; {sprites} of the channels with patches and gradient pictures" in home
    layers = len(atlas.layers)  # not each channel of the network: an atlas may show a few of its layers
    assert f"For each channel of {layers} layers of this residual network" in home


def _text(page: Path) -> str:
    """A page's source on one line: templates break theirs where a space is."""
    return " ".join(page.read_text("utf-8").split())


def test_a_whole_atlas_leaves_out_none() -> None:
    atlas = Atlas(SMALL)
    assert left_out(atlas) == 0
    assert counts(atlas).pictured == counts(atlas).channels - counts(atlas).dead
    assert "keep 1 to 8 of their nine" in highlights_rule(highlights(atlas)) and highlights_rule([]) == ""


# -- the paper, revisited ------------------------------------------------------------------------------------------


def _evidence(layers: tuple[str, ...], **values: Any) -> Evidence:
    given: dict[str, Any] = {
        "dead": (False,) * len(layers),
        "shared": (5,) * (len(layers) - 1),
        "rho": (0.5,) * (len(layers) - 1),
        "strongest": (1.0,) * len(layers),
        "active": (0.3,) * len(layers),
        "reach": (10.0,) * len(layers),
    }
    return Evidence(layers, **{**given, **values})


def _claim(channel: int) -> Claim:
    return next(claim for claim in CLAIMS if claim.channel == channel)


NAN = float("nan")


@pytest.mark.parametrize(
    ("channel", "values", "word"),
    [
        (12, {"active": (0.3, 0.27, 0.3)}, "borne out"),
        (12, {"active": (0.3, 0.28, 0.3)}, "partly borne out"),
        (12, {"active": (0.3, 0.29, 0.1)}, "not borne out"),
        (12, {"active": (NAN, 0.29, 0.1)}, "undecided"),
        (12, {"active": (0.3, 0.0, 0.1), "dead": (False, True, False)}, "undecided"),
        (79, {"shared": (6, 9)}, "borne out"),
        (79, {"shared": (3, 9)}, "partly borne out"),
        (79, {"shared": (0, 9), "rho": (0.7, 0.8)}, "partly borne out"),
        (79, {"shared": (2, 9), "rho": (0.9, NAN)}, "not borne out"),
        (150, {"shared": (3, 9), "reach": (10, 12, 10)}, "borne out"),
        (150, {"shared": (9, 9), "reach": (10, 12, 10)}, "partly borne out"),
        (150, {"shared": (3, 9), "reach": (10, 11.9, 10)}, "partly borne out"),
        (150, {"shared": (4, 9), "reach": (10, 11.9, 99)}, "not borne out"),
        (150, {"shared": (3, 9), "reach": (NAN, NAN, NAN)}, "undecided"),
        (210, {"strongest": (0.33, 1, 1)}, "borne out"),
        (210, {"strongest": (0.0, 1, 1), "dead": (True, False, False)}, "borne out"),
        (210, {"strongest": (0.5, 1, 1)}, "partly borne out"),
        (210, {"strongest": (0.7, 1, 1)}, "not borne out"),
        (400, {"shared": (7, 9), "reach": (10, 12, 10)}, "borne out"),
        (400, {"shared": (8, 9), "reach": (10, 12, 10)}, "partly borne out"),
        (400, {"shared": (8, 9), "reach": (10, 11, 99)}, "not borne out"),
    ],
)
def test_a_verdict_follows_from_its_rule(channel: int, values: dict[str, Any], word: str) -> None:
    claim = _claim(channel)
    assert claim.verdict(_evidence(claim.layers, **values)).word == word


def test_a_rule_is_not_applied_to_other_layers_than_it_names() -> None:
    for claim in CLAIMS:
        for missing in claim.needed:
            rest = tuple(name for name in claim.layers if name != missing)
            verdict = claim.verdict(_evidence(rest))
            assert verdict.word == "undecided" and missing in verdict.reason


def test_the_page_states_rules_and_no_impressions(tmp_path: Path) -> None:
    options: dict[str, Any] = {**TINY, "stages": PAPER_STAGES[:1], "distinct": 1}
    make_atlas(tmp_path / "atlas", name="caffe", model="resnet50-caffe", **options)
    _without_sprites(tmp_path / "atlas", lambda channel: channel < 100)
    shutil.rmtree(tmp_path / "atlas/pictures")
    page = revisited_page(Atlas(tmp_path / "atlas"))
    assert page is not None and page.left_out == [150, 210] and not page.is_original
    assert sum(count for _, count in page.counts) == len(page.sections) == 2
    render_site([tmp_path / "atlas"], tmp_path / "site")
    text = " ".join((tmp_path / "site/caffe/revisited.html").read_text("utf-8").split())
    assert "this atlas was made from random weights" in text and "these very weights" not in text
    assert "channels 150, 210" in text and "Seen" not in text and "written by" not in text
    for section in page.sections:
        assert section.claim.rule in text.replace("&#39;", "'") and section.verdict.word in WORDS
    weights = json.loads((tmp_path / "atlas/manifest.json").read_text("utf-8"))["weights"]
    _change(tmp_path / "atlas", weights={**weights, "sha256": ORIGINAL, "random": False})
    page = revisited_page(Atlas(tmp_path / "atlas"))
    assert page is not None and page.is_original


def test_a_missing_number_is_never_written_nan(tmp_path: Path) -> None:
    """Also where a layer has too few random directions, and where a channel has no mix ratio."""
    from test_stream_pages import _with_stream

    store = _with_stream(tmp_path / "atlas")
    assert any(
        pair["directions_above"] is None for pair in store.tables.read_json("refinement.json")["pairs"]
    )
    numbers = store.arrays.layer("res2b")
    alter_layer(store, "res2b", {"mix_ratio": np.where(np.arange(12) < 2, np.nan, numbers["mix_ratio"])})
    render_site([store.folder], tmp_path / "site")
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 50
    assert [path for path in pages if re.search(r"\bnan\b", path.read_text("utf-8"))] == []


# -- names of networks and weights ---------------------------------------------------------------------------------

OWN = 'name = "birds"\ntitle = "Birds of Lund"\n[network]\nmodel = "resnet18"\n'


@pytest.mark.parametrize(
    ("name", "changes", "title"),
    [
        ("resnet50", {}, "resnet50, torchvision's weights"),
        ("resnet50", {"pictures": {"limit": 5}}, "resnet50, torchvision's weights"),
        ("resnet50", {"network": {"weights": "mine.pt"}}, ""),
        ("resnet50", {"network": {"weights": "random"}}, ""),
        ("resnet50", {"network": {"model": "resnet18"}}, ""),
        ("resnet50", {"network": {"weights": None, "model": None}}, "resnet50, torchvision's weights"),
        ("resnet50", {"name": "mine", "network": {"weights": "mine.pt"}}, "mine"),
        ("resnet50-caffe", {"network": {"weights": "mine.pt"}}, ""),
        ("resnet20-cifar", {"network": {"weights": "mine.pt"}}, ""),
        ("demo", {"pictures": {"limit": 5}}, "The drawn world"),
        ("demo", {"pictures": {"folder": "photos"}}, ""),
        ("demo", {"network": {"weights": "mine.safetensors"}}, ""),
        ("own", {"network": {"weights": "mine.pt"}}, "Birds of Lund"),
        ("own", {"name": "swans", "network": {"model": "resnet34"}}, "Birds of Lund"),
    ],
)
def test_a_shipped_title_ends_where_it_would_be_false_and_an_own_one_stays(
    tmp_path: Path, name: str, changes: dict[str, Any], title: str
) -> None:
    if name == "own":
        name = str(tmp_path / "own.toml")
        Path(name).write_text(OWN, "utf-8")
    assert profile.load(name).changed(**changes).title == title


def test_every_shipped_profile_drops_its_title_with_other_weights() -> None:
    for name in profile.names():
        assert profile.load(name).changed(network={"weights": "other.pt"}).title == ""
    assert profile.of_model("timm/resnet18.a1_in1k").title == ""


def test_the_title_names_the_weights_that_were_used() -> None:
    assert title_of("resnet50", WeightsInfo("IMAGENET1K_V2", "")) == "resnet50, weights IMAGENET1K_V2"
    assert title_of("resnet50", WeightsInfo("mine.pt", "")) == "resnet50, weights mine.pt"
    assert title_of("resnet50", WeightsInfo("random", "", random=True)) == "resnet50, random weights"


def test_every_page_of_an_atlas_names_its_weights_whatever_its_title(tmp_path: Path) -> None:
    make_atlas(tmp_path / "atlas", title="Mine", **TINY)
    weights = WeightsInfo("e&v 20.pt", "ab" * 32)
    _change(tmp_path / "atlas", weights=vars(weights))
    render_site([tmp_path / "atlas"], tmp_path / "site")
    said = "demo, weights e&amp;v 20.pt (abababababab)"
    assert made_from(Atlas(tmp_path / "atlas")).startswith(
        "Made from demo, weights e&v 20.pt (abababababab) and 9 "
    )
    pages = [*(tmp_path / "site/small").rglob("*.html"), tmp_path / "site/index.html"]
    assert [page for page in pages if said not in page.read_text("utf-8")] == []


# -- citations -----------------------------------------------------------------------------------------------------


def _entry(text: str) -> tuple[str, dict[str, str]]:
    """A BibTeX entry read as BibTeX reads one: a key, and fields in balanced braces, every brace counted."""
    head = re.match(r"@misc\{([^\s,{}\"#%~\\]+),", text)
    assert head, text
    fields, at = {}, head.end()
    while start := re.compile(r"\s*([a-z]+) = \{").match(text, at):
        depth, at = 1, start.end()
        while depth:
            depth += {"{": 1, "}": -1}.get(text[at], 0)
            at += 1
        fields[start[1]] = text[start.end() : at - 1]
        at += text[at : at + 1] == ","
    assert text[at:].strip() == "}", text
    return head[1], fields


def _manifest(**changes: Any) -> Manifest:
    return replace(Atlas(SMALL).manifest, **changes)


NASTY = r"50 % of {A & B}_#$~^ \emph{x}} \\ “ü” " + '"q"'


@pytest.mark.parametrize("author", ["", "Ada Lovelace and Charles Babbage", NASTY, "{", "}}}"])
@pytest.mark.parametrize("title", ["ResNet", NASTY, "}", "a\nb"])
def test_bibtex_is_whole_and_valid(author: str, title: str) -> None:
    weights = WeightsInfo("my_weights {1}%.pt", "c" * 64)
    site = {"site": {"author": author}} if author else {}
    manifest = _manifest(title=title, weights=weights, profile=site, versions={"residual-atlas": "1.2.3"})
    found = cite(manifest, "res2b", 3, "https://example.org/a_b%20c/small/res2b/3.html")
    key, fields = _entry(found.bibtex)
    assert key == "atlas-small-res2b-3"
    assert list(fields) == ["author", "title", "year", "howpublished", "version", "note", "url"]
    assert fields["url"] == found.address == "https://example.org/a_b%20c/small/res2b/3.html"
    assert fields["version"] == "1.2.3" and "1.2.3" in fields["howpublished"] and fields["year"] == "2026"
    assert fields["author"] == ("{Residual Atlas contributors}" if not author else fields["author"])
    assert "network demo" in fields["note"] and "c" * 12 in fields["note"] and "36 pictures" in fields["note"]
    assert r"my\_weights" in fields["note"]
    for name, value in fields.items():
        if name != "url":  # nothing that TeX would take for a command of its own
            assert not re.search(r"(?<!\\)[%&#$_]", value) and "~" not in value and "\n" not in value
    assert (author or "Residual Atlas contributors") in found.plain and "1.2.3" in found.plain


def test_the_author_stands_in_the_profile(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(OWN + '[site]\nauthor = "Ada Lovelace"\n', "utf-8")
    chosen = profile.load(str(path))
    assert chosen.site.author == "Ada Lovelace"
    cited = cite(_manifest(profile=chosen.model_dump()), "res2b", 3, "")
    assert _entry(cited.bibtex)[1]["author"] == "Ada Lovelace"
    named = re.search(r"- name: (.*)", (Path(__file__).parents[1] / "CITATION.cff").read_text("utf-8"))
    assert named and f"{{{named[1]}}}" == _entry(cite(_manifest(), "res2b", 3, "").bibtex)[1]["author"]


@pytest.mark.parametrize("kind", ["small", "plain", "unlabelled", "dead"])
def test_the_guide_s_examples_of_addresses_are_of_the_atlas_itself(tmp_path: Path, kind: str) -> None:
    """Pages, layers, sort keys and classes that this very atlas has."""
    options: dict[str, Any] = {"stages": ((2, 1 if kind == "plain" else 2, 4),)}
    labels = ("q & a", "<b>", "äöü")
    make_atlas(tmp_path / "atlas", name="mine", labels=labels, **TINY | options)
    store = Store(tmp_path / "atlas")
    if kind == "unlabelled":
        store.tables.write_images(
            [replace(picture, label_id=-1, label="") for picture in store.tables.images()]
        )
    if kind == "dead":
        alter_layer(store, "res2b", {"dead": np.ones(4, bool)})
    render_site([tmp_path / "atlas"], tmp_path / "site")
    text = (tmp_path / "site/guide/linking.html").read_text("utf-8")
    found = [html.unescape(one) for one in re.findall(r'<a href="\.\./(mine/[^"]*)"', text)]
    assert f"mine/res2{'a' if kind == 'plain' else 'b'}/0.html" in found
    for address in found:
        page, _, state = address.partition("#")
        assert (tmp_path / "site" / page).is_file()
        for name, value in parse_qsl(state):
            assert name != "label" or value in labels
            assert name != "sort" or value in BY_KEY
    assert any("label=" in address for address in found) == (kind in ("small", "plain"))
    assert "goldfish" not in text and check_links(tmp_path / "site") == []


# -- definitions ---------------------------------------------------------------------------------------------------

DATA_PAGE = Path(__file__).parents[1] / "site_src/guide/data.md"


def _defined() -> dict[str, tuple[set[str], bool]]:
    """By heading of the page Data: the names in the first column of its tables; whether the statistics join them."""
    found = {}
    for section in re.split(r"^## ", DATA_PAGE.read_text("utf-8"), flags=re.M)[1:]:
        head, _, body = section.partition("\n")
        rows = re.findall(r"^\| (`.*?) \|", body, re.M)
        names = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
        found[head.strip()] = (names, "(statistics.md)" in body)
    return found


def _heading(path: Path) -> str:
    if path.parent.parent.name == "networks" and path.name != "columns.csv":
        return "networks/data/"
    return "from-*.csv" if path.name.startswith("from-") else path.name


def undefined_columns(files: list[Path]) -> list[str]:
    """The columns of these files that the page Data does not define."""
    defined, lost = _defined(), []
    for path in files:
        names, statistics = defined[_heading(path)]
        with path.open(newline="", encoding="utf-8") as file:
            columns = next(csv.reader(file))
        known = names | (set(BY_KEY) if statistics else set())
        lost += [f"{path.name}: {column}" for column in columns if column not in known]
    return lost


def test_every_column_of_every_published_table_is_defined(tmp_path: Path) -> None:
    from test_stream_pages import _with_stream

    store = _with_stream(tmp_path / "atlas")
    render_site([store.folder], tmp_path / "site")
    files = sorted((tmp_path / "site").rglob("*.csv"))
    kinds = {_heading(path) for path in files}
    expected = {
        "channels.csv",
        "images.csv",
        "classes.csv",
        "categories.csv",
        "refinement.csv",
        "from-*.csv",
        "stream.csv",
        "tops.csv",
        "columns.csv",
    }
    assert kinds == expected | {"stream_blocks.csv", "networks/data/"}
    # One number of the drawn atlas is of a later version than the site.
    assert undefined_columns(files) == ["channels.csv: unheard_of"]
    (tmp_path / "channels.csv").write_text("layer,top_value,surprise\n", "utf-8")
    assert undefined_columns([tmp_path / "channels.csv"]) == ["channels.csv: surprise"]


def test_every_number_that_a_stage_adds_per_channel_is_defined(tmp_path: Path) -> None:
    """channels.csv as it comes out of all stages together: every array of one number per channel is a column."""
    from generator.stages.tables import write_channels_csv

    per_channel = {
        "dead",
        "change_previous",
        "identity_stage",
        "gain_error_stage",
        "ascent_start",
        "ascent_value",
        "scale_invariant",
        *BY_KEY,
    }
    per_channel |= {f"{name}_error" for name in ("zoom_invariance", "zoom_correlation", "scale_truth")}
    per_channel |= {
        f"{name}_optimised" for name in ("block_at_input", "scale_block", "scale_input", "scale_invariant")
    }
    info = LayerInfo("res2a", "layer1.0", "block", "res2a", 2, 3, 8, 8, True, ReceptiveField(3, 1, 0.0))
    store = Store(tmp_path)
    tops = {"top_value": np.ones((3, 9), np.float32), "top_image": np.zeros((3, 9), np.int32)}
    arrays = {name: np.ones(3, np.float32) for name in per_channel}
    store.arrays.write_layer("res2a", "top", {**tops, "top_unit": np.zeros((3, 9, 2), np.int32)})
    store.arrays.write_layer("res2a", "statistics", arrays)
    write_channels_csv(store, [info])
    assert undefined_columns([tmp_path / "channels.csv"]) == []


@pytest.mark.slow
def test_every_column_of_a_computed_atlas_is_defined(tmp_path: Path) -> None:
    from generator.core.progress import Reporter
    from generator.stages.pipeline import compute

    chosen = profile.load("demo").changed(
        pictures={"drawn": 24}, layers={"channels": 1}, compute={"workers": 0, "device": "cpu"}
    )
    store = compute(chosen, tmp_path / "atlas", Reporter(quiet=True))
    assert (
        undefined_columns([store.folder / f"{name}.csv" for name in ("channels", "images", "classes")]) == []
    )
