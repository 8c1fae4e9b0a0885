"""What was looked up reaches a language model once, and is quoted word by word where no model is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from visavis.agents import Brief
from visavis.events import Source
from visavis.stages import Message
from visavis.stages.looked_up import said_before, told
from visavis.stages.quote import quote

HOURS = Source("Shop: Hours", "", "Monday: 8 to 18\nSunday: closed")
BREAD = Source("Shop: Bread", "", "Rye bread costs 4 euros.")


@dataclass
class Shelf:
    whole: str

    def search(self, question: str, before: Sequence[str] = ()) -> tuple[Source, ...]:
        return ()


ASKED = [Message("system", "Be kind."), Message("assistant", "Hi!"), Message("user", "When do you open?")]


def test_passages_are_in_the_instructions_and_with_the_question() -> None:
    system, *rest, last = told(ASKED, (HOURS, BREAD))
    assert system.text.startswith("Be kind.\n\n")
    assert system.text.endswith("# Shop: Hours\n" + HOURS.excerpt + "\n\n# Shop: Bread\n" + BREAD.excerpt)
    assert rest == [ASKED[1]]
    assert last == Message("user", "When do you open?", passages=(HOURS, BREAD))


def test_a_question_may_go_on_with_the_last_two_things_that_the_user_said() -> None:
    said = [Message("user", text) for text in ("one", "two", "three", "four")]
    talk = [Message("system", "Be kind."), said[0], said[1], Message("assistant", "Hm."), *said[2:]]
    assert said_before(talk) == ["two", "three"]
    assert said_before(said[:1]) == []


def test_what_the_instructions_say_already_is_not_said_again() -> None:
    known = Brief("Be kind.", library=Shelf(f"# {HOURS.title}\n{HOURS.excerpt}")).informed
    messages = [Message("system", known), ASKED[-1]]
    assert told(messages, (HOURS,))[0] == messages[0]
    system = told(messages, (HOURS, BREAD))[0].text
    assert system.count(HOURS.excerpt) == 1
    assert BREAD.excerpt in system


def test_there_may_be_no_instructions_and_nothing_found() -> None:
    assert told(ASKED[-1:], (BREAD,))[0].text.startswith("This was looked up")
    assert told(ASKED, ()) == ASKED
    assert Brief("Be kind.", library=Shelf("")).informed == Brief("Be kind.").informed == "Be kind."


def embed(text: str) -> NDArray[np.float32]:
    words = {word.strip(".,:?!").lower() for word in text.split()}
    known = "monday sunday open closed bread costs where when".split()
    vector = np.array([word in words for word in known], np.float32)
    return vector / max(1.0, float(np.linalg.norm(vector)))


@pytest.mark.parametrize(
    ("question", "passage", "said"),
    [
        ("When open?", HOURS.excerpt, "Monday: 8 to 18. Sunday: closed."),
        ("Sunday?", HOURS.excerpt, "Sunday: closed."),
        ("Bread costs?", "We are kind. The bread costs 4 euros! Bye.", "The bread costs 4 euros!"),
        ("Bread?", "", ""),
        ("Open?", "\n".join(f"item {n} {'x' * 40}" for n in range(20)), None),
    ],
)
def test_a_quote_is_one_sentence_or_a_list(question: str, passage: str, said: str | None) -> None:
    quoted = quote(question, passage, embed)
    if said is None:
        assert 100 < len(quoted) < 300
    else:
        assert quoted == said
