"""timm's residual networks by timm's names (`timm/resnetv2_50`, `timm/resnet50.a1_in1k`). They need the extra [timm].

timm's modules are rewritten in the form that the atlas reads: a fused norm and activation becomes two modules, the
pooling torch's own. Weights are timm's own files. An operation other than convolution, BatchNorm, ReLU, pooling and
addition (squeeze-and-excitation, other norms and activations) is refused by its name when the network is traced.
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
from generator.network.tap import Tap, block_names

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
        taps=functools.partial(_taps, architecture),
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
        rename=_Renaming(architecture),
        head=head,
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

    return _plain(timm.create_model(architecture, pretrained=False, num_classes=outputs, **arguments))


def _plain(module: nn.Module) -> nn.Module:
    """The module with timm's compound modules replaced by torch's, in place."""
    from timm.layers import BatchNormAct2d, SelectAdaptivePool2d

    for name, part in list(module.named_children()):
        if isinstance(part, BatchNormAct2d):
            parts = nn.Sequential()
            parts.add_module("bn", nn.BatchNorm2d(part.num_features, part.eps))
            parts.add_module("act", part.act)
            setattr(module, name, parts)
        elif isinstance(part, SelectAdaptivePool2d) and part.pool_type == "avg":
            setattr(module, name, nn.Sequential(nn.AdaptiveAvgPool2d(1), part.flatten))
        else:
            _plain(part)
    return module


class _Renaming:
    """From the tensor names in timm's files to those of the rewritten module (`norm1.weight` → `norm1.bn.weight`)."""

    def __init__(self, architecture: str) -> None:
        self.architecture = architecture

    def __call__(self, name: str) -> str:
        module, _, tensor = name.rpartition(".")
        return f"{module}.bn.{tensor}" if module in _compound(self.architecture) else name


@functools.cache
def _compound(architecture: str) -> frozenset[str]:
    """Paths of the modules that fuse a norm and an activation."""
    import timm
    import torch
    from timm.layers import BatchNormAct2d

    with torch.device("meta"):
        module = timm.create_model(architecture, pretrained=False)
    return frozenset(path for path, part in module.named_modules() if isinstance(part, BatchNormAct2d))


def _taps(architecture: str, module: nn.Module) -> tuple[Tap, ...]:
    """Caffe's names for timm's ResNet (`layer1.0`) and ResNetV2 (`stages.0.blocks.0`)."""
    if isinstance(getattr(module, "layer1", None), nn.Sequential):
        blocks = list(module.get_submodule("layer3").children())
        return residual_taps(module, numbered=len(blocks) > 6)
    if hasattr(module, "stages") and hasattr(module, "stem"):
        return _v2_taps(module)
    raise AtlasError(
        "the atlas does not know this family of timm's networks",
        architecture,
        "choose one of timm's ResNet or ResNetV2 networks",
    )


def _v2_taps(module: nn.Module) -> tuple[Tap, ...]:
    stages = [
        list(stage.get_submodule("blocks").named_children())
        for stage in module.get_submodule("stages").children()
    ]
    numbered = len(stages[2]) > 6
    stem = [
        path for path, part in module.get_submodule("stem").named_modules() if isinstance(part, nn.Conv2d)
    ]
    taps = [Tap("conv1", f"stem.{stem[-1]}", "stem", "", 1)]
    for stage, blocks in enumerate(stages, 2):
        names = block_names(stage, len(blocks), numbered and stage in (3, 4))
        for (index, block), name in zip(blocks, names, strict=True):
            path = f"stages.{stage - 2}.blocks.{index}"
            for letter, convolution in zip("abc", ("conv1", "conv2", "conv3"), strict=True):
                if isinstance(getattr(block, convolution, None), nn.Conv2d):
                    taps.append(
                        Tap(f"{name}_branch2{letter}", f"{path}.{convolution}", "branch", name, stage)
                    )
            shortcut = getattr(getattr(block, "downsample", None), "conv", None)
            if isinstance(shortcut, nn.Conv2d):
                taps.append(Tap(f"{name}_branch1", f"{path}.downsample.conv", "projection", name, stage))
            taps.append(Tap(name, path, "block", name, stage))
    return tuple(taps)
