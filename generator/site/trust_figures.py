"""Figures of the page Method on how far to trust the pictures: random weights, and paths of optimised pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from generator.site.figures.step_charts import StepChart, StepFigure, StepLine, step_chart
from generator.site.formats import correlation
from generator.site.reading.atlas import PANEL_NAMES, Atlas
from generator.site.reading.interval import MeanInterval
from generator.site.reading.path_check import PathStep
from generator.site.reading.randomisation import Cascade
from generator.site.templates import render_template

SAME = MeanInterval(1.0, 1.0, 1.0, 0)  # a picture compared with itself


@dataclass(frozen=True)
class StepFigures:
    """The variables of guide/step_figures.html. dashed: what dashed lines are, '' where there are none."""

    figures: Sequence[StepFigure]
    dashed: str


def randomised_weights(atlases: Sequence[Atlas]) -> str:
    """How gradient pictures change while weights become random, for each atlas that measured it, as HTML."""

    def of(atlas: Atlas) -> StepFigure | None:
        found = atlas.randomisation
        if found is None:
            return None
        charts = [
            _cascade_chart(layer, rules)
            for layer, rules in found.layers.items()
            if atlas.has(layer) and any(len(cascade.steps) > 1 for cascade in rules.values())
        ]
        return StepFigure(
            atlas.name, atlas.manifest.title, f"up to {found.units} units of each layer", charts
        )

    return _figures(map(of, atlases), "the same place in another picture")


def optimised_paths(atlases: Sequence[Atlas]) -> str:
    """What optimised and natural pictures activate on their way, for each atlas that checked it, as HTML."""

    def of(atlas: Atlas) -> StepFigure | None:
        found = atlas.path_check
        if found is None:
            return None
        charts = [
            _path_chart(layer, steps)
            for layer, steps in found.layers.items()
            if atlas.has(layer) and len(steps) > 1
        ]
        counts = f"up to {found.channels} channels of each layer, {found.natural} patches of each"
        return StepFigure(atlas.name, atlas.manifest.title, counts, charts)

    return _figures(map(of, atlases), "")


def _figures(figures: Iterable[StepFigure | None], dashed: str) -> str:
    shown = [figure for figure in figures if figure is not None and figure.charts]
    return render_template("guide/step_figures.html", StepFigures(shown, dashed))


def _cascade_chart(layer: str, rules: Mapping[str, Cascade]) -> StepChart:
    shown = {rule: cascade for rule, cascade in rules.items() if rule in PANEL_NAMES}
    first = next(iter(shown.values()))
    lines = []
    for rule, cascade in shown.items():
        chance = cascade.chance.rank if cascade.chance else None
        end = _value(cascade.end.rank)
        text = f"{PANEL_NAMES[rule]}: {end} with all weights random"
        if chance is not None:
            text += f", {_value(chance)} for the same place in another picture"
        means = [SAME, *(step.rank for step in cascade.steps)]
        lines.append(StepLine(PANEL_NAMES[rule], rule, means, chance.mean if chance else None, text))
    return step_chart(layer, ["none", *(step.down_to for step in first.steps)], lines)


def _value(mean: MeanInterval | None) -> str:
    return "not known" if mean is None else correlation(mean.mean)


def _path_chart(layer: str, steps: Sequence[PathStep]) -> StepChart:
    lines = [
        ("optimised picture and patches of its channel", "optimised", [step.optimised for step in steps]),
        ("patches of one channel", "same", [step.same for step in steps]),
        ("patches of two channels", "other", [step.other for step in steps]),
    ]
    return step_chart(
        layer,
        [step.layer for step in steps],
        [
            StepLine(
                name,
                style,
                means,
                None,
                f"{name}: {_value(means[-1])} in {steps[-1].layer}",
            )
            for name, style, means in lines
        ],
    )
