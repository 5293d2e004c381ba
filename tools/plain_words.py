"""Refuses words that our texts do not use: `python tools/plain_words.py` reads every text of the project.

Of a module it reads comments, docstrings and strings. Each rule is a pattern that is never right here, and what to
write in its place.
"""

from __future__ import annotations

import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEXTS = (
    "generator/**/*.py",
    "templates/**/*.html",
    "templates/**/*.md",
    "site_src/guide/*.md",
    "docs/*.md",
    "*.md",
)
PER = "channel|pair|picture|layer|block|stage|network|unit|line|page|machine|row|tile|class|kernel|process|file|weight"
RULES = {
    r"answer(s|ed)? to": "responds to, is activated by",
    r"the nine(?! (?!(of|and|in|is|are|was|were|to|that|by|for|at|with|as|or|on|from|have)\b)[a-z])": "the top-9",
    r"so many": "a count of what, or 'this many'",
    r"for want of": "without, out of",
    r"mend(s|ed|ing)?": "repair",
    r"(unit|channel|layer|kernel|itself)s? asks? for": "maximises the activation",
    r"hangs? (on|together)": "depend on, correlate",
    r"whoever": "anyone who, or a sentence with 'you'",
    rf"(an?|one) (?!(of|on|in|at|by|to|from|for|with|is|has|as|than) )[\w-]+ an? ({PER})(?!'s)": "per",
    rf"once an? ({PER})": "once per",
    r"living (channel|unit|one)s?": "active",
    r"says? (of|by) itself|says them of itself": "states",
    r"pile of blocks": "stack of blocks",
    r"go(es|ing)? on where": "resume",
    r"anew": "again",
    r"(all else|else) held fast": "with everything else fixed",
    r"hair lines?": "thin bars",
    r"(counts?|wonders?) nobody|nobody wonders": "a plain statement",
    r"do(es)? not mind": "is invariant to",
    r"of (ones?'s) own": "your own",
    r"one sees": "you see",
    r"unless told( otherwise)?": "by default",
    r"(optimi|normali|summari|recogni|initiali|generali|minimi|maximi|organi|reali|utili)z(e[sd]?|ing|ation)": "-ise",
    r"(?<!feature\s)visualiz\w+(?! residual networks)": "visualise",
    r"(?<!\.)colou?ri?z\w+|(?<![.\w-])(?<!perceptual\s)colors?(?![:=\w-])": "colour",
    r"gray(scale)?": "grey",
    r"behaviors?": "behaviour",
    r"(un)?labeled": "labelled",
}  # fmt: skip
PATTERNS = [
    (re.compile(rf"(?:{rule})(?![\w-])".replace(" ", r"\s+")), better) for rule, better in RULES.items()
]
WORD = re.compile(r"[\w-]")


def prose(source: str) -> str:
    """A module's comments and strings, at their places; a dot for each letter of code."""
    original = source.splitlines(keepends=True)
    lines = [re.sub(r"\S", "·", line) for line in original]
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if tokenize.tok_name[token.type] not in ("COMMENT", "STRING", "FSTRING_MIDDLE"):
            continue
        for number in range(token.start[0], token.end[0] + 1):
            start = token.start[1] if number == token.start[0] else 0
            end = token.end[1] if number == token.end[0] else len(original[number - 1])
            text = original[number - 1][start:end]
            if token.string[0] in "fF":  # before Python 3.12 the fields of an f-string are part of its token
                text = re.sub(r"\{[^{}]*\}", lambda match: "·" * len(match[0]), text)
            lines[number - 1] = lines[number - 1][:start] + text + lines[number - 1][end:]
    # A phrase may continue in the next comment or string.
    seam = r"^\s*#|[\"']\s*\n\s*f?[\"']|[\"'] +f?[\"']"
    return re.sub(seam, lambda match: re.sub(r"\S", " ", match[0]), "".join(lines), flags=re.MULTILINE)


def complaints(text: str) -> Iterator[tuple[int, str, str]]:
    """Line, phrase and what to write in its place, of every phrase in the text that a rule refuses."""
    lower = text.lower()
    for pattern, better in PATTERNS:
        for match in pattern.finditer(lower):
            if match.start() and WORD.match(lower[match.start() - 1]):
                continue  # tested here, because a pattern that begins with this test takes ten times as long
            yield text.count("\n", 0, match.start()) + 1, " ".join(match[0].split()), better


def check(root: Path) -> list[str]:
    """One message per refused phrase in the texts below `root`."""
    messages = []
    for path in sorted(path for pattern in TEXTS for path in root.glob(pattern)):
        source = path.read_text("utf-8")
        for line, phrase, better in complaints(prose(source) if path.suffix == ".py" else source):
            messages.append(f"{path.relative_to(root).as_posix()}:{line}: “{phrase}”; write: {better}")
    return messages


if __name__ == "__main__":
    messages = check(ROOT)
    print(*messages, sep="\n", end="\n" if messages else "")
    sys.exit(int(bool(messages)))
