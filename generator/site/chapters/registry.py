"""All chapters, in the order in which home pages list them and styles follow each other. A new one is one row."""

from __future__ import annotations

from generator.site.chapters import (
    architecture,
    categories,
    correspondence,
    deepdream,
    experiments,
    first_layers,
    networks,
    picture_map,
    refinement,
    revisited,
    scale,
    selectivity,
    stream,
    your_picture,
)
from generator.site.chapters.chapter import Chapter, SharedChapter

CHAPTERS: tuple[Chapter, ...] = (
    architecture.CHAPTER,
    categories.CHAPTER,
    selectivity.CHAPTER,
    refinement.CHAPTER,
    correspondence.CHAPTER,
    stream.CHAPTER,
    scale.CHAPTER,
    deepdream.CHAPTER,
    picture_map.CHAPTER,
    your_picture.CHAPTER,
    revisited.CHAPTER,
)
SHARED_CHAPTERS: tuple[SharedChapter, ...] = (
    networks.CHAPTER,
    experiments.CHAPTER,
    first_layers.CHAPTER,
)
