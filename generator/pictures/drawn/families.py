"""The drawn world's classes in their families, as a hierarchy."""

from __future__ import annotations

from generator.core.hierarchy import Hierarchy
from generator.pictures.drawn.world import FAMILIES


def drawn_hierarchy() -> Hierarchy:
    """The hierarchy of two levels: families, and the classes below them."""
    parents = {name: family for family, names in FAMILIES.items() for name in names}
    return Hierarchy({**parents, **dict.fromkeys(FAMILIES, "")}, "families of the drawn world")
