"""Emotion tags: read from text, timed by the conversation, shown as expressions beside speech."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.talk import drive, only

from visavis import events as ev
from visavis.arkit import INDEX, NAMES, Weights, neutral
from visavis.audio import Media, Resampler
from visavis.conversation import Conversation
from visavis.emotions import MEANINGS, read
from visavis.faces.expressions import EXPRESSIONS, FADE_IN, FADE_OUT, HOLD, Expressions, beside_speech
from visavis.faces.life import Life
from visavis.faces.speech_face import Faces
from visavis.settings import FaceSettings, Settings
from visavis.stages import Speech
from visavis.turn import Words

SMILE, BROW = INDEX["mouthSmileLeft"], INDEX["browInnerUp"]


# -- text --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "plain", "emotions"),
    [
        ("Hello there.", "Hello there.", {}),
        ("[smile] Hello there.", "Hello there.", {0: "joy"}),
        ("Hello [Sad]there.", "Hello there.", {1: "sadness"}),
        ("Hello![laughs]", "Hello!", {1: "joy"}),
        ("Really [surprise]? [neutral] No.", "Really? No.", {1: "neutral"}),
        ("[smile][doubt] Well", "Well", {0: "doubt"}),
        ("See [1], [sic] and a[0].", "See [1], [sic] and a[0].", {}),
        ("[smile", "[smile", {}),
        ("[angry]", "", {0: "anger"}),
    ],
)
def test_known_tags_are_read_and_other_brackets_are_text(
    text: str, plain: str, emotions: dict[int, str]
) -> None:
    words, found = read(text)
    assert (" ".join(words), found) == (plain, emotions)


def test_every_meaning_has_an_expression() -> None:
    assert set(MEANINGS.values()) == set(EXPRESSIONS)
    assert {name: MEANINGS[name] for name in EXPRESSIONS} == {name: name for name in EXPRESSIONS}


TEXT = "[smile] Well, hello there! [sad] It rains.[neutral] [unknown] Good bye [laugh]"


@given(st.lists(st.integers(1, 12), max_size=30))
def test_how_text_is_cut_into_pieces_does_not_matter(sizes: list[int]) -> None:
    words, start = Words(15.0), 0
    for size in [*sizes, len(TEXT)]:
        words.add_text(TEXT[start : start + size])
        start += size
    words.finish(10.0)
    emotions = words.emotions_until(11.0)
    told = {word.text: word.start for word in words.until(10.0)}
    assert " ".join(told) == "Well, hello there! It rains. [unknown] Good bye"
    assert emotions == [
        ("joy", 0.0),
        ("sadness", pytest.approx(told["It"])),
        ("neutral", pytest.approx(told["[unknown]"])),
        ("joy", pytest.approx(10.0)),
    ]


# -- the conversation --------------------------------------------------------------------------------------
def spoken(seconds: int) -> ev.ReplyAudio:
    return ev.ReplyAudio("r", bytes(48_000 * seconds))


def test_a_tag_in_text_without_times_becomes_an_expression_where_the_next_word_begins() -> None:
    script: list[ev.Event] = [
        ev.ReplyStarted("r"),
        ev.ReplyText("r", "It is fine. [smi"),
        ev.ReplyText("r", "le] Really!"),
    ]
    log = drive(Conversation(), [(0.0, event) for event in [*script, spoken(4), ev.ReplyDone("r")]])
    assert only(log, ev.TurnEnded)[0].text == "It is fine. Really!"
    words = {word.word.text: word.word for word in only(log, ev.WordSpoken)}
    emotions = [emotion for job in only(log, ev.Animate) for emotion in job.emotions]
    assert [(emotion.reply, emotion.name) for emotion in emotions] == [("r", "joy")]
    # The animator works ahead: it takes the usual rate of speech while the length is not known.
    assert 0.5 < emotions[0].at <= words["Really!"].start


def test_an_emotion_is_known_to_the_animator_before_its_sound_and_only_once() -> None:
    script: list[ev.Event] = [
        ev.ReplyStarted("r"),
        ev.Emotion("r", "surprise", 1.5),
        spoken(3),
        ev.Emotion("other", "anger", 0.0),
        ev.ReplyDone("r"),
    ]
    log = drive(Conversation(), [(0.1 * n, event) for n, event in enumerate(script)])
    jobs = only(log, ev.Animate)
    assert jobs[0].emotions == (ev.Emotion("r", "surprise", 1.5),)
    assert all(not job.emotions for job in jobs[1:])


# -- the face ----------------------------------------------------------------------------------------------
def shown(*emotions: ev.Emotion, frames: int = 300) -> Weights:
    expressions = Expressions(30)
    expressions.add(emotions, 0)
    return expressions.draw(0, frames)


def test_an_expression_fades_in_holds_and_fades_out() -> None:
    smile = shown(ev.Emotion("r", "joy", 1.0))[:, SMILE]
    full = EXPRESSIONS["joy"]["mouthSmileLeft"]
    times = (np.arange(300) + 0.5) / 30
    assert not smile[times < 1.0].any()
    np.testing.assert_allclose(smile[(times > 1 + FADE_IN) & (times < 1 + FADE_IN + HOLD)], full)
    assert not smile[times > 1 + FADE_IN + HOLD + FADE_OUT].any()
    assert 0 < np.abs(np.diff(smile)).max() < full / 4


def test_the_next_emotion_takes_over_and_neutral_ends_it() -> None:
    both = shown(
        ev.Emotion("r", "surprise", 2.0), ev.Emotion("r", "joy", 1.0), ev.Emotion("r", "neutral", 3.0)
    )
    assert both[58, SMILE] > 0.35 and both[58, BROW] < 0.1
    assert both[85, SMILE] == 0 and both[85, BROW] > 0.5
    assert not both[109:].any()
    assert np.abs(np.diff(both, axis=0)).max() < 0.2


@given(cuts=st.lists(st.integers(1, 60), max_size=12))
def test_expressions_do_not_depend_on_how_frames_are_grouped(cuts: list[int]) -> None:
    emotions = [ev.Emotion("r", "anger", 0.4), ev.Emotion("r", "doubt", 5.0), ev.Emotion("r", "sadness", 5.1)]
    expressions, first, parts = Expressions(30), 0, []
    expressions.add(emotions, 0)
    for count in [*cuts, 300]:
        count = min(count, 300 - first)
        parts.append(expressions.draw(first, count))
        first += count
    np.testing.assert_allclose(np.concatenate(parts), shown(*emotions), atol=1e-6)


@pytest.mark.parametrize("at", [-1.0, 0.0, 1.99, math.nan])
def test_a_late_emotion_begins_with_the_next_frame(at: float) -> None:
    expressions = Expressions(30)
    expressions.draw(0, 60)
    expressions.add([ev.Emotion("r", "joy", at), ev.Emotion("r", "glee", 0.0)], 60)  # type: ignore[arg-type]
    smile = expressions.draw(60, 60)[:, SMILE]
    assert 0 < smile[0] < 0.05 and smile[10] > 0.4


def test_expressions_leave_jaw_and_openings_alone() -> None:
    moved = {shape for shapes in EXPRESSIONS.values() for shape in shapes}
    assert moved <= set(NAMES)
    assert not {shape for shape in moved if shape.startswith(("jaw", "tongue", "mouthClose", "mouthUpper"))}
    assert not {shape for shape in moved if shape.startswith(("mouthLower", "mouthPucker", "mouthFunnel"))}


def test_lips_of_an_expression_yield_where_speech_shapes_them() -> None:
    speech = neutral(3)
    speech[1, [INDEX["jawOpen"], INDEX["mouthClose"]]] = 0.1
    speech[2, INDEX["mouthPucker"]] = 0.6
    joy = np.tile(shown(ev.Emotion("r", "joy", 0.0))[30], (3, 1))
    beside = beside_speech(joy, speech)
    np.testing.assert_allclose(beside[0], joy[0])
    assert beside[1, SMILE] < 0.5 * joy[0, SMILE] and beside[2, SMILE] < 0.7 * joy[0, SMILE]
    np.testing.assert_allclose(beside[:, INDEX["cheekSquintLeft"]], joy[0, INDEX["cheekSquintLeft"]])


def test_surprised_eyes_still_close_when_they_blink() -> None:
    life = Life(0, 30)
    life.express([ev.Emotion("r", "surprise", 2.0 * second) for second in range(30)], 0)
    face = life.apply(neutral(1800), 0, np.zeros(1800, np.float32))
    lids, wide = face[:, INDEX["eyeBlinkLeft"]], face[:, INDEX["eyeWideLeft"]]
    assert (lids > 0.85).sum() > 5 and wide[lids > 0.85].max() < 0.1
    assert wide[(lids == 0) & (np.arange(1800) > 75)].min() > 0.3


@pytest.mark.parametrize("name", sorted(set(EXPRESSIONS) - {"neutral"}))
def test_closures_of_real_speech_stay_closed(name: ev.EmotionName, sentence: Speech) -> None:
    plain, moved = (face_of(sentence, emotions) for emotions in ((), (ev.Emotion("r", name, 0.3),)))
    jaw, close = INDEX["jawOpen"], INDEX["mouthClose"]
    np.testing.assert_array_equal(moved[:, [jaw, close]], plain[:, [jaw, close]])
    shut = plain[:, close] > 0.9 * plain[:, jaw].clip(0.02)
    assert shut.sum() > 6
    opened = [i for shape, i in INDEX.items() if shape.startswith(("mouthLower", "mouthUpper", "mouthRoll"))]
    np.testing.assert_array_equal(moved[:, opened], plain[:, opened])
    expression = np.abs(moved - plain).max(1)
    assert expression[18:60].min() > 0.2, "it is shown all the while"
    assert expression[:8].max() == 0


@pytest.fixture(scope="module")
def sentence() -> Speech:
    from visavis.stages.tts_hibari import Hibari

    return Hibari()("Maybe my baby brother will be buying a big bumpy bamboo map from Bob.")


def face_of(speech: Speech, emotions: tuple[ev.Emotion, ...]) -> Weights:
    media = Media()
    face = Faces.load(Settings(face=FaceSettings(engine="energy"))).open(media, 0, timed=True)
    face.express(emotions)
    return face.feed(Resampler(24_000, media.rate)(speech.pcm, last=True), speech.phonemes, True)
