"""timm's networks by timm's names (`timm/resnetv2_50`, `timm/resnet50.a1_in1k`). They need the extra [timm].

Every network of timm that has maps of features can be read; its layers are found in its graph (network/layers.py). The
weights are timm's own files, with timm's names of tensors. A transformer or an MLP-mixer has no maps and is refused.
"""

from __future__ import annotations

import difflib
import functools
import math
from types import ModuleType
from typing import Any

from torch import nn

from generator.core.errors import AtlasError
from generator.core.records import PUBLISHED, Preprocessing
from generator.network.models.hub import imagenet_names
from generator.network.models.model import Model, residual_taps
from generator.network.tap import Tap

PREFIX = "timm/"


def find(name: str) -> Model:
    """The entry of `timm/…`; raises AtlasError where timm is not installed or has no such model."""
    timm = _timm(name)
    timm_name = name.removeprefix(PREFIX)
    architecture, _, tag = timm_name.partition(".")
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, timm.list_models(), n=3)
        raise AtlasError(
            "timm has no such model", timm_name, f"did you mean {' or '.join(near)}?" if near else None
        )
    tagged: Any = timm.get_pretrained_cfg(timm_name) if tag else None
    config: Any = tagged or timm.get_pretrained_cfg(architecture)
    head = f"{config.classifier}.weight" if isinstance(config.classifier, str) else ""
    crop = config.input_size[-1]
    resize = math.floor(crop / config.crop_pct)
    return Model(
        name,
        f"timm's {timm_name}",
        build=functools.partial(_build, architecture),
        taps=_taps,
        preprocessing=Preprocessing(
            (resize, resize) if config.crop_mode == "squash" else resize,
            crop,
            tuple(config.mean),
            tuple(config.std),
            interpolation=config.interpolation,
            source=PUBLISHED if tagged else "",  # a tag names one release; without a tag nothing is known
        ),
        outputs=config.num_classes,
        class_names=imagenet_names,
        head=head,
        needs_numbers=True,
    )


def _timm(name: str) -> ModuleType:
    try:
        import timm
    except ImportError as error:
        raise AtlasError(
            "this network needs timm, which is not installed",
            name,
            "pip install 'timm>=1.0', or in the checkout pip install '.[timm]'",
        ) from error
    module: ModuleType = timm
    return module


def _build(architecture: str, outputs: int, **arguments: Any) -> nn.Module:
    import timm

    module: nn.Module = timm.create_model(architecture, pretrained=False, num_classes=outputs, **arguments)
    return module


def _taps(module: nn.Module) -> tuple[Tap, ...] | None:
    """The layers of a long ResNeXt, whose blocks have numbers as ResNet-101's have; None where they are found in the
    graph, which gives Caffe's names to timm's other ResNets."""
    from timm.models.resnet import ResNet

    is_long = isinstance(module, ResNet) and len(module.get_submodule("layer3")) > 6
    is_grouped = any(part.groups > 1 for part in module.modules() if isinstance(part, nn.Conv2d))
    return residual_taps(module, numbered=True) if is_long and is_grouped else None
