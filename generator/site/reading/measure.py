"""What pages know of a statistic of a channel: its name, its unit, its definition and how its values are written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from generator.site.formats import significant


@dataclass(frozen=True)
class Measure:
    """One statistic of a channel; its key is the array's name and the anchor of its definition.

    missing: the value that stands for "none"; listed: whether it stands among the numbers at a channel's side, and not
    only on the page of its chapter; least, most: the bounds that follow from the definition, infinite where there is
    none, in the units of the array.
    """

    key: str
    name: str
    unit: str
    definition: str
    format: Callable[[float], str]
    missing: float = float("nan")
    listed: bool = True
    least: float = float("-inf")
    most: float = float("inf")

    def __post_init__(self) -> None:
        if not self.unit:
            object.__setattr__(self, "unit", self.range)

    @property
    def range(self) -> str:
        """The bounds in words, as they stand behind a value; '' where there are none.

        >>> from generator.site.formats import percent
        >>> Measure("share", "share", "", "A share of the sum.", percent, least=0, most=1).range
        'between 0 and 1'
        >>> Measure("gain", "gain", "", "An increase.", percent, most=1).range
        'of at most 1'
        """
        least, most = significant(self.least), significant(self.most)
        if np.isfinite(self.least):
            return f"between {least} and {most}" if np.isfinite(self.most) else f"of at least {least}"
        return f"of at most {most}" if np.isfinite(self.most) else ""

    def present(self, values: np.ndarray) -> np.ndarray:
        """Which channels have a value."""
        has_value: np.ndarray = np.isfinite(values) & (values != self.missing)
        return has_value
