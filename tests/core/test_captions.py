"""Captions: every word, in order, where it is said, and never more than fits."""

from __future__ import annotations

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from visavis.captions import LINE, SHORTEST, Cue, cues, spread, webvtt
from visavis.events import Word


@st.composite
def spoken(draw: st.DrawFn) -> list[Word]:
    at, words = draw(st.floats(0, 5)), []
    for text in draw(st.lists(st.text("abcdé.,?!&<>-", min_size=1, max_size=60), max_size=60)):
        end = at + draw(st.floats(0, 2))
        words.append(Word(text, at, end))
        at = end + draw(st.sampled_from([0.0, 0.0, 0.1, 3.0]))
    return words


@given(spoken(), st.floats(0, 10_000))
def test_every_word_is_shown_in_order_and_everything_fits(words: list[Word], shift: float) -> None:
    made = cues(words, "Mia", shift)
    shown = "".join("".join(cue.lines) for cue in made).replace(" ", "")
    assert shown == "".join(word.text for word in words)
    for cue in made:
        assert 1 <= len(cue.lines) <= 2
        assert all(0 < len(line) <= LINE for line in cue.lines)
        assert cue.start < cue.end
    assert all(a.end <= b.start for a, b in pairwise(made))
    if words:
        assert made[0].start == round((words[0].start + shift) * 1000)


@given(spoken())
def test_the_file_can_be_read_back(words: list[Word]) -> None:
    text = webvtt(cues(words, "M & <i>a\n"))
    head, *blocks = text.split("\n\n")
    assert head.strip() == "WEBVTT"
    assert len(blocks) == len(cues(words))
    for block in blocks:
        times, *lines = block.rstrip("\n").split("\n")
        assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} --> \d\d:\d\d:\d\d\.\d{3}", times)
        assert lines[0].startswith("<v M &amp; &lt;i&gt;a>")
        assert not re.search(
            r"[<>]|&(?!(amp|lt|gt);)", "\n".join(lines).removeprefix("<v M &amp; &lt;i&gt;a>")
        )


def test_captions_are_cut_at_sentences_lines_and_pauses() -> None:
    words = spread("Hi! This is the first sentence, and it is a long one. Then comes the second one.", 1.0)
    words += spread("Later.", words[-1].end + 2)
    assert [cue.lines for cue in cues(words)] == [
        ("Hi! This is the first sentence, and it is", "a long one."),
        ("Then comes the second one.",),
        ("Later.",),
    ]


def test_a_file_as_players_read_it() -> None:
    words = [Word("Hello,", 0.0, 0.4), Word("you", 0.5, 0.7), Word("there.", 3661.25, 3662.0)]
    assert webvtt(cues(words, "Mia")) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:00.800\n<v Mia>Hello, you\n\n"
        "01:01:01.250 --> 01:01:02.050\n<v Mia>there.\n"
    )
    assert webvtt([]) == "WEBVTT\n"
    assert cues([Word("a", 0, 0)]) == [Cue(0, round(SHORTEST * 1000), ("a",))]
