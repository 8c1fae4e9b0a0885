"""Texts are cut into passages without losing a word."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visavis.knowledge.chunks import Chunk, Document, cut, plain, sentences

LINES = st.lists(
    st.one_of(
        st.text("abcde fg.!?ążб日。", max_size=120),
        st.sampled_from(
            ["", "# Top", "## Below", "- an item", "1. first", "| a | b |", "|---|---|", "x" * 99]
        ),
    ),
    max_size=30,
)


def letters(text: str) -> str:
    return "".join(re.findall(r"\w", text))


@given(LINES, st.integers(20, 200))
def test_every_word_is_in_a_passage_and_every_passage_fits(lines: list[str], longest: int) -> None:
    text = "\n".join(lines)
    chunks = list(cut(Document("Title", text), longest))
    assert all(0 < len(chunk.text) <= longest for chunk in chunks)
    without_headings = re.sub(r"^#+ .*$", "", text, flags=re.M)
    numbered = re.sub(r"^1\. ", "", without_headings, flags=re.M)
    assert letters("".join(chunk.text for chunk in chunks)) == letters(numbered)


def test_passages_stand_below_their_headings() -> None:
    text = "# Shop\nWe sell bread.\n\n## Hours\n- Monday: 8 to 18\n- Sunday: closed\n# Jobs\nNone."
    assert list(cut(Document("shop.md", text, "u"))) == [
        Chunk("shop.md", "u", "Shop", "We sell bread."),
        Chunk("shop.md", "u", "Shop: Hours", "Monday: 8 to 18\nSunday: closed"),
        Chunk("shop.md", "u", "Jobs", "None."),
    ]


def test_underlined_headings_tables_and_code() -> None:
    text = "Prices\n======\n|what|price|\n|---|---|\n| bread | 4 |\n\n```\n# no heading\n```\nA line\ngoes on"
    (chunk,) = cut(Document("d", text))
    assert chunk.heading == "Prices"
    assert chunk.text == "what, price\nbread, 4\n# no heading\nA line goes on"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("**Call** [us](tel:1) or `come` *by*", "Call us or come by"),
        ("![A map](map.png) <b>here</b>", "A map here"),
        ("2 * 3 and 4 * 5 and __name__", "2 * 3 and 4 * 5 and name"),
        ("[a](b(c)d) x", "a x"),
    ],
)
def test_marks_are_not_text(line: str, said: str) -> None:
    assert plain(line) == said


@pytest.mark.parametrize(
    "line", ["*a" * 200_000, "[" * 400_000, "<a" * 200_000, "__a " * 100_000, "[a](x" * 80_000]
)
def test_hostile_lines_take_no_longer_than_others(line: str) -> None:
    assert len(plain(line)) > 100_000  # it comes to an end at all


def test_long_lines_are_cut_between_sentences() -> None:
    text = "One two three. Four five six! Seven eight nine?"
    assert [chunk.text for chunk in cut(Document("d", text), 32)] == [
        "One two three. Four five six!",
        "Seven eight nine?",
    ]
    assert sentences("今日は。明日は。") == ["今日は。", "明日は。"]
