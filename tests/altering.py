"""Altering single arrays of an atlas, as tests do that plant an answer or a fault."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from generator.core.store import Store


def alter_layer(
    store: Store, layer: str, changes: Mapping[str, np.ndarray], product: str = "statistics"
) -> None:
    """Set arrays of a layer, each in the product that holds it; new ones are added to `product`."""
    left = dict(changes)
    for name in store.arrays.products(layer):
        arrays = store.arrays.layer(layer, name)
        if own := {key: left.pop(key) for key in arrays if key in left}:
            store.arrays.write_layer(layer, name, arrays | own)
    if left:
        there = store.arrays.layer(layer, product) if product in store.arrays.products(layer) else {}
        store.arrays.write_layer(layer, product, there | left)
