"""No page carries a number that somebody typed: templates and guide are searched for digits outside a list of reasons.

A number on a page is computed and passed in, or quoted with its source (published.csv). What may stand in a template is
structure: names, sizes of kernels, "of 9", citations. The guide states the method's settings: each of its numbers is
compared with the constant of the code that it describes."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest
from jinja2 import Environment

from generator.core import hierarchy, matching, rounding, sprites
from generator.core.correspondence import STRONG_PICTURES
from generator.core.records import TOP
from generator.core.store import Store
from generator.engine.scan.grouped_sums import GROUPS
from generator.experiments.running import constants
from generator.experiments.setting import Setting
from generator.methods import (
    auroc,
    category_channels,
    directions,
    embedding,
    focus,
    gradients,
    kernels,
    machine_score,
    mix_intervals,
    mixing,
    path_check,
    purity,
    randomisation,
    range_labels,
    resampling,
    scale,
    strips,
)
from generator.methods import correspondence as searches
from generator.methods.proportion import wilson_interval
from generator.methods.refinement import (
    FALSE_SHARE,
    IDENTITY_OVERLAP,
    OVERLAP_HALVINGS,
    OVERLAPS,
    REPEATED,
    UNTIED_LEVEL,
    WHOLE,
)
from generator.site.chapters import first_layers, revisited, your_picture
from generator.site.chapters.experiment_tables import results
from generator.site.chapters.published import FIGURES, QUOTED, quotations, quoted
from generator.site.chapters.scale_truth import GOOD
from generator.site.guide import site_sizes
from generator.site.reading import histogram, live
from generator.stages import (
    checkpointed_pass,
    class_measures,
    live_network,
    picture_map,
    profile,
    verify,
    zooms,
)
from generator.stages import path_check as path_check_stage
from generator.stages import randomisation as randomisation_stage
from generator.stages.inputs import MANY_CHANNELS
from tools.site_sizes import measured

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
GUIDE = sorted((ROOT / "site_src/guide").glob("*.md"))

# -- templates ------------------------------------------------------------------------------------------------------

SHOWN = re.compile(r'\b(?:alt|title|aria-label|placeholder)="([^"]*)"')
ARITHMETIC = {"+", "-", "*", "/", "//", "%", "**"}
# What may stand in any template, with the reason.
STRUCTURE = (
    r"arXiv:\d{4}\.\d{4,5}|https?://\S+",  # a citation
    r"(?:Table|Figure|section)s? \d+(?:\.\d+)?(?:(?:, \d+)*,? and \d+)?",  # of a cited paper
    r"(?:He|Xie) et al\. \d{4}|\((?:19|20)\d\d\)",  # year of a cited paper
    r"\d+\s?×\s?\d+(?= (?:convolution|stem)|[,) ]|$)",  # the side of a kernel
    r"(?:ResNet|conv|resnet|fp)-?\d+",  # a name
    r"of 9\b|\btop-9\b",  # the number of pictures that an atlas keeps per channel
    r"of 255\b|10[⁶⁹]|\b100(?: %|\*|~)|\*100\b|above 0\b|\d?\.\d[fg]\b",  # scales, shares in %, formats
    r"mean 0, variance 1|\(1 − g\)|max\(ρ, 0\)",  # a formula
    r"M above 1\b|and below 1\b|1/~|/?2?:? ?(?:with )?stride 2\b",  # a ratio of one; a stride that a design has
    r"[+-]1\b|\b1[+-]",  # the last of so many, counted from 0
    r" 1 (?=~)",  # compared with, for a plural
    r"\b95 %",  # the confidence of all intervals (see the test of their level)
)
# What may stand in one template, with the reason.
HERE = {
    # The networks' widths; ResNeXt's names; a data set.
    "experiments.html": r"CIFAR-10|\b(?:2|4|8|16|32)\*|top-1|at 50 layers|at 101 \(",
    "network.html": r"top-1",
    "refinement.html": r"highest 5 %|of 99 % of the pairs|overlap5",  # see the test of identity's limits
    "flow.html": r" 0 ",  # the first channel's number
    "stream.html": r"Below 0 the shortcut|above 1 the|near(?:est to)? 1\b",  # the ends of a share, a ratio of one
    "stream_block.html": r"towards 1 by construction",
    "tiles.html": r"99\.5th percentile",  # gradients.CLIPPED, as in the guide
    "scale.html": r"the middle 80 %",  # as Plot.boxes draws them
    "volumes.html": r"channels are 1 px long",  # the drawing's scale: so many, which are passed in, to one px
}


def visible(source: str) -> str:
    """What a reader can see of a template: its text, shown attributes, and texts and numbers in its expressions; ~
    stands for everything that is passed in."""
    parts, words, where = [], [], ""
    for _, kind, value in Environment().lex(source):
        if kind in ("variable_begin", "block_begin"):
            words, where = [], kind
        elif kind in ("variable_end", "block_end"):
            parts.append(_expression(words) if where == "variable_begin" else _texts(words))
            where = ""
        elif kind == "data":
            parts.append(value)
        elif kind != "whitespace" and where:
            words.append((kind, value))
    text = re.sub(r"<(script|style)\b.*?</\1>", " ", "".join(parts), flags=re.S)
    text = re.sub(r"<[^<>]*>", lambda tag: " " + " · ".join(SHOWN.findall(tag[0])) + " ", text)
    return re.sub(r"\s+", " ", text)


def _texts(words: list[tuple[str, str]]) -> str:
    return "".join(f" {value[1:-1]} " for kind, value in words if kind == "string")


def _expression(words: list[tuple[str, str]]) -> str:
    """Numbers that are calculated with stay, and one that stands alone; an index or a comparison is no number shown."""
    shown = []
    for place, (kind, value) in enumerate(words):
        beside = {words[near][1] for near in (place - 1, place + 1) if 0 <= near < len(words)}
        if kind == "string":
            shown.append(f" {value[1:-1]} ")
        elif kind in ("integer", "float") and (len(words) == 1 or beside & ARITHMETIC):
            shown.append(value)
        else:
            shown.append(value if kind == "operator" and value in ARITHMETIC else "~")
    return "".join(shown)


def typed(text: str, allowed: tuple[str, ...]) -> list[str]:
    """The numbers that no pattern covers, each with what stands around it."""
    covered = [span.span() for pattern in allowed for span in re.finditer(pattern, text)]
    return [
        text[max(0, number.start() - 30) : number.end() + 20]
        for number in re.finditer(r"\d(?:[\d.,]*\d)?", text)
        if not any(start <= number.start() and number.end() <= end for start, end in covered)
    ]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_holds_no_number_of_its_own(path: Path) -> None:
    allowed = (*STRUCTURE, *([HERE[path.name]] if path.name in HERE else []))
    assert typed(visible(path.read_text("utf-8")), allowed) == []


@pytest.mark.parametrize(
    "text",
    [
        "<p>{{ n }} drawings in 44 classes</p>",
        "<p>with {{ setting.pictures // 44 }} drawings</p>",
        "<p>one batch of 220 drawings (by chance 2.3 %)</p>",
        '{{ set_up([("tests", "999 permutations each")]) }}',
        '<img alt="a gate of 0.0025">',
        "<p>lower the error by 1.7 points (He et al.: 64,000)</p>",
        "<td>p ≤ 0.05</td>",
        "{{ 760 }} MB",
    ],
)
def test_a_number_typed_into_a_template_is_found(text: str) -> None:
    assert typed(visible(text), STRUCTURE)


def test_what_is_no_number_on_the_page_is_not_found() -> None:
    text = '<svg viewBox="0 0 720 44">{% if x > 12 %}{{ m.date[:10] }}{{ rows[0].name }}{% endif %}</svg>'
    assert typed(visible(f"{text}<p>a 3×3 convolution, shares {{{{ n }}}} of 9</p>"), STRUCTURE) == []


# -- guide ----------------------------------------------------------------------------------------------------------


def prose(path: Path) -> str:
    """A page's text without code, addresses, anchors and comments, and without what describes formats of files."""
    text = re.sub(r"^## Preprocessing .*?(?=^## )", "", path.read_text("utf-8"), flags=re.S | re.M)
    text = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    text = re.sub(r"`[^`]*`|\]\([^)]*\)|<!--.*?-->|\{ #[\w-]+ \}|</?su[bp]>", "", text)
    return re.sub(r"\s+", " ", text)


def in_script(name: str) -> float:
    """A constant of the script that compares the graphics card's numbers."""
    script = (ROOT / "site_src/js/your-picture/network.js").read_text("utf-8")
    found = re.search(rf"^const {name} = ([\d.e-]+);$", script, re.M)
    assert found is not None
    return float(found[1])


RIGHT_OF_1000 = 761  # the example of an accuracy's interval
LOW, HIGH = (f"{100 * end:.1f}" for end in wilson_interval(RIGHT_OF_1000, 1000))
EMBEDDING, SITE = profile.EmbeddingSection(), profile.SiteSection()
# What the guide says of the code's settings, from the constants themselves.
STATED = {
    "method.md": [
        "the nine around the "
        + ", ".join(map(str, strips.QUANTILES[1:-2]))
        + f" and {strips.QUANTILES[-2]} % quantiles",
        f"is at least {range_labels.FROM:g} and higher than",
        f"{strips.QUANTILES[range_labels.LOWER]} % quantile",
        f"at the {strips.QUANTILES[range_labels.LOWER]} %",
        f"not above the middle {100 * (1 - 2 * range_labels.WITHIN):g} % of nine",
        f"the {machine_score.EACH} with the highest scores, the weak ones the {machine_score.EACH} with",
        f"That makes {machine_score.TRIALS} trials",
        f"fewer than {machine_score.EACH} pictures activate",
        "By chance the score is 0.5",
        "the middle 95 % for pictures in random order",
        "Zimmermann et al. 2024",
        "at place *q* (*n* − 1), counted from 0 and rounded",
        f"the {TOP * (TOP - 1) // 2} pairs of classes",
        f"whose scores are kept (at most {profile.ComputeSection().score_pictures:,})",
        f"into two random halves, {resampling.HALVINGS} times",
        f"reaches {resampling.bound():.2f} standard errors to each side",
        f"(Student's *t* with {resampling.DEGREES} degrees of freedom)",
        f"A measure below {resampling.RELIABLE} is not used",
        "*Overlap* at "
        + ", ".join(f"{100 * share:g}" for share in OVERLAPS[:-1])
        + f" and {100 * OVERLAPS[-1]:g} %",
        f"the overlap at {100 * IDENTITY_OVERLAP:g} % exceeds that of {100 * UNTIED_LEVEL:g} % of the pairs",
        f"those of which {100 * FALSE_SHARE:g} % are expected to be false",
        f"selection at {100 * FALSE_SHARE:g} %",
        f"by Student's *t* with {resampling.DEGREES} degrees of freedom, and Benjamini",
        f"overlaps: the mean over {OVERLAP_HALVINGS}; others: over at least {resampling.ALONE},",
        "has 1/6 added",
        "([1995)",
        f"intervals reach {resampling.NORMAL} standard errors, elsewhere {resampling.bound():.2f}",
        "several hold together at 95 %",
        "√(*v* (1/*C* + 1/*R*))",
        f"up to {directions.MOST} orthonormal directions",
        f"± {resampling.bound():.3f} × ",
        "40 sets of 1,000 pictures, the demo network. Intervals of nominally 95 %",  # benchmarks/coverage.py
        "in 92 to 98 % of the cases",  # benchmarks/RESULTS.md
        "its intervals of a gain cover up to 99.6 %",  # likewise
        "McCarthy 1969",
        "International Statistical Institute 37",
        "and the 95 % interval reaches",
        "(*T*(half) − *T*(other half)) / 2 ]²",
        "hold at 95 % for all",
        "can keep none of its nine pictures at *ρ* = 0.7",
        f"two random halves {resampling.HALVINGS} times, and *M*",
        f"one of {GROUPS} random groups of pictures",
        f"a random quarter of the pictures {mix_intervals.TIMES} times",
        f"From 1/{mixing.NEAR_ONE} to {mixing.NEAR_ONE} a channel",
        f"Input and Block of up to {profile.ComputeSection().score_pictures:,} pictures",
        f"(Student's *t*, {resampling.DEGREES} degrees of freedom)",
        ", ".join(f"{100 * share:g}" for share in purity.KEPT_SHARES[:-1])
        + f" and {100 * purity.KEPT_SHARES[-1]:g} % of a channel's positive scores",
        f"at least {auroc.FEWEST} pictures in each half",
        "1 is a perfect detector of the class, 0.5 is chance",  # the ends of a scale
        "on which chance is 0.5",
        "(Mann and Whitney, 1947)",
        "Lin's ([1998) in the [hierarchy, or 1 for the same class",
        "DeLong's (1988)",
        "near 1 DeLong's own interval",
        "cover less than 92 %",  # tests/test_selectivity.py
        "of ten pictures the AUROC of a random order still has a standard deviation of 0.09",  # likewise
        f"the band holds the middle {100 * resampling.LEVEL:g} %",
        "brought to mean 0 and standard deviation 1",
        f"{class_measures.RANDOM_NINES:,} draws of nine labelled pictures",
        f"{class_measures.RANDOM_ORDERS:,} orders of the pictures",
        f"at most {directions.MOST}; each channel is first",
        f"halves {resampling.HALVINGS} times ({auroc.SPLITS} times for AUROC)",
        f"Below {resampling.RELIABLE} the measure does not repeat",
        f"at least {matching.DIRECTIONS:,} directions",
        f"has {matching.EXPECTED} matches among random directions",
        f"the strongest units of up to {randomisation_stage.UNITS} channels",
        "The mean over the units is given with its 95 % interval (Student's *t*)",
        f"(windows of {randomisation.WINDOW} × {randomisation.WINDOW} px)",
        "Vertical lines are 95 % intervals",
        f"and up to {path_check_stage.CHANNELS} channels of each",
        f"(up to {path_check.NUMBERS:,} of a layer, drawn at random)",
        "Means over the channels with 95 % intervals (Student's *t*); a page counts",
        f"a share {matching.EXPECTED / 2:g} / *A* of the pairs",
        f"at random {resampling.HALVINGS} times ({searches.SEARCHES} times for the most similar channel",
        f"for at most {searches.SAMPLE} channels of the later layer",
        f"an interval of {100 * resampling.LEVEL:g} %",
        f"in {TOP} *C* / *N*",
        "Hampel 1974",
        "√ mean ((*T*(half) − *T*(other half)) / 2)²",
        f"more than {EMBEDDING.pictures:,} pictures, {EMBEDDING.pictures:,} evenly spaced ones are placed",
        f"at most {embedding.FITTED // 1_000_000} million numbers",
        f"the first {embedding.COMPONENTS} principal components",
        f"more than {EMBEDDING.exact:,} pictures, {EMBEDDING.exact:,} of them, drawn with the seed",
        f"below {100 * first_layers.FAINT:g} % of the network's largest norm",
        f"*coloured* if this share is {100 * first_layers.COLOURED:g} % or more",
        f"its coherence is at least {first_layers.DIRECTED}",
        f"on {kernels.GRID} × {kernels.GRID} points",
        f"Differences below {revisited.FAINT} of 255",
        "white is the 99.5th percentile",
        f"*m* is the {100 * (1 - gradients.CLIPPED):g}th percentile of the absolute values",
        f"at least {100 * focus.SHARE[0] / focus.SHARE[1]:g} % of the energy of the unit's gradient",
        "divided by 2²⁸",  # see the test of the words for numbers
        f"a whole side of at least {sprites.FOCUS_LEAST} px",
        f"whose pictures are {sprites.FOCUS_LEAST} px or smaller",
        "(row ⌊*H* / 2⌋ and column ⌊*W* / 2⌋)",
        f"{RIGHT_OF_1000} correct of 1,000 give {RIGHT_OF_1000 / 10:.1f} %, with an interval from {LOW} to {HIGH} %",
        f"mean((*n* − {picture_map.NEIGHBOURS})³)",
        f"At most {zooms.ZOOM_PICTURES} pictures of the set, evenly spaced, are shown at zooms ½, 1/√2, 1, √2 and 2:",
        "between the responses at 1/√2 and √2",
        f"(Student's *t*, {scale.DEGREES} degrees of freedom;",
        f"only where its area is {GOOD} or more",
        f"probability {picture_map.NEIGHBOURS} / (*M* − 1)",
        f"is above {100 * your_picture.HIGH:g} % of the atlas's pictures",
        f"may differ by more than {100 * rounding.MOST_DIFFERENCE:g} % of the largest",
        "any of *N* + 1;",
        f"from {your_picture.WAIT_FROM / 1e6:g} MB on",
        f"differs by more than {100 * in_script('OF_VALUE'):g} %",
        f"by more than {100 * in_script('OF_LAYER'):g} % of the layer's largest",
        f"below {100 * live.FAINT:g} % of the layer's strongest are left out",
        f"would come to load {your_picture.LIGHT / 1e6:g} MB or more",
        "classes above 0.5",
    ],
    "statistics.md": [f"in {histogram.BINS} bins"],
    "hosting.md": [
        f"{SITE.max_site_bytes / 1e6:g} MB unless you change it",
        f"more than {MANY_CHANNELS:,} channels have pictures",
    ],
    "data.md": [
        f"up to {live_network.EXAMPLES} whole pictures",
        f"{sprites.THUMB} px",
        f"{100 * verify.SCORE:g} %",
        f"{verify.LEVELS:g} of 255 levels",
    ],
}
PROSE = (
    r"arXiv:\d{4}\.\d{4,5}|, \d{4}\b|JMLR 9, 2008|Johnson 2016|section 4|\(© 2006",  # citations
    r"allows 1 GB for a published site",  # GitHub's limit, with its address
    r"Pillow 11\.3 or newer|since Chrome 85, Firefox 93 and Safari 16\.4",  # which write and show AVIF
    r"top-9|channel 150|3 of 9|shared / 9|#4|\bres\w+|fc7|\bReLU6\b|ResNet-50|WordNet 3\.0|SHA-256",  # names
    r"EfficientNet-Lite0",
    r"\(0, 0\)|\[0, 1\]|max\(\*ρ\*, 0\)|1 − \*s\*₀|2 ln|\*H\* / 2⌋|× 0\.5 \+ 0\.5|e2i|× 3 weights|1/frequency|1/255",
    r"probability of 0\.5",
    r"It runs from −1 to 1: 1 for|, 0 for unrelated|\*M\* − 1|JMLR 11, 2010|EMNLP 2013",  # the map
    r"95 % interval|about 95 % contain|\[1927|1\.96|/ [24]\*n\*|1 / \*C\*",  # Wilson
    r"\(1 − \*p\*\)|\(1 \+ \*z\*² / \*n\*\)",
    r"below 0 the shortcut|above 1 the branch|near 1 by construction|\(1 [+−] \*m\*\)|\*m\*₂\) / 2|between −1 and 1",
    r"2407\.05340, section 3|mean 0 and variance 1 in every|90 to 100 % of 40 sets|about 94 to 96 % of cases",
    r"new sets of 1,000 pictures|Over 40 sets, intervals of nominally 95 %",  # benchmarks/coverage_stream.py
    r"above 0\b|8 bits|It is 0 for|and 1 for|: 1 where|is 1 for|and 0 otherwise|, 0 for none",  # ends of scales
)


@pytest.mark.parametrize("path", GUIDE, ids=lambda path: path.name)
def test_the_guides_numbers_are_the_codes(path: Path) -> None:
    text = prose(path)
    for phrase in STATED.get(path.name, []):
        assert phrase in text
    if path.name == "data.md":
        return  # the definition of a format: shapes and codes
    allowed = (*PROSE, *(re.escape(phrase) for phrase in STATED.get(path.name, [])))
    assert typed(text, allowed) == []


def test_the_guides_words_for_numbers_are_the_codes() -> None:
    text = prose(ROOT / "site_src/guide/method.md")
    words = {2: "two", 3: "three", 4: "four", 5: "five", 8: "eighth", 9: "nine", 10: "ten"}
    assert f"at least {words[STRONG_PICTURES]} of its nine pictures" in text
    assert f"the median of its {words[embedding.NEAREST]} nearest" in text
    assert f"For up to {words[path_check_stage.LAYERS]} layers with optimised pictures" in text
    assert f"the channel's {words[path_check_stage.NATURAL]} strongest patches" in text
    assert f"at most an {words[round(1 / purity.LARGEST_GROUP)]} of the pictures" in text
    assert category_channels.CHANCE == 1 / 1000 and "in at most one case of a thousand" in text
    assert f"and at least {words[category_channels.FEWEST]}." in text
    assert f"fewer than {words[category_channels.FEWEST]} pictures has no channels" in text
    assert focus.LEVELS == 2**28
    tiles = (ROOT / "templates/tiles.html").read_text("utf-8")
    assert focus.SHARE == (9, 10) and "that holds nine tenths of" in tiles
    assert hierarchy.COLUMNS == ("child", "parent")
    many = (ROOT / "docs/many-gpus.md").read_text("utf-8")
    assert f"at most {checkpointed_pass.CHECKPOINT_SECONDS:g} seconds of the scan" in many


def test_levels_that_pages_write_out_are_the_codes() -> None:
    assert resampling.LEVEL == 0.95
    assert (IDENTITY_OVERLAP, UNTIED_LEVEL, WHOLE) == (0.05, 0.99, 1 / 6)
    assert REPEATED * resampling.ALONE == 9  # nine of ten halvings


# -- quotations and settings of the report --------------------------------------------------------------------------


def test_every_quoted_figure_has_its_line_and_the_line_states_it() -> None:
    for figure in QUOTED:
        assert figure.source[0] and figure.source[1].startswith("https://")
        if not figure.checked:
            assert figure.line == ""  # the pages say that it was not read at the source
        elif figure.quantity == "updates":
            assert f"{float(figure.text) / 1000:g}k" in figure.line
        elif figure.checked.startswith("metadata"):
            exact = int(figure.line.rpartition(" ")[2])
            assert f"{exact / 1e6:.1f}" == figure.text
        else:
            assert figure.text.replace("-", "−") in figure.line
    rows = csv.DictReader(
        (resources.files("generator.site") / "data/published.csv").read_text("utf-8").splitlines()
    )
    assert len(list(rows)) == len(QUOTED) > len(FIGURES)


def test_torchvisions_figures_are_those_of_the_installed_version() -> None:
    torchvision = pytest.importorskip("torchvision.models")
    for figure in FIGURES:
        if figure.checked.startswith("metadata"):
            name, _, count = re.fullmatch(r"(\w+)_Weights\.(\w+): num_params (\d+)", figure.line).groups()
            assert getattr(torchvision, f"{name}_Weights").IMAGENET1K_V1.meta["num_params"] == int(count)


def test_the_gain_of_more_paths_follows_from_the_quoted_errors() -> None:
    assert quotations().gain == {50: 1.7, 101: 0.8}
    with pytest.raises(LookupError):
        quoted("ResNet-50, 1×64d", "weight")


def test_the_committed_setting_states_what_the_code_uses() -> None:
    text = (resources.files("generator.site") / "data/experiments/setting-degradation.json").read_text(
        "utf-8"
    )
    setting, expected = json.loads(text), constants(Setting())
    assert {name: setting[name] for name in expected} == expected


def test_what_follows_from_the_setting_is_computed() -> None:
    committed = results()
    assert committed is not None
    setting = replace(
        committed.settings["degradation"], epochs=3, pictures=100, batch=30, classes=8, gate=0.0
    )
    assert (setting.updates, setting.per_class) == (9, 12)
    assert (setting.chance, setting.first_gate) == (0.125, 0.5)


# -- sizes of a site ------------------------------------------------------------------------------------------------


def test_the_sizes_of_a_site_are_measured_and_scaled_to_all_channels(tmp_path: Path) -> None:
    """Pages of 1,000 bytes for two channels of every layer, sprites of 200 in one atlas and of 120 in the other, with
    thumbnails of 6 bytes each; 3 bytes a channel of the layer's other files, and 4 of the tables."""
    manifest = Store(ROOT / "tests/small_atlas").manifest()
    atlases = {}
    for format, size in (("webp", 200), ("avif", 120)):
        atlases[format] = shutil.copytree(ROOT / "tests/small_atlas", tmp_path / format)
        data = json.loads((atlases[format] / "manifest.json").read_text("utf-8"))
        for name, sprite in data["sprites"].items():
            sprite["format"] = format
            shutil.rmtree(atlases[format] / "sprites" / name)
            (atlases[format] / "sprites" / name).mkdir()
            for channel in range(2):
                (atlases[format] / "sprites" / name / f"{channel}.{format}").write_bytes(bytes(size))
        (atlases[format] / "manifest.json").write_text(json.dumps(data), "utf-8")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/0.webp").write_bytes(bytes(50))
    for layer in manifest.layers:
        (tmp_path / layer.name).mkdir()
        (tmp_path / layer.name / "thumbs.webp").write_bytes(bytes(6 * 2))
        (tmp_path / layer.name / "grid.js").write_bytes(bytes(3 * layer.channels))
        for channel in range(2):
            (tmp_path / layer.name / f"{channel}.html").write_bytes(bytes(1000))
        (tmp_path / layer.name / "2.html").write_bytes(bytes(700))  # a channel without a sprite
    (tmp_path / "data").mkdir()
    (tmp_path / "data/tops.csv").write_bytes(bytes(4 * sum(layer.channels for layer in manifest.layers)))
    found = measured(tmp_path, atlases["webp"], atlases["avif"])
    assert found["picture"] == 50
    assert {(group["page"], group["webp"], group["avif"]) for group in found["groups"]} == {(1013, 200, 120)}
    assert measured(tmp_path, atlases["avif"], atlases["webp"]) == found
    assert sum(group["channels"] for group in found["groups"]) == sum(
        layer.channels for layer in manifest.layers
    )
    assert sum(group["sample"] for group in found["groups"]) == 2 * len(manifest.layers)


def test_the_guide_shows_the_measured_sizes() -> None:
    assert "<!-- sizes of a site -->" in (ROOT / "site_src/guide/hosting.md").read_text("utf-8")
    found = json.loads((ROOT / "generator/site/data/site_sizes.json").read_text("utf-8"))
    text = site_sizes()
    total = sum(group["channels"] * (group["page"] + group["avif"]) for group in found["groups"])
    assert (
        f"All {sum(group['channels'] for group in found['groups']):,} channels take {total / 1e6:,.0f} MB"
        in text
    )
    assert len(re.findall(r"^\| (?:first|stage)", text, re.M)) == len(found["groups"])
