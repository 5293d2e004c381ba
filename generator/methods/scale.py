"""Whether a channel responds to the same feature at two sizes (arXiv:2407.05340, section 4).

The branch of a block has a larger copy of the input's feature if it responds more to the input's pictures when they are
enlarged, and if the input responds more to the branch's pictures when they are reduced. If the output mixes the two
about evenly, it responds to both sizes.

Every picture changes when it is rescaled, and with it the response of many a channel that knows nothing of the feature.
The mean change over all pictures is therefore subtracted: ΔB′ and ΔI′. Their intervals come from the nine pictures of
the list (Student's t).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from generator.methods.mixing import mean_of_list, near_one
from generator.methods.resampling import bound

DEGREES = 8  # of freedom of a mean over nine pictures


@dataclass(frozen=True)
class ScaleCriteria:
    """(C,) each. block: ΔB; input: ΔI; both as shares of the strongest response, NaN where there is no such picture."""

    block: np.ndarray
    input: np.ndarray

    @property
    def sum(self) -> np.ndarray:
        """SM = ΔB + ΔI, by which the paper ranks channels."""
        return self.block + self.input

    def both(self) -> np.ndarray:
        """Whether both are above zero: scale invariant, apart from the condition on the mix ratio."""
        return (self.block > 0) & (self.input > 0)

    def invariant(self, ratio: np.ndarray) -> np.ndarray:
        """Whether the channel is scale invariant: both above zero, and 1/1.5 < M < 1.5."""
        return self.both() & near_one(ratio)


def scale_criteria(
    block_enlarged: np.ndarray,
    block_at_input: np.ndarray,
    block_strongest: np.ndarray,
    input_reduced: np.ndarray,
    input_at_block: np.ndarray,
    input_strongest: np.ndarray,
) -> ScaleCriteria:
    """ΔB = [r(B(S(I*))) − r(B(I*))] / B(B*), ΔI = [r(I(S⁻¹(B*))) − r(I(B*))] / I(I*), r the ReLU.

    All (C, k), a value per picture of the list (k = 1 for optimised pictures), NaN where there is none: the branch on
    the input's pictures enlarged and as they are, the branch on its own pictures, and the same of the input.
    """

    def change(rescaled: np.ndarray, plain: np.ndarray, strongest: np.ndarray) -> np.ndarray:
        rise = mean_of_list(np.maximum(rescaled, 0)) - mean_of_list(np.maximum(plain, 0))
        most = mean_of_list(strongest)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            return np.where(most > 0, rise / most, np.nan)

    return ScaleCriteria(
        change(block_enlarged, block_at_input, block_strongest),
        change(input_reduced, input_at_block, input_strongest),
    )


def clearly_above(value: np.ndarray, random: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Whether the interval of the corrected change, value − random, lies above zero; (C,) each → (C,) bool."""
    reach = bound(degrees=DEGREES) * error
    return np.nan_to_num(value - random - reach, nan=-1.0) > 0


def measures(numbers: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All that might find the channels whose response does not depend on size, by name, (C,) float64 each: 0 or 1 for
    criteria, NaN where there is no value. numbers: a block's arrays; what they lack is left out.

    criteria: ΔB and ΔI above zero; invariant: and the mix ratio near 1; scale_sum: ΔB + ΔI; corrected: the intervals of
    ΔB′ and ΔI′ above zero; corrected_sum: ΔB′ + ΔI′; zoom_invariance, zoom_correlation: see zooms.py.
    """
    found: dict[str, np.ndarray] = {}
    if "scale_sum" in numbers:
        both = (numbers["scale_block"] > 0) & (numbers["scale_input"] > 0)
        found["criteria"] = both
        found["invariant"] = both & near_one(numbers["mix_ratio"])
        found["scale_sum"] = numbers["scale_sum"]
    if "scale_block_random" in numbers:
        sides = [
            [numbers[f"scale_{side}{part}"] for part in ("", "_random", "_error")]
            for side in ("block", "input")
        ]
        found["corrected"] = np.logical_and(*(clearly_above(*side) for side in sides))
        found["corrected_sum"] = sum(value - random for value, random, _ in sides)
    for name in ("zoom_invariance", "zoom_correlation"):
        if name in numbers:
            found[name] = numbers[name]
    return {name: np.asarray(values, np.float64) for name, values in found.items()}
