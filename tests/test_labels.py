"""What the pictures show: every reading is the one that the folder or the file can only mean, or is refused."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from generator.__main__ import main
from generator.core.errors import AtlasError
from generator.core.hierarchy import imagenet_wnids
from generator.pictures.labels import Labels, from_file, from_names, from_table, from_top_folders
from generator.pictures.reading import find_pictures

IMAGENET_PICTURES = [
    "n01440764/n01440764_10026.JPEG",
    "n02012849/n02012849_1.JPEG",
    "n03126707/n03126707_1.JPEG",
]


def read(labels: Labels, paths: list[str]) -> dict[str, str]:
    """Path → the name of its class, of the pictures that have one."""
    return {
        path: labels.classes[place].name
        for path, place in zip(paths, labels.of_picture, strict=True)
        if place >= 0
    }


def numbers(labels: Labels) -> dict[str, int]:
    return {one.name: one.number for one in labels.classes}


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


# -- folders ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        # class folders, with and without pictures next to them
        (["cat/1.png", "dog/1.png"], {"cat/1.png": "cat", "dog/1.png": "dog"}),
        (["cat/1.png", "dog/1.png", "overview.png"], {"cat/1.png": "cat", "dog/1.png": "dog"}),
        (["ant/deep/1.png", "bee/1.png"], {"ant/deep/1.png": "ant", "bee/1.png": "bee"}),
        # splits are looked through, whatever they are called
        *(
            (
                [f"{one}/cat/1.png", f"{one}/dog/1.png", f"{two}/cat/2.png"],
                {f"{one}/cat/1.png": "cat", f"{one}/dog/1.png": "dog", f"{two}/cat/2.png": "cat"},
            )
            for one, two in [
                ("train", "val"),
                ("Train", "Valid"),
                ("training", "testing"),
                ("train2017", "val2017"),
                ("training_set", "test_set"),
                ("TrainSet", "DevSet"),
                ("seg_train", "seg_test"),
            ]
        ),
        (["train/cat/1.png", "test/9.png"], {"train/cat/1.png": "cat"}),
        (["train/train/a/1.png", "train/train/b/1.png"], {"train/train/a/1.png": "a", "train/train/b/1.png": "b"}),
        (["train/images/1.png", "val/images/2.png"], {}),
        (["images/train/1.png", "images/val/2.png"], {}),
        (["train/1.png", "val/2.png"], {}),
        # one folder around everything
        (["data/train/cat/1.png", "data/train/b/1.png"], {"data/train/cat/1.png": "cat", "data/train/b/1.png": "b"}),
        (["food/images/a/1.png", "food/images/b/1.png"], {"food/images/a/1.png": "a", "food/images/b/1.png": "b"}),
        (["Images/n02085620-Chihuahua/n02085620_7.jpg"], {"Images/n02085620-Chihuahua/n02085620_7.jpg": "Chihuahua"}),
        (["cat/1.png"], {"cat/1.png": "cat"}),
        (["cat/images/1.png"], {"cat/images/1.png": "cat"}),
        (["images/1.png", "images/2.png"], {}),
        (["1.png", "2.png"], {}),
        (
            ["abc_train/abc_train/A/1.png", "abc_train/abc_train/B/1.png", "abc_test/abc_test/A_1.png"],
            {"abc_train/abc_train/A/1.png": "A", "abc_train/abc_train/B/1.png": "B"},
        ),
        # a thing that is called like a split
        (
            ["car/1.png", "ship/1.png", "train/1.png"],
            {"car/1.png": "car", "ship/1.png": "ship", "train/1.png": "train"},
        ),
        (["test_tube/1.png", "beaker/1.png"], {"test_tube/1.png": "test_tube", "beaker/1.png": "beaker"}),
        # Tiny ImageNet
        (
            ["train/n01443537/images/0.JPEG", "train/n01440764/images/0.JPEG", "val/images/0.JPEG"],
            {"train/n01443537/images/0.JPEG": "goldfish", "train/n01440764/images/0.JPEG": "tench"},
        ),
        # CUB-200
        (
            ["001.Black_footed_Albatross/1.jpg", "002.Laysan_Albatross/1.jpg"],
            {
                "001.Black_footed_Albatross/1.jpg": "001.Black_footed_Albatross",
                "002.Laysan_Albatross/1.jpg": "002.Laysan_Albatross",
            },
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_folders_are_read_as_they_are_meant(paths: list[str], expected: dict[str, str]) -> None:
    assert read(from_names(paths), paths) == expected


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["train/cat/1.png", "val/cat/1.png", "dog/1.png"], ["train", "val", "dog"]),
        (["train/cat/1.png", "extra/1.png"], ["train", "extra"]),
        (["cat/1.png", "dog/1.png", "test/1.png"], ["test", "cat"]),
        (["images/001/1.jpg", "segmentations/001/1.png"], ["images", "segmentations"]),
        (["images/1.jpg", "annotations/trimaps/1.png"], ["images", "annotations"]),
        (["cat/1.png", "cat/a/1.png", "cat/b/1.png"], ["cat", "a and b"]),
        (["train/Cat/1.png", "val/cat/1.png", "val/dog/1.png"], ["train/Cat", "val/cat"]),
        (["1/a.png", "01/a.png"], ["'01'", "'1'"]),
    ],
)
def test_folders_that_could_mean_two_things_are_asked_about(paths: list[str], names: list[str]) -> None:
    with pytest.raises(AtlasError) as caught:
        from_names(paths)
    assert "\n" not in str(caught.value)
    for name in names:
        assert name in str(caught.value)


def test_what_the_question_proposes_works(tmp_path: Path) -> None:
    make(tmp_path, "train/cat/1.png", "val/cat/1.png", "dog/1.png")
    with pytest.raises(AtlasError, match=r"--labels folders .* --labels none"):
        find_pictures(tmp_path)
    assert {file.label for file in find_pictures(tmp_path, labels="folders").files} == {"train", "val", "dog"}
    assert {file.label for file in find_pictures(tmp_path, labels=Path("none")).files} == {""}
    assert {file.label for file in find_pictures(tmp_path / "train").files} == {"cat"}


def test_pictures_outside_the_class_folders_are_counted_and_named() -> None:
    assert from_names(["cat/1.png", "dog/1.png", "overview.png"]).notes == (
        "1 picture lies outside the class folders and is used without a label: overview.png",
    )
    notes = from_names(["a.png", "b.png", "cat/1.png", "dog/1.png"]).notes
    assert notes == (
        "2 pictures lie outside the class folders and are used without a label, the first a.png",
    )


def test_the_sentence_says_where_labels_come_from() -> None:
    assert from_names(["cat/1.png", "dog/1.png"]).source == "the names of 2 class folders"
    split = from_names(["train/cat/1.png", "val/dog/1.png"]).source
    assert split == "the names of 2 class folders in the splits train and val"
    assert from_names(["1.png"]).source == ""


@pytest.mark.parametrize("names", [["0", "1", "2", "10", "11"], ["000", "001", "010", "100"], ["7", "3"]])
def test_folders_that_are_numbers_are_these_numbers(names: list[str]) -> None:
    labels = from_names([f"{name}/x.png" for name in names])
    assert numbers(labels) == {name: int(name) for name in names}
    assert labels.numbering == "numbers"


def test_folders_without_pictures_shift_no_number(tmp_path: Path) -> None:
    make(tmp_path, "b/1.png", "c/1.png", "meta/classes.txt")
    (tmp_path / "a").mkdir()
    assert [(file.label_id, file.label) for file in find_pictures(tmp_path).files] == [(0, "b"), (1, "c")]


@pytest.mark.parametrize("name", ["n02012849", "n02012849_crane", "n02012849-crane"])
def test_wordnet_folders_have_names_and_keep_their_number(name: str) -> None:
    labels = from_names([f"{name}/1.png", "n03126707/1.png", "n01440764/1.png"])
    by_wnid = {one.wnid: one.name for one in labels.classes}
    assert by_wnid["n01440764"] == "tench" and by_wnid["n03126707"] == "crane"
    assert by_wnid["n02012849"].startswith("crane") and len(labels.classes) == 3


def test_every_class_of_imagenet_has_a_name() -> None:
    paths = [f"{wnid}/1.png" for wnid in imagenet_wnids()]
    labels = from_names(paths)
    assert len(labels.classes) == 1000 and not labels.notes
    assert not any(one.name == one.wnid for one in labels.classes)


def test_a_wordnet_number_that_the_package_does_not_know_is_said() -> None:
    labels = from_names(["n01440764/1.png", "n99999999/1.png"])
    assert [one.name for one in labels.classes] == ["tench", "n99999999"]
    assert "n99999999 is not one of ImageNet's 1,000 classes" in labels.notes[0]


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("n01440764_tench", "tench"),
        ("n01443537_goldfish_12", "goldfish"),
        ("n01484850_great_white_shark", "great white shark"),
        ("n01440764_10026", "tench"),
        ("ILSVRC2012_val_00000293_n01440764", "tench"),
        ("n02_x", None),
        ("IMG_2019", None),
    ],
)
def test_names_of_files_say_their_class(stem: str, name: str | None) -> None:
    paths = [f"{stem}.JPEG", "n02123045_tabby.JPEG"]
    assert read(from_names(paths), paths).get(paths[0]) == name
    assert len(from_names(paths).notes) == (name is None)


def test_a_name_is_one_class_in_both_of_unicodes_forms() -> None:
    one, other = (unicodedata.normalize(form, "Gänse") for form in ("NFC", "NFD"))
    labels = from_names([f"train/{one}/1.png", f"val/{other}/1.png", "val/b/1.png"])
    assert len(labels.classes) == 2 and labels.of_picture[0] == labels.of_picture[1]


# -- label files: forms that are read --------------------------------------------------------------------------------

NAMES = [f"img {number:02d}.png" for number in range(6)]
KINDS = ["cat", "dog", "fish", "cat", "dog", "fish"]
STEMS = [name[:-4] for name in NAMES]


def table(separator: str, header: str, names: list[str] = NAMES, kinds: list[str] = KINDS) -> str:
    lines = [f"{name}{separator}{kind}" for name, kind in zip(names, kinds, strict=True)]
    return "\n".join([header, *lines] if header else lines) + "\n"


def rows(names: list[str] = NAMES) -> list[tuple[str, str]]:
    return list(zip(names, KINDS, strict=True))


def counted() -> list[tuple[int, str, str]]:
    return [(number, name, kind) for number, (name, kind) in enumerate(rows())]


FORMS: dict[str, str] = {
    **{f"header {one},{two}": table(",", f"{one},{two}") for one, two in [
        ("filename", "label"), ("file_name", "label"), ("File Name", "Class"), ("image", "class"), ("path", "category"),
        ("img", "target"), ("Image Index", "Finding Labels"), ("name", "species"), ("image_path", "class_name"),
        ("file", "emotion"), ("bild", "art"),
    ]},
    "ids without suffix": table(",", "id,breed", STEMS),
    "image_id": table(",", "image_id,label", STEMS),
    "tabs": table("\t", ""),
    "tabs with header": table("\t", "filename\tlabel"),
    "semicolons": table(";", "path;label"),
    "bars": table("|", "path|label"),
    "commas": table(",", ""),
    "spaces": table(" ", ""),
    "spaces, header": table(" ", "file label"),
    "spaces, no suffix": table(" ", "", STEMS),
    "quotes": "".join(f'"{name}","{kind}"\n' for name, kind in rows()),
    "blanks around": "".join(f" {name} , {kind} \n" for name, kind in rows()),
    "label first": "label,file\n" + "".join(f"{kind},{name}\n" for name, kind in rows()),
    "more columns": "id,filename,label,width\n" + "".join(f"{n},{name},{kind},96\n" for n, name, kind in counted()),
    "pandas": ",filename,label\n" + "".join(f"{n},{name},{kind}\n" for n, name, kind in counted()),
    "pandas, other words": "Unnamed: 0,filename,art\n" + "".join(f"{n},{name},{kind}\n" for n, name, kind in counted()),
    "carriage returns": table(",", "filename,label").replace("\n", "\r\n"),
    "empty and comment lines": "# made by hand\n\nfilename,label\n" + table(",", "") + "\n\n# end\n",
    "comments above spaces": "# made by hand\n" + table(" ", ""),
    "windows paths": table(",", "filename,label", [f"C:\\data\\flat\\{name}" for name in NAMES]),
    "absolute paths": table(",", "filename,label", [f"/home/me/flat/{name}" for name in NAMES]),
    "relative paths": table("\t", "", [f"./{name}" for name in NAMES]),
    "other case": table(",", "filename,label", [name.upper() for name in NAMES]),
    "json lines": "".join(json.dumps({"file_name": name, "label": kind}) + "\n" for name, kind in rows()),
    "json list": json.dumps([{"image": name, "category": kind} for name, kind in rows()]),
    "json object": json.dumps(dict(rows())),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_label_files(tmp_path: Path, form: str) -> None:
    (tmp_path / "labels.txt").write_text(FORMS[form])
    labels = from_file(tmp_path / "labels.txt", NAMES)
    assert read(labels, NAMES) == dict(rows())
    assert numbers(labels) == {"cat": 0, "dog": 1, "fish": 2}
    assert "labels.txt" in labels.source and str(tmp_path) not in labels.source


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be-mark", "utf-32"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    text = "filename,label\nä.png,Gänse\nb.png,Kühe\n"
    data = b"\xfe\xff" + text.encode("utf-16-be") if encoding == "utf-16-be-mark" else text.encode(encoding)
    (tmp_path / "labels.csv").write_bytes(data)
    assert read(from_file(tmp_path / "labels.csv", ["b.png", "ä.png"]), ["b.png", "ä.png"]) == {
        "ä.png": "Gänse",
        "b.png": "Kühe",
    }


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16-le"])
def test_other_encodings_are_refused_by_name(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "labels.csv").write_bytes("filename,label\na.png,Gänse\nb.png,Kühe\n".encode(encoding))
    with pytest.raises(AtlasError, match="UTF-8"):
        from_file(tmp_path / "labels.csv", ["a.png", "b.png"])


def test_unicodes_forms_and_missing_suffixes_name_the_same_picture(tmp_path: Path) -> None:
    one, other = (unicodedata.normalize(form, "Gänse 1.png") for form in ("NFC", "NFD"))
    (tmp_path / "labels.csv").write_text(f"filename,label\n{one},goose\n")
    assert read(from_file(tmp_path / "labels.csv", [other]), [other]) == {other: "goose"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cat/1.png,a\ndog/1.png,b\n", {"cat/1.png": "a", "dog/1.png": "b"}),
        ("/data/x/cat/1.png,a\n/data/x/dog/1.png,b\n", {"cat/1.png": "a", "dog/1.png": "b"}),
        ("x\\cat\\1.png,a\nx\\dog\\1.png,b\n", {"cat/1.png": "a", "dog/1.png": "b"}),
    ],
)
def test_equal_file_names_are_told_apart_by_their_folders(
    tmp_path: Path, text: str, expected: dict[str, str]
) -> None:
    (tmp_path / "l.csv").write_text(text)
    paths = ["cat/1.png", "dog/1.png"]
    assert read(from_file(tmp_path / "l.csv", paths), paths) == expected


def test_integers_are_numbers_and_given_numbers_hold(tmp_path: Path) -> None:
    def of(text: str) -> Labels:
        (tmp_path / "l.csv").write_text(text)
        return from_file(tmp_path / "l.csv", ["a.png", "b.png"])

    plain = of("filename,label\na.png,7\nb.png,10\n")
    assert numbers(plain) == {"7": 7, "10": 10} and plain.numbering == "numbers"
    assert numbers(of("filename,label\na.png,7.0\nb.png,10.0\n")) == {"7": 7, "10": 10}
    given = of("filename,label,label_id\na.png,crane,134\nb.png,crane,517\n")
    assert [(one.number, one.name) for one in given.classes] == [(134, "crane"), (517, "crane")]
    assert given.numbering == "given" and given.of_picture == [0, 1]
    assert numbers(of("filename,class_id\na.png,3\nb.png,4\n")) == {"3": 3, "4": 4}
    assert numbers(of("filename,label,class_name\na.png,3,cat\nb.png,4,dog\n")) == {"cat": 3, "dog": 4}


def test_wordnet_numbers_in_a_label_file_have_names(tmp_path: Path) -> None:
    (tmp_path / "val_annotations.txt").write_text(
        "val_0.JPEG\tn01443537\t0\t32\t44\t62\nval_1.JPEG\tn01440764\t52\t55\t57\t59\n"
    )
    labels = from_file(tmp_path / "val_annotations.txt", ["val_0.JPEG", "val_1.JPEG"])
    assert [(one.wnid, one.name) for one in labels.classes] == [
        ("n01440764", "tench"),
        ("n01443537", "goldfish"),
    ]


@pytest.mark.parametrize("text", ["490\n361\n", "label\n490\n361\n"])
def test_one_label_per_line_follows_the_order_of_names_and_says_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "val.txt").write_text(text)
    labels = from_file(tmp_path / "val.txt", ["v_1.JPEG", "v_2.JPEG"])
    assert read(labels, ["v_1.JPEG", "v_2.JPEG"]) == {"v_1.JPEG": "490", "v_2.JPEG": "361"}
    assert "in the order of the pictures' names" in labels.source


def test_lines_of_absent_pictures_are_counted(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("filename,label\na.png,cat\ngone.png,dog\n")
    labels = from_file(tmp_path / "l.csv", ["a.png"])
    assert labels.notes == ("1 line names a picture that is not in the folder, the first gone.png",)


# -- label files: forms that are refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "filename,label\nimg 00.png,cat|Effusion\n",
            ["columns found: filename and label", "cat|Effusion", "a table needs"],
        ),
        ("image,width,high\nimg 00.png,96,97\n", ["columns found: image, width and high", "img 00.png, 96, 97"]),
        ("img 00.png,cat,0.5\n", ["columns found: column 1, column 2 and column 3", "a table needs"]),
        ("image,cat,dog\nimg 00.png,1,0\n", ["columns found: image, cat and dog"]),
        ("filename,label,category\nimg 00.png,cat,pet\n", ["several columns may hold the labels, label and category"]),
        ("x.csv,cat\ny.csv,dog\n", ["no column names pictures of the folder", "x.csv and cat"]),
        ("name;kind\n1;cat\n2;dog\n", ["no column names pictures of the folder", "columns found: name and kind"]),
        ("ImageId,Prediction\nimg 00,n01440764 1 2\nx,n01440764 1 2\n", ["more than one label", "n01440764 1 2"]),
        ("img 00.png cat 3\n", ["3 columns are separated by spaces"]),
        ("img 00.png,tench, Tinca tinca\nimg 01.png,cat\n", ["line 2 has 2 columns where the first has 3"]),
        ("img 00.png,a\nimg 01.png,b,c\n", ["line 2 has 3 columns where the first has 2", "quotes"]),
        ("0001 cat\n", ["more than a label", "0001 cat"]),
        ("img 00.png: cat\n", ["more than a label", "img 00.png: cat"]),
        ("img 00.png=cat\n", ["more than a label", "img 00.png=cat"]),
        ("cat img 00.png\n", ["without a label"]),
        ("other.png\n", ["line 1 is a file's name without a label"]),
        ("filename,labels\nimg 00.png,\"['cat', 'dog']\"\n", ["more than one label"]),
        ('{"images": [{"file_name": "img 00.png"}], "annotations": [{"category_id": 3}]}', ["not a list of objects"]),
        ("img 00.png,cat\nimg 00.png,dog\n", ["img 00.png has two labels, 'cat' (line 1) and 'dog' (line 2)"]),
        ("filename,label,label_id\nimg 00.png,cat,x\n", ["label_id 'x', not a number"]),
        ('{"file_name": "img 00.png"\n', ["line 1", "not JSON"]),
        ("[1, 2]", ["not a list of objects"]),
        ("PK\x03\x04\0\0", ["not UTF-8 text"]),
    ],
)  # fmt: skip
def test_what_is_not_clear_is_refused_with_what_was_found(
    tmp_path: Path, text: str, found: list[str]
) -> None:
    (tmp_path / "l.txt").write_text(text)
    with pytest.raises(AtlasError) as caught:
        from_file(tmp_path / "l.txt", ["img 00.png"])
    assert "\n" not in str(caught.value)
    for part in found:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("paths", "text", "names"),
    [
        (["cat/1.png", "dog/1.png"], "1.png,a\n", ["cat/1.png", "dog/1.png"]),
        (["a.jpg", "a.png"], "id,label\na,cat\n", ["a.jpg", "a.png"]),
        (["A.png", "a.PNG"], "a.png,cat\n", ["A.png", "a.PNG"]),
        (["x/cat/1.png", "y/cat/1.png"], "cat/1.png,a\n", ["x/cat/1.png", "y/cat/1.png"]),
    ],
)
def test_a_name_that_fits_two_pictures_is_refused(
    tmp_path: Path, paths: list[str], text: str, names: list[str]
) -> None:
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(AtlasError, match="which may be") as caught:
        from_file(tmp_path / "l.csv", paths)
    assert all(name in str(caught.value) for name in names)


@pytest.mark.parametrize(
    ("paths", "what"),
    [(["1.png", "2.png", "10.png"], "numbers in their names"), (["b/1.png", "a/2.png", "a/3.png"], "paths")],
)
def test_an_order_that_is_not_certain_gives_no_labels(tmp_path: Path, paths: list[str], what: str) -> None:
    (tmp_path / "l.txt").write_text("cat\ndog\nfish\n")
    with pytest.raises(AtlasError, match=f"not clear in which order.*{what}"):
        from_file(tmp_path / "l.txt", paths)


def test_a_folder_with_the_same_name_elsewhere_is_not_meant(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("filename,label\ndogs/1.png,a\ncats/2.png,b\n")
    labels = from_table(tmp_path / "l.csv", ["cats/1.png", "cats/2.png"])
    assert labels.of_picture == [-1, 0]


# -- files in the folder ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["", "train/"])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_hugging_faces_metadata_is_read(tmp_path: Path, where: str, kind: str) -> None:
    make(tmp_path, f"{where}a.png", f"{where}b.png")
    lines = [{"file_name": f"{name}.png", "label": label} for name, label in (("a", "cat"), ("b", "dog"))]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    if kind == "csv":
        text = "file_name,label\na.png,cat\nb.png,dog\n"
    (tmp_path / where / f"metadata.{kind}").write_text(text)
    found = find_pictures(tmp_path)
    assert [file.label for file in found.files] == ["cat", "dog"]
    assert f"{where}metadata.{kind}" in found.labels.source
    assert (found.labels.labelled, found.labels.classes) == (2, 2)


def test_metadata_without_labels_leaves_the_folders_names(tmp_path: Path) -> None:
    make(tmp_path, "cat/a.png", "dog/b.png")
    (tmp_path / "metadata.csv").write_text("file_name,text,width\ncat/a.png,a cat,5\ndog/b.png,a dog,6\n")
    found = find_pictures(tmp_path)
    assert [file.label for file in found.files] == ["cat", "dog"]
    assert "metadata.csv" in found.labels.notes[-1]


def test_a_table_among_the_pictures_may_be_of_any_form_and_label_some(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "b.png", "c.png")
    (tmp_path / "labels.csv").write_text("id,breed\na,cat\nb,dog\n")
    found = find_pictures(tmp_path)
    assert [file.label for file in found.files] == ["cat", "dog", ""]
    assert "1 picture is not named there and is used without a label: c.png" in found.labels.notes


def test_an_atlas_own_images_csv_is_a_label_file(tmp_path: Path) -> None:
    (tmp_path / "images.csv").write_text(
        "index,path,label_id,label,width,height\n0,a.png,3,cat,9,9\n1,b.png,5,dog,9,9\n"
    )
    assert numbers(from_file(tmp_path / "images.csv", ["a.png", "b.png"])) == {"cat": 3, "dog": 5}


def test_a_limit_counts_the_pictures_that_are_used(tmp_path: Path) -> None:
    make(tmp_path, *(f"{kind}/{number}.png" for kind in "abcd" for number in range(4)))
    found = find_pictures(tmp_path, limit=2)
    assert (found.labels.labelled, found.labels.classes, len(found.classes)) == (2, 2, 4)


@pytest.mark.parametrize("separate", [from_names, from_top_folders])
def test_large_folders_are_read_quickly(separate: Callable[[list[str]], Labels]) -> None:
    import time

    paths = [f"{n % 1000:04d}x/{n:07d}.png" for n in range(200_000)]
    start = time.process_time()
    assert len(separate(paths).classes) == 1000
    assert time.process_time() - start < 5


# -- what is found besides -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "folder", ["__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "cat/@eaDir", "__MACOSX/cat"]
)
def test_folders_that_systems_make_hold_no_pictures(tmp_path: Path, folder: str) -> None:
    for path in ("cat/1.png", "dog/1.png", f"{folder}/1.png"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"x")
    found = find_pictures(tmp_path)
    assert [(file.path, file.label) for file in found.files] == [("cat/1.png", "cat"), ("dog/1.png", "dog")]


@pytest.mark.parametrize(
    "folders",
    [
        ("images_001", "images_002"),
        ("X_images_part_1", "X_images_part_2"),
        ("batch1", "batch2"),
        ("Images 1", "Images 2"),
    ],
)
def test_parts_of_a_download_are_no_classes_unasked(folders: tuple[str, str]) -> None:
    paths = [f"{folder}/{k}.png" for folder in folders for k in range(2)]
    with pytest.raises(AtlasError, match=r"not clear which folders are the classes.*parts of one dataset"):
        from_names(paths)
    assert len(from_top_folders(paths).classes) == 2


@pytest.mark.parametrize("folders", [("type_1", "type_2"), ("cat", "cat 2"), ("part", "whole")])
def test_classes_with_numbers_stay_classes(folders: tuple[str, str]) -> None:
    assert len(from_names([f"{folder}/1.png" for folder in folders]).classes) == 2


@pytest.mark.parametrize(("one", "other"), [("Cat", "cat"), ("cat", "cat "), ("big cat", "big  cat")])
def test_classes_that_differ_in_case_or_spaces_alone_are_named(one: str, other: str) -> None:
    found = from_names([f"{one}/1.png", f"{other}/1.png", "dog/1.png"])
    assert len(found.classes) == 3
    assert any(
        repr(one) in note and repr(other) in note and "different classes" in note for note in found.notes
    )
    assert from_names(["cat/1.png", "dog/1.png"]).notes == ()


@pytest.mark.parametrize(
    "text", ["a/img1\na/img2\nb/img3\n", "img1\nimg2\nimg3\n", "img3\nimg1\nimg2\n", "img1\nimg2\n"]
)
def test_a_list_of_names_without_suffixes_is_no_list_of_labels(tmp_path: Path, text: str) -> None:
    (tmp_path / "l.txt").write_text(text)
    with pytest.raises(AtlasError, match="every line may be a picture's name"):
        from_file(tmp_path / "l.txt", ["a/img1.png", "a/img2.png", "b/img3.png"])


def test_labels_that_are_pictures_names_too_are_labels_where_they_repeat(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text("1\n0\n1\n")
    found = from_file(tmp_path / "l.txt", ["0.png", "1.png", "2.png"])
    assert [found.classes[k].name for k in found.of_picture] == ["1", "0", "1"]


def test_an_empty_label_is_told_from_a_picture_that_is_not_named(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,label\na.png,\nb.png,bee\n")
    notes = from_table(tmp_path / "labels.csv", ["a.png", "b.png", "c.png"]).notes
    assert any("not named there" in note and note.endswith("c.png") for note in notes)
    assert any("named there without a label" in note and note.endswith("a.png") for note in notes)
    with pytest.raises(AtlasError, match=r"a.png .line 2 names it and gives none"):
        from_file(tmp_path / "labels.csv", ["a.png", "b.png"])


def test_an_error_about_a_hostile_name_is_one_line(tmp_path: Path) -> None:
    name = "bad\n\x1b[31mname"
    result = CliRunner().invoke(main, ["serve", str(tmp_path / name)])
    assert result.exit_code == 1 and "bad\\n\\x1b[31mname" in result.output
    assert "\x1b" not in result.output and result.output.count("\n") == 1


@pytest.mark.parametrize("tops", [("colour", "grey"), ("fold_0", "fold_1", "fold_2"), ("site A", "site B")])
def test_the_same_folders_in_every_folder_are_asked_about(tops: tuple[str, ...]) -> None:
    paths = [f"{top}/{name}/1.png" for top in tops for name in ("cat", "dog")]
    with pytest.raises(AtlasError, match="not clear which folders are the classes") as caught:
        from_names([*paths, "other.png"])
    assert tops[0] in str(caught.value) and "--labels folders" in str(caught.value)


@pytest.mark.parametrize("inner", [("train", "val"), ("images", "photos"), ("one", "")])
def test_folders_below_classes_that_are_no_classes_are_looked_past(inner: tuple[str, str]) -> None:
    paths = [f"{top}/{name}/1.png".replace("//", "/") for top in ("cat", "dog") for name in inner]
    assert [found.name for found in from_names(paths).classes] == ["cat", "dog"]


def test_excels_line_of_the_separator_is_no_header(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("sep=;\r\nfile;label\r\na.png;cat\r\nb.png;dog\r\n", newline="")
    found = from_file(tmp_path / "l.csv", ["a.png", "b.png"])
    assert found.notes == () and "columns file and label" in found.source


@pytest.mark.parametrize("text", ["class_id,class_name\n0,cat\n1,dog\n", "cat\ndog\n"])
def test_a_labels_csv_that_names_no_pictures_can_be_left_aside(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels.csv").write_text(text)
    for path in ("cat/1.png", "dog/1.png"):
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).write_bytes(b"x")
    with pytest.raises(AtlasError, match="--labels folders"):
        find_pictures(tmp_path)
    assert [file.label for file in find_pictures(tmp_path, labels="folders").files] == ["cat", "dog"]
