"""Imported descriptions: what a file may hold, one sentence for a bad one, and where the pages show it."""

from __future__ import annotations

import csv
import hashlib
import html
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from finder_script import index_of
from make_small_atlas import make_atlas

from generator.__main__ import main
from generator.core.errors import AtlasError
from generator.core.records import LayerInfo, ReceptiveField
from generator.site.reading.descriptions import Description, read_descriptions
from generator.site.render import render_site
from generator.stages import profile
from generator.stages.manifest import _public

SMALL = Path(__file__).parent / "small_atlas"
ATTACK = "</script><zz onload=x>\u2028 & {{ 7*7 }}"
HEAD = "layer,unit,description,score\n"
FIELD = ReceptiveField(7, 2, 0.0)
LAYERS = [
    LayerInfo("res2a", "layer1.0", "block", "res2a", 2, 12, 8, 8, True, FIELD),
    LayerInfo("res5c", "layer4.2", "block", "res5c", 5, 20, 4, 4, True, FIELD),
]


def _read(tmp_path, *texts):
    paths = []
    for number, text in enumerate(texts):
        paths.append(tmp_path / f"source {number}.csv")
        paths[-1].write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return read_descriptions(paths, LAYERS)


# -- files -------------------------------------------------------------------------------------------------------------


def test_layers_by_both_names_several_sources_and_the_highest_score_first(tmp_path):
    found = _read(
        tmp_path,
        '\ufefflayer,unit,description,score\nres5c,3,dogs,0.2\nlayer4.2,3,"fur,  brown",1e-1\nlayer4.2,3,ears,0.9\n'
        "res5c,3,dogs,0.2\nlayer9,0,other,1\n",
        "source,score,unit,layer,description,note\nMILAN,,3,res5c,a dog's face,x\n,2,0,res2a,edges,y\n",
    )
    assert found.of("res5c", 3) == [
        Description("ears", 0.9, "source 0"),
        Description("dogs", 0.2, "source 0"),
        Description("fur, brown", 0.1, "source 0"),
        Description("a dog's face", None, "MILAN"),
    ]
    assert found.of("res2a", 0) == [Description("edges", 2.0, "source 1")] and found.of("res2a", 1) == ()
    assert [(file.name, file.used, file.left_out) for file in found.files] == [
        ("source 0.csv", 3, 1),
        ("source 1.csv", 2, 0),
    ]
    assert found.files[0].sha256 == hashlib.sha256((tmp_path / "source 0.csv").read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "lack the column layer"),
        ("layer,unit,score\nres5c,1,2\n", "lack the column description"),
        ("layer,unit,description\nres5c,1,x\n", "lack the column score"),
        (HEAD, "there are no descriptions"),
        (HEAD + "layer9,1,x,1\n", "no description is of a layer of this atlas (the first is of 'layer9')"),
        (HEAD + "res5c,20,x,1\n", "line 2 of the descriptions: res5c has no unit '20'"),
        (HEAD + "res5c,1,x,1\nres5c,-1,x,1\n", "line 3 of the descriptions: res5c has no unit '-1'"),
        (HEAD + "res5c,1.0,x,1\n", "res5c has no unit '1.0'"),
        (HEAD + "res5c,²,x,1\n", "res5c has no unit '²'"),
        (HEAD + f"res5c,{'9' * 5000},x,1\n", "res5c has no unit"),
        (HEAD + "res5c,1,x,high\n", "the score 'high' is no number"),
        (HEAD + "res5c,1,x,nan\n", "the score 'nan' is no number"),
        (HEAD + "res5c,1,  ,1\n", "line 2 of the descriptions describes nothing"),
        (HEAD + "res5c,1\n", "describes nothing"),
        (HEAD + "res5c,1,a, b,1\n", "line 2 of the descriptions has more fields than the first line"),
        (HEAD.encode() + b"res5c,1,\xff,1\n", "are not UTF-8 text"),
        (HEAD + f"res5c,1,{'x' * 200_000},1\n", "are no table"),
    ],
)
def test_a_bad_file_gets_one_sentence(tmp_path, text, sentence):
    with pytest.raises(AtlasError) as caught:
        _read(tmp_path, text)
    message = str(caught.value)
    assert sentence in message and "source 0.csv" in message and "\n" not in message


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(AtlasError, match="the descriptions cannot be read"):
        read_descriptions([tmp_path / "none.csv"], LAYERS)


# -- pages -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "clip <b>.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [
                ("layer", "unit", "description", "score"),
                ("layer1.1", "3", "tandem bicycles", "0.8312"),
                ("res2b", "3", ATTACK, ""),
                ("res3a", "0", "suit collars", "12"),
                ("res7z", "0", "elsewhere", "1"),
            ]
        )
    return path


@pytest.fixture(scope="module")
def site(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    render_site([SMALL], folder, descriptions=[table])
    return folder / "small"


def test_a_channels_page_shows_them_with_score_and_source_and_names_the_file(table, site):
    text = (site / "res2b/3.html").read_text("utf-8")
    assert "<q>tandem bicycles</q>" in text and "score 0.831, clip &lt;b&gt;" in text
    assert ATTACK.split("\u2028")[0] not in text and "<zz" not in text
    assert html.escape(" ".join(ATTACK.split())).replace("&#x27;", "&#39;") in text
    digest = hashlib.sha256(table.read_bytes()).hexdigest()[:12]
    assert f"Descriptions of channels: clip &lt;b&gt;.csv ({digest})." in text
    assert "Described as" not in (site / "res2b/4.html").read_text("utf-8")


def test_finder_grid_csv_and_json_have_them(site):
    script = (site / "finder.js").read_text("utf-8")
    index = index_of(script)
    names = [layer[0] for layer in index["layers"]]
    assert ["tandem bicycles", [names.index("res2b"), 3, 0.8312, "clip <b>"]] in index["descriptions"]
    assert "</script" not in script
    page = (site / "res2b/index.html").read_text("utf-8")
    script = (site / "res2b/grid.js").read_text("utf-8")
    data = json.loads(script.removeprefix("residualAtlas.grid(").removesuffix(");\n"))
    assert data["descriptions"]["3"][0] == "tandem bicycles" and "class, group or description" in page
    with (site / "data/descriptions.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["layer", "channel", "description", "score", "source"]
    assert ["res3a", "0", "suit collars", "12.0", "clip <b>"] in rows and len(rows) == 4
    record = json.loads((site / "data/descriptions.json").read_text("utf-8"))
    assert record["files"][0]["used"] == 3 and record["files"][0]["left_out"] == 1
    assert {"layer": "res2b", "channel": 3, "description": " ".join(ATTACK.split()), "score": None,
            "source": "clip <b>"} in record["descriptions"]  # fmt: skip


def test_a_site_without_descriptions_has_no_files_of_them(tmp_path):
    render_site([SMALL], tmp_path / "site")
    assert not list((tmp_path / "site").rglob("descriptions.*"))


def test_of_several_atlases_the_option_says_which(table, tmp_path):
    tiny = {"pictures": 12, "side": 32, "stages": ((2, 2, 8),), "inner": (), "stem": 8}
    for name in ("one", "two"):
        make_atlas(tmp_path / name, name=name, **tiny)
    atlases = [str(tmp_path / "one"), str(tmp_path / "two")]
    command = ["render", *atlases, "--out", str(tmp_path / "site"), "--descriptions"]
    refused = CliRunner().invoke(main, [*command, str(table)])
    assert refused.exit_code == 1 and f"write one={table}" in refused.output
    assert CliRunner().invoke(main, [*command, f"two={table}"]).exit_code == 0
    assert not (tmp_path / "site/one/data/descriptions.csv").exists()
    assert (tmp_path / "site/two/data/descriptions.csv").is_file()


def test_the_profile_names_them_and_the_manifest_does_not():
    chosen = profile.validated(
        {"name": "x", "network": {"model": "demo"}, "site": {"descriptions": ["a/b.csv"]}}, "test"
    )
    assert chosen.site.descriptions == ["a/b.csv"]
    assert chosen.changed(layers={"channels": 2}).site.descriptions == ["a/b.csv"]
    assert "descriptions" not in _public(chosen.model_dump())["site"]


@pytest.mark.browser
def test_a_word_of_a_description_is_found(site, browser):
    page = browser.new_page()
    page.goto((site / "index.html").as_uri())
    box = page.get_by_role("combobox", name="Find")
    box.fill("suit")
    page.locator("#ra-answers [data-address]").first.wait_for()
    option = page.get_by_role("option").first
    assert option.inner_text().startswith("res3a 0") and "suit collars" in option.inner_text()
    page.goto((site / "res2b/index.html").as_uri() + "#label=Tandem bic")
    page.wait_for_function("document.querySelector('output').value")
    assert [text.strip() for text in page.locator(".grid li:visible").all_inner_texts()] == ["3"]
    page.close()
