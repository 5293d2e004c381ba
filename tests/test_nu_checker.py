"""The pages are valid HTML: the Nu Html Checker of the W3C finds no error."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_focused_tiles import focused as focused

from generator.core.store import Store
from generator.site import templates
from generator.site.render import render_site

ROOT = Path(__file__).resolve().parent.parent
JAR = Path(sys.prefix) / "node/node_modules/vnu-jar/build/dist/vnu.jar"  # tools/prettier.py installs it
PUBLISHED = templates.LEAN_PAGES  # as it is without conftest's fixture


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("java") is None, reason="java is not installed")
@pytest.mark.skipif(not JAR.is_file(), reason="the Nu Html Checker is not installed: run `make lint`")
def test_no_page_has_an_error(
    atlas: Store, focused: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates, "LEAN_PAGES", PUBLISHED)
    for folder in (ROOT / "tests/small_atlas", atlas.folder, focused):
        render_site([folder], tmp_path / folder.parent.name / folder.name)
    (tmp_path / "wrong.html").write_text("<!DOCTYPE html><title>a</title><p><b>two</p>", "utf-8")
    command = [
        "java",
        "-jar",
        str(JAR),
        "--skip-non-html",
        "--errors-only",
        "--format",
        "json",
        str(tmp_path),
    ]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stderr)
    errors = {(message["url"].rpartition("/")[2], message["message"]) for message in found["messages"]}
    assert {page for page, _ in errors} == {"wrong.html"}, errors
