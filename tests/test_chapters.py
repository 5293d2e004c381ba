"""The registry of chapters: every chapter of the folder is in it, and each keeps to the protocol."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path

import pytest

from generator.site import chapters
from generator.site.chapters.chapter import Chapter, SharedChapter
from generator.site.chapters.registry import CHAPTERS, SHARED_CHAPTERS
from generator.site.reading.atlas import Atlas
from generator.site.render import RESERVED
from generator.site.templates import environment, resources
from generator.site.writing import Site

SMALL = Path(__file__).parent / "small_atlas"
ALL = [*CHAPTERS, *SHARED_CHAPTERS]


def test_every_file_that_defines_a_chapter_is_registered() -> None:
    modules = [
        import_module(f"{chapters.__name__}.{found.name}")
        for found in pkgutil.iter_modules(chapters.__path__)
    ]
    defined = [module.CHAPTER for module in modules if hasattr(module, "CHAPTER")]
    assert sorted(chapter.name for chapter in defined) == sorted(chapter.name for chapter in ALL)
    assert all(any(chapter is registered for registered in ALL) for chapter in defined)


def test_no_two_chapters_have_one_address() -> None:
    for registered in (CHAPTERS, SHARED_CHAPTERS):
        names = [chapter.name for chapter in registered]
        assert len(set(names)) == len(names)
    # The atlas's own pages and folders.
    assert not {chapter.name for chapter in CHAPTERS} & ({"index", "data", "pictures", "rules"} | RESERVED)


@pytest.mark.parametrize("chapter", ALL, ids=lambda chapter: chapter.name)
def test_what_a_chapter_names_exists(chapter: Chapter | SharedChapter) -> None:
    environment().get_template(chapter.template)
    sources = resources() / "site_src"
    assert all((sources / "css" / f"{name}.css").is_file() for name in chapter.styles)
    assert not chapter.script or (sources / "js" / chapter.script).is_file()


def test_chapters_write_their_pages_and_stay_in_the_atlas_s_folder(tmp_path: Path) -> None:
    atlas = Atlas(SMALL)
    present = [chapter for chapter in CHAPTERS if chapter.present(atlas)]
    assert {"refinement", "correspondence"} <= {chapter.name for chapter in present}
    for chapter in present:
        folder = tmp_path / chapter.name
        chapter.write(Site(folder, [atlas]), atlas)
        assert [path.name for path in folder.iterdir()] == [atlas.name]
        page = (folder / atlas.name / f"{chapter.name}.html").read_text("utf-8")
        assert "<h1>" in page and f'data-model="{atlas.name}"' in page
