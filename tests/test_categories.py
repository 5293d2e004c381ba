"""Categories: the channels of classes and of groups of classes, by their nine pictures and their average precision."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from math import comb

import numpy as np
import pytest
from finder_script import index_of
from make_small_atlas import make_atlas
from sklearn.metrics import average_precision_score

from generator.core.hierarchy import Hierarchy, WordGroup, imagenet_hierarchy, imagenet_wnids
from generator.core.store import Store
from generator.methods.category_channels import (
    CHANCE,
    FEWEST,
    beyond_chance,
    categories_of,
    channels_found,
)
from generator.site.finder import BEST_CHANNELS
from generator.site.links import check_links
from generator.site.render import render_site
from generator.site.templates import resources

TREE = Hierarchy(
    {
        "poodle": "dog",
        "beagle": "dog",
        "dog": "canine",
        "canine": "animal",
        "cat": "animal",
        "animal": "",
        "car": "wheels",
        "wheels": "",
    },
    "a tree",
)
NAMES = ("poodle", "beagle", "cat", "car")


def _categories(counts=(20, 10, 20, 150), names=NAMES, tree=TREE):
    return categories_of(names, names, tree, np.array(counts), sum(counts))


# -- which categories there are ----------------------------------------------------------------------------------------


def test_every_set_of_pictures_is_one_category_under_its_lowest_name():
    categories = _categories()
    assert [(x.name, x.kind, x.also, x.classes, x.pictures) for x in categories] == [
        ("poodle", "class", (), (0,), 20),
        ("beagle", "class", (), (1,), 10),
        ("cat", "class", (), (2,), 20),
        ("car", "class", ("wheels",), (3,), 150),
        ("dog", "group", ("canine",), (0, 1), 30),
        ("animal", "group", (), (0, 1, 2), 50),
    ]
    names = [x.name for x in categories]
    parents = {x.name: names[x.parent] if x.parent >= 0 else "" for x in categories}
    assert parents == {
        "poodle": "dog", "beagle": "dog", "cat": "animal", "car": "", "dog": "animal", "animal": "",
    }  # fmt: skip


def test_a_label_that_is_itself_a_group_belongs_to_the_group_too():
    categories = _categories((5, 5, 5), ("poodle", "dog", "cat"))
    assert {x.name: x.classes for x in categories if x.kind == "group"} == {"dog": (0, 1)}
    assert {x.classes for x in categories if x.kind == "class"} == {(0,), (1,), (2,)}


def test_without_a_hierarchy_there_are_the_classes_and_of_one_class_there_is_none():
    assert [x.name for x in _categories(tree=None)] == list(NAMES)
    assert categories_of(["a"], [""], None, np.array([9]), 20) == []
    assert categories_of([], [], None, np.zeros(0, np.int64), 20) == []


def test_dogs_are_found_among_the_classes_of_imagenet():
    wnids = imagenet_wnids()
    categories = categories_of(wnids, wnids, imagenet_hierarchy(), np.ones(1000, np.int64), 1000)
    (dog,) = (x for x in categories if x.name == "n02084071")
    assert dog.pictures == 118 and dog.kind == "group" and dog.fewest == 6
    assert sum(x.fewest <= 9 for x in categories if x.kind == "class") == 0  # one picture each


WORDS = (
    WordGroup("pets", ("pet", "companion"), ("poodle", "cat")),
    WordGroup("dogs", ("puppy",), ("dog",)),
    WordGroup("rides", ("ride",), ("car", "bus")),
    WordGroup("things", ("thing",), ("animal", "wheels")),
    WordGroup("", ("kitten",), ("cat",)),
    WordGroup("birds", ("bird",), ("owl",)),
)


def test_the_list_of_words_adds_groups_and_words_and_changes_nothing_else():
    before, after = _categories(), _categories(tree=replace(TREE, word_groups=WORDS))
    assert [replace(x, words=()) for x in after[: len(before)]] == before
    (pets,) = after[len(before) :]
    assert (pets.name, pets.kind, pets.parent, pets.classes, pets.words) == (
        "pets", "own", -1, (0, 2), ("pet", "companion"),
    )  # fmt: skip
    assert (pets.pictures, (pets.fewest, pets.probability)) == (40, beyond_chance(200, 40))
    words = {x.name: x.words for x in after if x.words}
    assert words == {
        "pets": pets.words,
        "dog": ("dogs", "puppy"),
        "car": ("rides", "ride"),
        "cat": ("kitten",),
    }


def test_the_words_of_imagenet_name_classes_and_groups_that_exist_and_are_not_repeated():
    tree = imagenet_hierarchy()
    names = [group.name for group in tree.word_groups if group.name]
    words = [word for group in tree.word_groups for word in group.words]
    assert "letters" in names and len(names) == len(set(names)) and len(words) == len(set(words))
    assert not set(names) & set(tree.titles.values())
    for group in tree.word_groups:
        assert set(group.members) <= tree.names and len(group.members) == len(set(group.members))
        assert group.name or len(group.members) == 1
    above = set(tree.parents.values())
    assert not [name for group in tree.word_groups if group.name for name in group.members if name in above]


# -- how many of nine are beyond chance --------------------------------------------------------------------------------


@pytest.mark.parametrize(("total", "pictures"), [(1000, 118), (36, 6), (200, 3), (50_000, 5000), (36, 18)])
def test_the_number_needed_is_the_smallest_that_nine_random_pictures_seldom_reach(total, pictures):
    fewest, probability = beyond_chance(total, pictures)

    def tail(number):
        ways = sum(comb(pictures, k) * comb(total - pictures, 9 - k) for k in range(number, 10))
        return ways / comb(total, 9)

    assert probability == pytest.approx(tail(fewest)) and probability <= CHANCE
    assert fewest == FEWEST or tail(fewest - 1) > CHANCE


@pytest.mark.parametrize(("total", "pictures"), [(100, 70), (100, 2), (5, 4)])
def test_what_is_too_large_or_too_small_has_no_channel(total, pictures):
    assert beyond_chance(total, pictures) == (10, 0.0)


# -- channels ----------------------------------------------------------------------------------------------------------


def _found(rows=None):
    """240 pictures, some without a label, and 300 channels with ties that prefer some class."""
    random = np.random.default_rng(0)
    of_picture = np.where(random.random(240) < 0.05, -1, random.permutation(240) % 12)
    names = [f"c{n}" for n in range(12)]
    parents = {name: f"g{n // 3}" for n, name in enumerate(names)} | {f"g{n}": "" for n in range(4)}
    counts = np.bincount(of_picture[of_picture >= 0], minlength=12)
    categories = categories_of(names, names, Hierarchy(parents, "test"), counts, 240)
    likes = (of_picture[:, None] == np.arange(300) % 12) * 1.5 + (
        of_picture[:, None] // 3 == np.arange(300) % 4
    )
    scores = np.maximum(random.normal(0, 1, (240, 300)) + likes, 0).round(1).astype(np.float32)
    top = np.argsort(-scores, axis=0, kind="stable")[:9].T
    top[7] = -1
    rows = np.arange(240) if rows is None else rows
    found = channels_found(categories, of_picture, top, scores[rows], rows)
    return categories, of_picture, top, scores, found


def test_exactly_the_channels_with_enough_of_nine_are_found():
    categories, of_picture, top, _, found = _found()
    expected = {}
    for channel, nine in enumerate(top.tolist()):
        labels = [of_picture[picture] for picture in nine if picture >= 0]
        for number, category in enumerate(categories):
            count = sum(label in category.classes for label in labels)
            if count >= category.fewest:
                expected[channel, number] = count
    pairs = list(zip(found.channel.tolist(), found.category.tolist(), strict=True))
    assert len(expected) > 200 and dict(zip(pairs, found.count.tolist(), strict=True)) == expected
    assert all(before < after for before, after in pairwise(pairs)) and 7 not in found.channel


def test_the_average_precision_is_scikit_learns_over_the_labelled_pictures():
    categories, of_picture, _, scores, found = _found()
    labelled = of_picture >= 0
    for place in range(0, len(found.channel), 7):
        own = np.isin(of_picture[labelled], categories[found.category[place]].classes)
        column = scores[labelled, found.channel[place]]
        assert found.precision[place] == pytest.approx(average_precision_score(own, column), abs=1e-6)


def test_of_a_sample_of_the_scores_only_its_pictures_count():
    rows = np.arange(0, 240, 3)
    categories, of_picture, _, scores, found = _found(rows=rows)
    kept = rows[of_picture[rows] >= 0]
    own = np.isin(of_picture[kept], categories[found.category[5]].classes)
    expected = average_precision_score(own, scores[kept, found.channel[5]])
    assert found.precision[5] == pytest.approx(expected, abs=1e-6)


# -- the stage ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("categories") / "atlas"
    make_atlas(folder, pictures=96, side=32, stages=((2, 2, 12),), inner=())
    return Store(folder)


def test_the_stage_writes_the_categories_and_their_channels(store):
    report, found = store.tables.read_json("categories.json"), store.arrays.categories()
    assert [x["name"] for x in report["categories"]][-3:] == ["vehicle", "round", "thing"]
    assert report["pictures"] == report["labelled"] == 96 and report["hierarchy"] == "tree.csv"
    assert len(found["layer"]) > 5
    images = store.tables.images()
    for layer, channel, category, count in zip(
        *(found[key].tolist() for key in ("layer", "channel", "category", "count")), strict=True
    ):
        nine = store.arrays.layer(report["layers"][layer])["top_image"][channel]
        labels = [images[picture].label_id for picture in nine if picture >= 0]
        known = report["categories"][category]
        assert sum(label in known["classes"] for label in labels) == count >= known["fewest"]


# -- pages -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    render_site([store.folder], folder)
    assert check_links(folder) == []
    return folder / "small"


def _rows(site):
    """Of the published table."""
    with (site / "data" / "categories.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _address(category):
    """Of its page in the site of one atlas."""
    return f"categories/{category.replace(' ', '-')}.html"


def _index(site):
    return index_of((site / "finder.js").read_text("utf-8"))


def test_the_pages_and_the_table_say_what_was_found(store, site):
    report, found = store.tables.read_json("categories.json"), store.arrays.categories()
    expected = {
        (report["categories"][category]["name"], report["layers"][layer], channel): (count, precision)
        for layer, channel, category, count, precision in zip(
            *(found[key].tolist() for key in ("layer", "channel", "category", "count", "precision")),
            strict=True,
        )
    }
    rows = _rows(site)
    assert {
        (row["category"], row["layer"], int(row["channel"])): (
            int(row["count"]),
            pytest.approx(float(row["average_precision"]), rel=1e-5),
        )
        for row in rows
    } == expected
    for row in rows:
        known = next(x for x in report["categories"] if x["name"] == row["category"])
        share = known["pictures"] / report["pictures"]
        assert float(row["expected"]) == pytest.approx(9 * share, rel=1e-5)
        # All pictures have labels and scores.
        assert float(row["chance_precision"]) == pytest.approx(share, rel=1e-5)
        page = (site / _address(row["category"])).read_text("utf-8")
        section = page[page.index(f'id="of-{row["count"]}"') :].partition("</section>")[0]
        place = section.index(f'href="../{row["layer"]}/{row["channel"]}.html"')
        cell = section[place:].partition("</li>")[0]
        assert f"{float(row['average_precision']):.2f}" in cell


def test_a_channel_without_a_sprite_shows_its_field_on_the_categorys_page(store, site, tmp_path):
    with (site / "data" / "categories.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    layer, channel = row["layer"], int(row["channel"])
    shutil.copytree(store.folder, tmp_path / "atlas")
    (tmp_path / f"atlas/sprites/{layer}/{channel}.webp").unlink()
    render_site([tmp_path / "atlas"], tmp_path / "site")
    assert check_links(tmp_path / "site") == []
    page = (tmp_path / f"site/small/categories/{row['category'].replace(' ', '-')}.html").read_text("utf-8")
    before, _, cell = page.partition(f'href="../{layer}/{channel}.html"')
    arrays, layers = store.arrays.layer(layer), list(store.manifest().sprites)
    picture, (y, x) = arrays["top_image"][channel][0], arrays["top_unit"][channel][0]
    assert f'class="x{x} y{y}" src="../pictures/{picture}.webp"' in cell.partition("</li>")[0]
    # The class of the layer says where the field of a unit lies in the picture.
    number = re.search(r' f(\d+)">\s*<a $', before)[1]
    assert layers[int(number)] == layer
    info = store.manifest().layer(layer)
    top, left, bottom, _ = info.receptive_field.box(int(y), int(x))
    styles = (tmp_path / "site/small/fields.css").read_text("utf-8")
    values = re.search(rf"\.f{number}{{--zoom:(.*?);--left:(.*?);--top:(.*?);--step:(.*?)}}", styles)
    zoom, moved_left, moved_top, step = map(float, values.groups())
    side = 32 / zoom
    assert side == pytest.approx(bottom - top, rel=1e-4)
    assert (moved_left + x * step) * side == pytest.approx(left, abs=0.51)
    assert (moved_top + y * step) * side == pytest.approx(top, abs=0.51)


def test_a_channels_page_names_its_categories_with_what_chance_gives(site):
    row = _rows(site)[0]
    text = (site / row["layer"] / f"{row['channel']}.html").read_text("utf-8")
    paragraph = re.search(r'<p class="labels">\s*<a [^>]*>Categories</a>.*?</p>', text, re.S)[0]
    line = " ".join(paragraph.split())
    expected, precision = float(row["expected"]), float(row["average_precision"])
    assert f'<a href="../{_address(row["category"])}">{row["category"]}</a> {row["count"]} of 9' in line
    assert f"({expected:.1f} expected; average precision {precision:.2f}" in line


def test_the_finder_knows_every_category_with_channels(site):
    channels = Counter(row["category"] for row in _rows(site))
    index = _index(site)
    assert {row[0]: row[6] for row in index["categories"] if row[6]} == channels
    for _, _, _, address, fewest, _, count, best, _ in index["categories"]:
        assert (site / address).is_file() and len(best) == min(count, BEST_CHANNELS)
        assert all(of_nine >= fewest for _, _, of_nine, _ in best)


@pytest.mark.parametrize(
    ("labels", "reason"), [(("", ""), "have no labels"), (("owl", "owl"), "are of one class")]
)
def test_without_categories_the_page_says_why(tmp_path, labels, reason):
    make_atlas(tmp_path / "atlas", pictures=12, side=32, stages=((2, 1, 8),), inner=(), stem=8)
    store = Store(tmp_path / "atlas")
    report = store.tables.read_json("categories.json")
    report |= {"categories": [], "labelled": 12 if labels[0] else 0}
    store.tables.write_json("categories.json", report)
    nothing = {name: values[:0] for name, values in store.arrays.categories().items()}
    store.arrays.write_categories(nothing)
    render_site([store.folder], tmp_path / "site")
    assert reason in (tmp_path / "site/small/categories.html").read_text("utf-8")


@pytest.mark.browser
def test_a_group_is_found_by_its_name_in_the_finder_and_in_a_grid(site, browser):
    index = _index(site)
    name, _, _, address, fewest, _, count, best, _ = next(
        row for row in index["categories"] if row[2] == "group"
    )
    layer, channel = index["layers"][best[0][0]][0], best[0][1]
    page = browser.new_page()
    page.goto(f"{(site / 'index.html').as_uri()}")
    box = page.get_by_role("combobox", name="Find")
    for text in (name, f"{name}s"):
        box.fill(text)
        options = page.get_by_role("option")
        options.first.wait_for()
        page.wait_for_function("document.querySelectorAll('#ra-answers [data-address]').length > 1")
        assert f"{fewest} or more of 9" in options.first.inner_text()
        assert options.nth(1).inner_text().startswith(f"{layer} {channel}")
    box.press("Enter")
    page.wait_for_url(f"**/small/{address}")
    assert page.locator(".found li").count() == count
    box.fill(f"{layer} {name}")
    page.get_by_text(f"{layer}, {name}", exact=True).wait_for()
    box.press("Enter")
    page.wait_for_url(f"**/small/{layer}/index.html#label={name}&sort=label")
    page.wait_for_function("document.querySelector('output').value")
    assert page.locator(".grid li:visible").first.inner_text().strip() == str(channel)
    page.goto((site / layer / "index.html").as_uri() + f"#label={name}&sort=label&least={best[0][2]}")
    page.wait_for_function("document.querySelector('output').value")
    shown = page.locator(".grid li:visible")
    assert shown.first.inner_text().strip() == str(channel) and shown.count() < 12
    page.close()


@pytest.fixture(scope="module")
def worded(store, tmp_path_factory):
    """The site of the same atlas, with a group of the list of words that holds two of its classes."""
    folder = tmp_path_factory.mktemp("worded")
    shutil.copytree(store.folder, folder / "atlas")
    copy = Store(folder / "atlas")
    report, found = copy.tables.read_json("categories.json"), copy.arrays.categories()
    model = next(x for x in report["categories"] if x["kind"] == "group")
    number = report["categories"].index(model)
    own = model | {"name": "Café signs", "kind": "own", "also": [], "parent": -1, "words": ["lettering"]}
    rows = {name: values[found["category"] == number] for name, values in found.items()}
    rows["category"] = np.full_like(rows["category"], len(report["categories"]))
    copy.arrays.write_categories({name: np.concatenate([found[name], rows[name]]) for name in found})
    copy.tables.write_json("categories.json", report | {"categories": [*report["categories"], own]})
    render_site([copy.folder], folder / "site")
    assert check_links(folder / "site") == []
    return model, folder / "site/small"


def test_a_group_of_the_list_of_words_has_a_page_and_rows_but_stands_on_no_channels_page(worded, site):
    model, pages = worded
    own = [row for row in _rows(pages) if row["category"] == "Café signs"]
    strip = ("category", "kind")
    assert [{k: v for k, v in row.items() if k not in strip} for row in own] == [
        {k: v for k, v in row.items() if k not in strip}
        for row in _rows(pages)
        if row["category"] == model["name"]
    ]
    assert own and {row["kind"] for row in own} == {"own"}
    page = (pages / "categories/caf-signs.html").read_text("utf-8")
    assert "own list of words" in page and "lettering" in page
    for row in own[:3]:
        address = f"{row['layer']}/{row['channel']}.html"
        assert "signs" not in (pages / address).read_text("utf-8")


@pytest.mark.browser
@pytest.mark.parametrize("text", ["Café signs", "CAFE SIGN", "cafe-signs", "Lettering", "letterings"])
def test_the_finder_and_the_grid_take_words_in_any_form(worded, browser, text):
    _, pages = worded
    row = next(row for row in _rows(pages) if row["category"] == "Café signs")
    page = browser.new_page()
    page.goto((pages / row["layer"] / "index.html").as_uri())
    box = page.get_by_role("combobox", name="Find")
    box.fill(text)
    page.locator("#ra-answers [data-address]").first.wait_for()
    answer = page.get_by_role("option").first.inner_text()
    assert answer.startswith("Café signs") and "own group: " in answer and "expected" in answer
    page.get_by_label("class or group").fill(text)
    expected = {
        x["channel"] for x in _rows(pages) if x["category"] == "Café signs" and x["layer"] == row["layer"]
    }
    page.wait_for_function(f"document.querySelectorAll('.grid li:not([hidden])').length === {len(expected)}")
    assert set(page.locator(".grid li:visible").all_inner_texts()) == expected
    box.fill("no such thing")
    page.get_by_text("nothing found").wait_for()


@pytest.mark.browser
def test_singular_and_plural_fold_to_one_form_and_others_stay_apart(browser, tmp_path):
    source = (resources() / "site_src/js/folding.js").read_text("utf-8").replace("export ", "")
    page = browser.new_page()
    page.evaluate(f"() => {{ {source}; window.folded = folded; window.rankOf = rankOf; }}")
    pairs = (
        "dog dogs", "car cars", "bus buses", "fox foxes", "dish dishes", "house houses", "butterfly butterflies",
        "collie collies", "shoe shoes", "potato potatoes", "wolf wolves", "goose geese", "ski skis", "person people",
        "Dog DOGS", "café cafes",
    )  # fmt: skip
    for pair in pairs:
        one, many = page.evaluate("texts => texts.map(folded)", pair.split())
        assert one == many, pair
    assert (
        page.evaluate(
            "texts => new Set(texts.map(folded)).size", ["cat", "car", "cap", "bus", "grass", "gras"]
        )
        == 6
    )
    ranks = {"dog": 1, "Dogs": 1, "hunting dog": 2, "hunting-dogs": 2, "dogsled": 3, "cat": 0}
    assert {name: page.evaluate("name => rankOf(name, 'dogs')", name) for name in ranks} == ranks
    assert page.evaluate("rankOf('dogsled', 'dog')") == 3 and page.evaluate("rankOf('dog', ' - ')") == 0


@pytest.mark.browser
def test_the_finder_takes_stages_chapters_and_top_9_that_mislead(store, tmp_path, browser):
    render_site([store.folder], tmp_path / "site")
    script = tmp_path / "site/small/finder.js"
    index = index_of(script.read_text("utf-8"))
    blocks = [name for name, *_ in index["layers"] if re.fullmatch("res2.", name)]
    assert [
        [stage, [index["layers"][layer][0] for layer in layers]] for stage, layers in index["stages"]
    ] == [[2, blocks]]
    index["falls"] = [[0, 1], [len(index["layers"]) - 1, 5]]
    script.write_text(f"residualAtlas.index({json.dumps(index)});", "utf-8")
    page = browser.new_page()
    page.goto((tmp_path / "site/small/index.html").as_uri())
    box = page.get_by_role("combobox", name="Find")
    last, channels = index["layers"][-1][0], index["layers"][-1][2]
    for text, names in (
        ("channel 3 of stage 2", [f"{name} 3" for name in reversed(blocks)]),
        ("Stage 2, 3", [f"{name} 3" for name in reversed(blocks)]),
        ("stage 2", list(reversed(blocks))),
        ("stage 9", []),
        ("category", ["Categories"]),
        ("misleading", [last, index["layers"][0][0]]),
    ):
        box.fill(text)
        page.locator("#ra-answers li", has_text="loading").wait_for(state="hidden")
        found = page.locator("#ra-answers [data-address] span").all_inner_texts()
        assert found == names, text
    assert f"5 of {channels} channels" in page.get_by_role("option").first.inner_text()
    box.press("Enter")
    page.wait_for_url(f"**/small/{last}/index.html#sort=agreement_decline&falls=1")
