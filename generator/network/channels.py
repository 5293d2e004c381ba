"""The preprocessing of a network that reads another number of channels than the one that it was stated for."""

from __future__ import annotations

from dataclasses import replace

from generator.core.records import ASSUMED, Preprocessing


def of_channels(preprocessing: Preprocessing, channels: int) -> Preprocessing:
    """The same preprocessing for this many channels. Where it was stated for others, mean and standard deviation are a
    guess, and its source says so: for grey the averages of the colours', else the middle of the range of values."""
    if preprocessing.channels == channels:
        return preprocessing
    if channels == 1:
        mean, std = (sum(values) / len(values) for values in (preprocessing.mean, preprocessing.std))
        what = f"{_whose(preprocessing)} mean and std (averaged over {preprocessing.channels} colours)"
    else:
        mean = std = preprocessing.value_range / 2
        what = f"mean and std of {mean:g} in every channel"
    mean, std = round(mean, 4), round(std, 4)  # more digits would be no better a guess
    return replace(preprocessing, mean=(mean,) * channels, std=(std,) * channels, source=f"{ASSUMED}{what}")


def _whose(preprocessing: Preprocessing) -> str:
    if not preprocessing.source.startswith(ASSUMED):
        return "the model's"
    return preprocessing.source.removeprefix(ASSUMED).partition(" mean and std")[0]
