"""The strongest pictures of every channel of a layer, streamed.

A picture's score for a channel is the largest value of the channel's map, at one unit. Ties go to the lower picture
index, within a map to the lower row, then the lower column (arXiv:1701.02362 keeps nine such pictures). Behind a ReLU
only scores above zero are kept, so a dead channel's list stays empty; in a signed layer every score counts.

Score and index are packed into one int64 key (positive floats have the order of their bits, negative ones the reverse).
All keys differ, so the k largest are the same set in any order of the pictures: batches, processes and resumed runs end
with the same bits."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from generator.core.records import TOP
from generator.engine.loops.compiled import loops

_INDICES = 2**31 - 1  # the largest picture index
# Added to a signed score's order, so that every key is above zero: zero marks an empty entry.
_LOWEST = 2**31


class TopUnits:
    """The k strongest pictures of each of C channels; signed: whether scores of zero and below count. Memory: 16 k C
    bytes."""

    def __init__(
        self, channels: int, k: int = TOP, device: torch.device | str = "cpu", *, signed: bool = False
    ) -> None:
        self.k, self.signed = k, signed
        self._key = torch.zeros(channels, k, dtype=torch.int64, device=device)  # descending; 0: empty
        self._place = torch.zeros(channels, k, dtype=torch.int64, device=device)  # row * width + column
        self._device = torch.device(device)

    @property
    def channels(self) -> int:
        """C."""
        return len(self._key)

    @property
    def keys(self) -> Tensor:
        """(C, k) int64, descending, all different but for the 0 of empty entries."""
        return self._key

    @property
    def values(self) -> Tensor:
        """(C, k) float32 scores, descending; 0 where there is no picture."""
        if not self.signed:
            return (self._key >> 32).to(torch.int32).view(torch.float32)
        order = ((self._key >> 31) - _LOWEST).to(torch.int32)
        return torch.where(self._key > 0, _mirrored(order).view(torch.float32), 0.0)

    @property
    def images(self) -> Tensor:
        """(C, k) int64 picture indices; −1 where there is no picture."""
        return torch.where(self._key > 0, _INDICES - (self._key & 0x7FFFFFFF), -1)

    @property
    def places(self) -> Tensor:
        """(C, k) int64 positions of the maxima: row × width + column."""
        return self._place

    def update(
        self,
        maps: Tensor,
        images: Tensor,
        row_maxima: Tensor | None = None,
        places: Tensor | None = None,
    ) -> Tensor:
        """Add a batch; returns the pictures' scores (B, C).

        maps: (B, C, H, W), fastest where channels_last; images: (B,) int64 indices, each given at most once to this
        object; row_maxima: (B, H, C), the largest value of every row, and places: (B, C) from `places_of`, if the
        caller has them.
        """
        maps = maps.permute(0, 2, 3, 1)  # (B, H, W, C)
        if row_maxima is None:
            row_maxima = maps.amax(2)
        maxima = row_maxima.amax(1)
        scores = maxima.float()
        keys = self.keys_of(scores, images[:, None]).T  # (C, B)
        if self._device.type == "cpu" and maps.dtype == torch.float32 and (compiled := loops()) is not None:
            arrays = (part.contiguous().numpy() for part in (maps, row_maxima, keys.T))
            compiled.enter(*arrays, self._key.numpy(), self._place.numpy())
        elif self._device.type == "cpu":
            self._take_few(maps, row_maxima, keys)
        else:
            self._take_all(_places(maps, row_maxima) if places is None else places, keys)
        return maxima

    def keys_of(self, scores: Tensor, images: Tensor) -> Tensor:
        """int64, larger for the stronger; 0 for scores that do not count. images: of the scores' shape, or spread over
        it."""
        if not self.signed:
            bits = scores.contiguous().view(torch.int32).to(torch.int64)
            return torch.where(scores > 0, (bits << 32) | (_INDICES - images), 0)
        bits = (scores + 0.0).contiguous().view(torch.int32)  # −0 becomes 0, which it equals
        return ((_mirrored(bits).to(torch.int64) + _LOWEST) << 31) | (_INDICES - images)

    def _take_few(self, maps: Tensor, row_maxima: Tensor, keys: Tensor) -> None:
        """Look for positions only where a picture enters a list, which is rare once the lists are full."""
        lists = (keys > self._key[:, -1:]).any(1).nonzero()[:, 0]
        if not len(lists):
            return
        best, chosen = torch.cat([self._key[lists], keys[lists]], 1).topk(self.k, 1)
        place = self._place[lists].gather(1, chosen.clamp(max=self.k - 1))
        place[best == 0] = 0
        line, slot = ((chosen >= self.k) & (best > 0)).nonzero(as_tuple=True)
        picture, channel = chosen[line, slot] - self.k, lists[line]
        row = first_largest(row_maxima[picture, :, channel], 1)
        column = first_largest(maps[picture, row, :, channel], 1)
        place[line, slot] = row * maps.shape[2] + column
        self._key[lists], self._place[lists] = best, place

    def _take_all(self, places: Tensor, keys: Tensor) -> None:
        """As `_take_few`, with the positions in all pictures.

        Nothing is copied from the device: the host would have to wait for it."""
        best, chosen = torch.cat([self._key, keys], 1).topk(self.k, 1)
        self._place = torch.cat([self._place, places.T], 1).gather(1, chosen) * (best > 0)
        self._key = best

    def merge(self, other: TopUnits) -> None:
        """Add the lists of other pictures; the result is the same in any order."""
        self.take(other._key, other._place)

    def take(self, keys: Tensor, places: Tensor) -> Tensor:
        """Add known entries, (C, n) each, of key 0 for none; returns where each entry of the lists now comes from, (C,
        k): of the k old ones and these, side by side."""
        self._key, chosen = torch.cat([self._key, keys.to(self._device)], 1).topk(self.k, 1)
        places = torch.cat([self._place, places.to(self._device)], 1)
        self._place = places.gather(1, chosen) * (self._key > 0)
        return chosen

    def arrays(self) -> dict[str, np.ndarray]:
        """The whole state, for from_arrays."""
        return {"key": self._key.cpu().numpy(), "place": self._place.cpu().numpy()}

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, np.ndarray], device: torch.device | str = "cpu", *, signed: bool = False
    ) -> TopUnits:
        """The lists that `arrays` were made of."""
        channels, k = arrays["key"].shape
        top = cls(channels, k, device, signed=signed)
        top._key = torch.tensor(arrays["key"], device=device)
        top._place = torch.tensor(arrays["place"], device=device)
        return top


def places_of(maps: Tensor, row_maxima: Tensor, pictures: Tensor) -> Tensor:
    """The place of the first maximum of some pictures' maps, row × width + column, (n, C) int64.

    maps: (B, C, H, W), fastest where channels_last; row_maxima: (B, H, C); pictures: (n,) int64, which of the B."""
    maps = maps.permute(0, 2, 3, 1)  # (B, H, W, C)
    if maps.device.type == "cpu" and maps.dtype == torch.float32 and (compiled := loops()) is not None:
        places = torch.empty(len(pictures), maps.shape[3], dtype=torch.int64)
        arrays = (part.contiguous().numpy() for part in (maps, row_maxima, pictures, places))
        compiled.locate(*arrays)
        return places
    pictures = pictures.to(maps.device)
    return _places(maps[pictures], row_maxima[pictures])


def _places(maps: Tensor, row_maxima: Tensor) -> Tensor:
    """The same of all pictures; maps: (B, H, W, C)."""
    batch, _, width, channels = maps.shape
    row = first_largest(row_maxima, 1)  # (B, C)
    chosen_rows = maps.gather(1, row[:, None, None].expand(batch, 1, width, channels))[:, 0]  # (B, W, C)
    return row * width + first_largest(chosen_rows, 1)


def _mirrored(bits: Tensor) -> Tensor:
    """Bits of floats → integers (int32) in the floats' order, and back: it is its own inverse."""
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


def first_largest(values: Tensor, dim: int) -> Tensor:
    """The first index of the largest value along a dimension. torch.argmax does not promise which of several equal
    values it returns."""
    size = values.shape[dim]
    # Floats count exactly up to 2^24, and torch finds their maximum several times as fast as that of integers.
    left = torch.arange(size, 0, -1, device=values.device, dtype=torch.float32)
    left = left.view(-1, *[1] * (values.dim() - dim - 1))
    # A NaN equals nothing; the scan raises on it afterwards.
    weighted = (values == values.amax(dim, keepdim=True)) * left
    return (size - weighted.amax(dim)).to(torch.int64).clamp_(max=size - 1)
