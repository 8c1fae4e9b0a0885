from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visavis.stages.spoken_text import LONGEST_WORD, align, speakable


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Hello,", "Hello,"),
        ("don't", "don't"),
        ("$19.99,", "$19.99,"),
        ("7:30", "7:30"),
        ("U.S.A.", "U.S.A."),
        ("a.m.", "a.m."),
        ("e.g.", "for example"),
        ("(i.e.,", "that is,"),
        ("https://example.com/docs/", "example dot com slash docs"),
        ("www.example.org.", "example dot org."),
        ("https://www.example.org/a?b=c#d", "example dot org slash a"),
        ("config.yaml,", "config dot yaml,"),
        ("bob.smith@example.co.uk!", "bob dot smith at example dot co dot uk!"),
        ("0.2.1", "0 point 2 point 1"),
        ("v3.11.4;", "3 point 11 point 4;"),
        ("1-800-555-0199.", "1, 8 0 0, 5 5 5, 0 1 9 9."),
        ("12,345,678.9", "12,345,678.9"),
        ("1,234,567,890,123,456", "1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6"),
        ("**bold**", "bold"),
        ("`code`", "code"),
        ("[link](https://example.com),", "link,"),
        ("docs](/x)", "docs"),
        ("😀", ""),
        ("great👍🏽!", "great!"),
        ("#", ""),
        ("=", "="),
        ("—", "—"),
        ("...", "..."),
        ("[]", ""),
        ("", ""),
    ],
)
def test_a_word_is_made_speakable(written: str, spoken: str) -> None:
    assert speakable(written) == spoken


@given(st.text(st.characters(exclude_categories=["Z", "Cc", "Cs"]), max_size=60))
def test_no_word_is_too_strange(word: str) -> None:
    assert "\n" not in speakable(word)


def test_a_word_nobody_would_say_is_cut() -> None:
    assert len(speakable("a" * 5_000)) == LONGEST_WORD


SPOKEN_COUNTS = {"7:30": 2, "pm": 1, "$3": 2, "😀": 0, "e.g.": 2}


def expand(word: str) -> int:
    return SPOKEN_COUNTS.get(word, 1)


@pytest.mark.parametrize(
    ("written", "spoken", "owners"),
    [
        ("hello there", "hello there", [0, 1]),
        ("at 7:30 pm sharp", "at seven thirty P.M. sharp", [0, 1, 1, 2, 3]),
        ("$3 billion more", "3 billion dollars more", [0, 1, 1, 2]),
        ("great 😀 job", "great job", [0, 2]),
        ("😀 so", "well so", [0, 1]),
        ("😀", "smile", [0]),
        ("so e.g. this", "so for example this", [0, 1, 1, 2]),
        ("no sound here", "", []),
    ],
)
def test_spoken_words_find_their_written_word(written: str, spoken: str, owners: list[int]) -> None:
    assert align(written.split(), spoken.split(), expand) == owners


@given(
    st.lists(st.sampled_from(["a", "b", "7:30", "pm", "😀"]), min_size=1, max_size=12),
    st.lists(st.sampled_from(["a", "b", "seven", "thirty"]), max_size=12),
)
def test_every_spoken_word_has_one_owner_in_order(written: list[str], spoken: list[str]) -> None:
    owners = align(written, spoken, expand)
    assert len(owners) == len(spoken)
    assert all(0 <= owner < len(written) for owner in owners)
    assert all(first <= second for first, second in pairwise(owners))
