"""Profiles: what is wrong is named, with the nearest right word."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from generator.__main__ import main
from generator.core.errors import AtlasError
from generator.stages import profile

SMALL = 'name = "mine"\n[network]\nmodel = "resnet18"\n'


@pytest.mark.parametrize("name", profile.names())
def test_every_profile_of_the_package_is_valid_and_named_after_its_file(name):
    assert profile.load(name).name == name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = ", "not TOML"),
        (SMALL + "[pictures]\ncropp = 3\n", "did you mean crop"),
        (SMALL + '[pictures]\ncrop = "224"\n', "pictures.crop"),
        (SMALL + '[pictures]\ntrained_on = "yes"\n', "pictures.trained_on"),
        (SMALL + "[compute]\nbatch = 0\n", "compute.batch"),
        (SMALL + '[compute]\nprecision = "fp8"\n', "compute.precision"),
        (SMALL.replace("mine", "../etc"), "name"),
        (SMALL.replace("mine", "Mine"), "name"),
        ('name = "mine"\n', "network"),
        ("gradients = []\n" + SMALL, "gradients"),
        ('gradients = ["guided", "guided"]\n' + SMALL, "twice"),
        ('gradient = ["guided"]\n' + SMALL, "did you mean gradients"),
        (SMALL + '[pictures]\nfolder = "a"\ndrawn = 9\n', "two kinds of pictures"),
        (SMALL + '[pictures]\nlabels = "a"\ndrawn = 9\n', "labels belong to a folder"),
        (SMALL + "[pictures]\nresize = 100\ncrop = 224\n", "crop .224 px. is larger"),
    ],
)
def test_a_wrong_profile_is_one_sentence_naming_the_key(tmp_path, text, said):
    path = tmp_path / "profile.toml"
    path.write_text(text)
    with pytest.raises(AtlasError, match=said) as caught:
        profile.load(str(path))
    assert "\n" not in str(caught.value)


def test_an_unknown_profile_gets_a_suggestion():
    with pytest.raises(AtlasError, match="did you mean resnet50"):
        profile.load("resnet5")


def test_a_missing_or_binary_file_is_one_sentence(tmp_path):
    with pytest.raises(AtlasError, match="cannot be read"):
        profile.load(str(tmp_path / "absent.toml"))
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(AtlasError, match="cannot be read"):
        profile.load(str(tmp_path / "binary.toml"))


def test_the_command_line_changes_a_copy_and_is_checked_too():
    demo = profile.load("demo")
    assert demo.changed(pictures={"limit": 5, "crop": None}).pictures.limit == 5
    assert demo.pictures.limit is None
    with pytest.raises(AtlasError, match=r"pictures\.limit"):
        demo.changed(pictures={"limit": 0})


def test_whether_it_was_trained_on_the_pictures_is_forgotten_with_other_pictures_or_weights():
    demo = profile.load("demo")
    assert demo.pictures.trained_on is False
    assert demo.changed(pictures={"limit": 5}).pictures.trained_on is False
    for change in (
        {"pictures": {"folder": "photos"}},
        {"network": {"weights": "mine.pt"}},
        {"network": {"model": "resnet18"}},
    ):
        assert demo.changed(**change).pictures.trained_on is None
    stated = demo.changed(pictures={"folder": "photos", "trained_on": True})
    assert stated.pictures.trained_on is True
    assert profile.load("resnet50").pictures.trained_on is None


def test_an_unknown_key_with_a_line_break_is_named_on_one_line(tmp_path):
    path = tmp_path / "odd.toml"
    path.write_text('name = "odd"\n[network]\nmodel = "demo"\n[layers]\n"\\n" = 1\n')
    with pytest.raises(AtlasError) as caught:
        profile.load(str(path))
    assert "\n" not in str(caught.value)
    assert r"layers.\n" in str(caught.value)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("twin", "twin"),
        ("study/residual-8", "study-residual-8"),
        ("timm/resnet50.a1_in1k", "timm-resnet50.a1_in1k"),
        ("Mine 2", "mine-2"),
        ("…", "network"),
    ],
)
def test_a_model_without_a_profile_gets_the_default_settings(model, name):
    found = profile.of_model(model)
    # The title is made from the model and the weights that are used.
    assert (found.name, found.title, found.network.model) == (name, "", model)
    assert found == profile.validated({"name": name, "network": {"model": model}}, "test")


def test_a_model_with_a_profile_of_its_name_gets_that():
    assert profile.of_model("resnet50-caffe") == profile.load("resnet50-caffe")


def test_a_name_that_is_no_model_is_refused_as_a_model(tmp_path):
    said = CliRunner().invoke(main, ["compute", "--model", "resnet5", "--images", str(tmp_path)])
    assert said.exit_code == 1
    assert "unknown model: resnet5 — did you mean resnet" in said.output


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"layer": {"channels": 8}}, "did you mean layers"),
        ({"scan": {"workers": 2}}, "unknown key scan"),
        ({"layers": {"chanels": 8}}, "did you mean channels"),
        ({"layers": "all"}, "layers in the profile"),
        ({"pictures": "photos"}, "pictures in the profile"),
        ({"network": "resnet18"}, "network in the profile"),
        ({"gradients": ["plane"]}, "gradients"),
        ({"ascent": 3}, "ascent in the profile"),
    ],
)
def test_a_change_that_is_wrong_is_named(changes, said):
    for name in ("demo", "resnet18"):
        with pytest.raises(AtlasError, match=said):
            profile.load(name).changed(**changes)


def test_every_key_of_a_profile_can_be_changed():
    plain = profile.load("resnet18")
    assert plain.ascent is None and plain.deepdream is None
    changed = plain.changed(
        title="Mine", gradients=["plain"], ascent={"steps": 7}, deepdream={"pictures": [0]}, site=None
    )
    assert (changed.title, changed.gradients, changed.site) == ("Mine", ["plain"], plain.site)
    assert changed.ascent is not None and changed.ascent.steps == 7
    assert changed.deepdream is not None and changed.deepdream.pictures == [0]
    assert changed.changed(ascent={"steps": None}).ascent == changed.ascent
