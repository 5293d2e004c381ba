"""The small networks of the experiments (`study/residual-14`), so that an atlas of a trained one can be computed.

A name gives kind and depth, and width and side where they differ from the defaults (`study/plain-8-w2-s12`). The
network reads pictures of 96 px and reduces them to `side` px by average pooling, as the experiments do before training.
No weights are published: `atlas experiments` trains them.
"""

from __future__ import annotations

import functools
import re

from torch import Tensor, nn

from generator.core.errors import AtlasError
from generator.core.records import PUBLISHED, STUDY, Preprocessing, study_name
from generator.network.models import demo
from generator.network.models.model import Model, residual_taps
from generator.network.models.study.designs import DESIGNS
from generator.network.models.study.networks import StudyNetwork
from generator.network.models.study.paths import STAGES, PathNetwork
from generator.network.models.study.stacks import StackNetwork, stack_taps
from generator.network.network import Tap

PREFIX = STUDY
STUDY_WIDTH, STUDY_SIDE = 8, 16  # channels of the first stage, px
OUTPUTS = 44
STACKS = ("stack", "stack resumed", "stack resumed with blocks", "stack without hidden norm")
STUDY_KINDS = ("plain", "residual", *DESIGNS, *STACKS)  # and paths…-cost…
_NAME = re.compile(r"(?P<kind>.+)-(?P<depth>\d+)(?:-w(?P<width>\d+)-s(?P<side>\d+))?")
_PATHS = re.compile(r"paths(\d+)-cost(\d+)")


def network(kind: str, depth: int, width: int, side: int, outputs: int) -> nn.Module:
    """The module of one kind, (B, 3, side, side) → (B, outputs). Raises AtlasError for an unknown kind."""
    if kind in ("plain", "residual"):
        return StudyNetwork((depth - 2) // 6, width, outputs, residual=kind == "residual")
    if kind in DESIGNS:
        design = DESIGNS[kind]
        return StudyNetwork((depth - 2) // 6, width, outputs, make=design.make, closing=design.closing)
    if kind in STACKS:
        blocks, norm = kind.endswith("with blocks"), not kind.endswith("without hidden norm")
        return StackNetwork(width, side, outputs, blocks=blocks, norm=norm)
    if paths := _PATHS.fullmatch(kind):
        cardinality, factor = map(int, paths.groups())
        return PathNetwork((depth - 2) // (3 * STAGES), 8 * width, cardinality, factor, outputs)
    raise AtlasError("unknown kind of study network", kind, f"known: {', '.join(STUDY_KINDS)}")


def name_of(kind: str, depth: int, width: int = STUDY_WIDTH, side: int = STUDY_SIDE) -> str:
    """The model's name in the registry: `find` takes it."""
    is_default = (width, side) == (STUDY_WIDTH, STUDY_SIDE)
    return study_name(kind, depth) + ("" if is_default else f"-w{width}-s{side}")


def title_of(kind: str, depth: int) -> str:
    """The title of the network's atlas."""
    if match := _PATHS.fullmatch(kind):
        paths, factor = map(int, match.groups())
        kind = f"{paths} path{'s' if paths > 1 else ''}" + (
            f" at {factor} times the cost" if factor > 1 else ""
        )
    return f"{kind[0].upper()}{kind[1:]}, {depth} layers"


def find(name: str) -> Model:
    """The registry's entry of `study/…`; raises AtlasError for an unknown kind, or a side that does not divide 96."""
    match = _NAME.fullmatch(name.removeprefix(PREFIX))
    slug = match["kind"] if match else ""
    kinds = {study_name(kind, 0): kind for kind in STUDY_KINDS}
    kind = slug if _PATHS.fullmatch(slug) else kinds.get(study_name(slug, 0))
    if match is None or kind is None:
        known = ", ".join(kind.lower().replace(" ", "-") for kind in STUDY_KINDS)
        raise AtlasError(
            "unknown study network", name, f"write {PREFIX}KIND-DEPTH; kinds: {known}, paths4-cost1"
        )
    depth, width, side = (
        int(match["depth"]),
        int(match["width"] or STUDY_WIDTH),
        int(match["side"] or STUDY_SIDE),
    )
    if not side or demo.DEMO_SIDE % side:
        raise AtlasError(f"a study network's side must divide {demo.DEMO_SIDE}", name)
    return Model(
        name,
        f"a small network of the experiments: {kind}, {depth} layers",
        build=functools.partial(_build, kind, depth, width, side),
        taps=_taps,
        # Only `atlas experiments` trains such networks, and it trains all of them with these numbers.
        preprocessing=Preprocessing(demo.DEMO_SIDE, demo.DEMO_SIDE, demo.MEAN, demo.STD, source=PUBLISHED),
        outputs=OUTPUTS,
        rename=lambda tensor: f"network.{tensor}",
        head="network.fc.weight",
    )


class Reduced(nn.Module):
    """(B, 3, 96, 96) → (B, outputs): average pooling, then the network."""

    def __init__(self, network: nn.Module, factor: int) -> None:
        super().__init__()
        self.reduce, self.network = nn.AvgPool2d(factor), network

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.network(self.reduce(x))
        return scores


def _build(kind: str, depth: int, width: int, side: int, outputs: int) -> Reduced:
    return Reduced(network(kind, depth, width, side, outputs), demo.DEMO_SIDE // side)


def _taps(module: nn.Module) -> tuple[Tap, ...]:
    network = module.get_submodule("network")
    taps = stack_taps(network) if isinstance(network, StackNetwork) else residual_taps(network)
    return tuple(Tap(t.name, f"network.{t.path}", t.kind, t.block, t.stage) for t in taps)
