"""The atlas folder. Only this package builds paths into it, and reads and writes its files.

    manifest.json  images.csv  channels.csv
    layers/<layer>/<product>.npz   the numbers of a layer's channels, one file per product (arrays.py lists them)
    scores/<layer>.npy      (N, C) float32: every picture's score for every channel (a sample of pictures where many)
    scan.json               what the scan used: pictures read and skipped
    predictions.npz         output (N,) int32, score (N,) float32: each picture's strongest output of the network
    classes.csv             the pictures' classes, each with its group in the hierarchy
    halves.csv              which pictures a channel's best class is chosen on, and which it is measured on
    classes.json            what holds of all classes
    categories.json, categories.npz   the classes and groups of classes, and the channels that are found for each
    label_range.json        how far labels agree along the channels' ranges, and by chance
    machine_score.json      how well a machine tells strong pictures from weak ones, and by chance
    relations.json          how far layers correspond
    refinement.json         what stages refine
    matches/<a>--<b>.npz    the best matches of every channel of two layers, in both directions
    connections.json        the layers that read each layer, and those that the blocks' branches begin at
    feeds.json              what the two sides of every residual block read
    stream.json             the readings in the residual stream, block by block
    stream_optimised.json   the same at optimised pictures, where the profile asks for them
    effects.json            the classes whose outputs were traced back, and how many pictures each has
    contributions/<layer>.npy   (2, R, C) float32: the mean contribution of every channel to every class, and the reach
                            of its interval
    zooms.json              the responses to enlarged and reduced pictures, block by block
    scale_truth.json        drawn pictures alone: the measures of scale invariance against the true sizes
    sprites/<layer>/<channel>.webp   thumbs/<layer>.webp   pictures/<index>.webp
    randomisation.json                      gradients of some units with random weights in place of the learnt ones
    path_check.json                         what optimised and natural pictures activate in the layers below
    rules.json, rules/<layer>-<kind>.webp   the gradient rules next to each other, for a few channels
    embedding/              features.npy (M, F): the vector before the classifier of each picture of the map; map.npz:
                            their positions; embedding.json: its settings and quality; thumbs.webp: the pictures, small
    optimised/<layer>/<channel>.webp   a channel's optimised picture; optimised/<layer>.webp: thumbnails of a layer's
    kernels/<layer>.webp    the first convolution's kernels as pixels
    deepdream/index.json    the dreams: of which pictures and layers, in which files, with which settings
    deepdream/<key>.webp, <key>.json   a dream, named by what it was made from, and its numbers; <key>-start.webp
    first_layers/index.json   the first layers that one page compares, the network's own first; of each
    first_layers/<n>.npz      its kernels and their numbers, and as pixels <n>.webp, <n>-common.webp, <n>-planes.webp
    live/                   where the profile asks for it, what the page Your picture needs: network.onnx, the network
                            as it runs in a browser; live.json, what that changes, and what the network says of one
                            picture; pictures/<index>.webp, some pictures without loss
    architecture.json       the network's volumes, operations and costs (blueprint.py)
    keys.json               fingerprints of what each stage was made from
    SHA256SUMS              of every file, for `sha256sum -c` and `atlas verify`
    .inputs.json            where the inputs lie on this machine, for `atlas verify`; never published
    .cache/                 what a rendering keeps for the next one; no part of the atlas
    work/                   what an interrupted run needs to resume, and the decoded pixels; removed when all is done

Every file is written next to its final name and then renamed, so that a reader never sees half of one.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from generator.core.store.arrays import FOCUS, Arrays
from generator.core.store.folder import INPUT_PATHS, AtlasFolder
from generator.core.store.pictures import Pictures
from generator.core.store.tables import Tables
from generator.core.store.work import Work, fingerprint

__all__ = [
    "FOCUS",
    "INPUT_PATHS",
    "Arrays",
    "AtlasFolder",
    "Pictures",
    "Store",
    "Tables",
    "Work",
    "fingerprint",
]


class Store(AtlasFolder):
    """One atlas folder, with a part for each kind of file.

    tables: CSV and JSON; arrays: NumPy files; pictures: encoded pictures; work: what an interrupted run left.
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder)
        self.tables = Tables(self.folder)
        self.arrays = Arrays(self.folder)
        self.pictures = Pictures(self.folder)
        self.work = Work(self.folder)

    def write_first_layers(self, files: Mapping[str, bytes | Mapping[str, np.ndarray]], index: Any) -> None:
        """Write the files of all first layers, by name (pictures as bytes, numbers as arrays), and their list last;
        remove every other file of that folder."""
        self.arrays.keep_first_layers({"index.json", *files})
        for name, content in files.items():
            if isinstance(content, bytes):
                self.pictures.write(self.arrays.first_layer_path(name), content)
            else:
                self.arrays.write_first_layer(name, content)
        self.tables.write_json("first_layers/index.json", index)

    def tidy(self, layers: Sequence[str], *, patches: bool) -> None:
        """Remove the files of layers that are not in the atlas any more, and what killed runs left half-written.

        patches: whether the pictures that patches are cut from are part of the atlas; if not, they are removed too.
        """
        self.arrays.keep_layers(layers)
        self.pictures.keep_layers(layers)
        if not patches:
            self.drop_folder("pictures")
        for path in self.folder.rglob(".*.tmp"):
            path.unlink(missing_ok=True)

    def clear_tiles(self, *, pictures: bool = True) -> None:
        """Remove tiles that were made from other inputs, and by default the pictures they were cut from."""
        self.work.clear_tiles()
        if pictures:
            shutil.rmtree(self.folder / "pictures", ignore_errors=True)
