"""What is added at the strongest units of a residual block: the shortcut's and the branch's value at each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from generator.core.records import TOP
from generator.engine.scan.top_units import TopUnits

# Further values of units, (U, n) float32, from their picture's index in the batch, channel, row and column.
Further = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class BlockUnits:
    """Units among the top nine of a block's channels that lie in a batch's pictures, (U,) each. picture: its index in
    the batch; slot: its rank, from 0; channel, row, column: in the block's map (int64); value: of the unit, float32."""

    picture: Tensor
    channel: Tensor
    slot: Tensor
    row: Tensor
    column: Tensor
    value: Tensor


class UnitParts:
    """A list of the k strongest pictures of each of C channels as TopUnits has it, with P values of each unit: those of
    maps at the unit, and further ones. Memory: (16 + 4 P) k C bytes."""

    def __init__(
        self,
        channels: int,
        parts: int,
        k: int = TOP,
        device: torch.device | str = "cpu",
        *,
        signed: bool = False,
    ) -> None:
        self.top = TopUnits(channels, k, device, signed=signed)
        self._parts = torch.zeros(channels, k, parts, device=device)

    def update(
        self,
        maps: Tensor,
        images: Tensor,
        row_maxima: Tensor | None,
        parts: Sequence[Tensor],
        further: Sequence[Further] = (),
    ) -> None:
        """Add a batch. maps, images, row_maxima: see TopUnits.update, the images ascending; parts: maps of the same
        shape, whose values are kept; further: gives more values of a unit."""
        before = self.top.keys.clone()
        self.top.update(maps, images, row_maxima)
        keys = self.top.keys
        same = (
            keys[:, :, None] == before[:, None, :]
        )  # (C, k, k): all keys differ, but for those of empty entries
        new = ~same.any(2) & (keys > 0)
        on_cpu = keys.device.type == "cpu"
        if on_cpu and not new.any():
            return
        # Of channels whose list stays as it is nothing moves.
        moved = new.any(1).nonzero()[:, 0] if on_cpu else slice(None)
        kept, stayed = self._parts[moved], same[moved].to(torch.uint8).argmax(2)[:, :, None]
        self._parts[moved] = kept.gather(1, stayed.expand_as(kept)).masked_fill(
            (keys[moved] == 0)[:, :, None], 0
        )
        # On a GPU all entries are looked up: the host would have to wait to learn which are new.
        channel, slot = new.nonzero(as_tuple=True) if on_cpu else _all(new)
        picture = torch.searchsorted(images, self.top.images[channel, slot]).clamp_(max=len(images) - 1)
        place, width = self.top.places[channel, slot], maps.shape[3]
        values = _values(parts, further, (picture, channel, place // width, place % width))
        is_new = new[channel, slot][:, None]
        self._parts[channel, slot] = torch.where(is_new, values, self._parts[channel, slot])

    def enter(
        self, units: BlockUnits, images: Tensor, parts: Sequence[Tensor], further: Sequence[Further] = ()
    ) -> None:
        """Add known units of a batch. images: (n,) int64; parts: maps (n, C, H, W), whose values are kept; further:
        gives more values of a unit."""
        device, (channels, k, _) = self._parts.device, self._parts.shape
        moved = [x.to(device) for x in (units.picture, units.channel, units.slot, units.row, units.column)]
        picture, channel, slot, row, column = moved
        keys = torch.zeros(channels, k, dtype=torch.int64, device=device)
        keys[channel, slot] = self.top.keys_of(units.value.to(device), images.to(device)[picture])
        places = torch.zeros_like(keys)
        places[channel, slot] = row * parts[0].shape[3] + column
        values = torch.zeros_like(self._parts)
        values[channel, slot] = _values(parts, further, (picture, channel, row, column))
        self._take(keys, places, values)

    def merge(self, other: UnitParts) -> None:
        """Add the lists of other pictures; the result is the same in any order."""
        self._take(other.top.keys, other.top.places, other._parts.to(self._parts.device))

    def _take(self, keys: Tensor, places: Tensor, parts: Tensor) -> None:
        chosen = self.top.take(keys, places)[:, :, None].expand_as(self._parts)
        both = torch.cat([self._parts, parts], 1)
        self._parts = both.gather(1, chosen).masked_fill((self.top.keys == 0)[:, :, None], 0)

    def at(self, images: np.ndarray, chosen: slice = slice(None)) -> np.ndarray:
        """The values, all P or those chosen, at the units of these pictures, (C, n) int64, all of them in the lists →
        (C, n, P) float32; NaN where the picture is −1."""
        own, parts = self.top.images.cpu().numpy(), self._parts[:, :, chosen].cpu().numpy()
        same = own[:, None, :] == images[:, :, None]  # (C, n, k)
        known = images >= 0
        if not same.any(2)[known].all():
            raise AssertionError("the list of units is not that of the scan")
        found = np.take_along_axis(parts, same.argmax(2)[:, :, None], 1)
        return np.where(known[:, :, None], found, np.float32(np.nan))

    def arrays(self) -> dict[str, np.ndarray]:
        """The whole state, for from_arrays."""
        return {**self.top.arrays(), "parts": self._parts.cpu().numpy()}

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, np.ndarray], device: torch.device | str = "cpu", *, signed: bool = False
    ) -> UnitParts:
        """The lists that `arrays` were made of."""
        channels, k, parts = arrays["parts"].shape
        made = cls(channels, parts, k, device, signed=signed)
        made.top = TopUnits.from_arrays(arrays, device, signed=signed)
        made._parts = torch.tensor(arrays["parts"], device=device)
        return made


def _values(
    parts: Sequence[Tensor], further: Sequence[Further], units: tuple[Tensor, Tensor, Tensor, Tensor]
) -> Tensor:
    """The P values of units, (U, P)."""
    values = torch.stack([part[units] for part in parts], 1)
    return torch.cat([values, *(of_units(*units) for of_units in further)], 1)


def _all(entries: Tensor) -> tuple[Tensor, Tensor]:
    """Channel and slot of every entry of a list, (C · k,) each."""
    channels, k = entries.shape
    number = torch.arange(channels * k, device=entries.device)
    return number // k, number % k
