"""What a channel's page says, computed again from the site's downloads alone, by numpy, scipy, scikit-learn and plain
loops: label agreement and its chance, ranges, contributions, changes, intervals, and what units are made of."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
from make_small_atlas import make_atlas
from scipy.stats import rankdata, spearmanr, t
from sklearn.metrics import average_precision_score, roc_auc_score
from test_downloads import EXACT, HALF, RANKS, Site
from test_downloads import published as published

from generator.core.store import Store
from generator.site.columns import FOLLOWS_FROM, column_of, follows_from
from generator.site.reading.measures import MEASURES
from generator.site.render import render_site

BOUND = t.ppf(0.975, 20)  # standard errors to each end of an interval
# Columns of channels.csv that the tests here and in test_downloads.py compute again.
RECOMPUTED = {
    "active_pictures", "dead", "max", "label_agreement", "label_purity", "label_entropy", "group_purity",
    "label_agreement_error", "class_auroc", "class_auroc_chosen", "class_auroc_low", "class_auroc_high",
    "class_precision", "class_prevalence", "best_class", "group_auroc", "group_auroc_chosen", "group_auroc_low",
    "group_auroc_high", "group_precision", "group_prevalence", "best_group", "agreement_90", "agreement_decline",
    "agreement_falls", "level_90", "shared_previous", "spearman_previous", "pearson_previous", "places_previous",
    "kept_previous", "before_previous", "after_previous", "gain_previous", "gain_error_previous",
    "kept_error_previous", "spearman_error_previous", "overlap1_previous", "overlap5_previous",
    "overlap10_previous", "shortcut_share",
}  # fmt: skip


class Network(Site):
    """A network's downloads, with what follows from them at once."""

    @cached_property
    def label_ids(self) -> np.ndarray:
        """(N,) the row of classes.csv of each picture, −1 without a label."""
        rows = {(row["label_id"], row["label"]): number for number, row in enumerate(self.classes)}
        return np.array([rows.get((row["label_id"], row["label"]), -1) for row in self.pictures])

    @cached_property
    def similarity(self) -> np.ndarray:
        """(K, K) Lin's similarity of two classes, from the smallest category that holds both."""
        categories = json.loads((self.data / "categories.json").read_text())["categories"]
        counts = np.bincount(self.label_ids[self.label_ids >= 0], minlength=len(self.classes))
        share = {
            frozenset(each["classes"]): counts[each["classes"]].sum() / counts.sum() for each in categories
        }
        result = np.eye(len(counts))
        for one, other in itertools.permutations(range(len(counts)), 2):
            own = [math.log(counts[each] / counts.sum()) for each in (one, other)]
            both = min((p for members, p in share.items() if {one, other} <= members), default=1.0)
            result[one, other] = 2 * math.log(both) / sum(own)
        return result

    @cached_property
    def baseline(self) -> float:
        known = self.label_ids[self.label_ids >= 0]
        pairs = self.similarity[known[:, None], known[None, :]]
        return float((pairs.sum() - np.trace(pairs)) / (pairs.size - len(pairs)))

    def agreement(self, pictures: list[int], places: tuple[int, ...] = (1,) * 9) -> float:
        """Of the pictures, each of which takes so many places of nine."""
        labels = self.label_ids[pictures]
        if len(pictures) < len(places) or (labels < 0).any():
            return math.nan
        total = weight = 0.0
        for one, other in itertools.combinations(range(len(places)), 2):
            times = places[one] * places[other]
            total, weight = total + times * self.similarity[labels[one], labels[other]], weight + times
        return (total / weight - self.baseline) / (1 - self.baseline)

    @cached_property
    def halvings(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The halves of the pictures whose scores are kept, as the guide says that they are drawn."""
        count = len(self.scored)
        random = np.random.default_rng([20170106, count])
        halves = []
        for _ in range(100):
            first = np.zeros(count, bool)
            first[random.permutation(count)[: count // 2]] = True
            halves.append((first, ~first))
        return halves

    def strongest(self, layer: str, channel: int, half: int = -1, side: int = 0) -> list[int]:
        """Rows of the scores above zero, strongest first: of all, or of one side of a halving."""
        if half >= 0:
            member = self.halvings[half][side]
            return [row for row in self.strongest(layer, channel) if member[row]]
        if (layer, channel) in self._strongest:
            return self._strongest[layer, channel]
        column = self.scores[layer][:, channel]
        order = np.lexsort((np.arange(len(column)), -column))
        self._strongest[layer, channel] = [int(row) for row in order if column[row] > 0]
        return self._strongest[layer, channel]

    @cached_property
    def _strongest(self) -> dict[tuple[str, int], list[int]]:
        return {}

    def of_halves(self, value) -> float:
        """The standard error of a number: value(halving, side) of both sides."""
        differences = np.array(
            [(value(number, 0) - value(number, 1)) / 2 for number in range(len(self.halvings))]
        )
        known = np.isfinite(differences)
        return float(np.sqrt((differences[known] ** 2).mean())) if 2 * known.sum() >= 100 else math.nan

    def half_agreement(self, layer: str, channel: int, half: int, side: int) -> float:
        five = self.strongest(layer, channel, half, side)[:5]
        return self.agreement([self.scored[row] for row in five], (2, 2, 2, 2, 1))

    def records(self) -> Iterator[tuple[str, dict, dict]]:
        """Layer, its file, and a record whose rows have names."""
        for layer in self.scores:
            file = json.loads((self.network / layer / "channels.json").read_text())
            for record in file["channels"]:
                rows = {
                    name: [dict(zip(names, row, strict=True)) for row in record[name]]
                    for name, names in file["rows"].items()
                }
                numbers = dict(zip(file["numbers"], record["numbers"], strict=True))
                yield layer, file, record | rows | {"numbers": numbers}

    def rows_with_the_block_before(self) -> Iterator[tuple[dict[str, str], str, str, int]]:
        """Rows of channels.csv with their block, the one before, and the channel; active in both."""
        rows = {(row["layer"], int(row["channel"])): row for row in self.channels}
        for (layer, channel), row in rows.items():
            before = dict(zip(self.blocks[1:], self.blocks, strict=False)).get(layer, "")
            if row.get("kept_previous") not in ("", "-1", None) and (before, channel) in rows:
                yield row, layer, before, channel


@pytest.fixture(scope="module")
def classified(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """With a hierarchy of classes; of its numbers those on classes and changes are the pipeline's."""
    folder = tmp_path_factory.mktemp("classified")
    make_atlas(folder / "atlas", pictures=240, side=32, stages=((2, 2, 24),), inner=(), ranges=True)
    render_site([folder / "atlas"], folder / "site", scores=True)
    return Site(folder / "site/small")


@pytest.fixture(scope="module", params=["computed", "computed, float32", "classified"])
def network(published: Site, classified: Site, atlas: Store, request: pytest.FixtureRequest) -> Network:
    """An atlas that the pipeline computed, with the scores in half precision or those of its folder, and one with a
    hierarchy of classes."""
    found = copy.copy(classified if request.param == "classified" else published)
    found.__class__ = Network
    if request.param == "computed, float32":
        found.scores = {layer: np.load(atlas.folder / f"scores/{layer}.npy") for layer in found.scores}
        found.close = found.ranks = EXACT
    else:
        found.close, found.ranks = HALF, RANKS
    return found


def _number(row: dict[str, str], name: str) -> float:
    return float(row[name]) if row.get(name) else math.nan


def _is_exact(network: Network) -> bool:
    return network.close == EXACT


# -- labels ------------------------------------------------------------------------------------------------------------


def test_label_agreement_and_its_error(network: Network) -> None:
    compared = 0
    for row in network.channels:
        layer, channel = row["layer"], int(row["channel"])
        if row["dead"] == "1" or not row.get("label_agreement"):
            continue
        nine = [int(top["picture"]) for top in network.tops[layer, channel]]
        agreement = network.agreement(nine)
        assert _number(row, "label_agreement") == pytest.approx(agreement, abs=EXACT)
        if not _is_exact(network) or compared > 30:  # ties of half precision change nines of halves
            continue
        error = network.of_halves(
            lambda half, side, at=(layer, channel): network.half_agreement(*at, half, side)
        )
        expected = math.sqrt(error**2 + (8 / 36 * agreement) ** 2 / 12)  # one of nine more or less
        assert _number(row, "label_agreement_error") == pytest.approx(expected, rel=1e-4), (layer, channel)
        compared += 1
    assert compared > 20 or not _is_exact(network)


def test_what_random_nines_agree_by(network: Network) -> None:
    random = np.random.default_rng(3)
    known = np.flatnonzero(network.label_ids >= 0)
    nines = [network.agreement(random.choice(known, 9, replace=False).tolist()) for _ in range(4000)]
    chances = [json.loads((network.data / "classes.json").read_text())["chance"]["label_agreement"]]
    chances.append(json.loads((network.data / "label_range.json").read_text())["chance"])
    assert np.mean(np.array(nines) > chances[1]["beyond"]) < 0.003
    for chance in chances:
        # The values are few and far apart: the middle 95 % ends at one of them.
        for end, share in (("low", 0.025), ("high", 0.975)):
            low, high = np.quantile(nines, [max(share - 0.01, 0), min(share + 0.01, 1)])
            assert low - 0.02 <= chance[end] <= high + 0.02, end
    assert chances[0]["mean"] == pytest.approx(np.mean(nines), abs=0.02)


def test_the_best_group_of_classes_and_both_intervals(network: Network) -> None:
    """By DeLong's variance with one more picture of the class, whose area is a half."""
    chosen_on = np.array([network.halves.get(picture) == "1" for picture in network.scored])
    measured_on = np.array([network.halves.get(picture) == "2" for picture in network.scored])
    names = json.loads((network.data / "classes.json").read_text()).get("groups") or []
    of_class = [names.index(row["group"]) if row["group"] else -1 for row in network.classes]
    by_kind = {"class": network.label_ids[network.scored]}
    if names:
        by_kind["group"] = np.array(of_class)[by_kind["class"]]
    compared = dict.fromkeys(by_kind, 0)
    for row, kind in itertools.product(network.channels, by_kind):
        if not row.get(f"{kind}_auroc"):
            continue
        column, best = network.scores[row["layer"]][:, int(row["channel"])], int(row[f"best_{kind}"])
        chosen = roc_auc_score(by_kind[kind][chosen_on] == best, column[chosen_on])
        assert _number(row, f"{kind}_auroc_chosen") == pytest.approx(chosen, abs=network.ranks)
        is_class, values = by_kind[kind][measured_on] == best, column[measured_on]
        area = roc_auc_score(is_class, values)
        assert _number(row, f"{kind}_auroc") == pytest.approx(area, abs=network.ranks)
        precision = average_precision_score(is_class, values)
        assert _number(row, f"{kind}_precision") == pytest.approx(precision, abs=network.ranks)
        assert _number(row, f"{kind}_prevalence") == pytest.approx(is_class.mean())
        inside, outside = values[is_class], values[~is_class]
        above = (inside[:, None] > outside) + 0.5 * (inside[:, None] == outside)
        of_class_pictures = np.append(above.mean(axis=1), 0.5)
        middle = of_class_pictures.mean()
        reach = BOUND * math.sqrt(
            of_class_pictures.var() / len(inside) + above.mean(axis=0).var(ddof=1) / len(outside)
        )
        for end, expected in (("low", max(middle - reach, 0)), ("high", min(middle + reach, 1))):
            assert _number(row, f"{kind}_auroc_{end}") == pytest.approx(expected, abs=network.ranks), kind
        compared[kind] += 1
    assert min(compared.values()) > 15


def test_categories_with_their_average_precision(network: Network) -> None:
    categories = {
        each["name"]: each["classes"]
        for each in json.loads((network.data / "categories.json").read_text())["categories"]
    }
    total, compared = len(network.pictures), 0
    for layer, _, record in network.records():
        nine = [top["picture"] for top in record["top"]]
        for row in record["categories"]:
            members = np.isin(network.label_ids, categories[row["name"]])
            assert row["pictures"] == members[nine].sum()
            assert row["expected"] == pytest.approx(len(nine) * members.sum() / total, rel=1e-5)
            scored = network.label_ids[network.scored] >= 0
            truth, scores = members[network.scored][scored], network.scores[layer][scored, record["channel"]]
            precision = average_precision_score(truth, scores)
            assert row["average_precision"] == pytest.approx(precision, abs=network.ranks)
            compared += 1
    assert compared > 5 or len(categories) < 5


# -- the whole range ---------------------------------------------------------------------------------------------------


def _digest(path: str) -> int:
    return int(hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest(), 16)


def test_histograms_and_strips_at_quantiles(network: Network) -> None:
    quantiles = (100, 99, 90, 75, 50, 0)
    compared = 0
    for layer, file, record in network.records():
        if not record["histogram"]:
            continue
        column = network.scores[layer][:, record["channel"]]
        assert sum(record["histogram"]) == len(column)
        assert record["histogram"][0] == (column <= 0).sum()
        if _is_exact(network):
            counted = [
                sum((column > 0) & (column >= low) & (column < (math.inf if high is None else high)))
                for low, high in file["bins"][1:]
            ]
            assert record["histogram"][1:] == counted
        rising = sorted(
            (row for row in range(len(column)) if column[row] > 0),
            key=lambda row: (column[row], -_digest(network.pictures[network.scored[row]]["path"])),
        )
        strips = {strip["quantile"]: strip for strip in record["range"]}
        stronger: list[set[int]] = []
        for quantile in quantiles if strips else ():
            middle = math.floor(quantile / 100 * (len(rising) - 1) + 0.5 + 1e-12)
            first = min(max(middle - 4, 0), max(len(rising) - 9, 0))
            nine = [network.scored[row] for row in rising[first : first + 9]][::-1]
            is_new = len(nine) == 9 and all(len(set(nine) & other) <= 4 for other in stronger)
            if quantile != 100 and not is_new:
                assert quantile not in strips or not _is_exact(network)
                continue
            strip = strips[quantile]
            if _is_exact(network):
                assert strip["pictures"] == nine, (layer, record["channel"], quantile)
            values = column[[network.scored.index(picture) for picture in nine]]
            assert [strip["highest"], strip["lowest"]] == pytest.approx(
                [values[0], values[-1]], rel=network.close
            )
            agreement = network.agreement(strip["pictures"])
            if strip["agreement"] is not None:
                assert strip["agreement"] == pytest.approx(agreement, abs=EXACT)
            stronger.append(set(nine))
            compared += 1
    assert compared > 100


def test_how_agreement_falls_along_the_range(network: Network) -> None:
    chance = json.loads((network.data / "label_range.json").read_text())["chance"]
    rows = {(row["layer"], row["channel"]): row for row in network.channels}
    compared = 0
    for layer, _, record in network.records():
        row, strips = (
            rows[layer, str(record["channel"])],
            {each["quantile"]: each for each in record["range"]},
        )
        if 90 not in strips or record["dead"]:
            continue
        top, lower = (network.agreement(strips[quantile]["pictures"]) for quantile in (100, 90))
        assert _number(row, "agreement_90") == pytest.approx(lower, abs=EXACT, nan_ok=True)
        decline = top - lower if top > chance["beyond"] else math.nan
        assert _number(row, "agreement_decline") == pytest.approx(decline, abs=EXACT, nan_ok=True)
        falls = top > chance["beyond"] and top >= 0.3 and lower <= chance["high"]
        assert row["agreement_falls"] == str(int(falls))
        column = network.scores[layer][:, record["channel"]]
        middles = [column[network.scored.index(strips[quantile]["pictures"][4])] for quantile in (100, 90)]
        assert _number(row, "level_90") == pytest.approx(middles[1] / middles[0], rel=2 * network.close)
        compared += 1
    assert compared > 20 or len(network.pictures) < 100  # of fewer pictures no strip is so near the top-9


# -- changes from block to block ---------------------------------------------------------------------------------------


def test_changes_since_the_block_before_with_their_errors(network: Network) -> None:
    field = {
        layer["name"]: layer["receptive_field"]
        for layer in json.loads((network.data / "manifest.json").read_text())["layers"]
    }
    compared = 0
    for row, layer, before, channel in network.rows_with_the_block_before():
        if not _is_exact(network):  # nines of all kept pictures, which ties of half precision change
            continue
        nines = [network.strongest(name, channel)[:9] for name in (before, layer)]
        assert _number(row, "kept_previous") == len(set(nines[0]) & set(nines[1]))
        then, now = (network.agreement([network.scored[each] for each in nine]) for nine in nines)
        for name, value in (("before", then), ("after", now), ("gain", now - then)):
            assert _number(row, f"{name}_previous") == pytest.approx(value, abs=EXACT, nan_ok=True), name
        places = [
            {
                int(top["picture"]): [
                    field[name]["centre"] + int(top[axis]) * field[name]["stride"]
                    for axis in ("row", "column")
                ]
                for top in network.tops[name, channel]
            }
            for name in (before, layer)
        ]
        near = max(field[before]["stride"], field[layer]["stride"])
        both = places[0].keys() & places[1].keys()
        same = [
            max(abs(a - b) for a, b in zip(places[0][each], places[1][each], strict=True)) <= near
            for each in both
        ]
        assert _number(row, "places_previous") == sum(same)
        columns = [network.scores[name][:, channel] for name in (before, layer)]
        for share in (1, 5, 10):
            count = max(math.ceil(share / 100 * len(columns[0])), 1)
            highest = [set(np.lexsort((np.arange(len(x)), -x))[:count].tolist()) for x in columns]
            if all(len(set(np.sort(x)[-count - 1 :])) == count + 1 for x in columns):
                expected = len(highest[0] & highest[1]) / count
                assert _number(row, f"overlap{share}_previous") == pytest.approx(expected, abs=EXACT)
        if compared < 16:
            _compare_errors(network, row, layer, before, channel, columns)
        compared += 1
    assert compared > 12 or not _is_exact(network)


def _compare_errors(
    network: Network, row: dict[str, str], layer: str, before: str, channel: int, columns: list[np.ndarray]
) -> None:
    def gain(half: int, side: int) -> float:
        return network.half_agreement(layer, channel, half, side) - network.half_agreement(
            before, channel, half, side
        )

    def kept(half: int, side: int) -> float:
        taken = []
        for name in (before, layer):
            five = network.strongest(name, channel, half, side)[:5]
            taken.append(dict(zip(five, (2, 2, 2, 2, 1), strict=False)))
        return sum(min(times, taken[1].get(picture, 0)) for picture, times in taken[0].items())

    error = _number(row, "gain_error_previous")
    assert error == pytest.approx(network.of_halves(gain), rel=1e-4, nan_ok=True)
    expected = math.sqrt(network.of_halves(kept) ** 2 + 1 / 6)
    assert _number(row, "kept_error_previous") == pytest.approx(expected, rel=1e-4)
    assert _number(row, "spearman_previous") == pytest.approx(spearmanr(*columns).statistic, abs=EXACT)
    count = len(columns[0])
    without = [
        np.corrcoef(*(rankdata(np.delete(column, each)) for column in columns))[0, 1] for each in range(count)
    ]
    jackknife = math.sqrt((count - 1) * np.var(without))
    assert _number(row, "spearman_error_previous") == pytest.approx(jackknife, rel=0.15)


# -- contributions, and what units are made of -------------------------------------------------------------------------


def test_classes_raised_and_lowered_are_the_extremes_of_the_mean_contributions(published: Site) -> None:
    folder = published.data / "contributions"
    scales = json.loads((folder / "index.json").read_text())["scale"]
    report = json.loads((published.data / "effects.json").read_text())
    names, pictures = ([row[key] for row in report["classes"]] for key in ("name", "pictures"))
    compared = 0
    network = copy.copy(published)
    network.__class__ = Network
    for layer, _, record in network.records():
        if layer not in scales:
            assert not record["raises"]
            continue
        means, reaches = np.load(folder / f"{layer}.npy").astype(float) * scales[layer]
        own = means[:, record["channel"]]
        for field, sign in (("raises", 1), ("lowers", -1)):
            order = [n for n in np.argsort(-sign * own) if sign * own[n] > 0][:3]
            rows = record[field]
            if record["dead"]:
                continue
            assert [row["mean"] for row in rows] == pytest.approx(own[order].tolist(), rel=HALF, abs=1e-6)
            for row in rows:
                at = names.index(row["name"])
                assert row["pictures"] == pictures[at] > 0
                reach = reaches[at, record["channel"]]
                assert (row["reach"] is None) == bool(np.isnan(reach))
                assert row["reach"] is None or row["reach"] == pytest.approx(reach, rel=HALF, abs=1e-6)
                above = int((sign * means[at] > sign * row["mean"] + 2 * HALF * abs(row["mean"])).sum())
                upto = int((sign * means[at] >= sign * row["mean"] - 2 * HALF * abs(row["mean"])).sum())
                assert above < row["rank"] <= upto
                compared += 1
    assert compared > 100


def test_units_are_the_sums_of_their_parts_and_parts_of_their_terms(published: Site) -> None:
    network = copy.copy(published)
    network.__class__ = Network
    rows = {(row["layer"], row["channel"]): row for row in published.channels}
    parts = apart = 0
    for layer, _, record in network.records():
        top = record["top"]
        if layer not in published.blocks or record["dead"]:
            continue
        added = [max(each["shortcut"], 0) for each in top]
        shares = [
            a / (a + max(each["branch"], 0))
            for a, each in zip(added, top, strict=True)
            if a + each["branch"] > 0
        ]
        share = _number(rows[layer, str(record["channel"])], "shortcut_share")
        assert share == pytest.approx(np.mean(shares), abs=1e-6)
        for part in record["feeds"]:
            assert part["value"] == pytest.approx(np.mean([each[part["part"]] for each in top]), abs=1e-5)
            parts += 1
            if part["layer"]:
                total = sum(part["terms"]) + part["rest"] + part["constant"]
                assert part["value"] == pytest.approx(total, rel=1e-4, abs=1e-4)
                assert len(part["channels"]) == len(part["terms"])
                apart += 1
    assert parts > 50 and apart > 20


def test_partial_rank_correlations_of_matches(network: Network) -> None:
    ranks = {
        layer: np.apply_along_axis(rankdata, 0, scores) - (len(scores) + 1) / 2
        for layer, scores in network.scores.items()
    }
    compared = 0
    for layer, _, record in network.records():
        for row in record["similar"]:
            common = np.stack([ranks[name].mean(axis=1) for name in (layer, row["layer"])], axis=1)
            left = []
            for name, channel in ((layer, record["channel"]), (row["layer"], row["channel"])):
                rank = ranks[name][:, channel]
                left.append(rank - common @ np.linalg.lstsq(common, rank, rcond=None)[0])
            expected = left[0] @ left[1] / np.sqrt((left[0] @ left[0]) * (left[1] @ left[1]))
            assert row["partial_rho"] == pytest.approx(expected, abs=max(network.ranks, 1e-4))
            compared += 1
    assert compared > 1


# -- what does not follow from the downloads ---------------------------------------------------------------------------


def test_every_statistic_is_computed_again_here_or_the_dictionary_says_why_not(published: Site) -> None:
    entries = {
        row["column"]: row for row in published.table("columns.csv") if row["table"] == "data/channels.csv"
    }
    for name, entry in entries.items():
        said = entry["follows_from"]
        assert said in FOLLOWS_FROM or name == "unheard_of", (name, said)
        base = re.sub(r"_stage$", "_previous", name)
        if said == "downloads" and name not in ("layer", "channel") and not name.startswith("top_"):
            assert base in RECOMPUTED, name
    for measure in MEASURES:
        assert follows_from(measure.key), measure.key
        assert column_of("data/channels.csv", measure.key, shared=False) is not None


def test_reasons_are_explained_in_the_guide(root: Path) -> None:
    guide = (root / "site_src/guide/data.md").read_text("utf-8")
    for reason in FOLLOWS_FROM:
        assert f"| `{reason}` |" in guide, reason
