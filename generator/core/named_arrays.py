"""Arrays by name, as the parts of an interrupted pass are saved: those of a state inside a state have names that begin
with its own."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def named(start: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays with names that begin with `start` and a dot."""
    return {f"{start}.{name}": array for name, array in arrays.items()}


def below(start: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Of all arrays those that `named` gave this start, by their own names."""
    start += "."
    return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}
