"""What the demo network answers on pictures that every machine makes alike, as stored in known_answer.json.

    python tests/known_answer.py    # writes the file anew; do so only where the answer is meant to change

The pictures come from NumPy's integer generator alone: no decoder, no drawing library stands between machines.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from drawn_batches import in_batches

from generator.engine.gradients.unit_gradients import UnitGradients, Units, forward_switches
from generator.engine.scan.plan import ScanPlan
from generator.engine.scan.scan import scan
from generator.engine.scan.state import ScanState
from generator.network import models

FILE = Path(__file__).parent / "known_answer.json"
PICTURES, CELL = 40, 12
CHANNELS = {"conv1": (0, 7), "res2c": (3, 40), "res3d": (5, 90), "res4f": (17, 130), "res5c": (2, 300)}
COARSE = 8  # px a side of a gradient as it is stored: means over squares


def pictures(side: int) -> np.ndarray:
    """(N, side, side, 3) uint8: random squares with random finer ones on top, each picture with its own mixture."""
    chance = np.random.default_rng(2026)
    rough = chance.integers(0, 192, (PICTURES, side // CELL, side // CELL, 3))
    fine = chance.integers(0, 64, (PICTURES, side // 4, side // 4, 3))
    mixture = chance.integers(0, 2, (PICTURES, 1, 1, 1))
    whole = rough.repeat(CELL, 1).repeat(CELL, 2) + mixture * fine.repeat(4, 1).repeat(4, 2)
    return whole.astype(np.uint8)


def compute() -> dict[str, Any]:
    """By `layer:channel` the nine (picture, row, column, value), and of the strongest one's gradient by each rule the
    Euclidean norm and the coarse picture."""
    network = models.load("demo").keep(list(CHANNELS)).to("cpu", torch.float32)
    pixels = torch.from_numpy(pictures(network.preprocessing.crop))
    state = ScanState(ScanPlan.of(network, 8))
    for _ in scan(network, in_batches(pixels, 8), state):
        pass
    answer: dict[str, Any] = {}
    for layer, channels in CHANNELS.items():
        numbers = state.layer(layer)
        for channel in channels:
            image, unit = numbers["top_image"][channel], numbers["top_unit"][channel]
            answer[f"{layer}:{channel}"] = {
                "pictures": image.tolist(),
                "units": unit.tolist(),
                "values": [float(f"{value:.7g}") for value in numbers["top_value"][channel]],
                "gradients": _gradients(network, layer, channel, pixels[image[:1]], unit[0])
                if image[0] >= 0
                else {},
            }
    return answer


def _gradients(
    network: Any, layer: str, channel: int, pixels: torch.Tensor, unit: np.ndarray
) -> dict[str, Any]:
    switches = forward_switches(network, network.prepare(pixels), layer)
    asked = Units(*(torch.tensor([int(value)]) for value in (0, channel, *unit)))
    found: dict[str, Any] = {}
    for rule in ("plain", "guided", "deconvnet"):
        gradient = UnitGradients(network, rule).gradients(switches, layer, asked).double()  # (1, 3, S, S)
        coarse = F.adaptive_avg_pool2d(gradient, COARSE).ravel().tolist()
        found[rule] = {
            "norm": float(f"{gradient.norm().item():.7g}"),
            "coarse": [float(f"{value:.5g}") for value in coarse],
        }
    return found


if __name__ == "__main__":
    FILE.write_text(json.dumps(compute(), indent=1) + "\n")
