"""What a channel's page says about classes, with intervals and with what chance gives."""

from __future__ import annotations

import numpy as np

from generator.core.records import LayerInfo
from generator.site.formats import correlation, interval, percent
from generator.site.reading.atlas import Atlas

NINES = {
    "label_agreement": "label agreement",
    "label_purity": "label purity",
    "group_purity": "group purity",
    "visual_agreement": "visual agreement",
}
SHARES = ("label_purity", "group_purity")
CHANCE = 0.5  # AUROC


def class_sentences(atlas: Atlas, info: LayerInfo, channel: int) -> list[str]:
    """The best class and the best group, then the agreement of the nine pictures next to nine random ones."""
    report = atlas.class_report
    if report is None or atlas.layer(info.name).dead[channel]:
        return []
    best = [_best(atlas, info.name, channel, kind) for kind in ("class", "group")]
    return [sentence for sentence in (*best, _nine(atlas, info.name, channel)) if sentence]


def _number(atlas: Atlas, layer: str, key: str, channel: int) -> float:
    values = atlas.layer(layer).arrays.get(key)
    return float("nan") if values is None else float(values[channel])


def _best(atlas: Atlas, layer: str, channel: int, kind: str) -> str:
    area = _number(atlas, layer, f"{kind}_auroc", channel)
    low, high = (_number(atlas, layer, f"{kind}_auroc_{end}", channel) for end in ("low", "high"))
    numbers = atlas.layer(layer).arrays.get(f"best_{kind}")
    number = -1 if numbers is None else int(numbers[channel])
    if number < 0 or not np.isfinite([area, low, high]).all():
        return ""
    name = atlas.kind_names(kind)[number]
    measured = f"AUROC {correlation(area)} ({interval(low, high, 2)}) on the other half"
    if low <= CHANCE:
        return f"No {kind} stands out: the best on one half of the pictures, “{name}”, has {measured}."
    precision, prevalence = (
        _number(atlas, layer, f"{kind}_{key}", channel) for key in ("precision", "prevalence")
    )
    return (
        f"Best {kind}, chosen on one half of the pictures: “{name}”, {measured}, "
        f"average precision {correlation(precision)} (chance {correlation(prevalence)})."
    )


def _nine(atlas: Atlas, layer: str, channel: int) -> str:
    report = atlas.class_report
    assert report is not None
    parts = []
    for key, name in NINES.items():
        value, band = _number(atlas, layer, key, channel), report.chance.get(key)
        if band is None or not np.isfinite(value):
            continue
        if key in SHARES:
            random = f"{percent(band.low)} to {percent(band.high)} %"
            parts.append(f"{name} {percent(value)} % (random nines: {random})")
            continue
        random = f"random nines: {interval(band.low, band.high, 2)}"
        error = _number(atlas, layer, f"{key}_error", channel)
        if np.isfinite(error):
            low, high = report.interval(value, error)
            random = f"{interval(low, min(high, 1.0), 2)}; {random}"
        parts.append(f"{name} {correlation(value)} ({random})")
    return f"Of its nine pictures: {', '.join(parts)}." if parts else ""
