"""What a channel does, on its page, on the pages of classes and in the finder: read back and compared with the arrays
that the pages were written from."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from make_small_atlas import make_atlas

from generator.core.store import Store
from generator.methods.effects import ClassMeans, of_channels, of_classes, of_weights
from generator.site.formats import significant
from generator.site.links import check_links
from generator.site.render import render_site

PICTURES, EXACT = 36, "res3b"
HOSTILE = '<b onclick="x">tab\'by</b> & "cat"/../x'
LAYERS = ("conv1", "res2a", "res2b", "res3a", "res3b")


def write_effects(store: Store, *, by_answer: bool = False) -> dict:
    """Contributions drawn at random, as the stage would write them."""
    rng = np.random.default_rng(5)
    keys = list(store.tables.class_groups())
    names = [HOSTILE if by_answer and n == 2 else f"class {n}" for n in range(len(keys) + 1)]
    numbers = np.arange(len(keys))
    records = store.tables.images()
    of_picture = [keys.index((record.label_id, record.label)) for record in records]
    for layer in store.manifest().layers:
        if layer.is_inner:
            continue
        channels = layer.channels
        mean = rng.normal(0, 1, (len(keys), channels))
        value = np.sort(rng.gamma(2, 1, (channels, 9)))[:, ::-1].astype(np.float32)
        image = np.stack([rng.permutation(PICTURES)[:9] for _ in range(channels)]).astype(np.int32)
        image[0, 5:] = -1
        arrays = {
            "effect_value": value,
            "effect_image": image,
            "effect_unit": rng.integers(0, layer.height, (channels, 9, 2)).astype(np.int32),
            **of_channels(ClassMeans(mean, np.abs(mean) / 7), numbers),
            **of_classes(ClassMeans(mean, np.full_like(mean, np.nan))),
        }
        if layer.name == EXACT:
            arrays |= of_weights(rng.normal(0, 1, (len(names), channels)), np.ones(channels))
        store.arrays.write_layer(layer.name, "effects", arrays)
    report = {
        "of": PICTURES,
        "pictures": PICTURES,
        "by": "answer" if by_answer else "label",
        "sentence": "no accuracy: the names are none of the outputs'"
        if by_answer
        else "matched by equal names",
        "head": "softmax",
        "outputs": len(names),
        "exact": EXACT,
        "layers": [layer.name for layer in store.manifest().layers if not layer.is_inner],
        "names": names,
        "classes": [
            {
                "number": n,
                "name": names[n],
                "labels": [] if by_answer else [list(key)],
                "pictures": of_picture.count(n),
                "correct": None if by_answer else of_picture.count(n) // 2,
                "score": 3.5 + n,
            }
            for n, key in enumerate(keys)
        ],
    }
    store.tables.write_json("effects.json", report)
    store.arrays.write_predictions(np.array(of_picture, np.int32), np.ones(PICTURES, np.float32))
    return report


def _make(folder: Path, *, publish_patches: bool = True) -> Store:
    make_atlas(
        folder, pictures=PICTURES, side=32, stages=((2, 2, 8), (3, 2, 8)), inner=("res2b",), stem=8,
        labels=("ant", "bee", "dog", "owl"), publish_patches=publish_patches,
    )  # fmt: skip
    return Store(folder)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labelled")
    store = _make(folder / "atlas")
    report = write_effects(store)
    render_site([store.folder], folder / "site")
    return store, folder / "site" / "small", report


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("answered")
    store = _make(folder / "atlas")
    report = write_effects(store, by_answer=True)
    render_site([store.folder], folder / "site")
    return store, folder / "site" / "small", report


def _section(page: str) -> str:
    found = re.search(r'<section class="effects".*?</section>', page, re.S)
    return found[0] if found else ""


def _plain(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def _lists(section: str) -> list[list[str]]:
    """The entries of every list, as text."""
    return [[_plain(entry) for entry in re.findall(r"<li>(.*?)</li>", part, re.S)]
            for part in re.findall(r"<ol>(.*?)</ol>", section, re.S)]  # fmt: skip


@pytest.mark.parametrize("layer", LAYERS)
def test_a_channels_page_names_the_classes_of_the_arrays(labelled, layer):
    store, site, report = labelled
    arrays = store.arrays.layer(layer)
    names = [row["labels"][0][1] for row in report["classes"]]
    seen = 0
    for channel in range(8):
        lists = _lists(_section((site / layer / f"{channel}.html").read_text("utf-8")))
        if arrays["dead"][channel]:
            assert lists == []
            continue
        expected = []
        for side in ("raised", "lowered"):
            chosen = [n for n in range(3) if arrays[f"{side}_class"][channel, n] >= 0]
            classes = arrays[f"{side}_class"][channel, chosen].tolist()
            expected.append([
                f"{names[number]} {significant(arrays[f'{side}_mean'][channel, n])} "
                f"± {significant(arrays[f'{side}_reach'][channel, n], 2)} "
                f"rank {arrays[f'{side}_rank'][channel, n]}, 9 pictures"
                for n, number in zip(chosen, classes, strict=True)
            ])  # fmt: skip
        expected = [entries for entries in expected if entries]
        by_weights = lists[len(expected) :]
        assert lists[: len(expected)] == expected
        assert bool(by_weights) == (layer == EXACT)
        seen += sum(map(len, expected))
    assert seen > 20


def test_the_pictures_of_largest_contribution_are_shown_and_those_of_the_top_9_marked(labelled):
    store, site, _ = labelled
    arrays = store.arrays.layer("res3a")
    for channel in np.flatnonzero(~arrays["dead"]).tolist():
        section = _section((site / "res3a" / f"{channel}.html").read_text("utf-8"))
        images = [n for n in arrays["effect_image"][channel].tolist() if n >= 0]
        top = set(arrays["top_image"][channel].tolist())
        cells = re.findall(
            r'<span(?: class="(top)")?><img class="x(\d+) y(\d+)" src="../pictures/(\d+)\.webp"', section
        )
        assert [int(number) for *_, number in cells] == images
        assert [bool(mark) for mark, *_ in cells] == [image in top for image in images]
        assert [[int(y), int(x)] for _, x, y, _ in cells] == arrays["effect_unit"][
            channel, : len(images)
        ].tolist()
        count = len(top & set(images))
        verb = "is" if count == 1 else "are"
        assert f"{count} of {len(images)} {verb} in its top-9" in _plain(section)


def test_every_class_has_a_page_with_the_channels_that_raise_it_and_its_pictures(labelled):
    store, site, report = labelled
    assert check_links(site.parent) == []
    for row, described in enumerate(report["classes"]):
        label = described["labels"][0][1]
        page = (site / "categories" / f"{label}.html").read_text("utf-8")
        places = re.findall(r'<h3>(.*?): <a href="../(\w+)/index.html">', page)
        assert [name for _, name in places] == ["res3b", "res2b", "conv1"]
        for layer in ("res3b", "res2b", "conv1"):
            arrays = store.arrays.layer(layer)
            channels = [c for c in arrays["class_channel"][row].tolist() if c >= 0][:8]
            part = page[page.index(f'/index.html">{layer}</a></h3>') :].partition("</ol>")[0]
            assert [int(c) for c in re.findall(rf'href="../{layer}/(\d+)\.html"', part)] == channels
            values = [_plain(text) for text in re.findall(r"<small>(.*?)</small>", part, re.S)]
            assert values == [
                significant(value) for value in arrays["class_mean"][row, : len(channels)].tolist()
            ]
        own = [record.index for record in store.tables.images() if record.label == label]
        pictures = page[page.index('<div class="pictures">') :].partition("</div>")[0]
        assert [int(n) for n in re.findall(r"pictures/(\d+)\.webp", pictures)] == own
        assert f"right for {described['correct']} of them" in _plain(page)
        assert f"The mean logit of the class is {significant(described['score'])}" in _plain(page)


def test_the_finder_knows_the_page_of_every_class_and_the_channels_that_raise_it(labelled):
    store, site, report = labelled
    text = (site / "finder.js").read_text("utf-8")
    index = json.loads(text[text.index("(") + 1 : text.rindex(")")])
    arrays = store.arrays.layer("res3b")
    layers = [name for name, *_ in index["layers"]]
    for row, described in enumerate(report["classes"]):
        found = next(each for each in index["categories"] if each[0] == described["labels"][0][1])
        assert (site / found[3]).is_file()
        expected = [c for c in arrays["class_channel"][row, :3].tolist() if c >= 0]
        assert [(layers[layer], channel) for layer, channel, _ in found[8]] == [
            ("res3b", c) for c in expected
        ]


def test_answers_that_are_no_labels_have_pages_of_their_own_and_names_are_only_text(answered):
    _, site, report = answered
    assert check_links(site.parent) == []
    pages = {path.name: path.read_text("utf-8") for path in (site / "answers").glob("*.html")}
    assert len(pages) == len(report["classes"])
    hostile = next(page for page in pages.values() if "tab&#39;by" in page)
    assert "<b onclick" not in hostile
    assert HOSTILE in unescape(re.search(r"<h1>(.*?)</h1>", hostile, re.S)[1])
    section = "".join(_section(path.read_text("utf-8")) for path in (site / "res3b").glob("[0-9]*.html"))
    assert "that the network takes for this class" in " ".join(section.split())
    assert "<b onclick" not in section
    label = (site / "categories" / "ant.html").read_text("utf-8")
    assert "No contributions of channels to this class: the names are none of the outputs'" in _plain(label)
    listed = _plain((site / "categories.html").read_text("utf-8"))
    assert "Classes of the network's outputs" in listed and HOSTILE in listed


def test_without_a_classifier_the_pages_say_why(tmp_path):
    store = _make(tmp_path / "atlas")
    store.tables.write_json("effects.json", {"absent": "the weights end before the classifier"})
    render_site([store.folder], tmp_path / "site")
    assert check_links(tmp_path / "site") == []
    alive = int(np.flatnonzero(~store.arrays.layer("res3b")["dead"])[0])
    page = (tmp_path / f"site/small/res3b/{alive}.html").read_text("utf-8")
    assert "No contributions to classes : the weights end before the classifier." in _plain(_section(page))
    for name in ("categories/ant.html", "categories.html"):
        text = _plain((tmp_path / "site/small" / name).read_text("utf-8"))
        assert "the weights end before the classifier." in text
    inner = tmp_path / "site/small/res2b_branch2a/0.html"
    assert inner.is_file() and not _section(inner.read_text("utf-8"))


def test_an_atlas_without_contributions_says_nothing_of_them(tmp_path):
    store = _make(tmp_path / "atlas")
    render_site([store.folder], tmp_path / "site")
    assert check_links(tmp_path / "site") == []
    assert not any(
        _section(path.read_text("utf-8")) for path in (tmp_path / "site/small/res3b").glob("*.html")
    )


def test_where_no_channel_is_found_the_categories_still_lead_to_the_pages_of_classes(tmp_path):
    store = _make(tmp_path / "atlas")
    write_effects(store)
    store.arrays.write_categories({name: x[:0] for name, x in store.arrays.categories().items()})
    render_site([store.folder], tmp_path / "site")
    page = (tmp_path / "site/small/categories.html").read_text("utf-8")
    assert re.search(r"No (class has enough|channel has more) pictures", page)
    assert '<a href="categories/ant.html">ant</a>' in page


def test_one_labelled_class_that_is_an_output_counts_by_its_label(tmp_path):
    make_atlas(tmp_path / "atlas", pictures=PICTURES, side=32, stages=((2, 2, 8),), stem=8, labels=("ant",))
    store = Store(tmp_path / "atlas")
    write_effects(store)
    render_site([store.folder], tmp_path / "site")
    text = _plain((tmp_path / "site/small/categories.html").read_text("utf-8"))
    assert "counts for the class of its label: matched by equal names." in text
    assert "answer" not in text


def test_classes_that_are_too_many_for_means_are_counted(tmp_path):
    for by_answer, kept in ((True, 0), (False, 2)):
        store = _make(tmp_path / f"{kept}" / "atlas")
        report = write_effects(store, by_answer=by_answer)
        for layer in report["layers"]:
            arrays = store.arrays.layer(layer, "effects")
            for side in ("raised", "lowered"):
                arrays[f"{side}_class"] = np.where(
                    arrays[f"{side}_class"] < kept, arrays[f"{side}_class"], -1
                )
            arrays |= {f"class_{x}": arrays[f"class_{x}"][:kept] for x in ("channel", "mean", "reach")}
            store.arrays.write_layer(layer, "effects", arrays)
        left_out = len(report["classes"]) - kept
        report |= {"classes": report["classes"][:kept], "left_out": left_out}
        store.tables.write_json("effects.json", report)
        render_site([store.folder], tmp_path / f"{kept}" / "site")
        assert check_links(tmp_path / f"{kept}" / "site") == []
        site = tmp_path / f"{kept}" / "site/small"
        alive = int(np.flatnonzero(~store.arrays.layer("res3b")["dead"])[0])
        channel = _plain(_section((site / f"res3b/{alive}.html").read_text("utf-8")))
        listed = _plain((site / "categories.html").read_text("utf-8"))
        if by_answer:
            reason = (
                f"to classes: the sums of {left_out} classes do not fit into the memory set aside for them."
            )
            assert reason in channel.replace(" :", ":") and reason in listed
            assert "Raises most" not in channel and "Raises, over all pictures" in channel
        else:
            reason = f"the 2 classes with most pictures have mean contributions, since the sums of the other {left_out}"
            owl = _plain((site / "categories/owl.html").read_text("utf-8"))
            assert all(f"nly {reason} do not fit" in text for text in (channel, listed, owl))


def test_pictures_that_are_not_published_are_named(tmp_path):
    store = _make(tmp_path / "atlas", publish_patches=False)
    write_effects(store)
    render_site([store.folder], tmp_path / "site")
    arrays = store.arrays.layer("res3b")
    alive = int(np.flatnonzero(~arrays["dead"])[0])
    section = _section((tmp_path / f"site/small/res3b/{alive}.html").read_text("utf-8"))
    assert "<img" not in section
    records = store.tables.images()
    for image, value in zip(
        *(arrays[f"effect_{x}"][alive].tolist() for x in ("image", "value")), strict=True
    ):
        if image >= 0:
            assert f"picture {image}: {records[image].label}, {significant(value)}" in _plain(section)
