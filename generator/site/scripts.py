"""Joins the modules of site_src/js into one classic script per entry.

The sources are ES modules, which a browser could load as they are. A page loads them joined for two reasons: browsers
load no module from a folder (file:), from which a site can be read too, and a page asks for one file instead of thirty.

What the sources may use of the module syntax, each statement at the beginning of a line as prettier writes it:
`import { a, b } from "./file.js";`, `import "./file.js";` and `export` before a const, a function or a class. Comments
on lines of their own, empty lines and indentation are left out, so no text in backquotes may reach over several lines.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

IMPORT = re.compile(r'^import (?:\{([^}]*)\} from )?"(\.{1,2}/[^"]+)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export ((?:const|(?:async )?function|class) (\w+))", re.MULTILINE)
COMMENT = re.compile(r"^ *(?://[^\n]*|/\*\*.*?\*/)\n", re.MULTILINE | re.DOTALL)
SPACE = re.compile(r"^\s+", re.MULTILINE)
LEFT_OVER = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


def joined_modules(folder: Path, entry: str) -> str:
    """The module `entry` of the folder and all that it imports, as one classic script.

    Each module becomes a function that is called once and returns what the module exports; imported modules come before
    the modules that import them, as in a browser. Raises ValueError for a circle, for an import that is not exported,
    and for syntax that this module does not know.
    """
    sources = _in_order(folder, entry, (), {})
    exported = {name: [match[2] for match in EXPORT.finditer(text)] for name, text in sources.items()}
    parts = [_as_function(name, text, exported) for name, text in sources.items()]
    return '(() => {\n"use strict";\nconst modules = {};\n' + "".join(parts) + "})();\n"


def _in_order(folder: Path, name: str, importers: tuple[str, ...], done: dict[str, str]) -> dict[str, str]:
    """Sources by the names of their modules, a module after those that it imports."""
    if name in importers:
        raise ValueError(f"modules import each other in a circle: {' → '.join((*importers, name))}")
    if name not in done:
        text = (folder / name).read_text("utf-8")
        for match in IMPORT.finditer(text):
            _in_order(folder, _path(name, match[2]), (*importers, name), done)
        done[name] = text
    return done


def _path(importer: str, address: str) -> str:
    """A module's name from the address by which another imports it."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(importer), address))


def _as_function(name: str, text: str, exported: dict[str, list[str]]) -> str:
    def imported(match: re.Match[str]) -> str:
        source = _path(name, match[2])
        names = [word.strip() for word in (match[1] or "").split(",") if word.strip()]
        if missing := [word for word in names if word not in exported[source]]:
            raise ValueError(f"{name} imports {', '.join(missing)}, which {source} does not export")
        return f'const {{ {", ".join(names)} }} = modules["{source}"];\n' if names else ""

    body = SPACE.sub("", COMMENT.sub("", EXPORT.sub(r"\1", IMPORT.sub(imported, text))))
    if unread := LEFT_OVER.search(body):
        raise ValueError(f"{name}: module syntax that is not read here: {unread[0]}")
    if broken := next((line for line in body.splitlines() if line.count("`") % 2), None):
        raise ValueError(f"{name}: text in backquotes that reaches over several lines: {broken}")
    names = ", ".join(exported[name])
    return f'modules["{name}"] = (() => {{\n{body}return {{ {names} }};\n}})();\n'
