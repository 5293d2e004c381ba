"""1 × 1 convolutions backwards, by oneDNN and without it, against their product in float64."""

from __future__ import annotations

import pytest
import torch

from generator.engine.gradients import transposed
from generator.engine.gradients.transposed import TransposedConvolution
from generator.network.ops import Step
from generator.network.windows import Window


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("has_linear", [True, False])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_product_is_the_transposed_convolution(dtype, has_linear, stride, monkeypatch):
    if not has_linear:
        monkeypatch.setattr(transposed, "_has_linear", lambda: False)
    torch.manual_seed(0)
    weight = torch.randn(48, 12, 1, 1, dtype=torch.float64).to(dtype)
    gradient = torch.randn(3, 5, 7, 48, dtype=torch.float64).to(dtype)
    step = Step("conv", (0,), "x", weight=weight, kernel=1, stride=stride)
    out = Window(1, 0, 5), Window(1, 0, 7)
    into = Window(1, 0, 5 * stride), Window(1, 0, 7 * stride)
    value, place = TransposedConvolution(step)(gradient, out, into)
    assert place == (slice(0, 4 * stride + 1, stride), slice(0, 6 * stride + 1, stride))
    right = torch.einsum("uhwo,oi->uhwi", gradient.double(), weight[:, :, 0, 0].double())
    error = {torch.float32: 1e-5, torch.float64: 1e-13, torch.bfloat16: 0.03}[dtype]
    assert value.dtype == dtype
    torch.testing.assert_close(value.double(), right, rtol=error, atol=10 * error)
