"""The pictures with the largest readings of the unit in the middle of each channel's map, streamed, each with further
readings of the same picture."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from generator.core.records import TOP
from generator.engine.loops.compiled import loops

_INDICES = 2**31 - 1  # the largest picture index


class CentreTops:
    """The k strongest pictures of each of C channels by one reading per picture, above zero only, each with P further
    readings of the same picture (`beside`). Ties go to the lower picture index. Memory: (8 + 4 P) k C bytes.

    As in top_units.py, reading and index are packed into one key: the k largest are the same set in any order of the
    pictures, and lists of different pictures can be merged.
    """

    def __init__(self, channels: int, beside: int, k: int = TOP, device: torch.device | str = "cpu") -> None:
        self.k = k
        self._key = torch.zeros(channels, k, dtype=torch.int64, device=device)  # descending; 0: empty
        self._beside = torch.zeros(channels, k, beside, device=device)

    @property
    def device(self) -> torch.device:
        """Where the lists are kept."""
        return self._key.device

    @property
    def values(self) -> Tensor:
        """(C, k) float32 readings, descending; 0 where there is no picture."""
        return (self._key >> 32).to(torch.int32).view(torch.float32)

    @property
    def images(self) -> Tensor:
        """(C, k) int64 picture indices; −1 where there is no picture."""
        return torch.where(self._key > 0, _INDICES - (self._key & 0xFFFFFFFF), -1)

    @property
    def beside(self) -> Tensor:
        """(C, k, P) float32, the further readings; NaN where there is no picture."""
        return self._beside.masked_fill((self._key == 0)[:, :, None], torch.nan)

    def update(self, readings: Tensor, beside: Tensor, images: Tensor) -> None:
        """Add pictures. readings: (B, C) float32; beside: (B, C, P); images: (B,) int64 indices, each given at most
        once to this object."""
        bits = readings.contiguous().view(torch.int32).to(torch.int64)
        keys = torch.where(readings > 0, (bits << 32) | (_INDICES - images[:, None]), 0)  # (B, C)
        if keys.device.type == "cpu" and (compiled := loops()) is not None:
            compiled.keep(
                *(x.contiguous().numpy() for x in (keys, beside)), self._key.numpy(), self._beside.numpy()
            )
        else:
            self._take(keys.T, beside.transpose(0, 1))

    def merge(self, other: CentreTops) -> None:
        """Add the lists of other pictures; the result is the same in any order."""
        self._take(other._key.to(self._key.device), other._beside.to(self._key.device))

    def _take(self, keys: Tensor, beside: Tensor) -> None:
        self._key, chosen = torch.cat([self._key, keys], 1).topk(self.k, 1)
        both = torch.cat([self._beside, beside], 1)
        place = chosen[:, :, None].expand(-1, -1, both.shape[2])
        # The readings of empty entries are zeroed, so that the state's bytes do not depend on pictures left out.
        self._beside = both.gather(1, place).masked_fill((self._key == 0)[:, :, None], 0)

    def arrays(self) -> dict[str, np.ndarray]:
        """The whole state, for from_arrays."""
        return {"key": self._key.cpu().numpy(), "beside": self._beside.cpu().numpy()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], device: torch.device | str = "cpu") -> CentreTops:
        """The lists that `arrays` were made of."""
        channels, k, beside = arrays["beside"].shape
        top = cls(channels, beside, k, device)
        top._key = torch.tensor(arrays["key"], device=device)
        top._beside = torch.tensor(arrays["beside"], device=device)
        return top
