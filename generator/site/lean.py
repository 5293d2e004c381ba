"""Templates and pages in fewer bytes, for those that a site has tens of thousands of: without quotes around simple
values, tags that the next tag implies, and line breaks between blocks. Browsers read the same page."""

from __future__ import annotations

import re

# What a template writes into a value without needing quotes: numbers, and names of layers, which hold letters, digits,
# "_", "." and "-" alone (network/layers.py).
_SIMPLE_NAMES = (
    "cell.channel", "channel", "found.columns", "found.layer", "found.layer_number", "group.key", "input.channel",
    "input.layer", "input.picture", "layer.block", "layer.name", "layer_number", "loop.index0", "match.channel",
    "measure.key", "method", "neighbours.down", "neighbours.next", "neighbours.previous", "neighbours.up", "number",
    "other.flow", "other.layer", "part.filled", "picture", "picture.number", "picture.unit[0]", "picture.unit[1]",
    "root", "row", "row.layer", "row_address", "spread.height + 14", "spread.height + 30", "spread.width",
    "spread.width // 2", "sprite_format", "statistic.place", "stream.numbers[0].measure.key", "sum.input",
    "term.channel", "tick.position", "tile.picture", "tile.rank", "tile_address", "top.sprite",
)  # fmt: skip
_SIMPLE = rf"(?:[\w./#:%+-]|\{{\{{ (?:{'|'.join(map(re.escape, _SIMPLE_NAMES))}) \}}\}})"
# Autoescape leaves no quotes in texts and values: what looks like an attribute is one.
# After a value comes white space or the tag's end, in the template perhaps a statement before it, or what writes a
# space and another attribute.
_SIMPLE_VALUE = re.compile(rf'="({_SIMPLE}+)"(?=[ >\n]|\{{%|\{{\{{ (?:current|loading|picture) \}}\}})')
_EMPTY_VALUE = re.compile(r'=""(?=[ >\n]|\{%)')
# The ends of elements after which comes another of their kind, or the end of what holds them; of paragraphs also before
# a block (HTML standard, 13.1.2.4).
_ENDS_PARAGRAPH = (
    "(?=</?(?:article|details|div|dl|figure|footer|h[1-3]|header|li|main|nav|ol|p|section|ul)[ >])"
)
_IMPLIED_END = re.compile(rf"\s*</(?:li|dt|dd)>|\s*</p>\s*{_ENDS_PARAGRAPH}|<head>|</(?:head|body|html)>")
_BLOCKS = (
    "article|body|dd|details|div|dl|dt|figcaption|figure|footer|h1|h2|h3|head|header|html|li|link|main|meta|nav|ol|p"
    "|script|section|summary|title|ul|!DOCTYPE"
)
_AROUND_BLOCKS = re.compile(rf"\s*(</?(?:{_BLOCKS})(?=[ >\n{{])[^>]*>)\s*")
# What the template leaves where statements stand between the parts of a page.
_BREAK_BEFORE_BLOCK = re.compile(rf"\n(?=</?(?:{_BLOCKS})[ >])")
_END_BEFORE_BLOCK = re.compile(rf"</p>{_ENDS_PARAGRAPH}")
_WRITTEN_VALUE = re.compile(r'="([\w./#:%+-]+)"(?=[ >\n])')
_RAW = re.compile(r"(<(?:script|pre)\b[^>]*>.*?</(?:script|pre)>)", re.DOTALL)


def lean(template: str) -> str:
    r"""The template of the same page in fewer bytes.

    >>> lean('<ul class="a b">\n<li><a href="{{ channel }}.html">one</a>\n<b>{{ two }}</b></li>\n</ul>')
    '<ul class="a b"><li><a href={{ channel }}.html>one</a>\n<b>{{ two }}</b></ul>'
    >>> lean('<p>\n<img src="{{ tile.picture }}.webp" alt="">&nbsp;1\n</p>\n<p data-a="{{ given }}">2</p>')
    '<p><img src={{ tile.picture }}.webp alt>\xa01<p data-a="{{ given }}">2</p>'
    """
    parts = _RAW.split(template)  # every second part is left as it is
    parts[::2] = [_without_what_is_implied(part) for part in parts[::2]]
    return "".join(parts)


def lean_page(page: str) -> str:
    r"""The page that such a template gives, without what only its values show to be needless. No value in it stands in
    single quotes.

    >>> lean_page('<p>the picture&#39;s\n</p><p class="a b">\n<a href="7.html">7</a>\n<b>8</b></p><ul id="c">')
    '<p>the picture\'s<p class="a b">\n<a href=7.html>7</a>\n<b>8</b><ul id=c>'
    """
    page = _END_BEFORE_BLOCK.sub("", _BREAK_BEFORE_BLOCK.sub("", page.replace("&#39;", "'")))
    return _WRITTEN_VALUE.sub(r"=\1", page)


def _without_what_is_implied(template: str) -> str:
    template = _IMPLIED_END.sub("", _AROUND_BLOCKS.sub(r"\1", template)).replace("&nbsp;", "\xa0")
    return _SIMPLE_VALUE.sub(r"=\1", _EMPTY_VALUE.sub("", template))
