"""The shortcut without parameters of arXiv:1512.03385, section 4.2, option A."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ZeroPadShortcut(nn.Module):
    """Every `stride`-th pixel of the input; the channels that it lacks are zero, half of them on each side."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.channels_in, self.channels_out, self.stride = channels_in, channels_out, stride

    def forward(self, x: Tensor) -> Tensor:  # (B, C_in, H, W) → (B, C_out, H / stride, W / stride)
        before = (self.channels_out - self.channels_in) // 2
        after = self.channels_out - self.channels_in - before
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, after))

    @classmethod
    def where_sizes_change(cls, channels_in: int, channels_out: int, stride: int) -> nn.Module:
        """The identity where input and output have one shape, else the padded shortcut."""
        same = channels_in == channels_out and stride == 1
        return nn.Identity() if same else cls(channels_in, channels_out, stride)
