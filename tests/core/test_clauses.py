from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visavis.clauses import FIRST_MOST_WORDS, ClauseCutter, speakable


def cut(*pieces: str) -> list[str]:
    cutter = ClauseCutter()
    return [clause for piece in pieces for clause in cutter.feed(piece)] + cutter.close()


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("Hi! How are you?", ["Hi!", "How are you?"]),
        ("On a good day, I can talk.", ["On a good day,", "I can talk."]),
        ("Well, I can talk.", ["Well, I can talk."]),
        ("I walked all the way because I like it.", ["I walked all the way", "because I like it."]),
        ("Bread and butter.", ["Bread and butter."]),
        ("It weighs 3.5 kilos. Really.", ["It weighs 3.5 kilos.", "Really."]),
        ("It costs 1,000 euros.", ["It costs 1,000 euros."]),
        ("Ask Dr. Brown about it.", ["Ask Dr. Brown about it."]),
        ("Fruit, e.g. Apples.", ["Fruit, e.g. Apples."]),
        ("No. I cannot.", ["No.", "I cannot."]),
        ("Take no. 5 please.", ["Take no. 5 please."]),
        ("Tea etc. is fine.", ["Tea etc. is fine."]),
        ("I like tea etc. Coffee too.", ["I like tea etc.", "Coffee too."]),
        ("J. Smith wrote it. So did I. Good.", ["J. Smith wrote it.", "So did I.", "Good."]),
        ("Wait... what?! Yes.", ["Wait...", "what?!", "Yes."]),
        ('She said "no." Then she left.', ['She said "no."', "Then she left."]),
        ("1. Eggs\n2. Milk", ["1. Eggs", "2. Milk"]),
        ("# Title\n- **one**\n- two 🙂\n---\n", ["Title", "one", "two"]),
        ("Set VISAVIS_LLM_URL and _go_.", ["Set VISAVIS_LLM_URL and go."]),
        ("🙂", []),
        ("", []),
    ],
)
def test_cuts_where_a_speaker_would_breathe(text: str, clauses: list[str]) -> None:
    assert cut(text) == clauses


def test_a_first_clause_comes_before_its_sentence_is_complete() -> None:
    cutter = ClauseCutter()
    assert cutter.feed("If you ask me, ") == ["If you ask me,"]
    assert cutter.feed("I think that ") == []


def test_a_sentence_is_handed_out_with_the_space_after_it() -> None:
    cutter = ClauseCutter()
    assert cutter.feed("Good morning.") == []
    assert cutter.feed(" ") == ["Good morning."]


def test_a_first_clause_without_punctuation_still_ends() -> None:
    words = ["word"] * 40
    assert cut(" ".join(words))[0].split() == words[:FIRST_MOST_WORDS]


def test_later_clauses_are_longer_but_bounded() -> None:
    text = "Hello. " + "one, two, three, four, " * 6 + "word " * 100
    clauses = cut(text)
    assert clauses[0] == "Hello."
    assert len(clauses[1]) >= 60
    assert all(len(clause) <= 190 for clause in clauses)


written = st.text(alphabet="ab AI.,;:!?3\n'", max_size=120)


@given(written)
def test_nothing_that_can_be_said_is_lost(text: str) -> None:
    def letters(said: str) -> list[str]:
        return [character for character in said if character.isalnum()]

    assert letters("".join(cut(text))) == letters(text)


@given(
    st.lists(st.sampled_from("I you and but, talk. well, Dr. 3.5 good! etc. because".split()), max_size=60)
)
def test_clauses_join_to_the_text(words: list[str]) -> None:
    assert " ".join(cut(" ".join(words))) == " ".join(words)


@given(st.lists(written, max_size=8))
def test_how_the_text_is_split_does_not_matter(pieces: list[str]) -> None:
    assert cut(*pieces) == cut(*"".join(pieces))


@given(st.text(alphabet=st.characters(codec="latin-1", exclude_characters="*_`~#->•"), max_size=80))
def test_plain_text_is_spoken_as_it_is(text: str) -> None:
    assert speakable(text) in ("", " ".join(text.split()))
