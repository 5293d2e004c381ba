"""Whether a channel responds to the same feature at two sizes (arXiv:2407.05340, section 4).

The branch of a block has a larger copy of the input's feature if it responds more to the input's pictures when they are
enlarged, and if the input responds more to the branch's pictures when they are reduced. If the output mixes the two
about evenly, it responds to both sizes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from generator.methods.mixing import mean_of_list, near_one


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
