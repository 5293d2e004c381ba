"""The pages in prose: MkDocs builds them from site_src/, once the tables of the atlases are filled in."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from generator.core.errors import AtlasError
from generator.site.guide import guide_parts
from generator.site.reading.atlas import Atlas
from generator.site.templates import resources

# Files of the theme and of MkDocs that our pages do not use (templates/mkdocs/main.html): 3 MB less to publish.
# 404.html and the sitemap hold absolute addresses, which a site that may be published anywhere cannot have.
UNUSED = ("assets", "404.html", "sitemap.xml", "sitemap.xml.gz", "search")


def build_narrative(atlases: Sequence[Atlas], work: Path, base_url: str = "") -> Path:
    """Build the prose pages below `work`; returns the folder that holds them."""
    source = resources()
    docs, built = work / "docs", work / "built"
    shutil.copytree(source / "site_src", docs, ignore=shutil.ignore_patterns("css", "js"))
    parts = guide_parts(atlases)
    for page in docs.rglob("*.md"):
        page.write_text(_filled(page.read_text("utf-8"), parts), "utf-8")
    # MkDocs and its theme print notices about their own future, which are of no use here.
    os.environ.setdefault("NO_MKDOCS_2_WARNING", "1")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config
    from mkdocs.exceptions import MkDocsException

    logging.getLogger("mkdocs").setLevel(logging.ERROR)
    try:
        config = load_config(
            str(source / "mkdocs.yml"),
            docs_dir=str(docs),
            site_dir=str(built),
            site_url=base_url or None,
            strict=True,
        )
        build(config)
    except MkDocsException as error:
        raise AtlasError(f"MkDocs refused the prose pages ({error})", source / "site_src") from error
    take_theme_styles(built)
    for name in UNUSED:
        path = built / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return built


def _filled(text: str, parts: Mapping[str, Callable[[], str]]) -> str:
    """The text of a page with the parts in place of their comments."""
    return re.sub(
        r"<!-- (.*?) -->", lambda comment: parts[comment[1]]() if comment[1] in parts else comment[0], text
    )


def take_theme_styles(built: Path) -> None:
    """Put Material's stylesheet where our pages expect it: its own file name changes with every release."""
    styles = sorted((built / "assets" / "stylesheets").glob("main.*.min.css"))
    if not styles:
        raise AtlasError("the theme's stylesheet was not found", built, "install mkdocs-material>=9.7,<10")
    text = styles[0].read_text("utf-8").partition("/*# sourceMappingURL")[0]
    (built / "static" / "material.css").write_text(text, "utf-8")
