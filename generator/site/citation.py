"""How a page is cited: a plain line and BibTeX."""

from __future__ import annotations

import re
from dataclasses import dataclass

from generator.core.records import Manifest

TOOL = "Residual Atlas"
AUTHOR = f"{TOOL} contributors"  # as CITATION.cff has it
FINGERPRINT = 12  # hex digits of a SHA-256 that a citation names

# Characters that are commands of TeX, and how the character itself is written. BibTeX counts every brace, even one
# after a backslash, so braces are written by name.
_ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\textbraceleft{}", "}": r"\textbraceright{}", "$": r"\$", "&": r"\&",
    "#": r"\#", "%": r"\%", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip
# Characters that would end a url field, or start a comment in it.
_IN_ADDRESS = str.maketrans({"{": "%7B", "}": "%7D", "\\": "%5C", " ": "%20", '"': "%22"})


def tex(text: str) -> str:
    """Any text as TeX prints it, on one line and with balanced braces.

    >>> print(tex("50 % of a_b"))
    50 \\% of a\\_b
    """
    return "".join(_ESCAPES.get(letter, letter) for letter in " ".join(text.split()))


@dataclass(frozen=True)
class Citation:
    """plain: one line, without the address; bibtex: a whole entry; address: of the page."""

    plain: str
    bibtex: str
    address: str


def page_address(base_url: str, network: str, layer: str, channel: int) -> str:
    """Of a channel's page; below the site's folder where the site's own address (base_url) is not known."""
    return f"{base_url}{network}/{layer}/{channel}.html"


def cite(manifest: Manifest, layer: str, channel: int, address: str) -> Citation:
    """How to cite a channel's page.

    The author is the one that the profile names for its site, otherwise the program's contributors. Weights and
    pictures are named by their fingerprints: with others the same number is another channel.
    """
    given = str((manifest.profile.get("site") or {}).get("author") or "").strip()
    version, year = str(manifest.versions.get("residual-atlas", "")), manifest.date[:4]
    weights, pictures = manifest.weights.sha256[:FINGERPRINT], manifest.pictures.sha256[:FINGERPRINT]
    source = f"weights {manifest.weights.source} {weights}, {manifest.pictures.count} pictures {pictures}"
    note = f"network {manifest.model}, {source}"
    title = f"Channel {channel} of {layer}, {manifest.title}"
    address = address.translate(_IN_ADDRESS)
    key = re.sub(r"[^A-Za-z0-9:.+/_-]", "-", f"atlas-{manifest.name}-{layer}-{channel}")
    # A group of contributors is one name: a second pair of braces keeps BibTeX from taking it apart.
    author = tex(given) if given else f"{{{AUTHOR}}}"
    fields = {
        "author": author,
        "title": f"{{{tex(title)}}}",
        "year": year,
        "howpublished": f"{TOOL}, version {tex(version)}",
        "version": tex(version),
        "note": tex(note),
        "url": address,
    }
    lines = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
    return Citation(
        plain=f"{given or AUTHOR}: {title}. {TOOL} {version}, {manifest.date[:10]}; {note}.",
        bibtex=f"@misc{{{key},\n{lines}\n}}",
        address=address,
    )
