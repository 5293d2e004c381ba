"""The demo's network as an entry of the registry; its module is in demo.py, its weights lie in
generator/demo/."""

from __future__ import annotations

from pathlib import Path

from generator.errors import AtlasError
from generator.models import demo
from generator.models.model import Model, Published, residual_taps
from generator.records import Preprocessing

# A plain path: models know no room above them.
WEIGHTS = Path(__file__).parents[1] / "demo" / "weights.safetensors"


def _fetch(name: str) -> Published:
    if not WEIGHTS.is_file():
        raise AtlasError(
            "the demo's weights are missing", WEIGHTS, "install the package again, or: atlas demo train"
        )
    return Published(name, WEIGHTS)  # its metadata names the classes


MODELS = (
    Model(
        "demo",
        "a small bottleneck ResNet trained on the drawn world, 96 × 96 pictures; built in",
        build=demo.demo_resnet,
        taps=residual_taps,
        preprocessing=Preprocessing(demo.SIDE, demo.SIDE, demo.MEAN, demo.STD),
        outputs=44,
        weights=("built-in",),
        fetch=_fetch,
    ),
)
