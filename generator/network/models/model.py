"""A model's entry in the registry, and the names of a residual network's layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from generator.core.errors import AtlasError
from generator.core.records import Preprocessing
from generator.network.tap import Tap, block_names


@dataclass(frozen=True)
class Published:
    """Weights, and what is known about them.

    name: shown on the pages; path: of the file on this machine; classes: names of the outputs, () if the file itself
    gives them; preprocessing: with which these weights were trained, if it differs from the model's; is_known: whether
    they are a published release, whose preprocessing is known, and not a user's file.
    """

    name: str
    path: Path
    classes: tuple[str, ...] = ()
    preprocessing: Preprocessing | None = None
    is_known: bool = True


@dataclass(frozen=True)
class Model:
    """An entry of the registry (`MODELS` in the __init__.py here).

    text: what it is, in a few words; build: number of outputs → the module (its initial weights are not used), of
    torchvision and timm also further arguments;
    taps: module → its layers in forward order, None where they are found in its graph (network/layers.py);
    preprocessing: of weights that do not state their own; its `source` is '' where that is an assumption;
    weights: the names that `fetch` knows, the default first (none: the user must bring a file);
    fetch: such a name → the weights, downloaded if necessary;
    recognise: a user's file → what is published about it, None if it is unknown;
    class_names: number of outputs → their names, () where that number does not determine them;
    aliases: beginnings of tensor names that other codebases use → torchvision's; rename: the same for names that
    differ elsewhere;
    parameters: the published count with `outputs` outputs, 0 if none is published;
    head: name of the classifier's weight (outputs, features), which gives a file's number of outputs;
    is_own: whether it is the user's and not of the list (own.py): it is built with its numbers, which may be its
    weights; needs_numbers: whether the module may hold numbers that no file of weights does (the fixed filter of an
    anti-aliased stride), and so cannot be built without any; counts: its parameter for the number of outputs, '' for
    none.
    """

    name: str
    text: str
    build: Callable[..., nn.Module]
    taps: Callable[[nn.Module], tuple[Tap, ...] | None] | None
    preprocessing: Preprocessing
    outputs: int = 1000
    parameters: int = 0
    weights: tuple[str, ...] = ()
    fetch: Callable[[str], Published] | None = None
    recognise: Callable[[Path], Published | None] = lambda path: None
    class_names: Callable[[int], tuple[str, ...]] = lambda outputs: ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    rename: Callable[[str], str] = lambda name: name
    head: str = "fc.weight"
    is_own: bool = False
    needs_numbers: bool = False
    counts: str = ""

    def taps_of(self, module: nn.Module) -> tuple[Tap, ...]:
        """The listed layers of a module, () where they are found in its graph."""
        return (None if self.taps is None else self.taps(module)) or ()


IMAGENET = Preprocessing(resize=256, crop=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def residual_taps(module: nn.Module, *, numbered: bool = False) -> tuple[Tap, ...]:
    """The layers of a residual network that has torchvision's attribute names, under Caffe's.

    Stage n is `layer{n-1}`; its blocks are lettered a, b, c, …, or, if numbered, stages 3 and 4 a, b1, b2, …
    as in the Caffe ResNet-101 and -152. A block's convolutions are branch2a, 2b(, 2c), its projection
    branch1.
    """
    stem = [
        path
        for path, part in module.named_modules()
        if isinstance(part, nn.Conv2d) and path.startswith("conv1")
    ]
    taps = [Tap("conv1", stem[-1] if stem else "conv1", "stem", "", 1)]
    stage = 2
    while isinstance(blocks := getattr(module, f"layer{stage - 1}", None), nn.Sequential):
        names = block_names(stage, len(blocks), numbered and stage in (3, 4))
        for (index, block), name in zip(blocks.named_children(), names, strict=True):
            path = f"layer{stage - 1}.{index}"
            for letter, convolution in zip("abc", ("conv1", "conv2", "conv3"), strict=True):
                if isinstance(getattr(block, convolution, None), nn.Conv2d):
                    taps.append(
                        Tap(f"{name}_branch2{letter}", f"{path}.{convolution}", "branch", name, stage)
                    )
            for shortcut in ("downsample", "shortcut"):
                if isinstance(way := getattr(block, shortcut, None), nn.Sequential):
                    # The convolution is the first part, or stands behind a pooling.
                    inside = next(key for key, part in way.named_children() if isinstance(part, nn.Conv2d))
                    own = f"{path}.{shortcut}.{inside}"
                    taps.append(Tap(f"{name}_branch1", own, "projection", name, stage))
            taps.append(Tap(name, path, "block", name, stage))
        stage += 1
    if stage == 2:
        raise AtlasError("the module has no stages named layer1, layer2, …", type(module).__name__)
    return tuple(taps)
