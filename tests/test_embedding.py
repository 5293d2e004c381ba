"""The map of the pictures: its vectors against plain hooks, PCA and t-SNE against scikit-learn called directly,
neighbours against brute force; the same bytes whichever way the vectors were read."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from gradient_oracle import randomise
from interrupting import Interrupting, file_bytes, stages_at_work
from small_job import COUNT
from torch import nn

from generator.core.files import RowFile, VectorFile, write_array_atomically
from generator.core.progress import Reporter
from generator.core.store import Store
from generator.methods import embedding as method
from generator.network import models
from generator.network.tracing import trace
from generator.pictures.decoding import read_picture
from generator.stages import picture_map, profile
from generator.stages.pipeline import compute

# -- which vector --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "length"),
    [("resnet18", 512), ("resnet20-cifar", 64), ("preact_resnet50", 2048),
     pytest.param("alexnet", 4096, marks=pytest.mark.slow),
     ("densenet121", 1024), ("demo", 384), ("timm/resnetv2_50", 2048)],
)  # fmt: skip
@torch.no_grad()
def test_the_vector_is_what_the_networks_own_classifier_reads(name: str, length: int) -> None:
    if name.startswith("timm/"):
        pytest.importorskip("timm")
    module = randomise(models.load_module(name, "random")).double()
    network = models.find(name)
    classifier = [part for part in module.modules() if isinstance(part, (nn.Linear, nn.Conv2d))][-1]
    read: list[torch.Tensor] = []
    classifier.register_forward_pre_hook(lambda _m, inputs: read.append(inputs[0].clone()))
    side = 32 if "cifar" in name else 64 if name != "alexnet" else network.preprocessing.crop
    picture = torch.randn(2, 3, side, side, dtype=torch.float64)
    module(picture)
    graph = trace(module).to("cpu", torch.float64)
    found = graph.before_classifier()
    assert found is not None and found[1] == length
    assert graph.is_average(found[0]) == (name != "alexnet")
    vector = next(values.flatten(1).clone() for step, values in graph.run(picture) if step == found[0])
    torch.testing.assert_close(vector, read[0].flatten(1), rtol=1e-9, atol=1e-9)


def test_without_classifier_or_last_layer_there_is_no_vector() -> None:
    network = models.load("resnet20-cifar", "random")
    assert network.last_vector is not None
    assert network.keep(["res4c"]).last_vector == network.last_vector
    assert network.keep(["res4c_branch2b"]).last_vector == network.last_vector
    assert network.keep(["res4b"]).last_vector is None  # two convolutions are still to come
    cut = network.graph.until(network.step("res4c"))
    assert cut.before_classifier() is None


# -- numbers -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hooked(atlas, pictures) -> np.ndarray:
    """(N, F) float64: what torch's own module hands to its last layer."""
    module = models.load_module("resnet20-cifar", "random").double()
    network = models.load("resnet20-cifar", "random").to("cpu", torch.float64)
    read = []
    last = [part for part in module.modules() if isinstance(part, nn.Linear)][-1]
    last.register_forward_pre_hook(lambda _m, inputs: read.append(inputs[0].clone()))
    preprocessing = atlas.manifest().preprocessing
    pixels = np.stack(
        [read_picture(pictures / image.path, preprocessing).pixels for image in atlas.tables.images()]
    )
    with torch.inference_mode():
        module(network.prepare(torch.from_numpy(pixels)))
    return read[0].numpy()


def _up_to_sign(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return other * np.sign((one * other).sum(0))


@pytest.mark.slow
def test_features_and_pca_are_scikit_learns_on_hooked_vectors(atlas, hooked) -> None:
    from sklearn.decomposition import PCA

    assert len(hooked) == COUNT
    np.testing.assert_allclose(
        atlas.arrays.features()[:], hooked, rtol=1e-4, atol=1e-5 * np.abs(hooked).max()
    )
    model = PCA(50, svd_solver="full").fit(hooked)
    expected = model.transform(hooked)[:, :2]
    ours = atlas.arrays.embedding()["pca"]
    scale = np.abs(expected).max()
    np.testing.assert_allclose(ours, _up_to_sign(ours, expected), atol=1e-3 * scale)
    said = atlas.tables.read_json("embedding/embedding.json")
    np.testing.assert_allclose(said["explained"], model.explained_variance_ratio_, atol=2e-6)
    assert said["vector"] == "avgpool" and said["length"] == hooked.shape[1]


@pytest.mark.slow
def test_t_sne_is_scikit_learns_with_the_settings_that_the_atlas_states(atlas) -> None:
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    said, found = atlas.tables.read_json("embedding/embedding.json"), atlas.arrays.embedding()
    assert said["perplexity"] == pytest.approx(
        (COUNT - 1) / 3
    )  # so few pictures have no 30 times three neighbours
    with threadpool_limits(1):
        reduced = PCA(50, svd_solver="covariance_eigh").fit_transform(atlas.arrays.features()[:])
        model = TSNE(perplexity=said["perplexity"], random_state=said["seed"])
        expected = model.fit_transform(reduced)
    np.testing.assert_array_equal(found["tsne"], expected)
    assert said["divergence"] == pytest.approx(model.kl_divergence_)
    assert found["exact"].all()


def _cosines(features: np.ndarray) -> np.ndarray:
    """(N, N), scikit-learn's, of centred rows; −∞ of a row with itself."""
    from sklearn.metrics.pairwise import cosine_similarity

    cosines = cosine_similarity(features - features.mean(0, dtype=np.float64))
    np.fill_diagonal(cosines, -np.inf)
    return cosines


@pytest.mark.slow
def test_neighbours_are_those_of_brute_force(atlas, hooked) -> None:
    found = atlas.arrays.embedding()
    cosines = _cosines(hooked)
    expected = np.argsort(-cosines, axis=1, kind="stable")[:, :9]
    np.testing.assert_allclose(found["similarity"], np.take_along_axis(cosines, expected, 1), atol=2e-3)
    gaps = -np.diff(-np.sort(-cosines, axis=1)[:, :10], axis=1).max(1) > 1e-3
    assert gaps.sum() > 20
    np.testing.assert_array_equal(found["neighbour"][gaps], expected[gaps])
    counts = [int((found["neighbour"] == number).sum()) for number in range(len(hooked))]
    assert found["listed"].tolist() == counts
    said = atlas.tables.read_json("embedding/embedding.json")
    hubness = said["hubness"]["found"]
    assert (hubness["largest"], hubness["unlisted"]) == (max(counts), counts.count(0))
    assert said["averages"] is True


def test_neighbours_over_several_chunks_with_equal_pictures_come_by_similarity_then_number() -> None:
    rng = np.random.default_rng(0)
    features = (
        rng.integers(0, 3, (1200, 5)).astype(np.float32) + 100
    )  # many equal rows and equal similarities
    which, similarity = method.nearest(features, 9, threads=2)
    cosines = _cosines(features.astype(np.float64))
    np.testing.assert_allclose(similarity, -np.sort(-cosines, axis=1)[:, :9], atol=1e-6)
    np.testing.assert_allclose(
        np.take_along_axis(cosines, which.astype(int), 1), similarity.astype(np.float64), atol=1e-6
    )
    assert (which != np.arange(1200)[:, None]).all()
    falls = (np.diff(which) < 0) & (np.diff(similarity) == 0)
    assert not falls.any()
    alone = method.nearest(features, 9, threads=1)
    assert all(np.array_equal(a, b) for a, b in zip(alone, (which, similarity), strict=True))


def test_neither_a_shift_of_all_features_nor_a_pictures_own_length_changes_its_nearest() -> None:
    rng = np.random.default_rng(2)
    features = rng.normal(size=(300, 12))
    features -= features.mean(0)
    which, similarity = method.nearest(features.astype(np.float32), 9)
    moved, moved_similarity = method.nearest((features + 5).astype(np.float32), 9)
    np.testing.assert_array_equal(moved, which)
    np.testing.assert_allclose(moved_similarity, similarity, atol=1e-4)
    both = np.concatenate([features, -features])  # whose mean stays zero when one pair gets longer
    which, similarity = method.nearest(both.astype(np.float32), 9)
    both[[7, 307]] *= 40
    longer, longer_similarity = method.nearest(both.astype(np.float32), 9)
    np.testing.assert_array_equal(longer, which)
    np.testing.assert_allclose(longer_similarity, similarity, atol=1e-5)


def test_a_picture_at_the_mean_is_similar_to_none() -> None:
    corners = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1], [0, 0]], np.float32)
    which, similarity = method.nearest(corners, 2)
    assert similarity[4].tolist() == [0, 0] and which[4].tolist() == [0, 1]
    assert similarity[:4].tolist() == [[0, 0]] * 4


def test_however_little_is_held_at_once_the_neighbours_are_the_same(monkeypatch, tmp_path) -> None:
    features = np.random.default_rng(5).normal(size=(700, 6)).astype(np.float32)
    np.save(tmp_path / "features.npy", features)
    which, similarity = method.nearest(features, 9)
    monkeypatch.setattr(method, "ROWS_AT_ONCE", 40)
    monkeypatch.setattr(method, "HELD", 1300)
    again, similarities = method.nearest(RowFile(tmp_path / "features.npy"), 9, threads=2)
    np.testing.assert_array_equal(again, which)
    np.testing.assert_allclose(similarities, similarity, atol=1e-7)


# -- hubness -------------------------------------------------------------------------------------------------


def test_a_hub_is_counted_in_all_lists_and_so_is_who_is_in_none() -> None:
    lists = np.array([[1, 2], [0, 2], [0, 1], [0, 1], [0, 1]])
    listed = method.occurrences(lists)
    assert listed.tolist() == [4, 4, 2, 0, 0]
    spread = method.spread_of(listed)
    # By hand: deviations 2, 2, 0, −2, −2; their cubes cancel.
    assert (spread.largest, spread.unlisted, spread.skewness) == (4, 2, 0)
    assert method.spread_of(np.array([0, 0, 0, 4])).skewness == pytest.approx(24 / 4 / 3**1.5)
    assert method.spread_of(np.array([2, 2, 2])).skewness is None


def test_chance_is_what_lists_drawn_at_random_give() -> None:
    rng = np.random.default_rng(0)
    rows, size, rounds = 60, 3, 400
    expected = method.spread_by_chance(rows, size)
    drawn = []
    for _ in range(rounds):
        keys = rng.random((rows, rows))
        np.fill_diagonal(keys, 2)
        drawn.append(method.spread_of(method.occurrences(np.argsort(keys, axis=1)[:, :size])))
    assert expected.unlisted == pytest.approx(np.mean([spread.unlisted for spread in drawn]), abs=0.2)
    assert expected.largest == pytest.approx(np.median([spread.largest for spread in drawn]), abs=1)
    assert expected.skewness == pytest.approx(np.mean([spread.skewness for spread in drawn]), abs=0.06)
    assert method.spread_by_chance(8, 7) == method.Spread(7, 0.0, None)


def test_axes_fitted_to_some_pictures_place_all(monkeypatch, tmp_path) -> None:
    from sklearn.decomposition import PCA

    rng = np.random.default_rng(6)
    features = (rng.normal(size=(500, 8)) * np.arange(8, 0, -1)).astype(np.float32)
    np.save(tmp_path / "features.npy", features)
    monkeypatch.setattr(method, "FITTED", 100 * 8)
    monkeypatch.setattr(method, "HELD", 240)
    found = method.components(RowFile(tmp_path / "features.npy"), 3)
    chosen = features[np.linspace(0, 499, 100).round().astype(int)]
    model = PCA(3, svd_solver="covariance_eigh").fit(chosen)
    assert found is not None and found.fitted == 100
    np.testing.assert_allclose(found.positions, model.transform(features), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.explained, model.explained_variance_ratio_, rtol=1e-4)


@pytest.mark.slow
def test_of_too_many_pictures_the_others_lie_among_their_nearest_and_the_seed_decides_alone() -> None:
    rng = np.random.default_rng(1)
    kind = rng.integers(0, 4, 400)
    positions = (rng.normal(size=(400, 6)) + 30 * np.eye(6)[kind]).astype(np.float32)
    placed = method.t_sne(positions, perplexity=20, seed=3, exact=150)
    assert placed.exact.sum() == 150
    for one in range(4):  # clusters far apart: whoever was not placed by t-SNE lies inside its own cluster
        own, others = (
            placed.positions[placed.exact & (kind == one)],
            placed.positions[~placed.exact & (kind == one)],
        )
        assert (others >= own.min(0)).all() and (others <= own.max(0)).all()
    again = method.t_sne(positions, perplexity=20, seed=3, exact=150)
    np.testing.assert_array_equal(again.positions, placed.positions)
    other = method.t_sne(positions, perplexity=20, seed=4, exact=150)
    assert (other.exact != placed.exact).any()


@pytest.mark.parametrize("features", [np.ones((40, 6)), np.random.default_rng(0).normal(size=(7, 6)),
                                      np.outer(np.arange(40), np.arange(1, 7))])  # fmt: skip
def test_pictures_that_do_not_differ_or_are_too_few_give_no_map(features: np.ndarray) -> None:
    assert method.components(features.astype(np.float32)) is None


# -- bytes ---------------------------------------------------------------------------------------------------


def _changed(small: Path, tmp_path: Path, text: str) -> profile.Profile:
    (tmp_path / "changed.toml").write_text(small.read_text() + text)
    return profile.load(str(tmp_path / "changed.toml"))


@pytest.mark.slow
def test_a_map_made_later_is_byte_for_byte_that_of_one_run_also_when_stopped(atlas, small, tmp_path):
    folder = tmp_path / "later"
    compute(_changed(small, tmp_path, "[embedding]\nenabled = false\n"), folder, Reporter(quiet=True))
    assert not (folder / "embedding").exists()
    for stage, after in (("features", 20), ("map of the pictures", 10), ("map of the pictures", 170)):
        with pytest.raises(KeyboardInterrupt):
            compute(profile.load(str(small)), folder, Interrupting(stage, after))
    reporter = Reporter(quiet=True)
    compute(profile.load(str(small)), folder, reporter)
    assert stages_at_work(reporter) == {"map of the pictures"}
    assert file_bytes(folder) == file_bytes(atlas.folder)
    compute(_changed(small, tmp_path, "[embedding]\nenabled = false\n"), folder, Reporter(quiet=True))
    assert not (folder / "embedding").exists()


@pytest.mark.slow
def test_a_changed_setting_makes_the_map_anew_and_nothing_else(atlas, small, tmp_path):
    folder = Path(shutil.copytree(atlas.folder, tmp_path / "copy"))
    reporter = Reporter(quiet=True)
    compute(_changed(small, tmp_path, "[embedding]\nperplexity = 5.0\n"), folder, reporter)
    assert stages_at_work(reporter) == {"map of the pictures"}
    store = Store(folder)
    assert store.tables.read_json("embedding/embedding.json")["perplexity"] == 5
    np.testing.assert_array_equal(store.arrays.embedding()["pca"], atlas.arrays.embedding()["pca"])
    assert (store.arrays.embedding()["tsne"] != atlas.arrays.embedding()["tsne"]).any()
    reporter = Reporter(quiet=True)
    compute(_changed(small, tmp_path, "[embedding]\npictures = 30\n"), folder, reporter)
    assert stages_at_work(reporter) == {"features", "map of the pictures"}
    few = Store(folder)
    np.testing.assert_array_equal(
        few.arrays.features()[:], atlas.arrays.features()[few.arrays.embedding()["picture"]]
    )
    # Every third of 81 files; the broken one is among them or not, and has no number.
    assert few.arrays.features().shape[0] in (29, 30)


@pytest.mark.slow
def test_without_the_right_to_publish_the_map_holds_no_picture(atlas, small, tmp_path):
    store = compute(
        _changed(small, tmp_path, "publish_patches = false\n"),  # [site] is the profile's last table
        tmp_path / "atlas",
        Reporter(quiet=True),
    )
    assert {path.name for path in (store.folder / "embedding").iterdir()} == {
        "features.npy", "map.npz", "embedding.json",
    }  # fmt: skip
    assert (store.arrays.embedding()["thumb"] == -1).all()
    np.testing.assert_array_equal(store.arrays.embedding()["tsne"], atlas.arrays.embedding()["tsne"])


@pytest.mark.slow
def test_the_sheet_shows_every_picture_in_its_place(atlas, pictures) -> None:
    from PIL import Image

    said = atlas.tables.read_json("embedding/embedding.json")["thumbs"]
    sheet = np.asarray(Image.open(atlas.pictures.map_thumbs_path()).convert("RGB")).astype(int)
    assert said["count"] == COUNT
    for image in (0, 1, 41, COUNT - 1):
        place = int(atlas.arrays.embedding()["thumb"][image])
        left, top = place % said["columns"] * said["tile"], place // said["columns"] * said["tile"]
        seen = sheet[top : top + said["tile"], left : left + said["tile"]]
        with Image.open(pictures / atlas.tables.images()[image].path) as file:
            side = min(file.size)
            middle = file.convert("RGB").crop(((file.width - side) // 2, 0, (file.width + side) // 2, side))
            expected = np.asarray(middle.resize((said["tile"],) * 2, Image.Resampling.BICUBIC)).astype(int)
        assert np.abs(seen - expected).mean() < 12


@pytest.mark.slow
def test_fewer_pictures_stand_on_a_sheet_that_would_take_more_bytes(
    atlas, small, tmp_path, monkeypatch
) -> None:
    from PIL import Image

    whole, all_of_it = atlas.pictures.map_thumbs_path(), atlas.arrays.embedding()["thumb"]
    monkeypatch.setattr(picture_map, "SHEET_BYTES", whole.stat().st_size // 2)
    folder = Path(shutil.copytree(atlas.folder, tmp_path / "copy"))
    changed = _changed(small, tmp_path, "[embedding]\nperplexity = 5.0\n")
    store = compute(changed, folder, Reporter(quiet=True))
    thumb, said = (
        store.arrays.embedding()["thumb"],
        store.tables.read_json("embedding/embedding.json")["thumbs"],
    )
    assert store.pictures.map_thumbs_path().stat().st_size <= whole.stat().st_size // 2
    assert 0 < said["count"] == (thumb >= 0).sum() < COUNT
    sheets = [np.asarray(Image.open(path)) for path in (whole, store.pictures.map_thumbs_path())]
    columns = [atlas.tables.read_json("embedding/embedding.json")["thumbs"]["columns"], said["columns"]]
    for image in np.flatnonzero(thumb >= 0):
        tiles = [
            sheet[place // wide * 48 : place // wide * 48 + 48, place % wide * 48 : place % wide * 48 + 48]
            for sheet, wide, place in zip(sheets, columns, (all_of_it[image], thumb[image]), strict=True)
        ]
        assert np.abs(tiles[0].astype(int) - tiles[1]).mean() < 8


def test_a_row_that_a_kill_cut_short_counts_as_not_written(tmp_path: Path) -> None:
    with VectorFile(tmp_path / "v", 3) as file:
        file.write(np.array([4, 1]), np.array([[1, 2, 3], [0, 0, 0]], np.float32))
        assert file.has(np.arange(7)).tolist() == [False, True, False, False, True, False, False]
        np.testing.assert_array_equal(file.read(np.array([1, 4, 2])), [[0, 0, 0], [1, 2, 3], [0, 0, 0]])
    with (tmp_path / "v").open("r+b") as torn:
        torn.truncate((4 * 4 + 3) * 4 + 1)
    with VectorFile(tmp_path / "v", 3) as file:
        assert file.has(np.array([1, 4])).tolist() == [True, False]


def test_an_array_written_in_parts_is_the_file_that_numpy_writes(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    np.save(tmp_path / "whole.npy", array)
    write_array_atomically(tmp_path / "parts.npy", array.shape, (array[:4], array[4:]))
    assert (tmp_path / "parts.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
