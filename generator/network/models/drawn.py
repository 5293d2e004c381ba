"""The demo's networks as entries of the registry; their modules are in demo.py and demo_plain.py, their weights lie in
generator/pictures/drawn/."""

from __future__ import annotations

from pathlib import Path

from generator.core.errors import AtlasError
from generator.core.records import Preprocessing
from generator.network.models import demo, demo_plain
from generator.network.models.model import Model, Published, residual_taps

WEIGHTS = Path(__file__).with_name("drawn_weights") / "weights.safetensors"
PLAIN_WEIGHTS = WEIGHTS.with_name("plain.safetensors")


def _published(name: str, weights: Path) -> Published:
    if not weights.is_file():
        raise AtlasError(
            "the demo's weights are missing", weights, "install the package again, or: atlas demo train"
        )
    return Published(name, weights)  # its metadata names the classes


MODELS = (
    Model(
        "demo",
        "a small bottleneck ResNet trained on the drawn world, 96 × 96 pictures; built in",
        build=demo.demo_resnet,
        taps=residual_taps,
        preprocessing=Preprocessing(demo.DEMO_SIDE, demo.DEMO_SIDE, demo.MEAN, demo.STD),
        outputs=44,
        weights=("built-in",),
        fetch=lambda name: _published(name, WEIGHTS),
    ),
    Model(
        "demo-plain",
        "the demo's control: a plain network without shortcuts, trained on the same world; built in",
        build=demo_plain.demo_plain,
        taps=demo_plain.plain_taps,
        preprocessing=Preprocessing(demo.DEMO_SIDE, demo.DEMO_SIDE, demo.MEAN, demo.STD),
        outputs=44,
        weights=("built-in",),
        fetch=lambda name: _published(name, PLAIN_WEIGHTS),
    ),
)
