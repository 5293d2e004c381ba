"""Modules read by torch.export whose operations are few people's: against the modules themselves."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from generator.core.errors import AtlasError
from generator.network.receptive_field import receptive_fields
from generator.network.tracing import trace


class Heads(nn.Module):
    """Attention whose heads lie on the batch's axis, with a second size read off such a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.table = nn.Conv2d(3, 24, 3, 2, 1), nn.Parameter(torch.randn(8, 5))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        batch, _, height, width = x.shape
        q = x.reshape(batch * 3, 8, height * width).transpose(1, 2)  # (3B, HW, 8)
        bias = (q.reshape(batch * 3, height, width, 8) @ self.table).reshape(-1, height, 5)
        near = bias.reshape(batch * 3, height * width, 5).sum(-1, keepdim=True)
        attended = ((q @ q.transpose(1, 2)).softmax(-1) + near) @ q
        return attended.transpose(1, 2).reshape(batch, 24, height, width)


class FirstInSequence(nn.Module):
    """The batch as the second axis."""

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).permute(2, 0, 1)  # (HW, B, C)
        doubled = tokens.reshape(tokens.shape[0], x.shape[0] * x.shape[1])
        return doubled.reshape(-1, x.shape[0], x.shape[1]).permute(1, 2, 0).sigmoid()


class Counted(nn.Module):
    """Positions as sums of truth values, of the type that is asked for."""

    def forward(self, x: Tensor) -> Tensor:
        here = ~torch.zeros(x.shape[0], *x.shape[2:], device=x.device).bool()
        return x + here.cumsum(1, dtype=torch.float32)[:, None]


@pytest.mark.parametrize(
    "module", [Heads(), FirstInSequence(), Counted()], ids=lambda module: type(module).__name__
)
@pytest.mark.parametrize("count", [1, 3])
@torch.no_grad()
def test_sizes_that_depend_on_the_batch_do_so_in_the_graph(module: nn.Module, count: int) -> None:
    module = module.double().eval()
    graph = trace(module, (16, 16)).to("cpu", torch.float64)
    pictures = torch.randn(count, 3, 16, 16, dtype=torch.float64)
    *_, (_, output) = graph.run(pictures)
    torch.testing.assert_close(output, module(pictures), rtol=1e-12, atol=1e-12)


class Squares(nn.Module):
    """Squares of 4 × 4 px become channels, by hand; then a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(48, 8, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        x = x.view(batch, channels, height // 4, 4, width // 4, 4).permute(0, 3, 5, 1, 2, 4)
        return self.conv(x.reshape(batch, channels * 16, height // 4, width // 4))


def test_squares_that_become_channels_keep_their_positions() -> None:
    """The field is where the gradient is not zero."""
    module = Squares().double().eval()
    graph = trace(module, (32, 32)).to("cpu", torch.float64)
    field = receptive_fields(graph)[-1]
    assert field is not None
    assert (field.side, field.stride, field.beyond) == (12, 4, False)
    pictures = torch.randn(2, 3, 32, 32, dtype=torch.float64, requires_grad=True)
    output = module(pictures)
    (gradient,) = torch.autograd.grad(output[1, 2, 3, 4], pictures)
    rows, columns = gradient[1].abs().sum(0).nonzero().T
    top, left, bottom, right = field.box(3, 4)
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (top, bottom, left, right)
    *_, (_, traced) = graph.run(pictures.detach())
    torch.testing.assert_close(traced, output.detach(), rtol=1e-12, atol=1e-12)


class Deciding(nn.Module):
    """Its forward decides by the numbers of the picture."""

    def forward(self, x: Tensor) -> Tensor:
        if x.max() > 1:
            x = x / x.max()
        return x


class Noisy(nn.Module):
    """Random at each call; kind: how."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.conv, self.kind = nn.Conv2d(3, 4, 3), kind

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.kind == "dropout":
            return nn.functional.dropout(x, 0.2)
        return x + (torch.randn_like(x) if self.kind == "like" else torch.rand(1, 4, 1, 1))


class TwoInputs(nn.Module):
    """Not for a picture alone."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return x * mask


class Unexportable(nn.Module):
    """Runs, but leaves torch on the way."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.from_numpy(x.numpy() * 0)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (
            Deciding(),
            r"decides by the numbers of the picture.*Deciding, .*test_tracing.py, line \d+ — .*torch.where",
        ),
        (
            Unexportable(),
            r"Unexportable, .*test_tracing.py, line \d+ — write that part with operations of torch",
        ),
        (nn.Conv2d(5, 4, 3), r"check that the module takes pictures of shape \(3, 16, 16\)"),
    ],
)
def test_what_cannot_be_written_down_is_said_in_one_sentence(
    module: nn.Module, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(AtlasError, match=message) as error:
        trace(module, (16, 16), channels=3)
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


class HandNorm(nn.Module):
    """A layer norm by hand: fixed numbers and the module's own in one sum."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(3)), nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        x = (x - x.mean(1, keepdim=True)) / torch.sqrt(x.var(1, keepdim=True) + 1e-6)
        return self.weight[:, None, None] * x + self.bias[:, None, None]


def test_random_numbers_of_training_alone_are_none() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(0.5), nn.RReLU(), nn.Dropout2d(0.5)).train()
    assert [step.op for step in trace(module, (16, 16)).steps] == ["input", "conv", "activation"]


def test_a_norm_by_hand_is_read_without_numbers() -> None:
    with torch.device("meta"):
        module = HandNorm()
    assert trace(module, (16, 16), channels=3).steps[-1].op == "affine"


class ConvolutionHead(nn.Module):
    """Scores by a 1 × 1 convolution of the pooled maps; ending: how rows and columns are left out."""

    def __init__(self, ending: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.stem, self.fc, self.ending = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 4, 1), ending

    def forward(self, x: Tensor) -> Tensor:
        return self.ending(self.fc(self.stem(x).relu().mean((2, 3), keepdim=True)))


@pytest.mark.parametrize(
    "ending",
    [
        lambda x: x[..., 0, 0],
        lambda x: x[:, :, 0, 0],
        lambda x: x.squeeze(-1).squeeze(-1),
        lambda x: x.squeeze(2).squeeze(2),
        lambda x: x.flatten(1),
        lambda x: x,
    ],
)
@torch.no_grad()
def test_a_classifier_that_is_a_convolution_is_one(ending: Callable[[Tensor], Tensor]) -> None:
    module = ConvolutionHead(ending).double().eval()
    graph = trace(module, (16, 16))
    assert graph.before_classifier() == (3, 6)
    pictures = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    *_, (_, output) = graph.to("cpu", torch.float64).run(pictures)
    torch.testing.assert_close(output, module(pictures), rtol=1e-12, atol=1e-12)


def test_fixed_numbers_and_the_modules_own_are_folded_without_numbers() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.alpha = nn.Conv2d(3, 4, 3), nn.Parameter(torch.ones(()))

        def forward(self, x: Tensor) -> Tensor:
            return 0.2 * self.alpha * self.conv(x)

    with torch.device("meta"):
        module = Scaled()
    assert [step.op for step in trace(module, (16, 16)).steps] == ["input", "conv"]
