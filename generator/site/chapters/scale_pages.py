"""The page on scale invariance (arXiv:2407.05340, section 4), and how the criteria fare where sizes are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from generator.site.chapters.stream_pages import Streamed, example, is_shown, streamed
from generator.site.figures.axis import Axis
from generator.site.figures.svg_plots import Bar, Plot, by_block
from generator.site.formats import correlation, p_in_words, percent, significant
from generator.site.reading.atlas import Atlas

RANKED = 24  # channels in the list
SHOWN = 4  # of them with pictures
CERTAIN = 0.01  # below this p a difference is taken to be none of chance's


def criteria(block: Streamed) -> tuple[np.ndarray, np.ndarray]:
    """Which channels meet both scale criteria, and which of those mix too; (C,) bool each."""
    both = (block.values("scale_block") > 0) & (block.values("scale_input") > 0)
    return both, both & (block.ratio > 1 / block.near_one) & (block.ratio < block.near_one)


def shares(block: Streamed) -> tuple[float, float]:
    """The shares of the block's living channels that meet the criteria without and with the condition on M."""
    both, mixing = criteria(block)
    alive = max(1, int((~block.dead).sum()))
    return float(both.sum()) / alive, float(mixing.sum()) / alive


def invariance_plot(blocks: Sequence[Streamed]) -> Plot:
    """The share of scale-invariant channels in every block, without and with the condition on the mix ratio."""
    found = [shares(block) for block in blocks]
    at = tuple((n + 0.5, block.info.name.removeprefix("res")) for n, block in enumerate(blocks))
    top = max(0.01, *(100 * one for one, _ in found))
    width = by_block(len(blocks))
    y = Axis(0, 1.05 * top, "% of channels")
    plot = Plot("Scale-invariant channels, block by block", Axis(0, len(blocks), "block", at), y, width, 240)
    bars = []
    for n, (block, (without, mixing)) in enumerate(zip(blocks, found, strict=True)):
        href, name = f"{block.address}#scale", block.info.name
        said = f"{name}: {percent(without)} % meet both criteria"
        bars.append(Bar(n + 0.12, n + 0.5, 100 * without, href, said, "light"))
        said = f"{name}: {percent(mixing)} % meet them and mix"
        bars.append(Bar(n + 0.5, n + 0.88, 100 * mixing, href, said))
    plot.bars(bars)
    return plot


def ranked(blocks: Sequence[Streamed]) -> list[tuple[Streamed, int]]:
    """The scale-invariant channels of the network, the largest ΔB + ΔI first."""
    found = []
    for number, block in enumerate(blocks):
        total = block.values("scale_sum")
        found += [(-float(total[c]), number, c) for c in np.flatnonzero(criteria(block)[1]).tolist()]
    return [(blocks[number], channel) for _, number, channel in sorted(found)]


def scale_page(atlas: Atlas) -> dict[str, Any] | None:
    """The network's page on scale, or None where the scale criteria were not computed."""
    blocks = [block for block in streamed(atlas) if "scale_sum" in block.arrays]
    if not blocks:
        return None
    best = ranked(blocks)
    pictured = [(block, channel) for block, channel in best if is_shown(atlas, block, channel)]
    rows = []
    for block in blocks:
        both, mixing = criteria(block)
        without, share = shares(block)
        rows.append(
            {
                "name": block.info.name,
                "address": f"{block.address}#scale",
                "both": int(both.sum()),
                "both_share": percent(without),
                "invariant": int(mixing.sum()),
                "share": percent(share),
            }
        )
    return {
        "plot": invariance_plot(blocks).svg(),
        "blocks": rows,
        "total": len(best),
        "ranked": [
            {
                "rank": rank,
                "block": block.info.name,
                "channel": channel,
                "sum": significant(float(block.values("scale_sum")[channel])),
                "delta_block": significant(float(block.values("scale_block")[channel])),
                "delta_input": significant(float(block.values("scale_input")[channel])),
                "ratio": correlation(float(block.ratio[channel])),
            }
            for rank, (block, channel) in enumerate(best[:RANKED], 1)
        ],
        "examples": [example(atlas, block, channel) for block, channel in pictured[:SHOWN]],
        "left_out": len(best) - len(pictured),
        "near_one": blocks[0].near_one,
        "truth": truth(atlas, blocks),
    }


# -- where the true size is known ----------------------------------------------------------------------------


def truth(atlas: Atlas, blocks: Sequence[Streamed]) -> dict[str, Any] | None:
    """What the drawn world says of the criteria (scale_truth.json), or None where there is none."""
    report = atlas.store.tables.read_json("scale_truth.json")
    if not report:
        return None
    rows = []
    for found in report["blocks"]:
        rows.append(
            {
                "name": found["block"],
                "invariance": None if found["median"] is None else correlation(found["median"]),
                "criteria": _agreement(found["criteria"]),
                "invariant": _agreement(found["invariant"]),
                "gain": _agreement(found["gain"]),
                "rank": _rank(found["rank"]),
                "rank_gain": _rank(found["rank_gain"]),
            }
        )
    return {
        "gist": truth_gist(report["whole"]["invariant"]),
        **{key: report[key] for key in ("scales", "drawings", "classes")},
        "blocks": rows,
        "whole": {
            "criteria": _agreement(report["whole"]["criteria"]),
            "invariant": _agreement(report["whole"]["invariant"]),
            "gain": _agreement(report["whole"]["gain"]),
            "rank": _rank(report["whole"]["rank"]),
            "rank_gain": _rank(report["whole"]["rank_gain"]),
        },
        "curves": [curve(one, report["scales"]) for one in report["curves"]],
    }


def truth_gist(found: dict[str, Any] | None) -> str:
    """One sentence on whether the criteria tell truly invariant channels from others."""
    if found is None:
        return "Too few channels meet the criteria to compare them with the true invariance."
    said = f"(area under the ROC curve {correlation(found['auc'])}, {p_in_words(found['p'])})"
    if found["p"] >= CERTAIN:
        return f"Here the criteria do not tell truly invariant channels from the others {said}."
    if found["auc"] > 0.5:
        return f"Here the criteria tell truly invariant channels from the others better than chance {said}."
    return f"Here the channels that meet the criteria are truly less invariant than the others {said}."


def _agreement(found: dict[str, Any] | None) -> tuple[str, str]:
    """An area under the ROC curve with its p and counts."""
    if found is None:
        return "–", ""
    return correlation(found["auc"]), f"{p_in_words(found['p'])}, {found['yes']} against {found['no']}"


def _rank(found: dict[str, Any] | None) -> tuple[str, str]:
    return ("–", "") if found is None else (correlation(found["statistic"]), p_in_words(found["p"]))


def curve(one: dict[str, Any], scales: Sequence[float]) -> dict[str, Any]:
    """A channel's answers to its class at every size: along the shortcut, from the branch, and leaving."""
    octaves = np.log2(scales).tolist()
    values = [value for side in ("input", "block", "output") for value in one["answers"][side]]
    at = tuple((place, significant(scale, 2)) for place, scale in zip(octaves, scales, strict=True))
    x = Axis(octaves[0] - 0.1, octaves[-1] + 0.1, "size, of the picture's side", at)
    name = f"{one['block']} {one['channel']}: responses to {one['class']} by size"
    plot = Plot(name, x, Axis.over(values, "act. above the ground's", include=0.0), 300, 200)
    for side in ("input", "block", "output"):
        plot.curve(list(zip(octaves, one["answers"][side], strict=True)), side)
    return {**one, "svg": plot.svg(), "invariance": correlation(one["invariance"])}
