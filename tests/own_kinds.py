"""Small networks as people write them, for pictures of 32 × 32 px: each function takes the number of classes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock


class Classified(nn.Module):
    """A stem, blocks, the mean of the maps, and a linear classifier."""

    def __init__(self, blocks: list[nn.Module], channels: int, n: int, stem: nn.Module | None = None) -> None:
        super().__init__()
        self.stem = stem or nn.Conv2d(3, 8, 3, 1, 1)
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Linear(channels, n)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))


class SharedActivation(nn.Module):
    def __init__(self, channels: int, act: nn.Module) -> None:
        super().__init__()
        self.a, self.b, self.act = (
            nn.Conv2d(channels, channels, 3, 1, 1),
            nn.Conv2d(channels, channels, 3, 1, 1),
            act,
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.b(self.act(self.a(x))) + x)


def shared(n: int) -> nn.Module:
    """One activation module for all blocks: its calls have the path of the first."""
    act = nn.ReLU()
    return Classified([SharedActivation(8, act), SharedActivation(8, act)], 8, n)


class AttentionGates(nn.Module):
    """Channel and spatial attention at the end of the branch."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(channels, channels, 3, 1, 1), nn.Conv2d(channels, channels, 3, 1, 1)
        self.squeeze, self.excite = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1)
        self.where = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.b(F.relu(self.a(x)))
        mean, most = (
            self.excite(F.relu(self.squeeze(z)))
            for z in (F.adaptive_avg_pool2d(y, 1), y.amax((2, 3), keepdim=True))
        )
        y = y * torch.sigmoid(mean + most)
        y = y * torch.sigmoid(self.where(torch.cat([y.mean(1, keepdim=True), y.amax(1, keepdim=True)], 1)))
        return F.relu(x + y)


def gates(n: int) -> nn.Module:
    return Classified([AttentionGates(8), AttentionGates(8)], 8, n)


class Standardised(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        weight = weight / (weight.std((1, 2, 3), keepdim=True) + 1e-5)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class ZerosAdded(nn.Module):
    """Standardised weights, GroupNorm, SiLU, a scale per channel, dropped paths; zeros are the channels that lack."""

    def __init__(self, channels: int, planes: int, stride: int) -> None:
        super().__init__()
        self.c1, self.c2 = Standardised(channels, planes, 3, stride, 1), Standardised(planes, planes, 3, 1, 1)
        self.n1, self.n2 = nn.GroupNorm(4, planes), nn.GroupNorm(4, planes)
        self.more, self.stride = (planes - channels) // 2, stride
        self.scale = nn.Parameter(torch.full((planes, 1, 1), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        y = self.n2(self.c2(F.silu(self.n1(self.c1(x))))) * self.scale
        if self.more or self.stride > 1:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.more, self.more))
        return F.silu(x + F.dropout(y, 0.5, self.training))


def zeros(n: int) -> nn.Module:
    return Classified([ZerosAdded(8, 8, 1), ZerosAdded(8, 16, 2), ZerosAdded(16, 16, 1)], 16, n)


class Split(nn.Module):
    """The parts of a split map are added one to the next inside the branch."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter, self.leave = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)
        self.parts = nn.ModuleList(nn.Conv2d(channels // 4, channels // 4, 3, 1, 1) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        first, *rest = torch.chunk(F.relu(self.enter(x)), 4, 1)
        outputs, y = [first], None
        for part, convolution in zip(rest, self.parts, strict=True):
            y = F.relu(convolution(part if y is None else part + y))
            outputs.append(y)
        return F.relu(self.leave(torch.cat(outputs, 1)) + x)


def split(n: int) -> nn.Module:
    return Classified([Split(8), Split(8)], 8, n)


class Residual(nn.Module):
    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, x: Tensor) -> Tensor:
        return self.inside(x) + x


def mixer(n: int) -> nn.Module:
    """A convolution between every two additions: no channel goes on from one block to the next."""

    def part() -> nn.Module:
        depthwise = nn.Sequential(nn.Conv2d(8, 8, 5, padding=2, groups=8), nn.GELU(), nn.BatchNorm2d(8))
        return nn.Sequential(Residual(depthwise), nn.Conv2d(8, 8, 1), nn.GELU(), nn.BatchNorm2d(8))

    stem = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.GELU(), nn.BatchNorm2d(8))
    return Classified([part(), part()], 8, n, stem)


class ChannelsLast(nn.Module):
    """A depthwise convolution, then a norm and linear layers over channels that stand last."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.wide, self.narrow = nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, channels)
        self.gamma = nn.Parameter(torch.full((channels,), 0.3))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.gamma * self.narrow(F.gelu(self.wide(y)))
        return x + y.permute(0, 3, 1, 2)


def channels_last(n: int) -> nn.Module:
    return Classified([ChannelsLast(8), nn.Conv2d(8, 12, 2, 2), ChannelsLast(12), ChannelsLast(12)], 12, n)


class Inverted(nn.Module):
    def __init__(self, channels: int, planes: int, stride: int) -> None:
        super().__init__()
        self.adds = stride == 1 and channels == planes
        self.wide, self.deep = nn.Conv2d(channels, 16, 1), nn.Conv2d(16, 16, 3, stride, 1, groups=16)
        self.narrow = nn.Conv2d(16, planes, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.narrow(F.hardswish(self.deep(F.relu6(self.wide(x)))))
        return x + y if self.adds else y


def inverted(n: int) -> nn.Module:
    return Classified([Inverted(8, 12, 2), Inverted(12, 12, 1), Inverted(12, 12, 1)], 12, n)


class Outputs(nn.Module):
    """A dictionary of outputs, the scores first; a convolution with a weight norm."""

    def __init__(self, n: int) -> None:
        super().__init__()
        start = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 8, 3))
        self.net = Classified([BasicBlock(8, 8)], 8, n, nn.Sequential(start, nn.LeakyReLU(0.1)))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        scores = self.net(x)
        return {"scores": scores, "probabilities": scores.softmax(1)}


def outputs(n: int) -> nn.Module:
    return Outputs(n)


class TokensFirst(nn.Module):
    """Attention over positions with torch's module, whose batch is the second axis; then numbers written into a part
    of a map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv, self.attention = nn.Conv2d(channels, channels, 3, 1, 1), nn.MultiheadAttention(channels, 2)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        tokens = self.conv(x).flatten(2).permute(2, 0, 1)  # (H · W, B, C)
        tokens, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        maps = tokens.permute(1, 2, 0).reshape(batch, channels, height, width)
        maps[:, : channels // 2] += x[:, channels // 2 :]
        return F.relu_(maps + x)


def tokens(n: int) -> nn.Module:
    return Classified([TokensFirst(8), TokensFirst(8)], 8, n)


def unshuffled(n: int) -> nn.Module:
    """The first convolution reads four pixels as channels."""
    stem = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, 8, 3, 1, 1))
    return Classified([SharedActivation(8, nn.ReLU()), SharedActivation(8, nn.ReLU())], 8, n, stem)


class Enlarged(nn.Module):
    """Pictures are enlarged and normalised by the network itself."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1))
        self.net = Classified([SharedActivation(8, nn.ReLU())], 8, n)

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(x, size=(48, 48), mode="bilinear", align_corners=False)
        return self.net((x - self.mean) / 0.3)


def enlarged(n: int) -> nn.Module:
    return Enlarged(n)


class Coordinates(nn.Module):
    """A block that also sees where it is, with an instance norm that has running statistics."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels + 1, channels, 3, 1, 1)
        self.norm = nn.InstanceNorm2d(channels, affine=True, track_running_stats=True)

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        rows = torch.linspace(-1, 1, height).view(1, 1, height, 1).expand(batch, 1, height, width)
        return F.relu(self.norm(self.conv(torch.cat([x, rows], 1))) + x)


def coordinates(n: int) -> nn.Module:
    return Classified([Coordinates(8), Coordinates(8)], 8, n)


class GatedUnits(nn.Module):
    """A gated linear unit over channels; summed: along the rows, by an operation that the atlas has no word for."""

    def __init__(self, channels: int, summed: bool) -> None:
        super().__init__()
        self.conv, self.summed = nn.Conv2d(channels, 2 * channels, 3, 1, 1), summed

    def forward(self, x: Tensor) -> Tensor:
        y = F.glu(self.conv(x), 1)
        return x + (torch.logcumsumexp(y, 2) if self.summed else y)


def units(n: int) -> nn.Module:
    return Classified([GatedUnits(8, summed=False), GatedUnits(8, summed=True)], 8, n)
