"""The sources of the pages' styles and scripts, and what of them a page loads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from mapped_atlas import mapped_copy

from generator.site import assets
from generator.site.render import render_site
from generator.site.scripts import joined_modules

ROOT = Path(__file__).resolve().parent.parent
MODULES = ROOT / "site_src/js"
SOURCES = sorted(path for kind in ("css", "js") for path in (ROOT / "site_src").rglob(f"*.{kind}"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT / "site_src").as_posix())
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


def test_without_the_registry_lint_fails_with_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import prettier  # of tools/

    monkeypatch.setattr(prettier, "FOLDER", tmp_path / "node")
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    with pytest.raises(SystemExit) as stopped:
        prettier.main(["--check", "site_src"])
    message = str(stopped.value)  # which the interpreter prints, and exits with 1
    assert "could not be installed from the npm registry" in message and "ECONNREFUSED" in message
    assert "\n" not in message and not (tmp_path / "node").exists()


# -- modules, and the scripts made of them -----------------------------------------------------------------------------


def _write(folder: Path, **modules: str) -> Path:
    for name, text in modules.items():
        path = folder / f"{name.replace('__', '/')}.js"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


def test_a_module_stands_once_and_after_those_that_it_imports(tmp_path: Path) -> None:
    names = 'import { deep } from "./parts/deep.js";\nimport {\n  first,\n  second,\n} from "./both.js";\n'
    _write(
        tmp_path,
        main=f'{names}import "./effect.js";\n// a comment\ndeep(first, second);\n',
        both='import { deep } from "./parts/deep.js";\nexport const first = deep;\nexport function second() {}\n',
        effect="globalThis.done = true;\n",
        parts__deep='import { own } from "./own.js";\nexport async function deep() {\n  return own;\n}\n',
        parts__own="/** Of\n * two lines. */\nexport class own {}\n",
    )
    text = joined_modules(tmp_path, "main.js")
    order = re.findall(r'^modules\["(.+?)"\] = ', text, re.M)
    assert order == ["parts/own.js", "parts/deep.js", "both.js", "effect.js", "main.js"]
    assert 'const { first, second } = modules["both.js"];' in text and "return { first, second };" in text
    assert not re.search(r"\b(import|export)\b|comment|two lines", text)


@pytest.mark.parametrize(
    ("other", "fault"),
    [
        (
            'import { main } from "./main.js";\nexport const wanted = 1;\n',
            "circle: main.js → other.js → main.js",
        ),
        ("export const another = 1;\n", "main.js imports wanted, which other.js does not export"),
        ("export default 1;\nexport const wanted = 1;\n", "other.js: module syntax .* export default 1;"),
        (
            "export const wanted = `a\nb`;\n",
            "other.js: text in backquotes .* several lines: const wanted = `a",
        ),
    ],
)
def test_what_cannot_be_joined_is_refused(tmp_path: Path, other: str, fault: str) -> None:
    _write(tmp_path, main='import { wanted } from "./other.js";\nexport const main = wanted;\n', other=other)
    with pytest.raises(ValueError, match=fault):
        joined_modules(tmp_path, "main.js")


def test_every_module_is_part_of_a_script() -> None:
    texts = [
        joined_modules(MODULES, entry) for entry in ("atlas.js", "map/map.js", "your-picture/your-picture.js")
    ]
    written = {name for text in texts for name in re.findall(r'^modules\["(.+?)"\] = ', text, re.M)}
    assert written == {path.relative_to(MODULES).as_posix() for path in MODULES.rglob("*.js")}


@pytest.mark.browser
def test_a_browser_runs_the_sources_as_the_modules_that_they_are(browser: Any, tmp_path: Path) -> None:
    """The site's scripts are replaced by the sources: nothing fails, and a part of each script does its work."""
    expect = pytest.importorskip("playwright.sync_api").expect
    render_site([mapped_copy(tmp_path / "small").folder], tmp_path / "site")
    page = browser.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)

    def answer(route: Any) -> None:
        path = route.request.url.removeprefix("http://site.test/")
        if path in ("static/atlas.js", "static/map.js"):
            entry = {"static/atlas.js": "atlas.js", "static/map.js": "map/map.js"}[path]
            # Data scripts are deferred, and come after the modules: so the map's is asked for again.
            again = (
                'document.head.append(Object.assign(document.createElement("script"), { src: "map.js" }));'
            )
            text = f'import("/js/{entry}").then(() => {{ {again if path == "static/map.js" else ""} }});'
            models = 'residualAtlas.models = ["small"]; residualAtlas.map ??= () => {};'
            route.fulfill(body=models + text, content_type="text/javascript")
        else:
            folder = MODULES if path.startswith("js/") else tmp_path / "site"
            route.fulfill(path=folder / path.removeprefix("js/"))

    page.route("http://site.test/**", answer)
    page.goto("http://site.test/small/res2b/3.html")
    page.get_by_role("combobox", name="Find").fill("res2a 1")
    expect(page.get_by_role("option").first).to_contain_text("res2a 1")
    page.goto("http://site.test/small/map.html#picture=3")
    expect(page.locator(".nearest button")).to_have_count(9)
    page.close()
    assert faults == []
