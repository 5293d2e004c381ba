"""The word list: it refuses what it should in texts and in modules, and leaves code and right English alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from plain_words import ROOT, check, complaints, prose  # of tools/

MODULE = '''"""A channel that answers
to edges."""

def anew(color: int) -> str:  # mended by
    # whoever
    # hangs
    # on it
    return f"{color} row a channel: a page a channel, for " "want of memory"
'''


def phrases(text: str) -> list[tuple[int, str]]:
    return sorted((line, phrase) for line, phrase, _ in complaints(text))


@pytest.mark.parametrize(
    "text",
    ["It answers to dogs.", "Three of the nine.", "the nine are", "What the unit itself asks for", "one bar a pair",
     "for want\nof memory", "living channels", "a network of one's own", "optimized", "the color of it"],
)  # fmt: skip
def test_a_phrase_of_the_list_is_refused(text: str) -> None:
    assert len(phrases(text)) == 1


@pytest.mark.parametrize(
    "text",
    ["The nine strongest pictures.", "one of a channel's pictures", "a page per channel", "recommend it",
     "Visualizing Residual Networks", "lucid.param.color", '<p style="color: red">', "a profile that asks for dreams"],
)  # fmt: skip
def test_other_text_is_left_alone(text: str) -> None:
    assert phrases(text) == []


def test_of_a_module_comments_and_strings_are_read_and_code_is_not() -> None:
    assert phrases(prose(MODULE)) == [
        (1, "answers to"), (4, "mended"), (5, "whoever"), (6, "hangs on"), (8, "a page a channel"), (8, "for want of"),
    ]  # fmt: skip


def test_a_planted_phrase_is_found_in_every_kind_of_text(tmp_path: Path) -> None:
    planted = ["README.md", "docs/a.md", "site_src/guide/b.md", "templates/sub/c.html", "generator/site/d.py"]
    for name in planted:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("# right\n# for want of words\n", "utf-8")
    messages = check(tmp_path)
    assert {message.split(":")[0] for message in messages} == {*planted}
    assert all(":2: “for want of”; write: without" in message for message in messages)


def test_the_projects_texts_have_none() -> None:
    assert check(ROOT) == []
