"""Names, receptive-field boxes and the JSON form."""

from __future__ import annotations

import json

import pytest

from generator.core.errors import AtlasError
from generator.core.records import (
    LayerInfo,
    Manifest,
    PictureSetInfo,
    Preprocessing,
    ReceptiveField,
    Skipped,
    SpriteInfo,
    WeightsInfo,
    find_layer,
    manifest_from_json,
    to_json,
)

CAFFE_RES2A = ReceptiveField(19, 4, 2.0)
LAYER = LayerInfo("res2a", "layer1.0", "block", "res2a", 2, 256, 56, 56, True, CAFFE_RES2A)


def test_the_box_of_a_unit_is_centred_where_the_field_says():
    assert CAFFE_RES2A.box(0, 0) == (-7, -7, 12, 12)
    assert CAFFE_RES2A.box(2, 5) == (1, 13, 20, 32)


def test_a_layer_answers_to_both_names_and_an_unknown_one_gets_a_suggestion():
    assert find_layer((LAYER,), "layer1.0") is LAYER
    with pytest.raises(AtlasError, match="did you mean res2a"):
        find_layer((LAYER,), "res2aa")


def test_a_manifest_survives_its_json_form():
    manifest = Manifest(
        name="x",
        title="X",
        model="resnet50",
        weights=WeightsInfo("random", "00", True),
        pictures=PictureSetInfo("folder", "11", 2, (Skipped("bad.jpg", "truncated"),)),
        preprocessing=Preprocessing(256, 224, (0.1, 0.2, 0.3), (1.0, 1.0, 1.0)),
        profile={"name": "x"},
        versions={"torch": "2"},
        date="2026-01-01",
        layers=(LAYER,),
        sprites={"res2a": SpriteInfo(("patches", "guided"), 95)},
    )
    assert manifest_from_json(json.loads(json.dumps(to_json(manifest)))) == manifest
