"""Hold the atlas against timm, one network for each of timm's families; it needs the extra [timm].

python tools/timm_families.py                # all families, some 20 minutes on two cores
python tools/timm_families.py resnet18 dla34 # these networks only

Each network gets random weights with BatchNorm statistics of all sizes, in a file as timm writes it, which
`models.load` reads. In float64 the maps of the blocks must then be those that timm's own forward gives at the blocks'
modules, the scores those of timm, and the gradients of one layer's units those of automatic differentiation. The
table's last line is the count.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from generator.core.errors import AtlasError
from generator.engine.gradients.unit_gradients import UnitGradients, Units, forward_switches
from generator.network import models
from generator.network.network import Network

_NAMES = """
resnet18 resnet50d seresnet18 ecaresnet26t resnetblur50 resnetaa50 resnetrs50 resnet50_gn resnet50_clip skresnet18
resnest14d res2net50_26w_4s resnext26ts seresnext26d_32x4d gcresnet33ts lambda_resnet26t botnet26t_256 halonet26t
resnetv2_50 resnetv2_50x1_bit nf_resnet50 nfnet_f0 dm_nfnet_f0 regnetx_002 regnety_002 regnetz_b16 rexnet_100
convnext_atto convnextv2_atto efficientnet_b0 tf_efficientnet_b0 efficientnet_lite0 mobilenetv2_050
mobilenetv3_small_050 mnasnet_small fbnetc_100 lcnet_050 tinynet_e hardcorenas_a ghostnet_050 mobileone_s0 repvgg_a0
dla34 hrnet_w18_small densenet121 dpn48b xception41 inception_v3 inception_resnet_v2 senet154 selecsls42 vovnet39a
ese_vovnet19b_dw cspresnet50 cspdarknet53 darknet53 tresnet_m gernet_s poolformer_s12 edgenext_xx_small pvt_v2_b0
vit_tiny_patch16_224 mixer_s32_224
"""
FAMILIES = _NAMES.split()

SIDES = (64, 96)  # px; networks that refuse these get their own size
EXACT = 1e-5  # relative; float64 reaches 1e-12


@dataclass(frozen=True)
class Row:
    """What was found. compared: how many blocks have a module of their own and were compared, or layers where there
    are no blocks; errors: the largest of the maps, of the scores and of the gradients, relative to the largest value;
    reason: why it fails, '' if it does not."""

    name: str
    side: int = 0
    layers: int = 0
    blocks: int = 0
    compared: int = 0
    errors: tuple[float, ...] = ()
    way: str = ""
    seconds: float = 0.0
    reason: str = ""

    @property
    def agrees(self) -> bool:
        return not self.reason

    def __str__(self) -> str:
        numbers = " ".join(f"{error:8.0e}" for error in self.errors) or " " * 26
        head = f"{self.name:24} {self.side:4} {self.layers:6} {self.compared:4}/{self.blocks:<4} {numbers} {self.way:6}"
        return f"{head} {self.seconds:5.0f} s  {self.reason or 'agrees'}"


HEAD = f"{'network':24} {'px':>4} {'layers':>6} {'blocks':>9} {'maps':>8} {'scores':>8} {'gradients':>8} way"


@torch.no_grad()
def randomise(module: nn.Module, seed: int) -> None:
    """Random numbers in all parameters and statistics, so that nothing is left out by being zero or one."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(tensor: Tensor, low: float, high: float) -> None:
        tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)

    for name, parameter in module.named_parameters():
        if parameter.dim() > 1 and parameter.numel() > max(parameter.shape):
            fan = parameter[0].numel()
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / fan**0.5)
        elif name.endswith("bias"):
            uniform(parameter, -0.2, 0.3)
        else:
            uniform(parameter, 0.5, 1.2)
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            uniform(buffer, -0.2, 0.2)
        if name.endswith("running_var"):
            uniform(buffer, 0.5, 1.5)


def compare(name: str) -> Row:
    """One network of timm."""
    import timm

    start = time.monotonic()
    module: Any = timm.create_model(name, num_classes=11).eval()
    randomise(module, 0)
    side = _side(module, timm.get_pretrained_cfg(name).input_size[-1])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{name}.safetensors"
        save_file({key: t.detach().clone().contiguous() for key, t in module.state_dict().items()}, file)
        try:
            network = models.load(f"timm/{name}", file, size=side).to("cpu", torch.float64)
        except AtlasError as error:
            return Row(name, side, seconds=time.monotonic() - start, reason=str(error))
        except Exception as error:  # the sweep goes on, and says it
            return Row(
                name, side, seconds=time.monotonic() - start, reason=f"{type(error).__name__}: {error}"
            )
    pictures = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1)).double()
    row = _compared(name, network, module.double(), pictures)
    return Row(**{**vars(row), "seconds": time.monotonic() - start})


@torch.no_grad()
def _side(module: nn.Module, usual: int) -> int:
    for side in SIDES:
        try:
            module(torch.zeros(1, 3, side, side))
        except (AssertionError, RuntimeError, ValueError):
            continue
        return side
    return usual


def _compared(name: str, network: Network, module: nn.Module, pictures: Tensor) -> Row:
    """Blocks against the module at their path; the layers of a network without blocks against the modules of the same
    size, one of which must have given the same map."""
    parts = dict(module.named_modules())
    blocks = [layer for layer in network.layers if layer.kind == "block"]
    watched = [layer for layer in blocks if layer.path in parts] or list(network.layers)
    by_path = bool(blocks)
    outputs: dict[str, Tensor] = {}

    def keep(path: str) -> Any:
        def hook(part: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                outputs[path] = output.clone()  # the module may go on to write into it

        return hook

    paths = [layer.path for layer in watched] if by_path else list(parts)
    hooks = [parts[path].register_forward_hook(keep(path)) for path in paths]
    seen = pictures.clone().requires_grad_()
    with torch.enable_grad():
        scores = module(seen)
    for hook in hooks:
        hook.remove()
    steps = {network.step(layer.name): layer for layer in watched}
    errors, where = [0.0, 0.0, 0.0], {}
    with torch.no_grad():
        for step, output in network.graph.run(pictures):
            if step in steps:
                path = steps[step].path
                expected = {path: outputs[path]} if by_path else outputs
                where[step] = min(expected, key=lambda path: _error(output, expected[path]))
                errors[0] = max(errors[0], _error(output, expected[where[step]]))
        errors[1] = _error(output, scores.detach())
    top = max(steps)
    way = "cones" if network.graph.is_windowed(top) else "torch"
    if errors[0] < EXACT:
        units = _units(outputs[where[top]])
        gradients = [
            torch.autograd.grad(outputs[where[top]][unit], seen, retain_graph=True)[0][unit[0]]
            for unit in map(tuple, units.tolist())
        ]
        engine, layer = UnitGradients(network, "plain"), steps[top]
        own = engine.gradients(forward_switches(network, pictures), layer.name, Units(*units.T))
        places = units[:, 2:].tolist()
        whole = [_framed(gradient, layer, *at) for gradient, at in zip(gradients, places, strict=True)]
        errors[2] = _error(own, torch.stack(whole))
    words = ("maps", "scores", "gradients")
    wrong = [word for word, error in zip(words, errors, strict=True) if not error < EXACT]
    return Row(
        name,
        pictures.shape[-1],
        len(network.layers),
        len(blocks),
        len(watched),
        tuple(errors),
        way,
        reason=f"{' and '.join(wrong)} differ" if wrong else "",
    )


def _units(maps: Tensor) -> Tensor:
    """(3, 4) picture, channel, row, column of a unit in a corner, at the border and inside."""
    _, channels, height, width = maps.shape
    places = [(0, 0), (height - 1, width // 2), (height // 2, width // 2)]
    return torch.tensor(
        [(number % 2, number % channels, row, column) for number, (row, column) in enumerate(places)]
    )


def _framed(gradient: Tensor, layer: Any, row: int, column: int) -> Tensor:
    """A whole picture's gradient as the engine gives it: the unit's field, where that fits into the picture."""
    field = layer.receptive_field
    if field.side > min(gradient.shape[1:]):
        return gradient
    top, left, bottom, right = field.box(row, column)
    reach = field.side + field.stride
    padded = nn.functional.pad(gradient, (reach, reach, reach, reach))
    return padded[:, top + reach : bottom + reach, left + reach : right + reach]


def _error(output: Tensor, expected: Tensor) -> float:
    if output.shape != expected.shape:
        return float("inf")
    scale = float(expected.abs().max())
    return float((output - expected).abs().max()) / (scale or 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=FAMILIES, help="timm's names  [default: one a family]")
    names = parser.parse_args().names
    warnings.simplefilter("ignore")
    print(HEAD)
    rows = []
    for name in names:
        rows.append(compare(name))
        print(rows[-1], flush=True)
    agree = sum(row.agrees for row in rows)
    print(f"{agree} of {len(rows)} networks agree")
    sys.exit(0 if agree == len(rows) else 1)


if __name__ == "__main__":
    main()
