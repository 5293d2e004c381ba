"""The pages in prose: MkDocs builds them from site_src/, once the atlases' tables are filled in."""

from __future__ import annotations

import importlib.resources
import json
import logging
import os
import shutil
from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from generator.core.errors import AtlasError
from generator.site.formats import integer, kilobytes, megabytes
from generator.site.reading.atlas import PANEL_NAMES, Atlas, in_full
from generator.site.reading.measures import MEASURES, Measure
from generator.site.reference import reference
from generator.site.templates import resources

RULE_KINDS = (
    "patches",
    "plain",
    "saliency",
    "deconvnet",
    "guided",
)  # in the order in which the method page has them

FOURTH = 4  # of the nine, in an example

# What the theme and MkDocs add and our pages do not use (templates/mkdocs/main.html): 3 MB less to publish.
# 404.html and the sitemap hold absolute addresses, which a site that may lie anywhere cannot have.
UNUSED = ("assets", "404.html", "sitemap.xml", "sitemap.xml.gz", "search")


REFERENCE = "<!-- reference of the package -->"


def build_narrative(atlases: Sequence[Atlas], work: Path, base_url: str = "") -> Path:
    """Build the prose pages below `work`; returns the folder that holds them."""
    source = resources()
    docs, built = work / "docs", work / "built"
    shutil.copytree(source / "site_src", docs, ignore=shutil.ignore_patterns("css", "js"))
    for page in docs.rglob("*.md"):
        text = page.read_text("utf-8")
        filled = text.replace("<!-- layers of the atlases -->", layer_tables(atlases)).replace(
            "<!-- definitions of the statistics -->", definitions()
        )
        filled = filled.replace("<!-- gradient rules of the atlases -->", gradient_rules(in_full(atlases)[0]))
        filled = filled.replace("<!-- sizes of a site -->", site_sizes())
        filled = filled.replace("<!-- examples of addresses -->", address_examples(in_full(atlases)[0]))
        if REFERENCE in filled:
            filled = filled.replace(REFERENCE, reference())
        if filled != text:
            page.write_text(filled, "utf-8")
    # MkDocs and its theme print notices about their own future; they are of no use to whoever builds an
    # atlas.
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


def take_theme_styles(built: Path) -> None:
    """Put Material's stylesheet where our pages expect it: nothing else knows the theme's file names."""
    found = sorted((built / "assets" / "stylesheets").glob("main.*.min.css"))
    if not found:
        raise AtlasError("the theme's stylesheet was not found", built, "install mkdocs-material>=9.7,<10")
    styles = found[0].read_text("utf-8").partition("/*# sourceMappingURL")[0]
    (built / "static" / "material.css").write_text(styles, "utf-8")


def layer_tables(atlases: Sequence[Atlas]) -> str:
    """A table of layers for each atlas, as HTML: nothing in it can then be taken for Markdown."""
    parts = []
    for atlas in atlases:
        manifest = atlas.manifest
        held = {layer.name for layer in atlas.layers}
        rows = []
        for layer in manifest.layers:
            field = layer.receptive_field
            name = escape(layer.name)
            link = (
                f'<a href="../{escape(atlas.name)}/{name}/index.html">{name}</a>'
                if layer.name in held
                else name
            )
            sprite = manifest.sprites.get(layer.name)
            shown = (
                ", ".join(PANEL_NAMES.get(panel, panel) for panel in sprite.panels)
                if sprite
                else "not in the atlas"
            )
            rows.append(
                f'<tr><th scope="row">{link}</th>'
                f"<td><code>{escape(layer.path)}</code></td><td>{layer.kind}</td>"
                f"<td>{integer(layer.channels)}</td><td>{layer.height} × {layer.width}</td><td>{field.side} px</td>"
                f"<td>{field.stride} px</td><td>{field.centre:g} px</td><td>{escape(shown)}</td></tr>"
            )
        head = "".join(
            f'<th scope="col">{name}</th>'
            for name in (
                "layer",
                "torchvision's name",
                "kind",
                "channels",
                "map",
                "field",
                "stride",
                "centre",
                "shown",
            )
        )
        # The tabindex lets a keyboard scroll a table that is wider than the page.
        parts.append(
            f'<h2 id="{escape(atlas.name)}">{escape(manifest.title)}</h2>\n'
            f'<section class="ra-wide" tabindex="0" aria-label="Layers of {escape(atlas.name)}">'
            f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></section>"
        )
    return "\n\n".join(parts)


def address_examples(atlases: Sequence[Atlas]) -> str:
    """Addresses of the first atlas's own pages, each what it is and a link to it, as HTML."""
    atlas = atlases[0]
    layers = [layer for layer in atlas.layers if not layer.is_inner]
    later = [layer for layer in layers if layer.stage == layers[-1].stage]
    layer = later[
        min(1, len(later) - 1)
    ]  # where the stage has a second block, one that is compared with another
    numbers = atlas.layer(layer.name)
    active = [channel for channel, dead in enumerate(numbers.dead) if not dead]
    channel = next((channel for channel in active if channel in numbers.pictured), (active or [0])[0])
    grid = f"{atlas.name}/{layer.name}/index.html"
    page = f"{atlas.name}/{layer.name}/{channel}.html"
    rows = [(f"channel {channel} of {layer.name}", page)]
    if channel in active and channel in numbers.pictured and len(numbers.nine(channel)) >= FOURTH:
        rows.append(("the fourth of its top-9 pictures", f"{page}#{FOURTH}"))
    label = next((name for name, _ in atlas.labels_of(layer.name, channel)), "") if channel in active else ""
    sorted_by = {column.measure.key: column.measure for column in numbers.measures}
    for key, up, order in (
        ("refinement_previous", "", "highest first"),
        ("spearman_previous", "&up=1", "lowest first"),
    ):
        if key in sorted_by:
            rows.append((f"{layer.name} by {sorted_by[key].name}, {order}", f"{grid}#sort={key}{up}"))
    if label:
        text = f"{layer.name}, the channels with a top-9 picture of one class"
        rows.append((text, f"{grid}#label={quote(label)}"))
        if atlas.store.arrays.has_embedding():
            address = f"{atlas.name}/map.html#layout=pca&class={quote(label)}"
            rows.append(("the map of the pictures by PCA, one class", address))
    body = "".join(
        f'<tr><td>{escape(what)}</td><td><a href="../{escape(address)}"><code>{escape(address)}</code></a></td></tr>'
        for what, address in rows
    )
    head = '<th scope="col">what</th><th scope="col">address</th>'
    return (
        '<section class="ra-wide" tabindex="0" aria-label="Examples of addresses">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></section>"
    )


def gradient_rules(atlases: Sequence[Atlas]) -> str:
    """Every kind of gradient side by side, a table of pictures for each atlas that has them, as HTML."""
    parts = []
    for atlas in atlases:
        rows = atlas.gradient_rules
        if not rows:
            continue
        kinds = [kind for kind in RULE_KINDS if kind in rows[0].kinds]
        lines = []
        for row in rows:
            layer, channel = escape(row.layer), row.channel
            name = f"{layer}, channel {channel}"
            cells = "".join(
                f'<td><img src="../{escape(atlas.name)}/rules/{layer}-{kind}.webp" loading="lazy" '
                f'alt="{name}: {PANEL_NAMES[kind]} of its nine"></td>'
                for kind in kinds
            )
            link = f"../{escape(atlas.name)}/{layer}/{channel}.html"
            lines.append(f'<tr><th scope="row"><a href="{link}">{layer}<br>{channel}</a></th>{cells}</tr>')
        head = "".join(f'<th scope="col">{PANEL_NAMES[kind]}</th>' for kind in kinds)
        parts.append(
            f'<section class="ra-wide ra-rules" tabindex="0" aria-label="Kinds of gradients in '
            f'{escape(atlas.name)}"><table><caption>{escape(atlas.manifest.title)}</caption><thead><tr>'
            f'<th scope="col">channel</th>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></section>'
        )
    return "\n\n".join(parts)


def site_sizes() -> str:
    """What to expect of a site's size, as Markdown, from what `python -m tools.site_sizes` has measured."""
    found = json.loads(
        (importlib.resources.files("generator.site") / "data" / "site_sizes.json").read_text("utf-8")
    )
    groups = found["groups"]
    names = {"block": "block outputs", "inside": "convolutions inside blocks"}
    rows, totals = [], dict.fromkeys(names, 0.0)
    for group in groups:
        total = group["channels"] * group["bytes"]
        totals[group["kind"]] += total
        name = (
            "first convolution" if group["stage"] == 1 else f"stage {group['stage']}, {names[group['kind']]}"
        )
        rows.append(
            f"| {name} | {integer(group['channels'])} | {kilobytes(group['bytes'])} | {megabytes(total)} |"
        )
    every, sample = (sum(group[key] for group in groups) for key in ("channels", "sample"))
    table = "| layers | channels | per channel | all |\n|---|---|---|---|\n" + "\n".join(rows)
    return (
        f"What to expect, measured on an atlas of {found['model']} with {integer(found['pictures'])} pictures "
        f"({found['date']}). *Per channel* is the mean size of a page and its sprite, over "
        f"{integer(sample)} channels:\n\n"
        f"{table}\n\n"
        f"For all {integer(every)} channels this makes {megabytes(sum(totals.values()))}; for block outputs alone, "
        f"{megabytes(totals['block'])}. Every picture that is in a top-9 adds {kilobytes(found['picture'], 1)}, "
        f"or {found['picture'] / 1e3:.1f} MB per thousand pictures."
    )


def definitions() -> str:
    """The definition of every statistic, each under the anchor that the pages link to."""
    return "\n\n".join(
        f"### {measure.name} {{#{measure.key}}}\n\n{measure.definition}\n\n"
        f"{_unit_and_range(measure)} Column in `channels.csv` and array in `layers/*.npz`: `{measure.key}`."
        for measure in MEASURES
    )


def _unit_and_range(measure: Measure) -> str:
    unit = "" if measure.unit == measure.range else f"Unit: {measure.unit.rstrip('.')}. "
    bounds = f"Stored as a number {measure.range}." if measure.range else ""
    return f"{unit}{bounds}".strip()
