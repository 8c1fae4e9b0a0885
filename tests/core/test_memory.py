from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from visavis.memory import Memory
from visavis.stages import Message


def spoken(memory: Memory) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in memory.messages()]


def test_starts_with_the_instructions() -> None:
    memory = Memory("Be kind.", limit=4)
    memory.user("Hello")
    assert memory.messages() == [Message("system", "Be kind."), Message("user", "Hello")]


def test_no_instructions_no_system_message() -> None:
    assert Memory("", limit=4).messages() == []


def test_messages_of_one_speaker_in_a_row_are_one() -> None:
    memory = Memory("", limit=4)
    memory.user("I wanted to ask")
    memory.user("how you work.")
    memory.assistant("I listen.")
    memory.assistant("Then I speak.")
    assert spoken(memory) == [
        ("user", "I wanted to ask how you work."),
        ("assistant", "I listen. Then I speak."),
    ]


def test_cut_keeps_what_was_heard() -> None:
    memory = Memory("", limit=4)
    memory.user("Tell me a story")
    memory.assistant("Once upon a time there was a snail.")
    memory.cut("Once upon a time")
    assert spoken(memory)[-1] == ("assistant", "Once upon a time")


def test_unheard_reply_is_forgotten_and_the_user_goes_on() -> None:
    memory = Memory("", limit=4)
    memory.user("Tell me")
    memory.assistant("Once upon a time")
    memory.cut("")
    memory.user("a story")
    assert spoken(memory) == [("user", "Tell me a story")]


def test_cut_without_a_reply_changes_nothing() -> None:
    memory = Memory("", limit=4)
    memory.cut("nothing")
    memory.user("Hello")
    memory.cut("nothing")
    assert spoken(memory) == [("user", "Hello")]


def test_the_oldest_messages_are_forgotten() -> None:
    memory = Memory("Be kind.", limit=2)
    for number in range(3):
        memory.user(f"question {number}")
        memory.assistant(f"answer {number}")
    assert spoken(memory)[1:] == [("user", "question 2"), ("assistant", "answer 2")]


def test_one_endless_message_is_shortened_at_its_beginning() -> None:
    memory = Memory("", limit=4, characters=10)
    memory.user("0123456789abcdef")
    assert spoken(memory) == [("user", "6789abcdef")]


steps = st.tuples(st.sampled_from(["user", "assistant", "cut"]), st.text(max_size=30))


@given(st.lists(steps, max_size=40), st.integers(1, 6), st.integers(1, 60))
def test_always_bounded_and_taking_turns(said: list[tuple[str, str]], limit: int, characters: int) -> None:
    memory = Memory("", limit, characters)
    for call, text in said:
        getattr(memory, call)(text)
    messages = memory.messages()
    assert len(messages) <= limit
    assert sum(len(message.text) for message in messages) <= characters
    assert all(one.role != other.role for one, other in itertools.pairwise(messages))
    assert all(message.text for message in messages)
