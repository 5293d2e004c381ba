"""The numbers in the sentences and lists of a channel's page are those of its record, and there are no others."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from html import unescape
from typing import Any

import numpy as np
import pytest
from test_downloads import Site
from test_downloads import published as published
from test_recomputed import Network, classified
from test_recomputed import classified as classified

from generator.site.formats import (
    correlation,
    integer,
    interval,
    one_decimal,
    percent,
    percent_fixed,
    signed,
    significant,
    with_sign,
)

DECIMAL = re.compile(r"(?<![\w.])[−+]?\d+\.\d+")  # a number that no count, no channel and no layer is


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


def _said(html: str) -> str:
    return _squeezed(unescape(re.sub(r"<[^>]+>", " ", html)))


class Page:
    """The parts of a channel's page that say numbers, without spaces."""

    def __init__(self, html: str) -> None:
        self.categories = "".join(
            _said(part)
            for part in re.findall(r'<p class="labels">.*?</p>', html, re.S)
            if "Categories" in part
        )
        spread = re.search(r'<section class="whole-range".*?</section>', html, re.S)
        self.range = _said(re.sub(r"<svg.*?</svg>", "", spread[0], flags=re.S)) if spread else ""
        groups = re.search(r'<section class="number-groups".*?</section>', html, re.S)
        readings = re.findall(r"<p>(.*?)</p>", groups[0], re.S) if groups else []
        self.readings = "".join(map(_said, readings))
        effects = re.search(r'<section class="effects".*?</section>', html, re.S)
        self.effects = _said(effects[0]) if effects else ""
        feeds = re.search(r'<section class="feeds".*?</section>', html, re.S)
        self.feeds = _said(feeds[0]) if feeds else ""


def _rounded(value: float) -> float:
    return float(np.float32(value))


class Expected:
    """What the parts of a page must say, from the record and the published reports of the network."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.classes = self._report("classes.json")
        self.refinement, self.stream = self._report("refinement.json"), self._report("stream.json")

    def _report(self, name: str) -> dict[str, Any]:
        path = self._site.data / name
        return json.loads(path.read_text()) if path.exists() else {}

    def categories(self, record: dict[str, Any]) -> Iterator[str]:
        for row in record["categories"]:
            ap = row["average_precision"]
            precision = (
                ""
                if ap is None
                else (
                    f"; average precision {correlation(_rounded(ap))}, by chance {correlation(row['chance'])}"
                )
            )
            expected = f"({one_decimal(row['expected'])} expected{precision})"
            yield f"{row['name']} {row['pictures']} of {len(record['top'])} {expected}"

    def range(self, record: dict[str, Any]) -> Iterator[str]:
        if not record["histogram"]:
            return
        zero, total = record["histogram"][0], sum(record["histogram"])
        yield (
            f"on {integer(zero)} of {integer(total)} ({percent(zero / total)} %)"
            if zero
            else f"on all {integer(total)}"
        )
        for strip in record["range"]:
            yield f"{significant(_rounded(strip['lowest']))}–{significant(_rounded(strip['highest']))}"
            if strip["agreement"] is not None:
                yield f"agreement {correlation(_rounded(strip['agreement']))}"
        if record["numbers"].get("agreement_falls"):
            chance = self._report("label_range.json")["chance"]
            top, lower = (next(s for s in record["range"] if s["quantile"] == q) for q in (100, 90))
            yield (
                f"falls from {correlation(_rounded(top['agreement']))} among the top nine to "
                f"{correlation(_rounded(lower['agreement']))} at the 90 % quantile (random nines: "
                f"{correlation(chance['low'])} to {correlation(chance['high'])})"
            )

    def changes(self, record: dict[str, Any]) -> Iterator[str]:
        numbers = record["numbers"]
        for change, ending in zip(record["changes"], ("previous", "stage"), strict=False):
            pair = next(
                pair
                for pair in self.refinement["pairs"]
                if pair["source"] == change["since"] and pair["target"] == record["layer"]
            )
            yield f"{change['verdict']} since {change['since']}:"
            if pair["kept_untied"] is not None:
                yield f"({one_decimal(pair['kept_untied'])} between channels of different numbers)"
            gain, error = (numbers.get(f"{name}_{ending}") for name in ("gain", "gain_error"))
            if gain is None or error is None:
                continue
            before, after = (_rounded(numbers[f"{name}_{ending}"]) for name in ("before", "after"))
            gain, reach = _rounded(gain), self.refinement["bound"] * _rounded(error)
            chance = self.classes["chance"]["label_agreement"]
            yield (
                f"label agreement {correlation(before)} → {correlation(after)} (difference {signed(gain)}, 95 % "
                f"interval {signed(gain - reach)} to {signed(gain + reach)}; nine random pictures have "
                f"{signed(chance['low'])} to {signed(chance['high'])})"
            )

    def labels(self, record: dict[str, Any]) -> Iterator[str]:
        numbers = {name: None if x is None else _rounded(x) for name, x in record["numbers"].items()}
        if record["dead"] or not self.classes:
            return
        for kind in ("class", "group"):
            low, high, area = (numbers.get(f"{kind}_auroc{end}") for end in ("_low", "_high", ""))
            if None in (low, high, area):
                continue
            yield f"AUROC {correlation(area)} ({interval(low, high, 2)}) on the other half"
            if low > 0.5:
                precision, prevalence = (numbers[f"{kind}_{name}"] for name in ("precision", "prevalence"))
                yield f"average precision {correlation(precision)} (chance {correlation(prevalence)})"
        for name, band in self.classes["chance"].items():
            value, error = numbers.get(name), numbers.get(f"{name}_error")
            if value is None or not name.endswith(("agreement", "purity")):
                continue
            title = name.replace("_", " ")
            if name.endswith("purity"):
                random = f"{percent(band['low'])} to {percent(band['high'])} %"
                yield f"{title} {percent(value)} % (random nines: {random})"
                continue
            reach = self.classes["bound"] * error
            own = interval(value - reach, min(value + reach, 1), 2)
            random = interval(band["low"], band["high"], 2)
            yield f"{title} {correlation(value)} ({own}; random nines: {random})"

    def streams(self, record: dict[str, Any]) -> Iterator[str]:
        numbers = {name: None if x is None else _rounded(x) for name, x in record["numbers"].items()}
        share = numbers.get("shortcut_share")
        if record["dead"] or share is None or not self.stream:
            return
        reach = self.stream["reach"]["shortcut_share"] * numbers["shortcut_share_error"]
        yield (
            f"supplies {percent_fixed(1 - share)} % of the positive input and the shortcut {percent_fixed(share)} % "
            f"(± {percent_fixed(reach)})"
        )
        if (ratio := numbers["mix_ratio"]) is None:
            return
        low, high = numbers["mix_ratio_low"], numbers["mix_ratio_high"]
        if low is None:
            yield f"(mix ratio {correlation(ratio)};"
        else:
            ends = (
                f"from {correlation(low)} up"
                if high is None
                else f"{correlation(low)} to {correlation(high)}"
            )
            yield f"mix ratio {correlation(ratio)}, 95 % interval {ends}"
        block = next(each for each in self.stream["blocks"] if each["block"] == record["layer"])
        yield f"(different channels: {correlation(block['untied_overlap'])} on average)"
        near = self.stream["near_one"]
        if low is not None and high is not None and 1 / near < low and high < near:
            yield f"{significant(1 / near, 2)} to {significant(near, 2)} is called mixed"

    def effects(self, record: dict[str, Any]) -> Iterator[str]:
        for row in (*record["raises"], *record["lowers"]):
            reach = "" if row["reach"] is None else f" ± {significant(_rounded(row['reach']), 2)}"
            plural = "s" if row["pictures"] > 1 else ""
            yield (
                f"{row['name']} {significant(_rounded(row['mean']))}{reach} rank {integer(row['rank'])}, "
                f"{integer(row['pictures'])} picture{plural}"
            )
        for row in (*record["raises_exact"], *record["lowers_exact"]):
            yield f"{row['name']} {significant(_rounded(row['mean']))}"

    def feeds(self, record: dict[str, Any]) -> Iterator[str]:
        parts = {row["part"]: row for row in record["feeds"]}
        if parts:
            branch, shortcut = parts["branch"]["value"], parts["shortcut"]["value"]
            yield f"= {significant(_rounded(shortcut))} from the shortcut"
            yield f"{'−' if branch < 0 else '+'} {significant(abs(_rounded(branch)))} from the branch"
        for part in parts.values():
            for channel, term in zip(part["channels"], part["terms"], strict=True):
                yield f"{channel} {with_sign(_rounded(term))}"
            if part["layer"]:
                plural = "s" if part["others"] > 1 else ""
                others = f"{integer(part['others'])} other{plural} {with_sign(_rounded(part['rest']))}, "
                constant = f"constant {with_sign(_rounded(part['constant']))}"
                yield (others if part["others"] else "") + constant
        for row in record["weights"]:
            weight = _rounded(row["weight"])
            sign = {1: "+", -1: "−", 0: "mixed "}[row["sign"]]
            text = f"{sign}{significant(weight)}" if row["kind"] == "reader" else with_sign(weight)
            yield f"{row['channel']} {text}"
        for row in record["outputs"]:
            yield f"{row['output']} {with_sign(_rounded(row['weight']))}"


@pytest.fixture(scope="module", params=["published", "classified"])
def network(published: Site, classified: Site, request: pytest.FixtureRequest) -> Network:
    site = published if request.param == "published" else classified
    site.__class__ = Network
    return site


def test_sentences_and_lists_say_the_numbers_of_the_record_and_no_others(network: Network) -> None:
    expected, compared = Expected(network), Counter[str]()
    for layer, _, record in network.records():
        record["layer"] = layer
        html = (network.network / layer / f"{record['channel']}.html").read_text("utf-8")
        page = Page(html)
        for part, kinds in (
            ("categories", ["categories"]),
            ("range", ["range"]),
            ("readings", ["changes", "labels", "streams"]),
            ("effects", ["effects"]),
            ("feeds", ["feeds"]),
        ):
            left = getattr(page, part)
            for kind in kinds:
                # The longest first: a shorter one may be a part of it.
                for text in sorted(getattr(expected, kind)(record), key=len, reverse=True):
                    assert _squeezed(text) in left, (layer, record["channel"], text, left)
                    left = left.replace(_squeezed(text), "|", 1)
                    compared[kind] += 1
            if part == "feeds":  # the sum is that of the two parts
                total = sum(row["value"] for row in record["feeds"])
                said = re.search(r":([−\d.,]+)\|", left)
                if said:
                    value = float(said[1].replace("−", "-").replace(",", ""))
                    assert value == pytest.approx(total, rel=6e-3, abs=1e-3)
                    left = left.replace(said[0], "|", 1)
            assert not DECIMAL.findall(left), (layer, record["channel"], part, left)
    assert compared["labels"] > 20 and compared["changes"] > 5 and math.isfinite(sum(compared.values()))
    if not (network.data / "stream.json").exists():
        return
    assert min(compared[kind] for kind in ("range", "streams", "effects", "feeds")) > 20, compared


def test_a_changed_number_in_a_sentence_is_seen(published: Site) -> None:
    path = published.network / "res2b/0.html"
    html = path.read_text("utf-8")
    for part in ("range", "readings", "effects", "feeds"):
        said = getattr(Page(html), part)
        (number, *_) = DECIMAL.findall(said)
        changed = html.replace(number, f"7{number}")
        assert getattr(Page(changed), part) != said, part
