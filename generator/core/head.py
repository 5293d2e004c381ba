"""How a network's outputs are read: as classes that exclude each other, as independent classes, or as plain scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from generator.core.errors import AtlasError

HeadKind = Literal["softmax", "sigmoid", "none"]
KINDS: tuple[HeadKind, ...] = get_args(HeadKind)


@dataclass(frozen=True)
class Head:
    """How a network's outputs are read.

    kind: 'softmax' (one class of several; the probabilities sum to one), 'sigmoid' (an independent probability for each
    output) or 'none' (plain scores, as of a regression); outputs: their number; assumed: whether no kind was given.
    """

    kind: HeadKind
    outputs: int
    assumed: bool = False

    @property
    def is_binary(self) -> bool:
        """Whether the one output is the probability of one of two classes."""
        return self.kind == "sigmoid" and self.outputs == 1

    @property
    def is_multi_label(self) -> bool:
        """Whether several classes may be true of one picture."""
        return self.kind == "sigmoid" and self.outputs > 1

    def readings(self, scores: np.ndarray) -> np.ndarray:
        """(K,) scores → (K,) float64: probabilities, or the scores themselves where the head is 'none'."""
        scores = np.asarray(scores, np.float64)
        if self.kind == "softmax":
            powers = np.exp(scores - scores.max())
            return np.asarray(powers / powers.sum(), np.float64)
        if self.kind == "sigmoid":
            # Never the exponential of a large number: it overflows.
            small = np.exp(-np.abs(scores))
            probabilities: np.ndarray = np.where(scores >= 0, 1, small) / (1 + small)
            return probabilities
        return scores

    def predicted(self, output: np.ndarray, score: np.ndarray) -> np.ndarray:
        """(N,) the predicted class of every picture, from the number and the score of its strongest output. A network
        with one output predicts 1 where its probability is above 0.5, else 0."""
        return (score > 0).astype(output.dtype) if self.outputs == 1 else output

    def name(self, classes: tuple[str, ...], output: int) -> str:
        """The name of an output. classes: one name per output; for a network with one output the name of its class, or
        of both classes, its own second."""
        if self.outputs == 1:
            return classes[-1] if classes else "output 0" if self.kind == "none" else "class 1"
        return classes[output] if output < len(classes) else f"class {output}"

    @property
    def sentence(self) -> str:
        """How the outputs are read, and whether that was assumed."""
        count = "one output" if self.outputs == 1 else f"{self.outputs:,} outputs"
        how = {
            "softmax": "softmax: one class of several",
            "sigmoid": "sigmoid: one probability"
            if self.outputs == 1
            else "sigmoid: a probability for each class",
            "none": "plain scores, no probabilities",
        }[self.kind]
        return f"{count}, {how}{' (assumed)' if self.assumed else ''}"

    @property
    def advice(self) -> str:
        """The sentence, and the option to give where an assumption is wrong."""
        others = " or ".join(f"--head {kind}" for kind in KINDS if kind != self.kind and self._fits(kind))
        return self.sentence + (f"; if they are something else, say {others}" if self.assumed else "")

    def _fits(self, kind: HeadKind) -> bool:
        return kind != "softmax" or self.outputs > 1

    @property
    def against_accuracy(self) -> str:
        """Why these outputs have no accuracy, whatever the labels are; '' where they can have one."""
        if self.kind == "none":
            return "no accuracy: the outputs are plain scores (head none), not classes"
        if self.is_multi_label:
            return "no accuracy: the outputs are probabilities each for itself (head sigmoid), a label names one class"
        return ""


def head_of(outputs: int, given: HeadKind | None = None) -> Head:
    """The head that was given, else a softmax over several outputs and a sigmoid of one.

    Raises AtlasError for a softmax over one output, which is always 1.
    """
    if given == "softmax" and outputs == 1:
        raise AtlasError(
            "a softmax over one output is always 1",
            "the network has one output",
            "say --head sigmoid for a probability, or --head none for a plain score",
        )
    return Head(given or ("softmax" if outputs > 1 else "sigmoid"), outputs, given is None)
