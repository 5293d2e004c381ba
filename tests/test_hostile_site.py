"""Names and labels as an attacker would choose them: on every page, in every data file, they stay text."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from finder_script import index_of
from make_small_atlas import make_atlas
from serving import served

from generator.core.records import PictureRecord, Skipped
from generator.core.store import Store
from generator.site.links import check_links
from generator.site.policy import RULES
from generator.site.render import render_site

ATTACKS = (
    "<script>alert('zz')</script>",
    "</script><script>alert('zz')</script>",
    "\"><img src=x onerror=alert('zz')>",
    "' onmouseover='alert(1)' zz='",
    "</title></style></textarea><svg onload=alert('zz')>",
    "{{ 7*7 }}{% raw %}zz",
    "zz](javascript:alert(1)) **zz** `zz` <zz>",
    "]]><!--zz--><![CDATA[",
    "javascript:alert('zz')",
    "zz\u2028\u2029line\r\nbreak\ttab\u202eright to left",
    '=HYPERLINK("http://zz.example","zz")',
    "&lt;script&gt;zz & zz; &#60;",
    "${zz}\\u003cscript\\u003e\\",
)
TINY: dict[str, Any] = {
    "stages": ((2, 2, 4),),
    "inner": ("res2b",),
    "stem": 4,
    "pictures": 26,
    "side": 48,
    "tile": 12,
}


def _poison(folder: Path) -> None:
    """Every text of an atlas that comes from outside."""
    store = Store(folder)
    records = store.tables.images()
    names = [f"{ATTACKS[n % len(ATTACKS)]}/{n}{ATTACKS[-n % len(ATTACKS)]}" for n in range(len(records))]
    store.tables.write_images(
        [PictureRecord(r.index, os.fsdecode(name.encode() + b"\xff"), r.label_id, r.label, r.width, r.height)
         for r, name in zip(records, names, strict=True)]
    )  # fmt: skip
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["weights"] |= {"source": ATTACKS[2], "note": ATTACKS[0]}
    manifest["pictures"] |= {"source": ATTACKS[4], "skipped": [{"path": a, "reason": a} for a in ATTACKS]}
    manifest["versions"] = {ATTACKS[0]: ATTACKS[2], **manifest["versions"]}
    manifest["profile"] = {"network": {"weights": ATTACKS[3]}, "pictures": {"folder": ATTACKS[4]}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert isinstance(store.manifest().pictures.skipped[0], Skipped)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hostile")
    for name in ("one", "two"):
        make_atlas(root / name, name=name, labels=ATTACKS, title=ATTACKS[2] + ATTACKS[0], **TINY)
        _poison(root / name)
    render_site([root / "one", root / "two"], root / "site", base_url="https://example.org/a'\"b<c")
    return root / "site"


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []  # of scripts, with their type
        self.shown: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    inside = ""

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.texts.append((str(self.tags[-1][1].get("type")), data))
        else:
            self.shown.append(data)


def _pages(site: Path) -> Iterator[tuple[Path, _Tags]]:
    paths = sorted(site.rglob("*.html"))
    assert paths  # a loop over none would find nothing wrong
    for path in paths:
        parser = _Tags()
        parser.feed(path.read_text("utf-8"))
        yield path, parser


def test_no_page_gains_an_element_an_attribute_or_a_script(site: Path) -> None:
    shown = ""
    for path, page in _pages(site):
        for tag, attributes in page.tags:
            assert "zz" not in tag, (path, tag)
            for name, value in attributes.items():
                assert "zz" not in name and not name.startswith("on"), (path, tag, name)
                if name in ("href", "src", "srcset", "action", "data", "formaction"):
                    assert not (value or "").strip().lower().startswith(("javascript:", "data:")), (
                        path,
                        value,
                    )
            if tag == "script":
                assert "src" in attributes or attributes.get("type") == "application/json", path
            assert tag not in ("iframe", "object", "embed", "base", "style"), (path, tag)
            assert "style" not in attributes, (path, tag)
        for kind, text in page.texts:
            assert kind == "application/json" and "<" not in text, path
            json.loads(text)
        shown += "".join(page.shown)
    for attack in (ATTACKS[0], ATTACKS[2], ATTACKS[5]):
        assert attack in shown  # as text, whole: neither dropped nor evaluated
    assert "49zz" not in shown


def test_every_page_has_the_policy_and_it_forbids_inline_and_foreign_scripts(site: Path) -> None:
    for path, page in _pages(site):
        metas = [attributes for tag, attributes in page.tags if tag == "meta"]
        (policy,) = [meta["content"] for meta in metas if meta.get("http-equiv") == "Content-Security-Policy"]
        rules = {name: set(values) for name, *values in (rule.split() for rule in str(policy).split(";"))}
        scripts = rules.get("script-src", rules["default-src"])
        # Rules on what to load ahead are data: no script runs by them.
        rules_hash = base64.b64encode(hashlib.sha256(RULES.encode()).digest()).decode()
        assert json.loads(RULES).keys() == {"prefetch", "prerender"}
        assert scripts <= {"'self'", "file:", f"'sha256-{rules_hash}'"}, (path, policy)
        assert rules["base-uri"] == {"'none'"} and rules["form-action"] == {"'none'"}
        position = [t for t, _ in page.tags]
        assert position.index("meta") < position.index("script"), path


def test_every_link_and_fragment_leads_somewhere(site: Path) -> None:
    assert check_links(site) == []


def test_nothing_is_asked_of_another_host(site: Path) -> None:
    for path, page in _pages(site):
        for tag, attributes in page.tags:
            loads = [
                attributes.get("src"),
                attributes.get("srcset"),
                attributes.get("data"),
                attributes.get("poster"),
            ]
            if tag == "link" and attributes.get("rel") != "canonical":
                loads.append(attributes.get("href"))
            for address in loads:
                assert not re.match(r"(?:[a-z]+:)?//", address or ""), (path, address)
    styles, drawings = (list(site.rglob(f"*.{kind}")) for kind in ("css", "svg"))
    assert styles
    for path in styles:
        assert not re.search(r"(?:url\(|@import)\s*['\"]?(?:[a-z]+:)?//", path.read_text("utf-8")), path
    for path in drawings:
        assert not re.search(r"href\s*=", path.read_text("utf-8")), path


def test_data_files_give_names_back_as_they_were(site: Path) -> None:
    for name in ("one", "two"):
        with (site / name / "data" / "images.csv").open(
            newline="", encoding="utf-8", errors="surrogateescape"
        ) as file:
            rows = list(csv.DictReader(file))
        assert {row["label"] for row in rows} == set(ATTACKS)
        assert all(row["path"].endswith("\udcff") for row in rows)
        assert (
            json.loads((site / name / "data" / "manifest.json").read_text())["weights"]["note"] == ATTACKS[0]
        )
        script = (site / name / "finder.js").read_text("utf-8")
        index = index_of(script)
        labels = {whole or name for name, whole in zip(index["classes"], index["synonyms"], strict=True)}
        assert labels <= set(ATTACKS) and "</" not in script
        for separator in ("\u2028", "\u2029"):
            assert separator not in script


def test_every_svg_is_xml_without_scripts(site: Path) -> None:
    drawings = list(site.rglob("*.svg"))
    assert drawings
    for path in drawings:
        tree = ET.fromstring(path.read_text("utf-8"))
        for element in tree.iter():
            assert not element.tag.endswith(("script", "foreignObject")), path
            assert not [name for name in element.attrib if name.startswith("on")], path


def test_the_pages_are_valid_html(site: Path, tmp_path: Path) -> None:
    """By html-validate. Ids that are numbers are valid HTML, and the address `#3` of the third picture is a promise."""
    root = Path(__file__).parent.parent
    program = shutil.which(
        "html-validate", path=f"{root / 'node_modules' / '.bin'}:{os.environ.get('PATH', '')}"
    )
    if program is None:
        pytest.skip("html-validate is not installed: npm install html-validate")
    rules = {"valid-id": ["error", {"relaxed": True}], "long-title": "off", "no-raw-characters": "off"}
    (tmp_path / "rules.json").write_text(json.dumps({"extends": ["html-validate:standard"], "rules": rules}))
    command = [
        program,
        "--config",
        str(tmp_path / "rules.json"),
        "--formatter",
        "text",
        "--max-warnings",
        "0",
    ]
    pages = [str(path) for path in sorted(site.rglob("*.html"))]
    done = subprocess.run([*command, *pages], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, (done.stdout + done.stderr)[:4000]


@pytest.mark.browser
def test_in_a_browser_nothing_of_it_runs(site: Path, chromium_path: str) -> None:
    """Every page kind is opened, pointed at and searched; a script of an attack would open a dialog."""
    sync_api = pytest.importorskip("playwright.sync_api")

    faults: list[str] = []
    with served(site) as host, sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium_path, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
        page.on("request", lambda r: None if r.url.startswith(host) else faults.append(r.url))
        for place in (
            "index.html", "one/index.html", "one/res2b/index.html", "one/res2b/1.html", "one/conv1/kernels.html",
            "guide/about.html", "guide/layers.html", "guide/data.html",
        ):  # fmt: skip
            page.goto(f"{host}/{place}")
            for picture in page.locator("main a img").all()[:6]:
                picture.hover(force=True)
        page.keyboard.press("/")
        page.keyboard.type("script")
        sync_api.expect(page.locator("#ra-answers [data-address]").first).to_be_visible()
        browser.close()
    assert faults == []
