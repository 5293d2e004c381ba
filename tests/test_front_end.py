"""The sources of the pages' styles and scripts, and what of them a page loads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from generator.site import assets

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "site_src").rglob("*.css"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_line_is_longer_than_120_characters(path: Path) -> None:
    """prettier breaks code, but no comment and no text in quotes."""
    lines = path.read_text("utf-8").splitlines()
    assert [line for line in lines if len(line) > 120] == []


def test_a_page_loads_the_rules_of_the_style_sheets_and_not_their_comments() -> None:
    text = assets.styles(assets.STYLES)
    sources = "".join((ROOT / "site_src/css" / f"{name}.css").read_text("utf-8") for name in assets.STYLES)
    assert "/*" in sources and "/*" not in text
    assert re.sub(r"\s+", "", re.sub(r"(?s)/\*.*?\*/", "", sources)) == re.sub(r"\s+", "", text)
    assert max(map(len, text.splitlines())) <= 120  # no rule was joined with another
