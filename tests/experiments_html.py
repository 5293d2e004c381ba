"""The page *Designs, compared* as HTML, without a site."""

from __future__ import annotations

from generator.site.chapters.experiments import ExperimentsPage
from generator.site.templates import environment


def html_of(page: ExperimentsPage) -> str:
    """The page as its template renders it, with the variables that every page has."""
    frame = {
        "root": "../",
        "model": "",
        "several": False,
        "made_from": "",
        "notice": "",
        "note": "",
        "takedown": False,
    }
    return environment().get_template("experiments.html").render({**frame, **vars(page)})
