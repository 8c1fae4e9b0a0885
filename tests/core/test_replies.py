"""The reply bank, and the choice by meaning (with a made-up embedding, and measured with the real one)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from visavis.emotions import read
from visavis.events import ToolCall
from visavis.models import ModelStore
from visavis.settings import ModelSettings
from visavis.spoken_clock import spoken_date, spoken_time
from visavis.spoken_clock_pl import polish_clock
from visavis.stages import Message
from visavis.stages.ngrams import NGrams
from visavis.stages.replies import SPELLING, Entry, Replies, embed_bank, normalise, read_bank

NOON = datetime(2026, 11, 21, 12, 5)
SMALL = """
- {id: hello, says: [hello, hi, hey there], reply: ["Hello!", "Hi!"]}
- id: joke
  says: [tell me a joke, a joke please, make me laugh]
  reply: ["The first one is about a very long road.", "Two.", "Three."]
- {id: more, after: [joke, more], says: [another, one more, again], as: joke}
- {id: time, says: [what time is it, what is the time, the time please], reply: ["It is {time}."]}
- {id: repeat, says: [repeat that, say that again, what did you say], reply: ["{again}"]}
- {id: party, uses: confetti, says: [throw confetti, confetti please, hooray], reply: ["Hooray, confetti!"]}
- {id: facts, says: [what is the capital of France, how do I cook rice, who was Napoleon], reply: []}
"""


def letters(text: str) -> NDArray[np.float32]:
    """An embedding for tests: which words there are."""
    vector = np.zeros(512, dtype=np.float32)
    for word in text.split():
        vector[sum(ord(letter) * 31**place for place, letter in enumerate(word)) % 512] += 1
    return vector / np.linalg.norm(vector)


def small(seed: int = 0) -> Replies:
    bank = read_bank(SMALL)
    return Replies(bank, embed_bank(bank, letters), letters, seed)


def talk(replies: Replies, said: Sequence[str]) -> list[str | None]:
    messages: list[Message] = []
    answers = []
    for text in said:
        messages.append(Message("user", text))
        answers.append(replies.choose(messages, NOON))
        messages.append(Message("assistant", answers[-1] or "Something else."))
    return answers


def test_alternatives_take_turns_and_start_with_the_seed() -> None:
    first, second, third = "The first one is about a very long road.", "Two.", "Three."
    asked = ["Tell me a joke!", "another", "again", "One more."]
    assert talk(small(), asked) == [first, second, third, first]
    assert talk(small(seed=1), asked) == [second, third, first, second]


def test_a_follow_up_needs_what_it_follows() -> None:
    assert talk(small(), ["hello", "another"]) == ["Hello!", None]


def test_a_reply_that_was_cut_off_is_still_known() -> None:
    replies = small()
    messages = [Message("user", "tell me a joke"), Message("assistant", "The first one is")]
    assert replies.choose([*messages, Message("user", "another")], NOON) == "Two."
    assert (
        replies.choose([*messages, Message("user", "say that again")], NOON)
        == "The first one is about a very long road."
    )


def test_repeats_what_the_language_model_said_too() -> None:
    assert talk(small(), ["who is it", "say that again"]) == [None, "Something else."]


def test_nothing_to_repeat() -> None:
    assert talk(small(), ["say that again"]) == [None]


def test_the_last_sentence_is_answered_when_all_are_known() -> None:
    assert talk(small(), ["Hello! Tell me a joke."]) == ["The first one is about a very long road."]
    assert talk(small(), ["Hello! Who was Napoleon?"]) == [None]


def test_questions_of_knowledge_and_long_tales_are_left_to_the_language_model() -> None:
    assert talk(small(), ["What is the capital of France?", "", "hello " * 21]) == [None, None, None]


def test_the_clock_is_spoken() -> None:
    assert talk(small(), ["What time is it?"]) == ["It is twelve oh five in the afternoon."]
    assert spoken_time(datetime(2026, 1, 1, 0, 0)) == "twelve o'clock in the morning"
    assert spoken_time(datetime(2026, 1, 1, 19, 45)) == "seven forty-five in the evening"
    assert spoken_date(NOON) == "November the twenty-first, twenty twenty-six"
    assert spoken_date(datetime(2030, 3, 12)) == "March the twelfth, twenty thirty"


@pytest.mark.parametrize(
    ("bank", "reason"),
    [
        ("- {id: a, says: [x, y], reply: [z]}", "at least 3"),
        ("- {id: a, says: [x, y, yes], reply: [z]}", "quotes"),
        ("- {id: a, after: [b], says: [x, y, z], reply: [z]}", "do not exist"),
        ("- &a {id: a, says: [x, y, z], reply: [z]}\n- *a", "same id"),
    ],
)
def test_a_bank_with_a_mistake_is_refused(bank: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_bank(bank)


def bank_of(name: str) -> Sequence[Entry]:
    return read_bank(files("visavis").joinpath(f"data/{name}").read_text(encoding="utf-8"))


BANKS = pytest.mark.parametrize(
    ("name", "least", "jokes_told"), [("replies.yaml", 170, 12), ("replies.pl.yaml", 60, 6)]
)


@BANKS
def test_the_bank_is_fit_to_be_spoken(name: str, least: int, jokes_told: int) -> None:
    bank = bank_of(name)
    assert len(bank) >= least
    long = {"story", "story_more", "story_yes", "story_scary", "poem", "poem_more"}
    for entry in bank:
        for reply in entry.replies:
            spoken, _ = read(reply)
            assert not set("".join(spoken)) & set("*#`[]<>|\n"), entry.id
            assert entry.id in long or len(spoken) <= 30, entry.id
    jokes = next(entry.replies for entry in bank if entry.id == "joke")
    assert len(set(jokes)) == len(jokes) >= jokes_told


@BANKS
def test_no_phrasing_means_two_things(name: str, least: int, jokes_told: int) -> None:
    bank = bank_of(name)
    phrases = [normalise(phrase) for entry in bank if not entry.after for phrase in entry.says]
    assert len(set(phrases)) == len(phrases)


@cache
def polish() -> Replies:
    bank = bank_of("replies.pl.yaml")
    embed = NGrams(normalise(phrase) for entry in bank for phrase in entry.says)
    return Replies(bank, embed_bank(bank, embed), embed, 0, SPELLING, polish_clock)


@pytest.mark.parametrize("part", ["tuning", "held_out"])
def test_precision_and_recall_on_polish_paraphrases(part: str) -> None:
    text = (Path(__file__).parents[1] / "data/paraphrases.pl.yaml").read_text(encoding="utf-8")
    bank = {entry.id: entry for entry in bank_of("replies.pl.yaml")}
    answered = right = possible = 0
    for said, expected in yaml.safe_load(text)[part].items():
        entry = polish().match(said)
        wanted = [expected] if isinstance(expected, str) else expected
        possible += "unknown" not in wanted
        if entry is not None and entry.replies != bank["unknown"].replies:
            answered += 1
            right += entry.id in wanted
    assert right / answered >= 0.95
    assert right / possible >= 0.9


def test_a_polish_talk() -> None:
    said = ["Dzień dobry, jak się masz?", "Bardzo dobrze, dziękuję.", "Tak, poproszę.", "Jeszcze jeden!"]
    answers = talk(
        polish(), [*said, "Która jest godzina?", "Możesz powtórzyć?", "Kto wygrał?", "Kup mi buty."]
    )
    assert answers[0] == "Dziękuję, bardzo dobrze. A ty jak się masz?"
    assert "dowcip" in (answers[1] or "")
    jokes = next(entry.replies for entry in bank_of("replies.pl.yaml") if entry.id == "joke")
    assert (answers[2], answers[3]) == jokes[:2]
    assert answers[4] == answers[5] == "Jest dwunasta zero pięć."
    assert "wiadomości" in (answers[6] or "")
    assert answers[7] is None


def test_what_has_no_reply_is_admitted_in_turns() -> None:
    first = polish().instead("unknown", [Message("user", "Kto wygrał?")])
    then = [Message("user", "Kto wygrał?"), Message("assistant", first), Message("user", "A gdzie?")]
    assert polish().instead("unknown", then) not in ("", first)


@cache
def real() -> Replies:
    from visavis.stages.llm_demo import load_replies
    from visavis.stages.sentence_encoder import SentenceEncoder

    store = ModelStore(ModelSettings())
    encoder = SentenceEncoder(
        store.path("minilm") / "model.onnx", store.path("minilm-tokenizer") / "tokenizer.json"
    )
    return load_replies(store, encoder, seed=0)


@pytest.mark.models
@pytest.mark.parametrize("part", ["tuning", "held_out"])
def test_precision_and_recall_on_paraphrases(part: str) -> None:
    text = (Path(__file__).parents[1] / "data/paraphrases.yaml").read_text(encoding="utf-8")
    answered = right = possible = 0
    for said, expected in yaml.safe_load(text)[part].items():
        entry = real().match(said)
        possible += expected != "model"
        if entry is not None and entry.replies:
            answered += 1
            right += entry.id in ([expected] if isinstance(expected, str) else expected)
    assert right / answered >= 0.93
    assert right / possible >= 0.88


@pytest.mark.models
def test_no_joke_twice_until_all_were_told() -> None:
    answers = talk(real(), ["Tell me a joke", *["another one please"] * 14])
    assert len(set(answers)) == 15
    assert None not in answers


@pytest.mark.models
@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("Hello, who are you?", "who_are_you"),
        ("Hey, can you hear me?", "can_you_hear"),
        ("Hi there! How do I connect a real model?", "connect_model"),
        ("Hey Mia, tell me a joke", "joke"),
        ("Hello there", "hello"),
    ],
)
def test_a_question_behind_a_greeting_is_answered(said: str, wanted: str) -> None:
    entry = real().match(said)
    assert entry is not None
    assert entry.id == wanted


def test_a_reply_that_goes_with_a_tool_is_only_given_with_it() -> None:
    replies = small()
    asked = [Message("user", "confetti please")]
    assert replies.choose(asked, NOON) is None
    assert replies.choose(asked, NOON, ["other"]) is None
    assert replies.choose(asked, NOON, ["confetti"]) == "Hooray, confetti!"
    assert replies.calls("Hooray, confetti!") == [ToolCall("", "confetti")]
    assert replies.calls("Two.") == replies.calls("") == []


@pytest.mark.parametrize("said", ["Konfetti!", "Rzuć konfetti", "Świętujmy!"])
def test_polish_celebrates_too(said: str) -> None:
    reply = polish().choose([Message("user", said)], NOON, ["confetti"])
    assert reply is not None
    assert polish().calls(reply) == [ToolCall("", "confetti")]
