"""A map of the pictures for drawn atlases: what the map page's tests look at."""

from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from make_small_atlas import CLASSES, draw_picture

from generator.core.records import PictureRecord
from generator.core.sprites import THUMB, mosaic, shrink, thumb_columns, webp
from generator.core.store import Store
from generator.methods import embedding

SMALL = Path(__file__).parent / "small_atlas"


def mapped_copy(folder: Path, *, publish: bool = True) -> Store:
    """The small atlas with a map: vectors near each other where the class is the same."""
    shutil.copytree(SMALL, folder)
    store = Store(folder)
    records = store.tables.images()
    random = np.random.default_rng(0)
    kind = np.array([record.label_id for record in records])
    features = (4 * np.eye(kind.max() + 1)[kind] + random.normal(0, 0.5, (len(kind), kind.max() + 1))).astype(
        np.float32
    )
    found = embedding.components(features)
    assert found is not None
    placed = embedding.t_sne(found.positions, perplexity=5, seed=0, exact=100)
    which, similarity = embedding.nearest(features, 9)
    tiles = [shrink(np.asarray(draw_picture(CLASSES[c], 100 + n, 96)), THUMB) for n, c in enumerate(kind)]
    arrays = {"pca": found.positions[:, :2], "tsne": placed.positions, "exact": placed.exact,
              "neighbour": which, "similarity": similarity}  # fmt: skip
    write_map(
        store,
        arrays,
        np.stack(tiles) if publish else np.zeros((0, THUMB, THUMB, 3), np.uint8),
        found.explained,
    )
    return store


def large_copy(folder: Path, count: int) -> Store:
    """The small atlas with a map of so many pictures that there never were, in forty groups."""
    shutil.copytree(SMALL, folder)
    store = Store(folder)
    random = np.random.default_rng(0)
    kind = random.integers(0, 40, count)
    store.tables.write_images(
        [
            PictureRecord(n, f"class {c}/{n:06}.jpg", c, f"class {c}", 64, 64)
            for n, c in enumerate(kind.tolist())
        ]
    )
    manifest = store.manifest()
    store.write_manifest(replace(manifest, pictures=replace(manifest.pictures, count=count)))
    middles = random.uniform(-60, 60, (40, 2))
    arrays = {
        name: (middles[kind] + random.normal(0, 5, (count, 2))).astype(np.float32) for name in ("pca", "tsne")
    }
    near = random.integers(0, count, (count, 9)).astype(np.int32)
    arrays |= {
        "exact": np.ones(count, bool),
        "neighbour": near,
        "similarity": random.random((count, 9), np.float32),
    }
    tiles = random.integers(0, 256, (2400, 1, 1, 3), np.uint8).repeat(THUMB, 1).repeat(THUMB, 2)
    write_map(store, arrays, tiles, np.array([0.2, 0.1]))
    return store


def write_map(store: Store, arrays: dict[str, np.ndarray], tiles: np.ndarray, explained: np.ndarray) -> None:
    """tiles: the pictures that stand on the sheet, evenly spaced over all."""
    count = len(arrays["pca"])
    listed = embedding.occurrences(arrays["neighbour"])
    hubness = {
        "found": asdict(embedding.spread_of(listed)),
        "chance": asdict(embedding.spread_by_chance(*arrays["neighbour"].shape)),
    }
    thumb = np.full(count, -1, np.int32)
    if len(tiles):
        thumb[np.linspace(0, count - 1, len(tiles)).round().astype(int)] = np.arange(len(tiles))
        sheet = webp(mosaic(tiles, thumb_columns(len(tiles))), 70)
        store.pictures.write(store.pictures.map_thumbs_path(), sheet)
    store.arrays.write_embedding(
        {"picture": np.arange(count, dtype=np.int32), **arrays, "listed": listed, "thumb": thumb}
    )
    store.tables.write_json(
        "embedding/embedding.json",
        {
            "vector": "avgpool", "length": 384, "averages": True, "hubness": hubness,
            "pictures": count, "precision": "fp32",
            "explained": explained.tolist(), "perplexity": 5.0, "seed": 0, "exact": int(arrays["exact"].sum()),
            "divergence": 0.5, "fitted": min(count, 7_812),
            "neighbours": arrays["neighbour"].shape[1], "scikit-learn": "1.5",
            "thumbs": {"tile": THUMB, "columns": thumb_columns(len(tiles)), "count": len(tiles)},
        },
    )  # fmt: skip
