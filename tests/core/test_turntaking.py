"""Barge-in and end of turn over scripted probabilities and answers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visavis.languages import NAMES, NO_ANSWER, TURN_WORDS, code_of, name_of, words
from visavis.stages import LISTEN_RATE, VAD_FRAME, Transcript
from visavis.turntaking import (
    LOOKS,
    WAIT_LONGEST,
    AskTurn,
    AskWords,
    Barge,
    BargeAction,
    BargeInPolicy,
    EndOfTurnPolicy,
    Turn,
    TurnAction,
    is_open,
    meaning,
    samples,
)

Hears = Callable[[AskWords], Transcript]
At = tuple[int, BargeAction]


def said(text: str, confidence: float = -0.2) -> Hears:
    return lambda ask: Transcript(text, confidence)


def barge(frames: list[float], hears: Hears, delay: int = 0, start: int = 0) -> list[At]:
    """Every action with the sample at which it came; answers take `delay` frames."""
    policy = BargeInPolicy(start)
    happened: list[At] = []
    pending: list[tuple[int, AskWords]] = []

    def note(actions: list[BargeAction]) -> None:
        happened.extend((policy.voice.heard, action) for action in actions)
        pending.extend((delay, action) for action in actions if isinstance(action, AskWords))

    for probability in frames:
        note(policy.frame(probability))
        pending[:] = [(left - 1, ask) for left, ask in pending]
        while pending and pending[0][0] < 0:
            ask = pending.pop(0)[1]
            note(policy.heard(ask, hears(ask)))
    return happened


def decisions(happened: list[At]) -> list[Barge]:
    return [action for _, action in happened if isinstance(action, Barge)]


def seconds(happened: list[At], which: Barge) -> float:
    return next(at for at, action in happened if action is which) / LISTEN_RATE


# -- words ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "none"),
        ("...", "none"),
        ("Yeah.", "backchannel"),
        ("Mm-hmm.", "backchannel"),
        ("Uh-huh.", "backchannel"),
        ("Okay, right.", "backchannel"),
        ("Mama", "backchannel"),
        ("I see.", "backchannel"),
        ("Mama mama mama", "content"),
        ("Yeah, but what", "content"),
        ("Stop.", "content"),
        ("No, no.", "content"),
        ("Can I have", "content"),
    ],
)
def test_meaning(text: str, kind: str) -> None:
    assert meaning(text) == kind


@pytest.mark.parametrize(
    "text", ["I want a flight to the", "Well, um", "First,", "and then...", "I was thinking -"]
)
def test_open_sentences(text: str) -> None:
    assert is_open(text)


@pytest.mark.parametrize(
    "text", ["", "What time is it?", "Where are you from?", "Thank you.", "I would like tea.", "Hello"]
)
def test_complete_sentences(text: str) -> None:
    assert not is_open(text)


@pytest.mark.parametrize(
    ("language", "text", "kind"),
    [
        ("pl", "No tak, jasne.", "backchannel"),
        ("pl", "Yhm.", "backchannel"),
        ("pl", "Nie, poczekaj.", "content"),
        ("pl", "A czy możesz", "content"),
        ("pl-PL", "Dokładnie.", "backchannel"),
        ("de", "Ja, genau.", "backchannel"),
        ("de", "Nein, warte mal.", "content"),
        ("es", "Sí, claro.", "backchannel"),
        ("es", "No, espera.", "content"),
        ("fr", "D'accord.", "backchannel"),
        ("fr", "D’accord, oui.", "backchannel"),
        ("fr", "Mais pourquoi ?", "content"),
        ("it", "Va bene, certo.", "backchannel"),
        ("it", "Aspetta un attimo.", "content"),
        ("pt", "Sim, claro.", "backchannel"),
        ("pt", "Não, espere.", "content"),
        ("zh", "嗯,好的。", "backchannel"),
        ("zh", "等一下,不是这样。", "content"),
        ("ja", "はい、そうですね。", "backchannel"),
        ("ja", "ちょっと待って。", "content"),
        ("uk", "Mhm.", "backchannel"),
        ("uk", "Так, звичайно.", "content"),
        ("uk", "Stop.", "content"),
    ],
)
def test_meaning_in_other_languages(language: str, text: str, kind: str) -> None:
    assert meaning(text, language) == kind


@pytest.mark.parametrize(
    ("language", "text", "open_"),
    [
        ("pl", "Chciałbym zarezerwować stolik na", True),
        ("pl", "Pojechałem tam i", True),
        ("pl", "Nie wiem, czy mogę.", False),
        ("pl", "Nie wiem, czy mogę", True),
        ("pl", "Jak się masz?", False),
        ("de", "Ich möchte einen Tisch für", True),
        ("de", "Was soll das?", True),
        ("de", "Kommst du mit?", False),
        ("es", "Quiero una mesa para", True),
        ("es", "¿Cómo te llamas?", False),
        ("fr", "Je voudrais une table pour", True),
        ("fr", "Comment ça va ?", False),
        ("it", "Vorrei un tavolo per", True),
        ("pt", "Eu queria uma mesa para", True),
        ("pt", "Tudo bem?", False),
        ("zh", "我想去北京和", True),
        ("zh", "你叫什么名字？", False),
        ("ja", "明日の天気は", True),
        ("ja", "元気ですか？", False),
        ("uk", "Я хочу,", True),
        ("uk", "Я хочу до", False),
    ],
)
def test_open_sentences_in_other_languages(language: str, text: str, open_: bool) -> None:
    assert is_open(text, language) == open_


def test_words_without_spaces_are_cut_at_known_words() -> None:
    assert words("そうですね、でも雨は", "ja") == ["そうですね", "でも", "雨", "は"]
    assert words("我想去北京", "zh") == ["我", "想", "去", "北", "京"]


def test_no_word_is_a_sign_of_listening_and_a_command() -> None:
    for lists in TURN_WORDS.values():
        assert not lists.backchannels & lists.commands
        assert not lists.never_last & (lists.may_end | lists.last_of_questions)
        assert all(word == word.lower() for word in lists.backchannels | lists.commands | lists.open_words)


def test_languages_have_names_and_codes() -> None:
    assert (name_of("pl"), name_of("tlh")) == ("Polish", "tlh")
    assert [code_of(text) for text in ("polish", "Polish ", "pl", "pt-BR", "")] == [
        "pl",
        "pl",
        "pl",
        "pt",
        None,
    ]
    assert set(NO_ANSWER) == set(TURN_WORDS) <= set(NAMES)


# -- barge-in ------------------------------------------------------------------------------------------------
def test_a_click_does_nothing() -> None:
    assert barge([0, 0.9, 0] + [0] * 40, said("Stop")) == []


def test_without_word_lists_a_short_voice_is_taken_for_listening_and_a_long_one_is_not() -> None:
    def ukrainian(text: str) -> Hears:
        return lambda ask: Transcript(text, -0.1, "uk")

    short = [0.9] * 14 + [0] * 20
    assert decisions(barge(short, ukrainian("Так, звичайно."))) == [Barge.DUCK, Barge.DEEP, Barge.RESUME]
    assert Barge.HOLD in decisions(barge([0.9] * 30 + [0] * 20, ukrainian("А чому?")))
    assert Barge.RESUME in decisions(barge([0.9] * 30 + [0] * 20, ukrainian("")))


def test_a_laugh_ducks_and_resumes() -> None:
    assert decisions(barge([0.9] * 30 + [0] * 20, said(""))) == [Barge.DUCK, Barge.DEEP, Barge.RESUME]


def test_a_backchannel_resumes() -> None:
    assert decisions(barge([0.9] * 12 + [0] * 20, said("Yeah.")))[-1] is Barge.RESUME


def test_the_duck_deepens_before_there_are_words() -> None:
    happened = barge([0.9] * 8 + [0] * 20, said(""))
    assert seconds(happened, Barge.DUCK) == pytest.approx(0.096)
    assert seconds(happened, Barge.DEEP) == pytest.approx(0.192)


def test_speech_holds_at_the_first_look_and_commits_while_it_goes_on() -> None:
    happened = barge([0.9] * 60, said("Can I have"))
    assert decisions(happened) == [Barge.DUCK, Barge.DEEP, Barge.HOLD, Barge.COMMIT]
    assert seconds(happened, Barge.HOLD) == pytest.approx(0.192)
    assert seconds(happened, Barge.COMMIT) == pytest.approx(0.96)


def test_one_command_is_enough_and_commits_when_the_voice_ends() -> None:
    happened = barge([0.9] * 10 + [0] * 20, said("Stop!"))
    assert decisions(happened) == [Barge.DUCK, Barge.DEEP, Barge.HOLD, Barge.COMMIT]
    assert seconds(happened, Barge.COMMIT) == pytest.approx(0.32 + 0.192)


def test_one_ordinary_word_must_last() -> None:
    happened = barge([0.9] * 40, said("Banana"))
    assert 0.6 <= seconds(happened, Barge.HOLD) <= 0.672


def test_yeah_but_holds_later() -> None:
    def hears(ask: AskWords) -> Transcript:
        return Transcript("Yeah." if ask.until - ask.onset < samples(0.5) else "Yeah, but what", -0.2)

    assert 0.5 <= seconds(barge([0.9] * 60, hears), Barge.HOLD) <= 0.7


def test_unsure_words_are_not_believed() -> None:
    assert Barge.HOLD not in decisions(barge([0.9] * 20 + [0] * 20, said("Mr. Quilter", -2.0)))


def test_the_last_look_believes_a_little_sooner() -> None:
    happened = barge([0.9] * 10 + [0] * 20, said("Tea please", -0.8))
    assert decisions(happened) == [Barge.DUCK, Barge.DEEP, Barge.HOLD, Barge.COMMIT]
    assert seconds(happened, Barge.HOLD) == pytest.approx(0.32 + 0.192)


def test_a_misheard_backchannel_is_given_back() -> None:
    def hears(ask: AskWords) -> Transcript:
        return Transcript("Wow." if ask.final else "Well then the", -0.2)

    assert decisions(barge([0.9] * 14 + [0] * 20, hears)) == [
        Barge.DUCK,
        Barge.DEEP,
        Barge.HOLD,
        Barge.RESUME,
    ]


def test_echo_is_not_a_voice() -> None:
    policy = BargeInPolicy()
    assert all(not policy.frame(0.99, user=False) for _ in range(100))
    assert policy.phase == "listen"


def test_after_the_commit_there_is_silence() -> None:
    policy = BargeInPolicy()
    ask = None
    for _ in range(6):
        ask = next((action for action in policy.frame(0.9) if isinstance(action, AskWords)), ask)
    assert ask
    policy.heard(ask, Transcript("Stop it now", -0.1))
    while policy.phase != "commit":
        policy.frame(0.9)
    assert policy.frame(0.9) == [] and policy.close() == []


def test_three_empty_looks_make_the_next_ones_rare() -> None:
    looks = [a.until - a.onset for _, a in barge([0.9] * 125, said("")) if isinstance(a, AskWords)]
    assert looks[:3] == [-(-age // VAD_FRAME) * VAD_FRAME for age in LOOKS[:3]]
    assert all(b - a >= samples(0.8) for a, b in pairwise(looks[3:]))
    assert len(looks) == 8


def test_the_voice_may_go_on_while_the_last_look_is_answered() -> None:
    """A stutter: the voice pauses for 0.2 s and goes on before the answer comes."""
    happened = barge([0.9] * 10 + [0] * 6 + [0.9] * 10, said("Yeah"), delay=4)
    assert Barge.RESUME not in decisions(happened)


def test_answers_about_a_voice_that_is_over_change_nothing() -> None:
    policy = BargeInPolicy()
    old = AskWords(0, samples(0.2), final=False)
    for _ in range(6):
        policy.frame(0.9)
    assert policy.heard(old, Transcript("Stop it now", -0.1)) == []
    assert policy.phase == "deep"


def test_the_microphone_goes_off_in_mid_voice() -> None:
    policy = BargeInPolicy()
    for _ in range(4):
        policy.frame(0.9)
    (ask,) = policy.close()
    assert isinstance(ask, AskWords) and ask.final
    assert policy.heard(ask, Transcript("Stop", -0.1)) == [Barge.HOLD, Barge.COMMIT]


def test_positions_count_from_where_the_policy_began() -> None:
    (_, first), *_ = [
        pair for pair in barge([0.9] * 7, said(""), start=5120) if isinstance(pair[1], AskWords)
    ]
    assert isinstance(first, AskWords) and first.onset == 5120


Frames = st.lists(st.sampled_from([0.0, 0.4, 0.9]), max_size=150)
Answers = st.lists(
    st.tuples(
        st.sampled_from(["", "Yeah", "Banana", "Stop", "Can I have"]), st.sampled_from([-0.1, -0.8, -2.0])
    ),
    min_size=1,
    max_size=9,
)


@given(Frames, Answers, st.integers(0, 12))
def test_barge_in_always_keeps_its_order(
    frames: list[float], answers: list[tuple[str, float]], delay: int
) -> None:
    """Duck before deep before hold before commit; resume only what was ducked; one commit, the last word;
    one question at a time; deterministic."""

    def play() -> list[At]:
        left = iter(answers * 200)
        return barge(frames, lambda ask: Transcript(*next(left)), delay)

    happened = play()
    assert happened == play()
    allowed = {
        None: {Barge.DUCK},
        Barge.DUCK: {Barge.DEEP, Barge.HOLD, Barge.RESUME},
        Barge.DEEP: {Barge.HOLD, Barge.RESUME},
        Barge.HOLD: {Barge.RESUME, Barge.COMMIT},
        Barge.RESUME: {Barge.DUCK},
        Barge.COMMIT: set(),
    }
    before: Barge | None = None
    for decision in decisions(happened):
        assert decision in allowed[before]
        before = decision
    asks = [at for at, action in happened if isinstance(action, AskWords)]
    assert all(later - earlier >= delay * VAD_FRAME for earlier, later in pairwise(asks))


# -- end of turn ---------------------------------------------------------------------------------------------
def turn(
    frames: list[float], probability: float | None, text: str | None, delay: int = 0
) -> list[tuple[int, TurnAction]]:
    """Every action and its sample; None is an answer that never comes."""
    policy = EndOfTurnPolicy()
    happened: list[tuple[int, TurnAction]] = []
    pending: list[tuple[int, AskTurn]] = []

    def note(actions: list[TurnAction]) -> None:
        happened.extend((policy.voice.heard, action) for action in actions)
        pending.extend((delay, action) for action in actions if isinstance(action, AskTurn))

    for frame in frames:
        note(policy.frame(frame))
        pending[:] = [(left - 1, ask) for left, ask in pending]
        while pending and pending[0][0] < 0:
            ask = pending.pop(0)[1]
            if probability is not None:
                note(policy.probability(ask, probability))
            if text is not None:
                note(policy.transcript(ask, text))
    return happened


def kinds(happened: list[tuple[int, TurnAction]]) -> list[object]:
    return ["ask" if isinstance(action, AskTurn) else action for _, action in happened]


SPOKEN = [0.9] * 30


def silence_before_the_end(happened: list[tuple[int, TurnAction]]) -> float:
    return (happened[-1][0] - len(SPOKEN) * VAD_FRAME) / LISTEN_RATE


@pytest.mark.parametrize(
    ("probability", "text", "wait"),
    [
        (0.97, "What time is it?", 0.6),
        (0.95, "What time is it?", 0.6),
        (0.8, "What time is it?", 0.8),
        (0.4, "What time is it?", 1.1),
        (0.1, "What time is it?", 1.6),
        (0.97, "I want a flight to the", 1.5),
        (0.1, "I want a flight to the", 1.6),
        (0.97, "", 0.6),
        (None, "What time is it?", 1.6),
        (0.97, None, 1.6),
        (None, None, 1.6),
    ],
)
def test_the_silence_that_ends_a_turn(probability: float | None, text: str | None, wait: float) -> None:
    happened = turn(SPOKEN + [0] * 80, probability, text)
    assert happened[-1][1] is Turn.END
    assert wait <= silence_before_the_end(happened) < wait + 0.032


def test_the_question_comes_once_and_early() -> None:
    happened = turn(SPOKEN + [0] * 80, 0.1, "So")
    asks = [action for _, action in happened if isinstance(action, AskTurn)]
    assert asks == [AskTurn(len(SPOKEN) * VAD_FRAME + samples(0.192))]


def test_a_sure_end_begins_before_it_ends() -> None:
    assert kinds(turn(SPOKEN + [0] * 80, 0.9, "Hello")) == ["ask", Turn.BEGIN, Turn.END]
    assert kinds(turn(SPOKEN + [0] * 80, 0.4, "Hello")) == ["ask", Turn.END]


def test_nothing_is_begun_without_words() -> None:
    assert kinds(turn(SPOKEN + [0] * 80, 0.9, "")) == ["ask", Turn.END]


def test_going_on_takes_back_what_was_begun() -> None:
    frames = SPOKEN + [0] * 9 + [0.9] * 10 + [0] * 60
    assert kinds(turn(frames, 0.9, "Hello")) == [
        "ask",
        Turn.BEGIN,
        Turn.TAKE_BACK,
        "ask",
        Turn.BEGIN,
        Turn.END,
    ]


def test_answers_to_an_earlier_pause_change_nothing() -> None:
    frames = SPOKEN + [0] * 7 + [0.9] * 10 + [0] * 8
    assert kinds(turn(frames, 0.9, "Hello", delay=8)) == ["ask", "ask"]


def test_a_short_noise_is_no_turn() -> None:
    assert turn(([0.9] * 2 + [0] * 20) * 20, 0.9, "Hello") == []


def test_a_late_answer_ends_at_once() -> None:
    happened = turn(SPOKEN + [0] * 60, 0.97, "Hello", delay=30)
    assert kinds(happened) == ["ask", Turn.BEGIN, Turn.END]
    assert happened[1][0] == happened[2][0]


def test_echo_does_not_open_a_turn() -> None:
    policy = EndOfTurnPolicy()
    assert all(not policy.frame(0.9, user=False) for _ in range(100))


def test_a_barge_in_goes_on_as_a_turn() -> None:
    """The voice has been silent for long: the question comes with the very next frame."""
    barged = BargeInPolicy(1024)
    for probability in [0.9] * 20 + [0] * 10:
        barged.frame(probability)
    policy = EndOfTurnPolicy.continuing(barged.voice)
    (ask,) = policy.frame(0)
    assert ask == AskTurn(1024 + 31 * VAD_FRAME)
    assert policy.voice.onset == 1024


@given(Frames, st.floats(0, 1), st.sampled_from([None, "", "So", "Tell me a story."]), st.integers(0, 40))
def test_a_turn_ends_once_and_takes_back_only_what_it_began(
    frames: list[float], probability: float, text: str | None, delay: int
) -> None:
    happened = turn(frames, probability, text, delay)
    assert happened == turn(frames, probability, text, delay)
    order = kinds(happened)
    assert order.count(Turn.END) <= 1
    assert Turn.END not in order[:-1]
    begun = False
    for action in order:
        if action is Turn.BEGIN:
            assert not begun
            begun = True
        elif action is Turn.TAKE_BACK:
            assert begun
            begun = False


@given(Frames)
def test_every_spoken_turn_ends_without_any_answer(frames: list[float]) -> None:
    happened = turn(SPOKEN + frames + [0] * (WAIT_LONGEST // VAD_FRAME + 2), None, None)
    assert kinds(happened)[-1] is Turn.END


@pytest.mark.parametrize(
    ("text", "count"), [("Dzień dobry!", 2), ("Добрий день, мамо.", 3), ("don't_stop", 2)]
)
def test_words_of_any_language_are_words(text: str, count: int) -> None:
    assert len(words(text)) == count
    assert meaning(text) == "content"
