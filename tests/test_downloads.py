"""What a site offers for download: every number of a channel's page that follows from scores and top-9 pictures is
computed again here from the downloads alone, by scipy, scikit-learn and plain loops."""

from __future__ import annotations

import copy
import csv
import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from make_small_atlas import make_atlas
from scipy.stats import entropy, pearsonr, spearmanr
from sklearn.metrics import average_precision_score, roc_auc_score
from test_channel_record import compare_pages

from generator.core.errors import AtlasError
from generator.core.store import Store
from generator.site.columns import column_of
from generator.site.downloads import Downloads
from generator.site.reading.atlas import Atlas
from generator.site.render import render_site

# How far numbers may be off: of the scores in half precision, and of rank measures, in which a tie that half precision
# makes among 80 pictures counts much. With the atlas's own scores they agree to the last digits.
HALF, RANKS, EXACT = 2e-3, 0.1, 2e-6


class Site:
    """The files of a network's folder data/, as anybody reads them."""

    def __init__(self, network: Path) -> None:
        self.network, self.data = network, network / "data"
        self.close, self.ranks = HALF, RANKS
        self.channels = self.table("channels.csv")
        self.pictures = self.table("images.csv")
        self.tops: dict[tuple[str, int], list[dict[str, str]]] = {}
        for row in self.table("tops.csv"):
            self.tops.setdefault((row["layer"], int(row["channel"])), []).append(row)
        index = json.loads((self.data / "scores/index.json").read_text())
        self.scored = index["pictures"]
        self.scores = {
            layer: np.load(self.data / f"scores/{layer}.npy").astype(float) * scale
            for layer, scale in index["scale"].items()
        }
        self.halves = {int(row["picture"]): row["half"] for row in self.table("halves.csv")}
        self.classes = self.table("classes.csv")
        layers = json.loads((self.data / "manifest.json").read_text())["layers"]
        self.blocks = [layer["name"] for layer in layers if layer["kind"] == "block"]

    def table(self, name: str) -> list[dict[str, str]]:
        with (self.data / name).open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def labels(self, layer: str, channel: int) -> list[str]:
        return [self.pictures[int(row["picture"])]["label"] for row in self.tops[layer, channel]]


@pytest.fixture(scope="module")
def published(atlas: Store, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Of an atlas as the pipeline computes it."""
    out = tmp_path_factory.mktemp("downloads")
    render_site([atlas.folder], out, scores=True, parquet=True)
    return Site(out / atlas.manifest().name)


@pytest.fixture(scope="module", params=["published", "float32"])
def downloads(published: Site, atlas: Store, request: pytest.FixtureRequest) -> Site:
    """With the scores in half precision, and with those of the atlas folder in their place."""
    if request.param == "published":
        return published
    exact = copy.copy(published)
    exact.scores = {layer: np.load(atlas.folder / f"scores/{layer}.npy") for layer in published.scores}
    exact.close = exact.ranks = EXACT
    return exact


def _number(row: dict[str, str], name: str) -> float | None:
    return float(row[name]) if row[name] else None


def test_top_pictures_are_the_highest_scores(downloads: Site) -> None:
    for layer, scores in downloads.scores.items():
        for channel, column in enumerate(scores.T):
            tops = downloads.tops.get((layer, channel), [])
            assert [row["rank"] for row in tops] == [str(rank) for rank in range(1, len(tops) + 1)]
            values = [float(row["value"]) for row in tops]
            assert values == pytest.approx(sorted(column)[::-1][: len(tops)], rel=downloads.close)
            assert [column[int(row["picture"])] for row in tops] == pytest.approx(values, rel=downloads.close)
            assert len(tops) == min(9, int((column > 0).sum()))


def test_numbers_of_activity_and_labels_follow_from_the_downloads(downloads: Site) -> None:
    groups = {row["label"]: row["group"] for row in downloads.classes}
    compared = 0
    for row in downloads.channels:
        layer, channel = row["layer"], int(row["channel"])
        column = downloads.scores[layer][:, channel]
        assert _number(row, "max") == pytest.approx(column.max(), rel=downloads.close)
        assert _number(row, "active_pictures") == pytest.approx((column > 0).mean(), abs=1e-6)
        assert row["dead"] == str(int(not (column > 0).any()))
        if row["dead"] == "1" or len(downloads.tops[layer, channel]) < 9:
            continue
        labels = downloads.labels(layer, channel)
        counts = list(Counter(labels).values())
        assert _number(row, "label_purity") == pytest.approx(max(counts) / 9)
        assert _number(row, "label_entropy") == pytest.approx(entropy(counts, base=2), abs=1e-6)
        if row.get("group_purity"):
            of_groups = Counter(groups[label] for label in labels).values()
            assert _number(row, "group_purity") == pytest.approx(max(of_groups) / 9)
        compared += 1
    assert compared > 20


def test_numbers_of_classes_follow_from_the_downloads(downloads: Site) -> None:
    """The best class on one half of the pictures, and its AUROC and average precision on the other."""
    names = [row["label"] for row in downloads.classes]
    of_picture = np.array([names.index(row["label"]) for row in downloads.pictures])
    chosen_on = np.array([downloads.halves[picture] == "1" for picture in downloads.scored])
    compared = 0
    for row in downloads.channels:
        column = downloads.scores[row["layer"]][:, int(row["channel"])]
        if (area := _number(row, "class_auroc")) is None:
            continue
        best = int(row["best_class"])
        areas = [
            roc_auc_score(of_picture[chosen_on] == each, column[chosen_on]) for each in range(len(names))
        ]
        assert areas[best] == pytest.approx(max(areas), abs=downloads.ranks)
        assert _number(row, "class_auroc_chosen") == pytest.approx(areas[best], abs=downloads.ranks)
        is_class, other = of_picture[~chosen_on] == best, column[~chosen_on]
        assert area == pytest.approx(roc_auc_score(is_class, other), abs=downloads.ranks)
        precision = average_precision_score(is_class, other)
        assert _number(row, "class_precision") == pytest.approx(precision, abs=downloads.ranks)
        assert _number(row, "class_prevalence") == pytest.approx(is_class.mean())
        compared += 1
    assert compared > 20


def test_comparisons_with_the_block_before_follow_from_the_downloads(downloads: Site) -> None:
    rows = {(row["layer"], int(row["channel"])): row for row in downloads.channels}
    compared = 0
    earlier_of = dict(zip(downloads.blocks[1:], downloads.blocks, strict=False))
    for layer, channel in rows:
        before = earlier_of.get(layer, "")
        if rows[layer, channel]["shared_previous"] in ("", "-1") or (before, channel) not in rows:
            continue
        row = rows[layer, channel]
        if row["spearman_previous"] == "":
            assert "1" in (row["dead"], rows[before, channel]["dead"])
            continue
        here, there = (downloads.scores[name][:, channel] for name in (layer, before))
        assert _number(row, "spearman_previous") == pytest.approx(
            spearmanr(here, there).statistic, abs=downloads.ranks
        )
        assert _number(row, "pearson_previous") == pytest.approx(
            pearsonr(here, there).statistic, abs=downloads.ranks
        )
        nines = [{top["picture"] for top in downloads.tops[name, channel]} for name in (layer, before)]
        assert _number(row, "shared_previous") == len(nines[0] & nines[1])
        agreement, earlier = (_number(rows[name, channel], "label_agreement") for name in (layer, before))
        if agreement is not None and earlier is not None and row["gain_previous"]:
            assert _number(row, "gain_previous") == pytest.approx(agreement - earlier, abs=1e-5)
        count = math.ceil(0.05 * len(here))
        if len(set(np.sort(here)[-count - 1 :])) == len(set(np.sort(there)[-count - 1 :])) == count + 1:
            highest = [set(np.argsort(-values)[:count].tolist()) for values in (here, there)]
            assert _number(row, "overlap5_previous") == pytest.approx(
                len(highest[0] & highest[1]) / count, abs=1 / count
            )
        compared += 1
    assert compared > 15


def test_matching_channels_follow_from_the_downloads(downloads: Site) -> None:
    compared = 0
    for layer, scores in downloads.scores.items():
        file = json.loads((downloads.network / layer / "channels.json").read_text("utf-8"))
        for record in file["channels"]:
            for other, match, shared, rho, _ in record["similar"]:
                mine, theirs = scores[:, record["channel"]], downloads.scores[other][:, match]
                assert rho == pytest.approx(spearmanr(mine, theirs).statistic, abs=downloads.ranks)
                nines = [
                    {top["picture"] for top in downloads.tops[name, number]}
                    for name, number in ((layer, record["channel"]), (other, match))
                ]
                assert shared == len(nines[0] & nines[1])
                compared += 1
    assert compared > 3


def test_pages_of_a_computed_atlas_say_what_their_records_say(published: Site) -> None:
    compared = compare_pages(published.network)
    assert compared["parts"] > 20, compared  # of the residual stream, which the small drawn atlas has not


def test_every_column_of_every_table_is_in_the_dictionary(published: Site) -> None:
    entries = {(row["table"], row["column"]): row for row in published.table("columns.csv")}
    files = sorted(published.network.rglob("*.csv"))
    assert len(files) > 5
    for path in files:
        table = "from-*.csv" if path.name.startswith("from-") else str(path.relative_to(published.network))
        with path.open(newline="", encoding="utf-8") as file:
            for column in next(csv.reader(file)):
                entry = entries[table, column]
                assert (entry["meaning"] and entry["definition"]) or column == "unheard_of", (table, column)
    entry = entries["data/channels.csv", "active_pictures"]
    assert (entry["name"], entry["unit"], entry["range"]) == (
        "active on",
        "share of pictures",
        "between 0 and 1",
    )
    assert entries["data/channels.csv", "spearman_error_previous"]["unit"] == "ρ"
    assert column_of("data/channels.csv", "surprise", shared=False) is None


def test_definitions_of_the_dictionary_lead_somewhere(published: Site) -> None:
    from generator.site.links import _PageLinks

    site = published.network.parent
    for address in {row["definition"] for row in published.table("columns.csv")} - {""}:
        page, _, place = address.partition("#")
        assert place in _PageLinks((site / page).read_text("utf-8")).ids, address


def test_parquet_holds_the_table_of_channels(published: Site) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = parquet.read_table(published.data / "channels.parquet").to_pylist()
    assert len(rows) == len(published.channels)
    for row, written in zip(rows, published.channels, strict=True):
        for name, text in written.items():
            value = row[name]
            assert text == ("" if value is None else text) and (value is None) == (text == "")
            if value is not None:
                assert (
                    value == text if isinstance(value, str) else np.float32(value) == np.float32(float(text))
                )


def test_parquet_without_pyarrow_is_refused_and_the_extra_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    Downloads(scores=True).check()
    with pytest.raises(AtlasError, match=r"needs pyarrow.*\[parquet\]"):
        Downloads(parquet=True).check()


def test_scores_of_any_size_keep_eleven_bits(tmp_path: Path) -> None:
    make_atlas(tmp_path / "atlas", stages=((2, 2, 4),), inner=(), stem=4, pictures=9, side=48, tile=12)
    store, wanted = Store(tmp_path / "atlas"), {}
    for layer, factor in (("conv1", 1e7), ("res2a", 1e-9)):
        wanted[layer] = np.asarray(store.arrays.scores(layer)) * np.float32(factor)
        store.arrays.write_scores(layer, wanted[layer])
    render_site([tmp_path / "atlas"], tmp_path / "site", scores=True)
    data = tmp_path / "site/small/data/scores"
    scales = json.loads((data / "index.json").read_text())["scale"]
    wanted["res2b"] = np.array(store.arrays.scores("res2b"))
    for layer, scores in wanted.items():
        assert math.log2(scales[layer]).is_integer()
        read = np.load(data / f"{layer}.npy").astype(float) * scales[layer]
        np.testing.assert_allclose(read, scores, rtol=2**-11, atol=float(np.abs(scores).max()) * 2**-39)


def test_scores_are_published_only_on_request(tmp_path: Path) -> None:
    folder = Path(__file__).parent / "small_atlas"
    render_site([folder], tmp_path / "site")
    data = tmp_path / "site/small/data"
    assert not (data / "scores").exists() and not (data / "channels.parquet").exists()
    assert len((data / "tops.csv").read_text().splitlines()) > 9 * len(Atlas(folder).layers)
