"""From the small atlas to what the pages say: no HTML here."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finder_script import index_of
from make_small_atlas import PAPER_STAGES, make_atlas

from generator.core.errors import AtlasError
from generator.core.records import LayerInfo, ReceptiveField
from generator.site.chapters import correspondence, refinement
from generator.site.chapters.paper_claims import CLAIMS
from generator.site.chapters.refinement import refinement_page
from generator.site.chapters.refinement_pair import pair_page
from generator.site.chapters.revisited import revisited_page
from generator.site.finder import CLASSES_PER_CHANNEL, finder_index, text_of
from generator.site.formats import in_words, percent, significant
from generator.site.home import stage_links
from generator.site.reading.atlas import Atlas
from generator.site.reading.channel import channel_page
from generator.site.reading.channel_sentence import channel_sentence
from generator.site.reading.comparison import comparable, compare
from generator.site.reading.highlights import highlights
from generator.site.reading.histogram import histogram
from generator.site.reading.layer import PART, layer_grid
from generator.site.reading.measures import MEASURES
from generator.site.reading.tiles import (
    covers_picture,
    json_in_page,
    own_tile_data,
    shared_tile_data,
    tile_data,
    unit_mark,
)
from generator.site.templates import resources

SMALL = Path(__file__).parent / "small_atlas"


@pytest.fixture(scope="module")
def atlas() -> Atlas:
    return Atlas(SMALL)


def test_shared_pictures_are_counted_as_sets(atlas: Atlas) -> None:
    counted = atlas.shared("res2b", "res2a")
    assert len(counted) == len(atlas.layer("res2b").dead)
    assert len(set(counted)) > 1  # else any constant would do
    for channel, value in enumerate(counted):
        mine, theirs = (set(atlas.layer(name).nine(channel)) for name in ("res2b", "res2a"))
        assert value == len(mine & theirs)


def test_shared_pictures_agree_with_the_atlas(atlas: Atlas) -> None:
    layer = atlas.layer("res2c")
    stored = layer.arrays["shared_previous"].tolist()
    counted = atlas.shared("res2c", "res2b")
    active = [channel for channel in range(len(stored)) if not layer.dead[channel]]
    assert len(active) > len(stored) / 2
    assert [counted[channel] for channel in active] == [stored[channel] for channel in active]


def test_a_dead_channel_says_so_and_shows_nothing(atlas: Atlas) -> None:
    page = channel_page(atlas, atlas.manifest.layer("res2a"), 5, "")
    assert page.top.absent == "dead on these pictures"
    assert page.top.tiles == []
    assert page.groups == []
    assert page.record.sentence == "Dead on these pictures: none of the 36 activates it."


def test_fewer_than_nine_pictures_are_said(atlas: Atlas) -> None:
    page = channel_page(atlas, atlas.manifest.layer("res2a"), 9, "")
    assert len(page.top.tiles) == 7
    assert page.record.sentence == "Only seven of the 36 pictures activate it."


def test_sentence_of_a_stage_that_hardly_changes(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atlas, "shared", lambda one, other: [9] * 12)
    assert channel_sentence(atlas, atlas.manifest.layer("res2b"), 0).startswith(
        "Hardly changes from res2a to res2c: neighbouring blocks share at least nine of nine pictures"
    )


def test_sentence_names_both_earlier_blocks(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        atlas, "shared", lambda one, other: [0 if {one, other} == {"res2a", "res2c"} else 3] * 12
    )
    text = channel_sentence(atlas, atlas.manifest.layer("res2c"), 0)
    assert text.startswith("Shares three of nine pictures with res2b, none with res2a")


def test_neighbours_stay_in_the_stage(atlas: Atlas) -> None:
    assert [x and x.name for x in atlas.neighbours(atlas.manifest.layer("res2a"))] == [None, "res2b"]
    assert [x and x.name for x in atlas.neighbours(atlas.manifest.layer("res3d"))] == ["res3c", None]


def test_only_the_tied_convolution_is_set_inside_the_block(atlas: Atlas) -> None:
    page = channel_page(atlas, atlas.manifest.layer("res2b"), 0, "")
    assert [row.layer for row in page.inside.rows] == ["res2b_branch2c"]
    assert [layer.name for layer in page.inside.untied] == ["res2b_branch2a", "res2b_branch2b"]


def test_inputs_lead_down_to_the_first_convolution(tmp_path: Path) -> None:
    make_atlas(tmp_path, stages=((2, 2, 16),), inner=("res2b",), stem=4, pictures=12, tile=8, inner_tile=8)
    small = Atlas(tmp_path)
    page = channel_page(small, small.manifest.layer("res2b"), 3, "")
    numbers = small.layer("res2b_branch2c").arrays["inputs"][3].tolist()
    assert [(one.layer, one.channel) for one in page.inside.tree] == [("res2b_branch2b", n) for n in numbers]
    below = small.layer("res2b_branch2b").arrays["inputs"][numbers[0]].tolist()
    assert [one.channel for one in page.inside.tree[0].inputs] == below
    assert page.inside.tree[0].inputs[0].layer == "res2b_branch2a"
    assert page.inside.tree[0].inputs[0].inputs == []
    assert page.inside.untied == []
    own = channel_page(small, small.manifest.layer("res2b_branch2b"), numbers[0], "")
    assert [one.channel for one in own.inside.tree] == below


def test_the_units_place_is_marked_where_the_whole_picture_is_shown(atlas: Atlas) -> None:
    last = atlas.manifest.layer("res3d")
    wide = LayerInfo(**{**vars(last), "receptive_field": ReceptiveField(215, 16, 0.0)})
    assert unit_mark(wide, 3, 1) == "M8.5 40.5h16v16h-16z"  # the middle of its field is pixel (48, 16)
    assert covers_picture(atlas, wide)
    assert not covers_picture(atlas, last)
    assert [tile.mark for tile in channel_page(atlas, last, 0, "").top.tiles] == [""] * 9


def test_an_unknown_statistic_is_ignored(atlas: Atlas) -> None:
    known = {column.measure.key for column in atlas.layer("res2b").measures}
    # The small atlas has no optimised pictures, no residual stream, and too few pictures of a class for an AUROC.
    arrays = atlas.layer("res2b").arrays
    assert known == {m.key for m in MEASURES if m.listed and np.isfinite(arrays.get(m.key, np.nan)).any()}


def test_first_block_of_a_stage_has_no_comparison(atlas: Atlas) -> None:
    known = {column.measure.key for column in atlas.layer("res2a").measures}
    assert "shared_previous" not in known
    assert "spearman_previous" not in known


def test_numbers_in_words_and_digits() -> None:
    assert [significant(v) for v in (0.0, 4.306, -0.5, 12345.0)] == ["0", "4.31", "−0.5", "12,345"]
    assert [percent(v) for v in (0.0, 0.00012, 0.5)] == ["0", "0.01", "50"]


def test_histogram_keeps_single_channels_visible() -> None:
    values = np.array([0.0] * 500 + [1.0])
    low, high, bars = histogram(values, np.ones(501, bool))
    assert (low, high, bars[0], bars[-1], sum(bars)) == (0.0, 1.0, 12, 1, 13)


def test_grid_has_a_cell_for_every_channel(atlas: Atlas) -> None:
    page = layer_grid(atlas, atlas.manifest.layer("res3b"))
    assert [cell.channel for part in [*page.parts, *page.dead_parts] for cell in part] == [
        *range(5),
        *range(6, 12),
        5,
    ]
    assert page.columns == 4
    data = page.data
    assert len(data["nine"]) == 12
    assert len(data["numbers"]["max"]) == 12
    assert data["numbers"]["max"][5] is None  # dead


def test_every_part_of_a_grid_ends_with_a_whole_row() -> None:
    styles = (resources() / "site_src/css/layer.css").read_text("utf-8")
    columns = {int(number) for number in re.findall(r"--columns: (\d+);", styles)}
    assert len(columns) > 5 and not [number for number in columns if PART % number]
    assert f"calc({PART} / var(--columns)" in styles


def test_finder_index_names_the_most_frequent_classes(atlas: Atlas) -> None:
    index = index_of(finder_index(atlas))
    place = [entry[0] for entry in index["layers"]].index("res2b")
    assert len(index["top"][place]) == 12 * CLASSES_PER_CHANNEL
    first = index["classes"][index["top"][place][0]]
    assert first == atlas.labels_of("res2b", 0)[0][0]


def test_a_pages_own_tile_data_is_that_of_its_row(atlas: Atlas) -> None:
    inner = atlas.manifest.layer("res2b_branch2a")
    for channel in range(inner.channels):
        labels = [label for label, _ in atlas.labels_of(inner.name, channel)]
        text = own_tile_data(atlas, inner, channel)
        assert not set(text) - set("[],.-0123456789e")  # an attribute without anything to escape
        side, pictures, field, tiles, *without = json.loads(text)
        expected: Any = tile_data(atlas, [inner.name], channel)
        assert (side, pictures, without) == (expected["side"], expected["pictures"], [])
        assert field == expected["rows"][inner.name][0] and len(tiles) > 0
        for tile, full in zip(tiles, expected["rows"][inner.name][1], strict=True):
            named, label = expected["labels"][full[4]], labels[tile[4]]
            assert ([*tile[:4], *tile[5:]], label) == ([*full[:4], *full[5:]], named)


def test_tile_data_cannot_end_its_script(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atlas, "picture_labels", ["</script><b>"] * len(atlas.pictures))
    assert "<" not in json_in_page(tile_data(atlas, ["res2b"], 0))
    assert "<" not in text_of(shared_tile_data(atlas, atlas.manifest.layer("res2b"), 0))


def test_highlights_are_active_and_in_stage_order(atlas: Atlas) -> None:
    chosen = highlights(atlas)
    assert [each.stage for each in chosen] == sorted(each.stage for each in chosen)
    for highlight in chosen:
        assert not any(atlas.layer(row.layer).dead[highlight.channel] for row in highlight.rows)


@pytest.mark.parametrize(
    ("stages", "shown"),
    [(((2, 1, 4), (3, 2, 4)), {3}), (((2, 1, 4), (3, 1, 4)), {2, 3})],
    ids=["others have two", "no stage has two"],
)
def test_a_stage_of_one_block_stands_on_the_home_page_only_where_all_are(
    tmp_path: Path, stages: tuple[tuple[int, int, int], ...], shown: set[int]
) -> None:
    make_atlas(tmp_path / "atlas", stages=stages, side=32, pictures=12)
    assert {highlight.stage for highlight in highlights(Atlas(tmp_path / "atlas"))} == shown


def test_receptive_fields_are_drawn_to_scale(atlas: Atlas) -> None:
    stages = stage_links(atlas)
    assert [stage.stage for stage in stages] == [1, 2, 3]
    first = stages[1].layers[0]
    side = round(100 * first.layer.receptive_field.side / 96, 1)
    assert (first.width, first.height) == (side, side) and first.left == first.top == round(50 - side / 2, 1)


def test_no_paper_page_for_other_networks(atlas: Atlas) -> None:
    assert revisited_page(atlas) is None


def test_paper_page_holds_every_claim_that_the_atlas_can_show(tmp_path: Path) -> None:
    options: dict[str, Any] = {"stem": 4, "pictures": 12, "side": 64, "tile": 8, "distinct": 1, "inner": ()}
    make_atlas(tmp_path, name="caffe", model="resnet50-caffe", stages=PAPER_STAGES[:1], **options)
    page = revisited_page(Atlas(tmp_path))
    assert page is not None
    assert [section.claim.channel for section in page.sections] == [12, 79, 150, 210]  # 400 lies in stage 3
    assert [claim.channel for claim in CLAIMS] == [12, 79, 150, 210, 400]


def test_patches_in_the_sprites_may_not_slip_through(tmp_path: Path) -> None:
    make_atlas(tmp_path, stages=((2, 1, 4),), inner=(), stem=4, pictures=9)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "publish_patches": False}))
    with pytest.raises(AtlasError, match="forbids publishing patches"):
        Atlas(tmp_path)


def test_a_channel_says_how_it_changes_since_the_block_before_and_since_the_stage_s_first(
    atlas: Atlas,
) -> None:
    info = atlas.manifest.layer("res3d")
    arrays = atlas.layer("res3d").arrays
    for channel in range(info.channels):
        changes = channel_page(atlas, info, channel, "").changes
        expected = [f"{kind}" for kind in ("previous", "stage") if arrays[f"identity_{kind}"][channel] >= 0]
        assert [change.layer for change in changes] == [
            {"previous": "res3c", "stage": "res3a"}[x] for x in expected
        ]
        for change, kind in zip(changes, expected, strict=True):
            verbs = {0: "No clear change", 1: "Blurs", 2: "Refines"}
            keeps = arrays[f"identity_{kind}"][channel]
            code = int(arrays[f"change_{kind}"][channel])
            assert change.verb == (verbs[max(0, code)] if keeps else "Other pictures")
            assert change.text.startswith(in_words(int(arrays[f"kept_{kind}"][channel])))
    assert not channel_page(atlas, atlas.manifest.layer("res3a"), 0, "").changes


def test_continuations_are_the_stored_matches_without_the_number_that_is_tied_anyhow(atlas: Atlas) -> None:
    stored = atlas.store.arrays.matches("res2c--res3a")
    assert stored is not None
    page = channel_page(atlas, atlas.manifest.layer("res2c"), 0, "")
    boundary = [one for one in page.similar if one.layer == "res3a"]
    kept = [channel for channel in stored["forward_channel"][0].tolist() if channel >= 0]
    assert [match.channel for one in boundary for match in one.matches] == kept
    for channel in range(12):
        for one in channel_page(atlas, atlas.manifest.layer("res3b"), channel, "").similar:
            assert channel not in [match.channel for match in one.matches]


def test_an_atlas_without_relations_has_no_pages_on_them(tmp_path: Path) -> None:
    shutil.copytree(SMALL, tmp_path / "old")
    (tmp_path / "old/relations.json").unlink()
    (tmp_path / "old/refinement.json").unlink()
    old = Atlas(tmp_path / "old")
    assert not refinement.present(old) and not correspondence.present(old)
    page = channel_page(old, old.manifest.layer("res3b"), 0, "")
    assert not page.changes and page.similar == []


def test_bars_and_dots_show_every_living_channel_once(atlas: Atlas) -> None:
    rows = refinement_page(atlas).bars.rows
    assert atlas.refinement is not None
    assert [row.pair for row in rows] == atlas.refinement.neighbours
    for row in rows:
        assert sum(part.width for part in row.parts) == pytest.approx(100, abs=0.05)
        alive = sum(part.count for part in row.parts)
        codes = atlas.layer(row.pair.target).arrays["identity_previous"]
        assert alive == (codes >= 0).sum()
        words = re.findall(r'data-dots="([^"]+)"', str(pair_page(atlas, row.pair).dots))
        dots = [dot.split()[0] for path in words for dot in path.split("|")]
        assert len(set(dots)) == len(dots) <= alive and all(map(str.isdecimal, dots))


def test_the_lists_are_chosen_on_one_half_and_report_the_other(atlas: Atlas) -> None:
    for each in refinement_page(atlas).lists:
        halves = [
            (entry.change.half, entry.change.other_half)
            if each.name == "Largest gains"
            else (entry.change.kept_half, entry.change.kept_other_half)
            for entry in each.entries
        ]
        first = [half for half, _ in halves if half is not None]
        assert len(first) == len(halves) and first == sorted(first, reverse=each.name != "Most changed")
        assert each.half == pytest.approx(np.mean(first))
        assert each.other_half == pytest.approx(np.mean([other for _, other in halves if other is not None]))


def test_two_networks_on_the_same_pictures_find_each_other_s_channels(tmp_path: Path) -> None:
    one, other = (Atlas(_copy(SMALL, tmp_path / name, name)) for name in ("one", "other"))
    assert comparable(one, other)
    comparison = compare(one, other)
    assert comparison is not None
    at = comparison.columns.index("res3c")
    matches = comparison.matches["res3c"]
    alive = np.flatnonzero(~np.array(one.layer("res3c").dead))
    assert (matches.layer[alive, 0] == at).all() and (matches.channel[alive, 0] == alive).all()
    assert np.nanargmax(comparison.means[comparison.rows.index("res3c")]) == at
    again = compare(one, other)  # from the cache
    assert again is not None
    np.testing.assert_array_equal(again.means, comparison.means)
    assert comparison.of_channel("res3c", int(alive[0]))[0].layer == "res3c"


def test_networks_on_other_pictures_are_not_compared(tmp_path: Path) -> None:
    path = _copy(SMALL, tmp_path / "other", "other")
    manifest = json.loads((path / "manifest.json").read_text("utf-8"))
    manifest["pictures"]["sha256"] = "0" * 64
    (path / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    assert not comparable(Atlas(SMALL), Atlas(path))


def _copy(source: Path, target: Path, name: str) -> Path:
    """A copy of an atlas under another name."""
    shutil.copytree(source, target)
    manifest = json.loads((target / "manifest.json").read_text("utf-8"))
    (target / "manifest.json").write_text(json.dumps({**manifest, "name": name}), "utf-8")
    return target
