"""The pages on the residual stream: what every block hands on, adds and replaces (arXiv:2407.05340), from the atlas."""

from __future__ import annotations

import bisect
import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from generator.core.records import LayerInfo
from generator.site.figures.axis import Axis
from generator.site.figures.svg_plots import Bar, Dot, Plot, by_block
from generator.site.formats import correlation, integer, p_in_words, percent_fixed, round_number, significant
from generator.site.reading.atlas import Atlas, number_word
from generator.site.reading.measures import BY_KEY

BIN, LAST = (
    0.25,
    5.0,
)  # the paper's histograms of the mix ratio: bins of 0.25 from 0 to 5, here cut at the limits too
MIDDLE = 98  # % of the channels that the axes of the scale criteria hold
MOSTLY = 2 / 3  # a share from which on a value came mostly along one way
KINDS = ("skips", "mixes", "is overwritten")
CLASSES = {"skips": "skip", "mixes": "mix", "is overwritten": "over"}  # of the styles
NORMS = (
    "norm_weight",
    "norm_scale",
)  # of the branch's last BatchNorm: γ, or γ / σ where the statistics are folded in
EXAMPLES = 2  # channels of each kind on the network's page


@dataclass
class Streamed:
    """A residual block with its numbers. report: its part of stream.json; near_one: the bound of a mixture."""

    info: LayerInfo
    arrays: dict[str, np.ndarray]
    dead: np.ndarray
    report: dict[str, Any]
    near_one: float

    def values(self, key: str) -> np.ndarray:
        """(C,) float64; NaN where the channel has none or is dead."""
        array = self.arrays.get(key)
        if array is None:
            return np.full(self.info.channels, np.nan)
        return np.where(self.dead, np.nan, array.astype(np.float64))

    @cached_property
    def ratio(self) -> np.ndarray:
        return self.values("mix_ratio")

    @cached_property
    def kinds(self) -> list[str]:
        """What becomes of each channel's input, one of KINDS, '' where there is no ratio."""
        return [self.kind(value) for value in self.ratio.tolist()]

    def kind(self, ratio: float) -> str:
        if np.isnan(ratio):
            return ""
        return KINDS[0] if ratio >= self.near_one else KINDS[2] if ratio <= 1 / self.near_one else KINDS[1]

    def count(self, kind: str) -> int:
        return self.kinds.count(kind)

    @property
    def limits(self) -> tuple[float, float]:
        """The mix ratio up to which a channel is overwritten, and that from which on it skips."""
        return 1 / self.near_one, self.near_one

    @cached_property
    def edges(self) -> tuple[float, ...]:
        """Where the bins of the mix ratio begin, ascending. The limits are among them, so that all channels of a bin
        are of one kind; what lies at 5 or above has a bin of its own, the last."""
        regular = (n * BIN for n in range(int(LAST / BIN) + 1))
        return tuple(sorted({*regular, *self.limits}))

    def bin_of(self, ratio: float) -> int:
        """The number of a mix ratio's bin. A bin holds its lower edge and not its upper one, but for the lower limit,
        at which a channel still counts as overwritten."""
        lower, _ = self.limits
        number = bisect.bisect_right(self.edges, ratio) - 1
        return number - 1 if ratio == lower else number

    def bin_name(self, number: int) -> str:
        if number == len(self.edges) - 1:
            return f"{LAST:g} or above"
        return f"{self.edges[number]:.3g} to {self.edges[number + 1]:.3g}"

    def bin_kind(self, number: int) -> str:
        """What becomes of the input of the channels of a bin, one of KINDS."""
        end = self.edges[number + 1] if number + 1 < len(self.edges) else LAST + BIN
        return self.kind((self.edges[number] + end) / 2)

    @property
    def address(self) -> str:
        """Of its page, from the network's folder."""
        return f"{self.info.name}/stream.html"


def streamed(atlas: Atlas) -> list[Streamed]:
    """The residual blocks whose stream was read, in forward order; none in an older atlas."""
    report = atlas.store.tables.read_json("stream.json")
    if not report:
        return []
    found = []
    for block in report["blocks"]:
        if atlas.has(block["block"]):
            layer = atlas.layer(block["block"])
            if "mix_ratio" in layer.arrays:
                found.append(
                    Streamed(layer.info, layer.arrays, np.array(layer.dead), block, float(report["near_one"]))
                )
    return found


# -- a channel's own numbers ---------------------------------------------------------------------------------


def reading(block: Streamed, channel: int) -> str:
    """One line made from the channel's numbers, or ''."""
    share, ratio = float(block.values("shortcut_share")[channel]), float(block.ratio[channel])
    parts = []
    if np.isfinite(share):
        word = "Mostly passed through" if share >= MOSTLY else "Mostly made by the block"
        word = "Made of both" if 1 - MOSTLY < share < MOSTLY else word
        parts.append(
            f"{word}: of the positive input to its strongest units {correlation(share)} came along the shortcut"
        )
    if kind := block.kind(ratio):
        text = f"in the middle of the map it {kind} (mix ratio {correlation(ratio)})"
        parts.append(text if parts else text[0].upper() + text[1:])
    return "; ".join(parts) + "." if parts else ""


def channel_stream(block: Streamed, channel: int) -> dict[str, Any]:
    """What a channel's page says of the residual stream: the line, a bar for each of the nine, and its numbers."""
    keys = (
        "scale_block",
        "scale_input",
        "scale_truth",
        "scale_gain",
        "block_correlation",
        "block_at_input",
        "block_mean",
    )
    numbers = []
    for key in (*keys, *NORMS, "convolution_weight"):
        value = float(block.values(key)[channel])
        if np.isfinite(value):
            numbers.append((BY_KEY[key], BY_KEY[key].format(value)))
    invariant = bool(block.arrays.get("scale_invariant", np.zeros(block.info.channels, bool))[channel])
    return {
        "reading": reading(block, channel),
        "bars": contribution_bars(block, channel),
        "numbers": numbers,
        "invariant": invariant,
    }


def contribution_bars(block: Streamed, channel: int) -> list[tuple[int, str, str]]:
    """For each of the nine units: how far its bar is filled by the shortcut's part, in 96ths of the two parts'
    sizes; which part takes away, if one does ('a' the shortcut's, 'b' the branch's); and both in words."""
    found = []
    rows = zip(
        block.arrays["top_image"][channel].tolist(),
        block.arrays["top_shortcut"][channel].tolist(),
        block.arrays["top_branch"][channel].tolist(),
        strict=True,
    )
    for image, shortcut, branch in rows:
        if image >= 0:
            size = abs(shortcut) + abs(branch)
            filled = round(96 * abs(shortcut) / size) if size else 0
            taken = "a" if shortcut < 0 else "b" if branch < 0 else ""
            found.append((filled, taken, f"shortcut {significant(shortcut)}, branch {significant(branch)}"))
    return found


# -- figures -------------------------------------------------------------------------------------------------


def mix_histogram(
    block: Streamed, page: str, width: int = 360, height: int = 200, key: str = "mix_ratio"
) -> Plot:
    """How many channels have which mix ratio; every bar leads to the list of its channels on `page`, those of the
    ratio at optimised pictures to the block's scatter plots."""
    ratio = block.values(key)
    known = ratio[np.isfinite(ratio)].tolist()
    counts = np.bincount([block.bin_of(value) for value in known], minlength=len(block.edges))
    at = (*((value, round_number(value)) for value in range(5)), (LAST + BIN / 2, f"≥ {LAST:g}"))
    y = Axis(0, float(max(1, counts.max())), "channels")
    name = f"Mix ratios of {block.info.name}"
    plot = Plot(name, Axis(0, LAST + BIN, "mix ratio M", at), y, width, height)
    bars = []
    for number, (start, end, count) in enumerate(
        zip(block.edges, (*block.edges[1:], LAST + BIN), counts.tolist(), strict=True)
    ):
        what = "M" if key == "mix_ratio" else "optimised M"
        text = f"{block.info.name}: {count} channels with {what} {block.bin_name(number)}"
        place = f"m{number}" if key == "mix_ratio" else "optimised"
        bars.append(Bar(start, end, count, f"{page}#{place}", text, CLASSES[block.bin_kind(number)]))
    plot.bars(bars)
    plot.line(x=1)
    return plot


def shares_by_block(blocks: Sequence[Streamed]) -> Plot:
    """The spread of the shares along the shortcut, block by block."""
    at = tuple((n + 0.5, block.info.name.removeprefix("res")) for n, block in enumerate(blocks))
    width = by_block(len(blocks))
    label = "Share that came along the shortcut, block by block"
    plot = Plot(label, Axis(0, len(blocks), "block", at), Axis(0, 1, "along the shortcut"), width, 240)
    for n, block in enumerate(blocks):
        values = block.values("shortcut_share")
        values = values[np.isfinite(values)]
        if len(values):
            spread = np.percentile(values, (10, 25, 50, 75, 90)).tolist()
            plot.boxes(n + 0.5, block.address, f"{block.info.name}: median {correlation(spread[2])}", spread)
    return plot


@dataclass(frozen=True)
class Against:
    """A scatter plot of the mix ratio and another number of each channel. test: its name in stream.json."""

    key: str
    test: str
    caption: str


AGAINST = (
    Against("norm_weight", "norm_weight", "Weight of the branch's last BatchNorm"),
    Against("norm_scale", "norm_scale", "Scale of the branch's last BatchNorm"),
    Against("convolution_weight", "convolution_weight", "Weights of the branch's last convolution"),
    Against("block_at_input", "block_at_input", "What the branch adds on the pictures of its input"),
    Against("block_correlation", "block_correlation", "Rank correlation of the branch with its input"),
)


def channel_dots(
    block: Streamed, x: np.ndarray, y: np.ndarray, text: Callable[[int], str], root: str = ""
) -> list[Dot]:
    return [
        Dot(float(x[c]), float(y[c]), f"{root}{c}.html", text(c), CLASSES.get(block.kinds[c], ""))
        for c in range(block.info.channels)
        if np.isfinite(x[c]) and np.isfinite(y[c])
    ]


def against_plots(block: Streamed) -> list[dict[str, Any]]:
    """The scatter plots of one block with their tests; those without a number are left out."""
    shown = []
    x = np.minimum(block.ratio, LAST + BIN)
    for one in AGAINST:
        measure, y = BY_KEY[one.key], block.values(one.key)
        if not np.isfinite(y).any():
            continue
        at = (*((value, round_number(value)) for value in range(5)), (LAST + BIN, "> 5"))
        axis = Axis(0, LAST + 2 * BIN, "mix ratio M", at)
        name = f"{one.caption} and mix ratio, {block.info.name}"
        plot = Plot(name, axis, Axis.over(y, f"{measure.name}, {measure.unit}"))
        plot.line(x=1)

        def text(c: int, y: np.ndarray = y) -> str:
            return f"{c}: M {correlation(block.ratio[c])}, {significant(y[c])}"

        plot.dots(channel_dots(block, x, y, text))
        found = block.report["tests"].get(one.test)
        shown.append(
            {"caption": one.caption, "measure": measure, "svg": plot.svg(), "test": words_of_test(found)}
        )
    return shown


def words_of_test(found: dict[str, Any] | None, name: str = "ρ") -> str:
    """A test's result in words."""
    if found is None:
        return f"no {name}: too few channels, or no difference among them"
    return f"{name} {correlation(found['statistic'])}, {p_in_words(found['p'])}, {integer(found['channels'])} channels"


# -- pages ---------------------------------------------------------------------------------------------------


def centre_row(atlas: Atlas, block: Streamed, side: str, channel: int) -> list[tuple[str, str]]:
    """The pictures that drive one side of the channel most at the centre: address of each ('' if it is not
    published) and what it is."""
    images = block.arrays[f"centre_{side}_image"][channel].tolist()
    values = block.arrays[f"centre_{side}_value"][channel].tolist()
    outputs = block.arrays[f"centre_{side}_output"][channel].tolist()
    row = []
    for image, value, output in zip(images, values, outputs, strict=True):
        if image >= 0:
            shown = image in atlas.published
            label = f"{atlas.short[image]}, " if atlas.short[image] else ""
            text = f"{label}{significant(value)}, output {significant(output)}"
            row.append((f"pictures/{image}.webp" if shown else "", text))
    return row


def centre_mark(atlas: Atlas, block: Streamed) -> str:
    """The receptive field of the neuron in the middle, as an SVG path in px of the input; '' where it covers all."""
    row, column = block.report["centre"]
    top, left, bottom, right = block.info.receptive_field.box(row, column)
    side = atlas.input_side
    if bottom - top >= side:
        return ""
    return f"M{max(0, left)} {max(0, top)}H{min(side, right)}V{min(side, bottom)}H{max(0, left)}z"


def is_shown(atlas: Atlas, block: Streamed, channel: int) -> bool:
    """Whether the atlas pictures the channel and, where the site shows whole pictures, all those of both its sides."""
    if channel not in atlas.layer(block.info.name).pictured:
        return False
    lists = (block.arrays[f"centre_{side}_image"][channel].tolist() for side in ("input", "block"))
    images = {image for nine in lists for image in nine if image >= 0}
    return not atlas.shows_pictures or images <= atlas.published


def example(atlas: Atlas, block: Streamed, channel: int) -> dict[str, Any]:
    """One channel as an example: its numbers and the pictures of both sides."""
    return {
        "block": block.info.name,
        "channel": channel,
        "kind": block.kinds[channel],
        "ratio": correlation(float(block.ratio[channel])),
        "share": correlation(float(block.values("shortcut_share")[channel])),
        "source": block.report["input"],
        "rows": [
            ("along the shortcut", centre_row(atlas, block, "input", channel)),
            ("from the branch", centre_row(atlas, block, "block", channel)),
        ],
        "mark": centre_mark(atlas, block),
        "side": atlas.input_side,
        "numbers": {
            key: significant(float(block.values(key)[channel]))
            for key in ("scale_sum", "scale_block", "scale_input")
        },
    }


def examples(atlas: Atlas, blocks: Sequence[Streamed]) -> tuple[list[dict[str, Any]], int]:
    """Of each kind the clearest channels, no two of one block: the mixtures nearest to 1, the largest ratios that are
    still numbers (not 10), the smallest above 0. Chosen are channels whose pictures the atlas holds; and how many could
    not be chosen, because it does not."""
    shown: list[dict[str, Any]] = []
    left_out = 0
    order: dict[str, Callable[[float], float]] = {
        "skips": lambda m: -m, "mixes": lambda m: abs(np.log(m)), "is overwritten": lambda m: m,
    }  # fmt: skip
    for kind in KINDS:
        best: list[tuple[float, int, int]] = []
        for number, block in enumerate(blocks):
            full = (block.arrays["centre_input_image"] >= 0).all(1) & (
                block.arrays["centre_block_image"] >= 0
            ).all(1)
            known = [
                c for c in np.flatnonzero(full).tolist() if block.kinds[c] == kind and 0 < block.ratio[c] < 10
            ]
            choice = [
                (order[kind](float(block.ratio[c])), number, c) for c in known if is_shown(atlas, block, c)
            ]
            best += sorted(choice)[:1]
            left_out += len(known) - len(choice)
        shown += [example(atlas, blocks[number], c) for _, number, c in sorted(best)[:EXAMPLES]]
    return shown, left_out


def stream_page(atlas: Atlas) -> dict[str, Any] | None:
    """The network's page on the residual stream, or None where nothing was read."""
    blocks = streamed(atlas)
    if not blocks:
        return None
    report = atlas.store.tables.read_json("stream.json") or {}
    steps = optimised_report(atlas).get("steps", 0)
    norms = [key for key in NORMS if any(key in block.arrays for block in blocks)]
    rows = []
    for block in blocks:
        shares, rho = block.values("shortcut_share"), block.values("block_correlation")
        tests = block.report["tests"]
        rows.append(
            {
                "name": block.info.name,
                "address": block.address,
                "identity": block.report["identity"],
                "share": _median(shares, correlation),
                "ratio": _median(block.ratio, correlation),
                "counts": [block.count(kind) for kind in KINDS],
                "without": block.info.channels - sum(block.count(kind) for kind in KINDS),
                "norms": [_statistic(tests.get(key)) for key in norms],
                "convolution": _statistic(tests.get("convolution_weight")),
                "anova": _statistic(tests.get("anova")),
                "rho": _median(rho, correlation),
                "histogram": mix_histogram(block, block.address, 300, 170).svg(),
                "optimised": optimised_part(block, block.address, 300, 170) if steps else None,
            }
        )
    total = {kind: sum(block.count(kind) for block in blocks) for kind in KINDS}
    shown, left_out = examples(atlas, blocks)
    return {
        "blocks": rows,
        "kinds": list(zip(KINDS, CLASSES.values(), strict=True)),
        "norms": [BY_KEY[key] for key in norms],
        "folded": "norm_scale" in norms,
        "bin": BIN,
        "shares": shares_by_block(blocks).svg(),
        "examples": shown,
        "left_out": left_out,
        "total": total,
        "gist": gist(blocks),
        "pictures_count": report["pictures"],
        "sample": report["sample"],
        "near_one": report["near_one"],
        "steps": steps,
    }


def optimised_report(atlas: Atlas) -> dict[str, Any]:
    """What was found at optimised pictures, {} where none were made."""
    return atlas.store.tables.read_json("stream_optimised.json") or {}


def optimised_part(block: Streamed, page: str, width: int, height: int) -> dict[str, Any] | None:
    """One block's mix ratio at optimised pictures: its histogram, its median, how many channels do what."""
    ratio = block.values("mix_ratio_optimised")
    if not np.isfinite(ratio).any():
        return None
    kinds = [block.kind(value) for value in ratio.tolist()]
    return {
        "histogram": mix_histogram(block, page, width, height, "mix_ratio_optimised").svg(),
        "median": _median(ratio, correlation),
        "counts": [kinds.count(kind) for kind in KINDS],
    }


def optimised_against_natural(block: Streamed) -> Plot:
    """The mix ratio at optimised pictures against that at the set's own, every channel a dot."""
    at = (*((value, round_number(value)) for value in range(5)), (LAST + BIN, "> 5"))
    x, y = (np.minimum(block.values(key), LAST + BIN) for key in ("mix_ratio", "mix_ratio_optimised"))
    axes = [Axis(0, LAST + 2 * BIN, f"M at {name} pictures", at) for name in ("the set's", "optimised")]
    plot = Plot(f"Mix ratios of {block.info.name} at the set's and at optimised pictures", axes[0], axes[1])
    plot.line(x=1, y=1)
    optimised = block.values("mix_ratio_optimised")

    def text(c: int) -> str:
        return f"{c}: M {correlation(block.ratio[c])}, optimised {correlation(optimised[c])}"

    plot.dots(channel_dots(block, x, y, text))
    return plot


def gist(blocks: Sequence[Streamed]) -> str:
    """Which blocks skip most and which overwrite most, in one sentence from the counts."""
    known = [block for block in blocks if any(block.kinds)]
    if not known:
        return "No channel has a mix ratio."

    def share(block: Streamed, kind: str) -> float:
        return block.count(kind) / max(1, sum(block.count(k) for k in KINDS))

    most = max(known, key=lambda block: share(block, "skips"))
    least = min(known, key=lambda block: share(block, "skips"))
    over = max(known, key=lambda block: share(block, "is overwritten"))
    parts = [
        f"{most.info.name} skips most ({percent_fixed(share(most, 'skips'))} % of its channels that have a ratio)",
        f"{least.info.name} least ({percent_fixed(share(least, 'skips'))} %)",
    ]
    overwritten = share(over, "is overwritten")
    parts.append(
        f"{over.info.name} overwrites most ({percent_fixed(overwritten, 1)} %)"
        if overwritten
        else "no block overwrites"
    )
    text = ", ".join(parts[:2]) + "; " + parts[2] + "."
    return text


def _median(values: np.ndarray, form: Callable[[float], str]) -> str:
    known = values[np.isfinite(values)]
    return form(float(np.median(known))) if len(known) else "–"


def _statistic(found: dict[str, Any] | None) -> tuple[str, str]:
    return ("–", "") if found is None else (correlation(found["statistic"]), p_in_words(found["p"]))


def block_page(atlas: Atlas, block: Streamed) -> dict[str, Any]:
    """One block's page: its histogram with the list of every bar's channels, and the scatter plots."""
    bins: dict[int, list[int]] = {}
    for channel in np.flatnonzero(np.isfinite(block.ratio)).tolist():
        bins.setdefault(block.bin_of(float(block.ratio[channel])), []).append(channel)
    anova = block.report["tests"].get("anova")
    missing = int(np.isnan(block.ratio).sum())
    report = optimised_report(atlas)
    optimised = optimised_part(block, "", 760, 240) if report else None
    tests: dict[str, Any] = next(
        (b["tests"] for b in report.get("blocks", ()) if b["block"] == block.info.name), {}
    )
    return {
        "optimised": optimised,
        "optimised_plot": optimised_against_natural(block).svg() if optimised else None,
        "optimised_words": [
            ("the set's own pictures", words_of_test(tests.get("natural"))),
            *((BY_KEY[key].name, words_of_test(tests.get(key))) for key in NORMS if key in block.arrays),
            ("the convolution's weight", words_of_test(tests.get("convolution_weight"))),
            ("what the branch adds, skip against overwrite", words_of_test(tests.get("anova"), "F")),
        ],
        "steps": report.get("steps", 0),
        "block": block,
        "input": block.report["input"],
        "branch": block.report["branch"],
        "identity": block.report["identity"],
        "has_input": atlas.has(block.report["input"]),
        "has_branch": atlas.has(block.report["branch"]),
        "histogram": mix_histogram(block, "", 760, 240).svg(),
        "bins": [(number, block.bin_name(number), channels) for number, channels in sorted(bins.items())],
        "counts": [(kind, CLASSES[kind], block.count(kind)) for kind in KINDS],
        "without": "" if not missing else number_word(missing) if missing <= 9 else integer(missing),
        "plots": against_plots(block),
        "anova": words_of_test(anova, "F"),
        "scale": scale_plot(block),
        "middle": MIDDLE,
    }


def scale_plot(block: Streamed) -> Any:
    """ΔI against ΔB, every channel a dot; None where they were not computed."""
    x, y = block.values("scale_block"), block.values("scale_input")
    if not np.isfinite(x + y).any():
        return None
    # A few extreme channels would press all others together: the axes hold the middle.
    axes = []
    for values, name in ((x, "ΔB, of the strongest"), (y, "ΔI, of the strongest")):
        low, high = np.nanpercentile(values, (50 - MIDDLE / 2, 50 + MIDDLE / 2)).tolist()
        axes.append(Axis.over((low, high), name, include=0.0))
    plot = Plot(f"Scale criteria of {block.info.name}", axes[0], axes[1])
    plot.line(x=0, y=0)

    def text(c: int) -> str:
        return f"{c}: ΔB {significant(x[c])}, ΔI {significant(y[c])}, M {correlation(block.ratio[c])}"

    plot.dots(channel_dots(block, x, y, text))
    return plot.svg()


CSV_KEYS = (
    "shortcut_share", "mix_ratio", "block_at_input", "block_mean", "block_correlation", "norm_weight", "norm_scale",
    "convolution_weight", "scale_block", "scale_input", "scale_sum", "scale_truth", "scale_gain",
    "mix_ratio_optimised", "scale_block_optimised", "scale_input_optimised", "scale_sum_optimised",
)  # fmt: skip


def stream_csv(atlas: Atlas) -> str:
    """Every channel of every residual block: what the figures are drawn from."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["block", "channel", "kind", "scale_invariant", *CSV_KEYS])
    for block in streamed(atlas):
        columns = [block.values(key).tolist() for key in CSV_KEYS]
        invariant = block.arrays.get("scale_invariant")
        for channel, values in enumerate(zip(*columns, strict=True)):
            holds = "" if invariant is None else int(invariant[channel])
            written = ["" if np.isnan(value) else f"{value:.6g}" for value in values]
            table.writerow([block.info.name, channel, block.kinds[channel], holds, *written])
    return text.getvalue()


def blocks_csv(atlas: Atlas) -> str:
    """Every residual block: counts, and the tests with their p."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    tests = (*NORMS, "convolution_weight", "block_at_input", "block_correlation", "anova")
    heads = [f"{name}_{part}" for name in tests for part in ("statistic", "p", "channels")]
    table.writerow(["block", "channels", "skips", "mixes", "overwritten", *heads])
    for block in streamed(atlas):
        found = [block.report["tests"].get(name) or {} for name in tests]
        results = [one.get(part, "") for one in found for part in ("statistic", "p", "channels")]
        table.writerow(
            [block.info.name, block.info.channels, *(block.count(kind) for kind in KINDS), *results]
        )
    return text.getvalue()
