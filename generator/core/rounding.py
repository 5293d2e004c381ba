"""What storing a network's weights in half precision changes, as a stage measures it and a page states it."""

from __future__ import annotations

from dataclasses import dataclass

# Without classes no prediction can tell whether half precision is good enough: numbers may then differ by this share of
# the largest at most. ResNet's own differ by a tenth of it.
MOST_DIFFERENCE = 0.01


@dataclass(frozen=True)
class Rounding:
    """What rounding the weights to half precision changes.

    pictures: on how many it was measured; changed: of how many of them the prediction is another (the strongest class,
    or of a sigmoid the classes above 0.5), None where the outputs are not classes or there are none; scores: the
    largest difference of an output, in the largest output of the same picture, None where there are none; maxima: the
    largest difference of a channel's largest value, in the largest value of the same layer and picture. overflows:
    whether a number is no longer finite; scores and maxima are then None.
    """

    pictures: int
    changed: int | None
    scores: float | None
    maxima: float | None
    overflows: bool

    @property
    def is_small(self) -> bool:
        """Whether the weights may be stored so: no prediction is another; without classes, no number differs much."""
        if self.overflows:
            return False
        if self.changed is not None:
            return self.changed == 0
        return max(self.scores or 0, self.maxima or 0) <= MOST_DIFFERENCE
