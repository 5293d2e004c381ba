"""All chapters, in the order in which home pages list them and styles follow each other. A new one is one row."""

from __future__ import annotations

from generator.site.chapters import (
    architecture_pages,
    correspondence,
    dream_pages,
    experiment_pages,
    first_layer_pages,
    networks,
    picture_map,
    refinement,
    revisited,
    scale,
    stream,
)
from generator.site.chapters.chapter import Chapter, SharedChapter

CHAPTERS: tuple[Chapter, ...] = (
    architecture_pages.CHAPTER,
    refinement.CHAPTER,
    correspondence.CHAPTER,
    stream.CHAPTER,
    scale.CHAPTER,
    dream_pages.CHAPTER,
    picture_map.CHAPTER,
    revisited.CHAPTER,
)
SHARED_CHAPTERS: tuple[SharedChapter, ...] = (
    networks.CHAPTER,
    experiment_pages.CHAPTER,
    first_layer_pages.CHAPTER,
)
