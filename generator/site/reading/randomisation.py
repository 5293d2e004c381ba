"""What randomisation.json says: how alike gradient pictures are with learnt and with random weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from generator.site.reading.interval import MeanInterval, mean_from_json

# By the kind of gradient picture, the rule at ReLUs whose gradients were compared.
RULE_OF = {"guided": "guided", "deconvnet": "deconvnet", "plain": "plain", "saliency": "plain"}


@dataclass(frozen=True)
class CascadeStep:
    """Weights random from the layer down to another, named `down_to`. rank: Spearman's correlation with the picture of
    the learnt weights; similarity: SSIM. None where too few units have a gradient."""

    down_to: str
    rank: MeanInterval | None
    similarity: MeanInterval | None


@dataclass(frozen=True)
class Cascade:
    """One layer under one rule. chance: units at the same places in other pictures, in the network as it is; None where
    that is not known."""

    chance: CascadeStep | None
    steps: Sequence[CascadeStep]

    @property
    def end(self) -> CascadeStep:
        """All weights random."""
        return self.steps[-1]


@dataclass(frozen=True)
class WeightDependence:
    """What a channel's page says of its gradient pictures. kind: of picture; end: with random weights; chance: of units
    at the same places in other pictures; verdict: "above" or "below" where the first is so for certain,
    else "".
    """

    kind: str
    end: MeanInterval
    chance: MeanInterval
    verdict: str


@dataclass(frozen=True)
class Randomisation:
    """By layer and rule. units: compared in each layer, at most."""

    units: int
    layers: Mapping[str, Mapping[str, Cascade]]

    def of(self, layer: str, kinds: Sequence[str]) -> WeightDependence | None:
        """Of the first kind of gradient picture among a layer's panels; None where it was not measured."""
        for kind in kinds:
            cascade = self.layers.get(layer, {}).get(RULE_OF.get(kind, ""))
            if cascade is None or cascade.chance is None:
                continue
            end, chance = cascade.end.rank, cascade.chance.rank
            if end is not None and chance is not None:
                verdict = "above" if end.low > chance.high else "below" if end.high < chance.low else ""
                return WeightDependence(kind, end, chance, verdict)
        return None


def randomisation_from_json(data: Any) -> Randomisation | None:
    """None where the atlas has none, or one of another version."""
    if not data:
        return None
    layers = {
        row["layer"]: {rule: _cascade(found) for rule, found in row["rules"].items()}
        for row in data["layers"]
    }
    return Randomisation(int(data["units"]), layers)


def _cascade(found: Mapping[str, Any]) -> Cascade:
    chance = found["chance"]
    return Cascade(
        None if chance is None else _step({"down_to": "", **chance}), [_step(step) for step in found["steps"]]
    )


def _step(step: Mapping[str, Any]) -> CascadeStep:
    return CascadeStep(step["down_to"], mean_from_json(step["rank"]), mean_from_json(step["ssim"]))
