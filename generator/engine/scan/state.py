"""What a scan has read so far: the strongest pictures and the statistics of every channel of every layer."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from generator.core.errors import AtlasError
from generator.core.records import TOP
from generator.engine.scan.histograms import Histograms, occupied
from generator.engine.scan.moments import Moments
from generator.engine.scan.plan import ScannedLayer, ScanPlan
from generator.engine.scan.top_units import TopUnits


class ScanState:
    """All that a scan has read so far. Its size does not depend on the number of pictures, and its bits do not depend
    on the order in which batches come, on the process that read them, or on where a run was interrupted."""

    def __init__(self, plan: ScanPlan, device: torch.device | str = "cpu") -> None:
        self.plan = plan
        self.tops = {
            layer.name: TopUnits(layer.channels, plan.keep, device, signed=layer.signed)
            for layer in plan.layers
        }
        self.moments = {
            layer.name: Moments(layer.channels, layer.height * layer.width, device) for layer in plan.layers
        }
        self.histograms = Histograms(plan.channels, device)  # of all layers, in the plan's order
        self.lock = threading.Lock()  # threads may add batches at the same time: their order does not matter

    @classmethod
    def empty(cls, plan: ScanPlan, device: torch.device | str = "cpu") -> ScanState:
        return cls(plan, device)

    @property
    def pictures(self) -> int:
        """How many pictures have been scanned."""
        return self.moments[self.plan.layers[0].name].pictures

    def merge(self, other: ScanState) -> None:
        """Add what another scan of the same plan read on other pictures; raises AtlasError for another plan's."""
        if other.plan != self.plan:
            raise AtlasError(
                "two parts of a scan belong to different scans", remedy="compute the atlas again"
            )
        for name in self.tops:
            self.tops[name].merge(other.tops[name])
            self.moments[name].merge(other.moments[name])
        self.histograms.merge(other.histograms)

    def histogram(self, name: str) -> dict[str, np.ndarray]:
        """How the scores of a layer's channels are spread: histogram (C, K) int32, counts of pictures, and
        histogram_bins (K, 2) float32, from where to where each bin reaches; the first holds scores of zero and below.
        """
        first = 0
        for layer in self.plan.layers:
            if layer.name == name:
                counts = self.histograms.counts[first : first + layer.channels].cpu().numpy()
                return dict(zip(("histogram", "histogram_bins"), occupied(counts), strict=True))
            first += layer.channels
        raise KeyError(name)

    def layer(self, name: str) -> dict[str, np.ndarray]:
        """A layer's numbers as the atlas folder holds them: top_value (C, 9) float32, top_image (C, 9) int32,
        top_unit (C, 9, 2) int32 row and column, and one (C,) array per statistic."""
        layer = next(layer for layer in self.plan.layers if layer.name == name)
        top = self.tops[name]
        places = top.places[:, :TOP].cpu().numpy()
        earlier = self.moments[layer.earlier] if layer.earlier else None
        statistics = self.moments[name].statistics(earlier)
        strongest = {
            "top_value": top.values[:, :TOP].cpu().numpy(),
            "top_image": top.images[:, :TOP].cpu().numpy().astype(np.int32),
            "top_unit": np.stack([places // layer.width, places % layer.width], 2).astype(np.int32),
        }
        if layer.signed:  # dead where no pictures differ: the top nine would just be the first nine pictures
            statistics["dead"] = self.moments[name].constant()
            strongest["top_image"][statistics["dead"]] = -1
        return {**strongest, **statistics}

    def arrays(self) -> dict[str, np.ndarray]:
        """The whole state as flat arrays, for from_arrays and np.savez."""
        arrays: dict[str, np.ndarray] = {"plan": np.array(json.dumps(asdict(self.plan)))}
        arrays |= {f"histograms.{key}": array for key, array in self.histograms.arrays().items()}
        for name in self.tops:
            arrays |= {f"top.{name}.{key}": array for key, array in self.tops[name].arrays().items()}
            arrays |= {f"moments.{name}.{key}": array for key, array in self.moments[name].arrays().items()}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], device: torch.device | str = "cpu") -> ScanState:
        """The state that `arrays` was made of."""
        plan: dict[str, Any] = json.loads(str(arrays["plan"]))
        state = cls(
            ScanPlan(**{**plan, "layers": tuple(ScannedLayer(**layer) for layer in plan["layers"])}), device
        )
        for name in state.tops:
            signed = state.tops[name].signed
            state.tops[name] = TopUnits.from_arrays(_below(arrays, f"top.{name}."), device, signed=signed)
            state.moments[name] = Moments.from_arrays(_below(arrays, f"moments.{name}."), device)
        state.histograms = Histograms.from_arrays(_below(arrays, "histograms."), device)
        return state


def _below(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}
