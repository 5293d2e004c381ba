"""The parameters of an optimised picture: its pixels, or its spectrum with colours decorrelated (Lucid's `pixel` and
`fourier`; Olah et al. 2017, "Preconditioning and parameterization").

Both define a *latent* picture, (B, 3, n, n) of any real numbers with zero for mid-grey, which a sigmoid turns into
displayable sRGB in (0, 1). The map from parameters to latent picture is linear and invertible, so a regulariser may
change pixels whatever the parameters are."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

Name = Literal["pixel", "fourier"]

# Square root of the covariance of ImageNet's colours (Lucid, lucid.optvis.param.color), scaled to the longest column.
_SPREAD = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
COLOURS = _SPREAD / np.linalg.norm(_SPREAD, axis=0).max()
NOISE = 0.01  # standard deviation of the first parameters
DARKEST = 1 / 512  # no displayable value lies closer to 0 or 1: its latent value would be infinite


class Parametrisation(Protocol):
    """How parameters, real numbers (B, …), define latent pictures of `side` px."""

    def noise(self, random: np.random.Generator) -> np.ndarray:
        """The first parameters of one picture: normal, of standard deviation NOISE."""

    def latent(self, parameters: Tensor) -> Tensor:
        """The latent pictures of parameters, (B, …) → (B, 3, n, n)."""

    def parameters(self, latent: Tensor) -> Tensor:
        """The parameters of latent pictures, (B, 3, n, n) → (B, …)."""


class Pixel:
    """The parameters are the latent picture itself."""

    def __init__(self, side: int) -> None:
        self.side = side

    def noise(self, random: np.random.Generator) -> np.ndarray:
        return NOISE * random.standard_normal((3, self.side, self.side))

    def latent(self, parameters: Tensor) -> Tensor:
        return parameters

    def parameters(self, latent: Tensor) -> Tensor:
        return latent


class Fourier:
    """The parameters are the Fourier coefficients of three decorrelated colours. The picture's coefficients are these
    times 1/frequency (1/n at least): without that factor, steps of equal size would mostly add fine structure.

    (B, 2, 3, n, n // 2 + 1): real and imaginary part.
    """

    def __init__(self, side: int) -> None:
        self.side = side
        rows, columns = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :]
        frequency = np.sqrt(rows**2 + columns**2)
        # Lucid: 1 / frequency × side, and a quarter of it, "to match the other parametrisations' scale".
        self.scale = side / np.maximum(frequency, 1 / side) / 4

    def noise(self, random: np.random.Generator) -> np.ndarray:
        return NOISE * random.standard_normal((2, 3, self.side, self.side // 2 + 1))

    def latent(self, parameters: Tensor) -> Tensor:
        scale = torch.as_tensor(self.scale, dtype=parameters.dtype, device=parameters.device)
        spectrum = torch.complex(parameters[:, 0], parameters[:, 1]) * scale
        colours = torch.fft.irfft2(spectrum, s=(self.side, self.side))  # (B, 3, n, n), decorrelated
        mix = torch.as_tensor(COLOURS, dtype=parameters.dtype, device=parameters.device)
        return torch.einsum("bchw,dc->bdhw", colours, mix)

    def parameters(self, latent: Tensor) -> Tensor:
        scale = torch.as_tensor(self.scale, dtype=latent.dtype, device=latent.device)
        unmix = torch.as_tensor(np.linalg.inv(COLOURS), dtype=latent.dtype, device=latent.device)
        spectrum = torch.fft.rfft2(torch.einsum("bchw,dc->bdhw", latent, unmix)) / scale
        return torch.stack([spectrum.real, spectrum.imag], 1)


def parametrisation(name: Name, side: int) -> Parametrisation:
    """The parametrisation of this name for pictures of `side` px."""
    return Fourier(side) if name == "fourier" else Pixel(side)


def displayable(latent: Tensor) -> Tensor:
    """Latent pictures → sRGB in (0, 1)."""
    return latent.sigmoid()


def latent_of(pictures: Tensor) -> Tensor:
    """sRGB in [0, 1] → the latent pictures that show it; values within DARKEST of black or white are moved away."""
    return pictures.clamp(DARKEST, 1 - DARKEST).logit()
