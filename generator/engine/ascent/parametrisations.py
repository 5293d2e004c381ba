"""The parameters of an optimised picture: its pixels, or its spectrum with colours decorrelated (Lucid's `pixel` and
`fourier`; Olah et al. 2017, "Preconditioning and parameterization"). What colours have in common is known for red,
green and blue: pictures of another number of channels have independent ones.

Both define a *latent* picture, (B, C, h, w) of any real numbers with zero for mid-grey, which a sigmoid turns into
displayable sRGB in (0, 1). The map from parameters to latent picture is linear and invertible, so a regulariser may
change pixels whatever the parameters are."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch import Tensor

from generator.core.records import Size

Name = Literal["pixel", "fourier"]

# Square root of the covariance of ImageNet's colours (Lucid, lucid.optvis.param.color), scaled to the longest column.
_SPREAD = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
COLOURS = _SPREAD / np.linalg.norm(_SPREAD, axis=0).max()
NOISE = 0.03  # standard deviation of the first parameters
DARKEST = 1 / 512  # no displayable value lies closer to 0 or 1: its latent value would be infinite


class Parametrisation(Protocol):
    """How parameters, real numbers (B, …), define latent pictures."""

    def noise(self, random: np.random.Generator) -> np.ndarray:
        """The first parameters of one picture: normal, of standard deviation NOISE."""

    def latent(self, parameters: Tensor) -> Tensor:
        """The latent pictures of parameters, (B, …) → (B, C, h, w)."""

    def parameters(self, latent: Tensor) -> Tensor:
        """The parameters of latent pictures, (B, C, h, w) → (B, …)."""


class Pixel:
    """The parameters are the latent picture itself."""

    def __init__(self, size: Size, channels: int = 3) -> None:
        self.shape = (channels, *size)

    def noise(self, random: np.random.Generator) -> np.ndarray:
        return NOISE * random.standard_normal(self.shape)

    def latent(self, parameters: Tensor) -> Tensor:
        return parameters

    def parameters(self, latent: Tensor) -> Tensor:
        return latent


class Fourier:
    """The parameters are the Fourier coefficients of the channels, of three colours decorrelated. The picture's
    coefficients are these times 1/frequency (1/n at least, n the longer side): without that factor, steps of equal size
    would mostly add fine structure.

    (B, 2, C, h, w // 2 + 1): real and imaginary part.
    """

    def __init__(self, size: Size, channels: int = 3) -> None:
        self.size, self.channels = size, channels
        self.mix = COLOURS if channels == 3 else np.eye(channels)
        height, width = size
        rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
        frequency = np.sqrt(rows**2 + columns**2)
        # Lucid: 1 / frequency × side, and a quarter of it, "to match the other parametrisations' scale". The inverse
        # transform divides by height × width: of a rectangle the side is the root of that.
        side = height if height == width else (height * width) ** 0.5
        self.scale = side / np.maximum(frequency, 1 / max(size)) / 4

    def noise(self, random: np.random.Generator) -> np.ndarray:
        height, width = self.size
        return NOISE * random.standard_normal((2, self.channels, height, width // 2 + 1))

    def latent(self, parameters: Tensor) -> Tensor:
        scale = torch.as_tensor(self.scale, dtype=parameters.dtype, device=parameters.device)
        spectrum = torch.complex(parameters[:, 0], parameters[:, 1]) * scale
        colours = torch.fft.irfft2(spectrum, s=self.size)  # (B, C, h, w), decorrelated
        mix = torch.as_tensor(self.mix, dtype=parameters.dtype, device=parameters.device)
        return torch.einsum("bchw,dc->bdhw", colours, mix)

    def parameters(self, latent: Tensor) -> Tensor:
        scale = torch.as_tensor(self.scale, dtype=latent.dtype, device=latent.device)
        unmix = torch.as_tensor(np.linalg.inv(self.mix), dtype=latent.dtype, device=latent.device)
        spectrum = torch.fft.rfft2(torch.einsum("bchw,dc->bdhw", latent, unmix)) / scale
        return torch.stack([spectrum.real, spectrum.imag], 1)


def parametrisation(name: Name, size: Size, channels: int) -> Parametrisation:
    """The parametrisation of this name for pictures of this height and width."""
    return Fourier(size, channels) if name == "fourier" else Pixel(size, channels)


def quick_side(name: Name, side: int) -> int:
    """The least side in px, from `side` on, that the parametrisation's transforms are quick for: 72 px take half as
    long as 67."""
    return int(next_fast_len(side, real=True)) if name == "fourier" else side


def displayable(latent: Tensor) -> Tensor:
    """Latent pictures → sRGB in (0, 1)."""
    return latent.sigmoid()


def latent_of(pictures: Tensor) -> Tensor:
    """sRGB in [0, 1] → the latent pictures that show it; values within DARKEST of black or white are moved away."""
    return pictures.clamp(DARKEST, 1 - DARKEST).logit()
