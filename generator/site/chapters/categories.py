"""The chapter *Categories*: for every class and every group of classes the channels that have many of its
pictures among their top-9."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from generator.core.records import TOP
from generator.site.chapters.chapter import Chapter
from generator.site.csv_tables import csv_text, field
from generator.site.reading.atlas import Atlas
from generator.site.reading.categories import Categories, Category, CategoryChannel
from generator.site.reading.class_effects import ClassEffects, answer_classes, class_effects, raised_by
from generator.site.reading.effects import EffectClass, Effects
from generator.site.reading.layer import Cell, channel_cell
from generator.site.reading.whole_pictures import cuts_fields
from generator.site.writing import Site

LISTED = 600  # channels on a category's page; its CSV file has all
COLUMNS = (
    "category", "kind", "pictures", "layer", "channel", "count", "expected", "average_precision", "chance_precision",
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A category in the list. depth: of its place below the others; channels: how many are found for it; best: the
    first of them, None without; effect: the class of the outputs that it is, None where it is none; raised_by: the
    channels that raise it most in the last of the layers, each with that layer and its mean contribution."""

    category: Category
    depth: int
    channels: int
    best: CategoryChannel | None
    effect: EffectClass | None
    raised_by: Sequence[tuple[str, int, float]]


@dataclass(frozen=True)
class CategoriesPage:
    """absent: why there is no category with channels, '' where there is one; effects: the contributions to the outputs,
    None where nobody asked for them; answers: the classes of the outputs, where they are not those of the labels."""

    entries: Sequence[Entry]
    hierarchy: str
    absent: str
    effects: Effects | None
    answers: Sequence[EffectClass]


@dataclass(frozen=True)
class AnswerPage:
    """The page of a class that is not one of the labels."""

    name: str
    effects: ClassEffects
    cuts_fields: bool


@dataclass(frozen=True)
class FoundCell:
    """A channel found for the category, as in the grid of its layer. layer_number: among those that have pages, from 0;
    columns: of the layer's sheet of thumbnails."""

    found: CategoryChannel
    cell: Cell
    layer_number: int
    columns: int


@dataclass(frozen=True)
class SameCount:
    """The channels with equally many of the category's pictures."""

    count: int
    cells: Sequence[FoundCell]


@dataclass(frozen=True)
class CategoryPage:
    """total: channels found; listed: of them on this page; active: channels of the atlas that are not dead; above: the
    next larger category; parts: those next below that have a page, of a group of the list of words all its classes;
    effects: the channels that raise a class, None for a group; cuts_fields: whether a channel shows a field, cut
    out of a whole picture, in place of a thumbnail."""

    category: Category
    above: Category | None
    parts: Sequence[Category]
    counts: Sequence[SameCount]
    total: int
    listed: int
    active: int
    effects: ClassEffects | None
    cuts_fields: bool


def present(atlas: Atlas) -> bool:
    return atlas.categories is not None


def write(site: Site, atlas: Atlas) -> None:
    categories = atlas.categories
    assert categories is not None
    answers = answer_classes(atlas)
    CHAPTER.write_page(
        site,
        atlas,
        CategoriesPage(
            _entries(atlas, categories),
            categories.hierarchy,
            absence(categories),
            atlas.effects,
            answers,
        ),
    )
    cut = cuts_fields(atlas)
    labels = list(atlas.store.tables.class_groups())
    for category in categories.entries:
        if category.address:
            row = categories.class_rows.get(category.number)
            effects = None if row is None else _effects(atlas, category, labels[row])
            page = _category_page(atlas, categories, category, effects, cut)
            site.page_of(atlas, category.address, "category.html", page)
    for effect in answers:
        site.page_of(atlas, effect.address, "answer.html", _answer_page(atlas, effect, cut))
    site.write(f"{atlas.name}/data/categories.csv", csv_text(COLUMNS, _rows(categories)))
    if (table := atlas.store.tables.path("categories.json")) is not None:
        site.copy(table, f"{atlas.name}/data/categories.json")


def absence(categories: Categories) -> str:
    """Why no channel is found for any category, in a sentence; '' where some are."""
    if any(categories.of_category(category) for category in categories.entries):
        return ""
    if not categories.labelled:
        return "The pictures have no labels, so no channel can be found by what its pictures show."
    if not categories.entries:
        return "All labelled pictures are of one class, so no channel differs from another by what its pictures show."
    if all(category.fewest > TOP for category in categories.entries):
        return "No class has enough pictures, and no group of classes is small enough, to tell a channel from chance."
    return "No channel has more pictures of a class among its nine than chance gives."


def _entries(atlas: Atlas, categories: Categories) -> list[Entry]:
    """Every category below the one that holds it, in alphabetical order, groups of the list of words last."""
    effects = atlas.effects
    below: dict[int, list[Category]] = {}
    for category in categories.entries:
        below.setdefault(category.parent, []).append(category)

    def walk(parent: int, depth: int) -> Iterator[Entry]:
        for category in sorted(below.get(parent, []), key=lambda x: (x.kind == "own", x.name.casefold())):
            found = categories.of_category(category)
            inside = list(walk(category.number, depth + 1))
            if found or inside or category.address:  # a group without any channel or class is left out
                effect = None if effects is None else effects.of_category.get(category.number)
                best = found[0] if found else None
                yield Entry(category, depth, len(found), best, effect, raised_by(atlas, effect))
                yield from inside

    return list(walk(-1, 0))


def _answer_page(atlas: Atlas, effect: EffectClass, cut: bool) -> AnswerPage:
    assert atlas.effects is not None
    effects = class_effects(atlas, atlas.effects, effect, effect.labels)
    return AnswerPage(effect.name, effects, cut)


def _effects(atlas: Atlas, category: Category, label: tuple[int, str]) -> ClassEffects | None:
    if atlas.effects is None:
        return None
    effect = atlas.effects.of_category.get(category.number)
    return class_effects(atlas, atlas.effects, effect, frozenset([label]))


def _category_page(
    atlas: Atlas, categories: Categories, category: Category, effects: ClassEffects | None, cut: bool
) -> CategoryPage:
    found = categories.of_category(category)
    listed = [_found_cell(atlas, each) for each in found[:LISTED]]
    return CategoryPage(
        category=category,
        above=_above(categories, category),
        parts=_parts(categories, category),
        counts=[
            SameCount(count, list(group))
            for count, group in itertools.groupby(listed, key=lambda each: each.found.count)
        ],
        total=len(found),
        listed=len(listed),
        active=sum(not dead for layer in atlas.layers for dead in atlas.layer(layer.name).dead),
        effects=effects,
        cuts_fields=cut,
    )


def _parts(categories: Categories, category: Category) -> list[Category]:
    if category.kind == "own":
        return [categories.entries[number] for number in category.classes]
    return [x for x in categories.entries if x.parent == category.number and x.address]


def _above(categories: Categories, category: Category) -> Category | None:
    """The smallest larger category that has a page."""
    number = category.parent
    while number >= 0 and not categories.entries[number].address:
        number = categories.entries[number].parent
    return categories.entries[number] if number >= 0 else None


def _found_cell(atlas: Atlas, found: CategoryChannel) -> FoundCell:
    return FoundCell(
        found=found,
        cell=channel_cell(atlas, atlas.layer(found.layer), found.channel),
        layer_number=atlas.layer_numbers[found.layer],
        columns=atlas.thumbnail_sheet(found.layer)[0],
    )


def _rows(categories: Categories) -> Iterator[tuple[object, ...]]:
    for category in categories.entries:
        for each in categories.of_category(category):
            yield (
                category.name,
                category.kind,
                category.pictures,
                each.layer,
                each.channel,
                each.count,
                field(category.expected()),
                field(each.precision),
                field(category.chance),
            )


CHAPTER = Chapter(
    name="categories",
    title="Categories",
    template="categories.html",
    summary="for each class the channels that raise it, for each class and group those with many of its pictures",
    present=present,
    write=write,
    styles=("relations", "categories"),
)
