"""The conversation, driven on a made-up clock."""

from __future__ import annotations

import itertools

import pytest
from tests.talk import drive, face, frames_of, of, only, reply, stalls

from visavis import events as ev
from visavis.audio import Media
from visavis.conversation import Conversation
from visavis.pacing import Policy

MEDIA = [Media(), Media(16_000, 25), Media(16_000, 30), Media(22_050, 30)]
WORDS = tuple(
    ev.Word(text, i * 0.5, i * 0.5 + 0.4) for i, text in enumerate("one two three four, five six.".split())
)


@pytest.mark.parametrize("media", MEDIA)
@pytest.mark.parametrize("samples", [0, 1, 533, 799, 800, 801, 12_345, 48_000, 72_001])
@pytest.mark.parametrize("look_ahead", [0, 2])
def test_every_sample_leaves_once_in_order_with_silence_only_at_the_end(
    media: Media, samples: int, look_ahead: int
) -> None:
    pcm, script = reply(samples)
    log = drive(Conversation(media), script, look_ahead=look_ahead)
    groups = only(log, ev.Frames)
    sent = b"".join(group.pcm for group in groups)
    assert sent[: len(pcm)] == pcm
    assert not any(sent[len(pcm) :])
    assert len(sent) == 2 * media.edge(max(1, media.covering(samples)))
    firsts = [group.first for group in groups]
    assert firsts[0] == 0
    assert firsts[1:] == [group.first + len(group.weights) for group in groups[:-1]]


def test_order_within_a_turn() -> None:
    _, script = reply(24_000 * 3, words=WORDS)
    log = drive(Conversation(), [(0.0, ev.UserText("hello")), *script])
    kinds = [type(effect).__name__ for _, effect in log if not isinstance(effect, ev.Animate)]
    assert kinds[:2] == ["StateChanged", "UserText"]
    assert kinds[2:5] == ["StateChanged", "TurnStarted", "WordSpoken"]
    assert set(kinds[5:-4]) == {"Frames", "WordSpoken"}
    assert kinds[-4:] == ["AudioEnded", "TurnLedger", "TurnEnded", "StateChanged"]
    assert [state.state for state in only(log, ev.StateChanged)] == ["thinking", "speaking", "listening"]
    assert only(log, ev.TurnEnded) == [ev.TurnEnded(1, "one two three four, five six.", False, 3.0)]


def test_frames_leave_in_a_small_burst_then_on_an_absolute_schedule() -> None:
    policy = Policy()
    _, script = reply(24_000 * 10)
    times = [at for at, group in of(drive(Conversation(policy=policy), script), ev.Frames)]
    first = sum(1 for at in times if at == times[0])
    groups = only(drive(Conversation(policy=policy), script), ev.Frames)
    assert sum(len(group.weights) for group in groups[:first]) == int(policy.lead * 30) + 1
    for at, group in zip(times[first:], groups[first:], strict=True):
        assert at == pytest.approx(times[0] + group.first / 30 - policy.lead)


def test_the_lead_is_200_to_400_ms_all_through_a_reply_that_comes_in_real_time() -> None:
    """Once the agent has got ahead, every frame is sent 0.2 to 0.4 s before it is heard."""
    pcm, _ = reply(24_000 * 8)
    script: list[tuple[float, ev.Event]] = [(0.0, ev.ReplyStarted("r"))]
    for n in range(80):
        script.append((n * 0.05, ev.ReplyAudio("r", pcm[n * 4800 : n * 4800 + 4800])))
    log = drive(Conversation(), [*script, (4.0, ev.ReplyDone("r"))], look_ahead=2, face_delay=0.01)
    frames = of(log, ev.Frames)
    epoch = next(at for at, group in frames if group.first + len(group.weights) >= 3)
    later = [(at, group) for at, group in frames if at > 1.0]
    assert later
    for at, group in later:
        assert 0.2 <= epoch + group.first / 30 - at <= 0.4


@pytest.mark.parametrize(
    ("rate", "fps"), [(24_000, 30), (16_000, 25), (16_000, 30), (22_050, 30), (8_000, 30)]
)
def test_a_frame_begins_at_its_own_time_however_long_the_turn(rate: int, fps: int) -> None:
    media = Media(rate, fps)
    for frame in range(0, fps * 600, 7):
        assert 0 <= frame / fps - media.edge(frame) / rate < 1 / rate
        assert media.whole(media.edge(frame)) == frame == media.covering(media.edge(frame))


def test_an_interruption_stops_frames_at_once_and_keeps_only_what_was_heard() -> None:
    _, script = reply(24_000 * 5, words=WORDS)
    log = drive(Conversation(), [*script, (1.0, ev.Interrupt())])
    ((at, ended),) = of(log, ev.TurnEnded)
    assert at == 1.0
    assert ended.interrupted
    assert ended.heard == pytest.approx(1.0)
    assert ended.text == "one two"
    assert all(at <= 1.0 for at, _ in of(log, ev.Frames))
    assert only(log, ev.CancelReply) == [ev.CancelReply("r", ended.heard, "one two")]
    assert only(log, ev.StateChanged)[-1].state == "listening"


def test_a_reported_position_decides_what_was_heard() -> None:
    _, script = reply(24_000 * 5, words=WORDS)
    played: list[tuple[float, ev.Event]] = [(0.25 + n / 10, ev.Played(1, n * 3)) for n in range(8)]
    log = drive(Conversation(), [*script, *played, (1.0, ev.Interrupt())])
    (ended,) = only(log, ev.TurnEnded)
    assert ended.heard == pytest.approx(0.75, abs=0.05)
    assert ended.text == "one"


def test_what_a_client_has_not_reported_is_sent_again_although_its_player_should_have_run_dry() -> None:
    """Its line was cut, and the server heard of it only after the agent had paused and gone on."""
    pcm, _ = reply(24_000 * 2)
    script: list[tuple[float, ev.Event]] = [
        (0.0, ev.ReplyStarted("r")),
        (0.0, ev.ReplyAudio("r", pcm[:24_000])),
        (0.3, ev.Played(1, 5)),
        (2.0, ev.ReplyAudio("r", pcm[24_000:])),
        (2.0, ev.ReplyDone("r")),
        (2.1, ev.ClientLost()),
        (3.0, ev.ClientBack()),
    ]
    log = drive(Conversation(), script)
    again = [frames.first for at, frames in of(log, ev.Frames) if at >= 3.0]
    assert again[0] == 6


@pytest.mark.parametrize(("silent", "whole"), [(20, True), (50, False)])
def test_what_a_dead_line_has_not_heard_is_kept_for_half_a_minute(silent: int, whole: bool) -> None:
    """The server did not notice, and its schedule said more than once that all of it had been heard."""
    pcm, _ = reply(24_000 * silent)
    script: list[tuple[float, ev.Event]] = [(0.0, ev.ReplyStarted("r")), (0.3, ev.Played(1, 5))]
    script += [(2.0 * n, ev.ReplyAudio("r", pcm[n * 48_000 : n * 48_000 + 48_000])) for n in range(silent)]
    script += [(2.0 * silent, ev.ClientLost()), (2.0 * silent + 1, ev.ClientBack())]
    script.append((2.0 * silent + 1, ev.ReplyDone("r")))
    log = drive(Conversation(), sorted(script, key=lambda one: one[0]))
    again = b"".join(frames.pcm for at, frames in of(log, ev.Frames) if at >= 2.0 * silent + 1)
    assert (again[: len(pcm)] == pcm[2 * Media().edge(6) :]) is whole


@pytest.mark.parametrize(("frame", "first"), [(150, 151), (30, 90)])
def test_a_client_that_tells_late_how_far_it_is_gets_what_is_kept(frame: int, first: int) -> None:
    pcm, script = reply(24_000 * 10)
    script += [(8.0, ev.Played(1, frame)), (8.1, ev.ClientLost()), (9.0, ev.ClientBack())]
    log = drive(Conversation(), script)
    again = [frames for at, frames in of(log, ev.Frames) if at >= 9.0]
    assert again[0].first == pytest.approx(first, abs=1)
    assert all(len(frames.weights) for frames in again)
    assert b"".join(frames.pcm for frames in again) == pcm[2 * Media().edge(again[0].first) :]


def test_a_player_that_is_behind_may_say_so_after_it_should_have_run_dry() -> None:
    pcm, _ = reply(24_000 * 3)
    script: list[tuple[float, ev.Event]] = [
        (0.0, ev.ReplyStarted("r")),
        (0.0, ev.ReplyAudio("r", pcm[:24_000])),
        (0.7, ev.ReplyAudio("r", pcm[24_000:])),
        (0.71, ev.Played(1, 12)),
        (1.0, ev.ClientLost()),
        (2.0, ev.ClientBack()),
        (2.0, ev.ReplyDone("r")),
    ]
    log = drive(Conversation(), script)
    again = [frames.first for at, frames in of(log, ev.Frames) if at >= 2.0]
    assert again[0] == 13


def test_text_without_times_is_told_with_the_audio_and_cut_by_it() -> None:
    _, script = reply(24_000 * 4)
    text = "The quick brown fox jumps over the lazy dog and then it sleeps for a while."
    script[1:1] = [(0.0, ev.ReplyText("r", piece)) for piece in (text[:7], text[7:20], text[20:])]
    log = drive(Conversation(), script)
    words = only(log, ev.WordSpoken)
    assert " ".join(spoken.word.text for spoken in words) == text == only(log, ev.TurnEnded)[0].text
    assert all(" " not in spoken.word.text for spoken in words)
    assert words[-1].word.end == pytest.approx(4.0)
    cut = drive(Conversation(), [*script, (2.0, ev.Interrupt())])
    heard = only(cut, ev.TurnEnded)[0].text
    assert text.startswith(heard)
    assert 0.35 < len(heard) / len(text) < 0.6


def test_whoever_takes_all_at_once_has_heard_it_at_once() -> None:
    talk = Conversation()
    talk.live = False
    _, script = reply(24_000 * 5, words=WORDS)
    log = drive(talk, script, face_delay=0.01)
    (ended,) = of(log, ev.TurnEnded)
    assert ended[0] < 0.3
    assert (ended[1].text, ended[1].heard, ended[1].interrupted) == (
        "one two three four, five six.",
        5.0,
        False,
    )
    assert sum(len(frames.weights) for frames in only(log, ev.Frames)) == 150
    assert only(log, ev.UserAudio) == [ev.UserAudio(b"", "r", 24_000 * 5)]  # the agent is told so
    cut = drive(talk, [*script[:-1], (2.0, ev.Interrupt())])
    assert only(cut, ev.TurnEnded)[0].heard == 5.0


def test_no_word_is_told_long_before_it_is_heard() -> None:
    _, script = reply(24_000 * 5, words=WORDS)
    for at, spoken in of(drive(Conversation(), script), ev.WordSpoken):
        assert at >= spoken.word.start - Policy().lead - 1 / 15


def test_late_events_of_a_cancelled_reply_fall_on_the_floor() -> None:
    talk = Conversation()
    talk.feed(ev.ReplyStarted("a"), 0)
    talk.feed(ev.ReplyAudio("a", bytes(24_000)), 0)
    talk.feed(ev.Interrupt(), 0.1)
    assert talk.feed(ev.ReplyAudio("a", bytes(24_000)), 0.2) == []
    assert talk.feed(ev.Animated(1, face(6)), 0.2) == []
    assert talk.feed(ev.ReplyDone("a"), 0.3) == []


def test_the_face_of_a_cancelled_turn_never_reaches_the_next() -> None:
    talk = Conversation()
    talk.feed(ev.ReplyStarted("a"), 0)
    talk.feed(ev.ReplyAudio("a", bytes(24_000)), 0)
    talk.feed(ev.Interrupt(), 0.1)
    talk.feed(ev.ReplyStarted("b"), 0.2)
    talk.feed(ev.ReplyAudio("b", bytes(24_000)), 0.2)
    assert talk.feed(ev.Animated(1, face(6)), 0.3) == []


def test_interruption_before_the_first_frame_shows_nothing() -> None:
    talk = Conversation()
    log = [(0.0, effect) for effect in talk.feed(ev.UserText("hi"), 0.0)]
    log += [(0.1, effect) for effect in talk.feed(ev.ReplyStarted("r"), 0.1)]
    log += [(0.2, effect) for effect in talk.feed(ev.Interrupt(), 0.2)]
    assert not only(log, ev.TurnStarted)
    assert not only(log, ev.TurnEnded)
    assert only(log, ev.CancelReply) == [ev.CancelReply("r", 0.0, "")]
    assert talk.state == "listening"


def test_interruption_before_the_reply_began_cancels_what_is_being_prepared() -> None:
    log = drive(Conversation(), [(0.0, ev.UserText("hi")), (0.1, ev.Interrupt()), (0.2, ev.Interrupt())])
    assert only(log, ev.CancelReply) == [ev.CancelReply(None, 0.0, "")]


@pytest.mark.parametrize(
    "instead",
    [
        ev.UserText("And your name?"),
        ev.Interrupt(),
        ev.UserInterrupts(),
        ev.UserSaid(""),
        ev.ReplyFailed("AGENT_FAILED", "It failed."),
    ],
)
def test_no_other_reply_has_the_number_of_one_that_never_began(instead: ev.Event) -> None:
    conversation = Conversation()
    conversation.feed(ev.UserText("How are you?"), 0.0)
    assert conversation.next_turn == 1
    conversation.feed(instead, 0.1)
    assert conversation.next_turn == 2
    conversation.feed(ev.ReplyStarted("a"), 0.2)
    assert conversation.wants(2)


def test_an_interruption_when_nothing_is_said_is_harmless() -> None:
    talk = Conversation()
    assert talk.feed(ev.Interrupt(), 0.0) == []
    assert talk.feed(ev.Interrupt(), 1.0) == []


def test_a_second_text_interrupts_the_answer_to_the_first() -> None:
    _, first = reply(24_000 * 5, id="a", at=0.1)
    _, second = reply(24_000, id="b", at=1.1)
    texts: list[tuple[float, ev.Event]] = [(0.0, ev.UserText("one")), (1.0, ev.UserText("two"))]
    log = drive(Conversation(), [*texts, *first, *second])
    ended = only(log, ev.TurnEnded)
    assert [(turn.turn, turn.interrupted) for turn in ended] == [(1, True), (2, False)]
    assert all(at <= 1.0 for at, group in of(log, ev.Frames) if group.turn == 1)


def test_a_reply_that_begins_while_another_is_still_heard_waits_for_it() -> None:
    """Cloud agents speak faster than real time; a follow-up must not cut off what was generated before."""
    _, first = reply(24_000 * 2, id="a")
    _, second = reply(24_000, id="b", at=0.5)
    log = drive(Conversation(), [*first, *second])
    assert [turn.interrupted for turn in only(log, ev.TurnEnded)] == [False, False]
    begin = [at for at, _ in of(log, ev.TurnStarted)]
    assert begin[1] == pytest.approx(begin[0] + 2.0, abs=0.05)


def test_a_stall_of_the_agent_shifts_the_schedule_without_a_burst() -> None:
    first: list[tuple[float, ev.Event]] = [
        (0.0, ev.ReplyStarted("r")),
        (0.0, ev.ReplyAudio("r", bytes(48_000))),
    ]
    rest: list[tuple[float, ev.Event]] = [
        (5.0, ev.ReplyAudio("r", bytes(48_000))),
        (5.0, ev.ReplyDone("r")),
    ]
    log = drive(Conversation(), [*first, *rest])
    late = [(at, group) for at, group in of(log, ev.Frames) if at >= 5.0]
    burst = sum(len(group.weights) for at, group in late if at == 5.0)
    assert burst <= int(Policy().lead * 30) + 1
    times = [at for at, _ in late if at > 5.0]
    assert all(b - a > 0.03 for a, b in itertools.pairwise(times))
    assert sum(len(group.weights) for _, group in of(log, ev.Frames)) == 60


def test_work_ahead_is_bounded() -> None:
    policy = Policy()
    _, script = reply(24_000 * 30)
    log = drive(Conversation(policy=policy), [*script, (2.0, ev.Interrupt())])
    asked = sum(len(job.pcm) for job in only(log, ev.Animate)) / 48_000
    assert asked <= 2.0 + policy.lead + (policy.ahead + policy.chunk) / 30


def test_barge_in_holds_playback_and_resumes_where_it_was() -> None:
    pcm, script = reply(24_000 * 3)
    barge: list[tuple[float, ev.Event]] = [
        (1.0, ev.BargeIn("duck")),
        (1.1, ev.BargeIn("hold")),
        (1.6, ev.BargeIn("resume")),
    ]
    log = drive(Conversation(), [*script, *barge])
    assert [phase.phase for phase in only(log, ev.BargedIn)] == ["duck", "hold", "resume"]
    assert not [at for at, _ in of(log, ev.Frames) if 1.1 <= at < 1.6]
    assert b"".join(group.pcm for group in only(log, ev.Frames)) == pcm
    assert of(log, ev.TurnEnded)[0][0] == pytest.approx(3.5, abs=0.02)


def test_barge_in_that_stops_tells_what_was_heard_when_it_held() -> None:
    _, script = reply(24_000 * 5, words=WORDS)
    log = drive(
        Conversation(), [*script, (1.0, ev.BargeIn("hold")), (1.5, ev.UserInterrupts()), (2.0, ev.Tick())]
    )
    (ended,) = only(log, ev.TurnEnded)
    assert ended.interrupted
    assert ended.heard == pytest.approx(1.0)


def test_a_barge_in_nobody_resolves_resumes_by_itself() -> None:
    policy = Policy(patience=3.0)
    _, script = reply(24_000 * 2)
    log = drive(Conversation(policy=policy), [*script, (1.0, ev.BargeIn("hold"))])
    assert only(log, ev.BargedIn)[-1].phase == "resume"
    assert only(log, ev.TurnEnded)[0].interrupted is False


def test_the_users_audio_carries_what_is_being_heard() -> None:
    _, script = reply(24_000 * 3)
    audio: list[tuple[float, ev.Event]] = [(at, ev.UserAudio(b"\0\0")) for at in (1.0, 2.0, 9.0)]
    heard = only(drive(Conversation(), [*script, *audio]), ev.UserAudio)
    assert [event.reply for event in heard] == ["r", "r", None]
    assert [event.played for event in heard] == [24_000, 48_000, 0]


def test_a_lost_client_finds_the_unheard_rest() -> None:
    pcm, script = reply(24_000 * 4, words=WORDS)
    away: list[tuple[float, ev.Event]] = [
        (0.5, ev.Played(1, 12)),
        (0.6, ev.Played(1, 15)),
        (0.7, ev.ClientLost()),
        (5.0, ev.ClientBack()),
    ]
    log = drive(Conversation(), [*script, *away])
    assert not [at for at, _ in of(log, ev.Frames) if 0.7 < at < 5.0]
    starts = of(log, ev.TurnStarted)
    assert [(at, start.turn) for at, start in starts] == [(0.0, 1), (5.0, 1)]
    again = [group for at, group in of(log, ev.Frames) if at >= 5.0]
    assert again[0].first == 16
    assert b"".join(group.pcm for group in again) == pcm[16 * 1600 :]
    assert only(log, ev.TurnEnded)[0].interrupted is False
    told = [spoken.word.text for at, spoken in of(log, ev.WordSpoken) if at >= 5.0]
    assert told[0] == "two"


def test_an_agent_that_fails_ends_the_turn_but_what_it_said_is_heard() -> None:
    pcm, script = reply(24_000)
    failed = ev.ReplyFailed("LLM_UNREACHABLE", "The model is down.", "r")
    log = drive(Conversation(), [*script[:-1], (0.2, failed)])
    assert only(log, ev.Problem) == [ev.Problem("LLM_UNREACHABLE", "The model is down.")]
    assert b"".join(group.pcm for group in only(log, ev.Frames)) == pcm
    assert only(log, ev.TurnEnded)[0].interrupted is False


def test_an_agent_that_fails_before_speaking_leaves_a_listening_avatar() -> None:
    talk = Conversation()
    log = drive(talk, [(0.0, ev.UserText("x")), (0.1, ev.ReplyFailed("AGENT_FAILED", "No."))])
    assert only(log, ev.Problem)
    assert talk.state == "listening"
    assert talk.deadline is None


def test_an_agent_that_never_answers_is_given_up() -> None:
    talk = Conversation(policy=Policy(patience=5.0))
    log = drive(talk, [(0.0, ev.UserText("x"))])
    assert [(at, problem.code) for at, problem in of(log, ev.Problem)] == [(5.0, "AGENT_TIMEOUT")]
    assert talk.state == "listening"


def test_an_agent_that_falls_silent_mid_reply_is_given_up() -> None:
    talk = Conversation(policy=Policy(patience=5.0))
    log = drive(talk, [(0.0, ev.ReplyStarted("r")), (0.0, ev.ReplyAudio("r", bytes(48_000)))])
    assert only(log, ev.Problem)[0].code == "AGENT_TIMEOUT"
    assert only(log, ev.TurnEnded)
    assert talk.deadline is None


def test_a_face_that_answers_too_little_or_too_much_is_made_to_fit() -> None:
    for rows in (0, 1, 50):
        talk = Conversation()
        _, script = reply(24_000)
        log = []
        for at, event in script:
            log += talk.feed(event, at)
        while jobs := [job for job in log if isinstance(job, ev.Animate)]:
            (job,) = jobs
            count = rows if job.last else frames_of(talk, job.pcm)
            log = talk.feed(ev.Animated(1, face(count), job.last), 0.0)
        sent = drive(talk, [])
        assert only(sent, ev.TurnEnded)


def test_nothing_said_means_listening_again() -> None:
    talk = Conversation()
    log = drive(talk, [(0.0, ev.MicOn()), (1.0, ev.MicOff()), (1.1, ev.UserSaid(""))])
    assert [state.state for state in only(log, ev.StateChanged)] == ["listening", "thinking", "listening"]
    assert not only(log, ev.UserTurn)


def test_the_ledger_counts_from_the_end_of_speech() -> None:
    _, script = reply(24_000, at=2.0)
    marks: list[tuple[float, ev.Event]] = [
        (1.9, ev.UserSaid("hello there")),
        (1.9, ev.Milestone("r", "speech_end", 1.3)),
        (1.9, ev.Milestone("r", "end_of_turn", 1.9)),
        (2.3, ev.Played(1, 0)),
    ]
    (ledger,) = only(drive(Conversation(), [*marks, *script]), ev.TurnLedger)
    assert dict(ledger.ms) == {
        "speech_end": 0,
        "end_of_turn": 600,
        "first_audio": 700,
        "first_frame": 700,
        "sent": 700,
        "played": 1000,
    }


def test_a_reply_without_end_is_cut() -> None:
    talk = Conversation(policy=Policy(longest=2.0))
    log = drive(talk, [(0.0, ev.ReplyStarted("r")), (0.0, ev.ReplyAudio("r", bytes(48_000 * 3)))])
    assert only(log, ev.Problem)[0].code == "REPLY_TOO_LONG"
    assert only(log, ev.TurnEnded)


@pytest.mark.parametrize("piece", [0.02, 0.1, 0.2])
@pytest.mark.parametrize("speed", [1.0, 1.2, 4.0])
def test_a_player_never_runs_dry_while_the_agent_keeps_pace(piece: float, speed: float) -> None:
    """Pieces of a reply at real time or faster, each up to 30 ms late, through a face with look-ahead."""
    size = int(24_000 * piece) * 2
    script: list[tuple[float, ev.Event]] = [(0.0, ev.ReplyStarted("r"))]
    count = int(10 / piece)
    for n in range(count):
        late = 0.03 * (n % 3) / 2
        script.append((n * piece / speed + late, ev.ReplyAudio("r", bytes(size))))
    script.append((count * piece / speed + 0.05, ev.ReplyDone("r")))
    log = drive(Conversation(), script, look_ahead=2, face_delay=0.005)
    assert stalls(log, 1) == 0
    assert sum(len(group.weights) for group in only(log, ev.Frames)) == 300


def test_the_first_frame_leaves_as_soon_as_the_face_knows_it() -> None:
    """Frames before the player's third leave at once, however slowly the agent speaks."""
    script: list[tuple[float, ev.Event]] = [(0.0, ev.ReplyStarted("r"))]
    script += [(n * 0.1, ev.ReplyAudio("r", bytes(4800))) for n in range(20)]
    log = drive(Conversation(), [*script, (2.0, ev.ReplyDone("r"))], look_ahead=2)
    assert of(log, ev.Frames)[0][0] == 0.0


def test_words_that_arrive_after_their_answer_are_shown_and_wait_for_nothing() -> None:
    _, script = reply(12_000)
    talk = Conversation()
    log = drive(talk, [*script, (2.0, ev.UserSaid("hello there", answered=True))])
    assert only(log, ev.UserTurn) == [ev.UserTurn(1, "hello there")]
    assert (talk.state, talk.deadline) == ("listening", None)


def test_a_reply_that_waits_its_turn_waits_for_nothing_once_the_client_is_back() -> None:
    script: list[tuple[float, ev.Event]] = [
        (0.0, ev.ReplyStarted("a")),
        (0.0, ev.ReplyDone("a")),
        (0.0, ev.ClientLost()),
        (0.0, ev.ReplyStarted("b")),
        (0.0, ev.ReplyAudio("b", bytes(48_000))),
        (0.0, ev.ReplyDone("b")),
        (0.1, ev.ClientBack()),
    ]
    log = drive(Conversation(), script)
    assert not only(log, ev.BargedIn)
    assert [ended.turn for ended in only(log, ev.TurnEnded)] == [1, 2]
    assert log[-1][0] < 2.0


def test_a_reply_that_begins_while_the_client_is_away_is_heard_when_it_is_back() -> None:
    """Also when it has to wait for another one first."""
    _, first = reply(24_000, id="a")
    _, second = reply(24_000, id="b", at=0.2)
    away: list[tuple[float, ev.Event]] = [(0.1, ev.ClientLost()), (2.0, ev.ClientBack())]
    log = drive(Conversation(), [*first, *away, *second])
    assert [turn.interrupted for turn in only(log, ev.TurnEnded)] == [False, False]
    assert of(log, ev.TurnEnded)[-1][0] == pytest.approx(4.0, abs=0.2)
    assert not only(log, ev.BargedIn)


BREAD, RYE = ev.Source("Bread", excerpt="We bake bread."), ev.Source("Rye", excerpt="Rye takes a day.")


def test_sources_are_told_with_the_turn_that_draws_on_them() -> None:
    _, script = reply(24_000)
    log = drive(Conversation(), [(0.0, ev.Cited((BREAD,))), *[(at + 1.0, event) for at, event in script]])
    kinds = [type(effect) for _, effect in log]
    assert only(log, ev.TurnSources) == [ev.TurnSources(1, (BREAD,))]
    assert kinds.index(ev.TurnSources) == kinds.index(ev.TurnStarted) + 1


def test_sources_cited_during_a_turn_are_told_at_once_and_all_together() -> None:
    _, script = reply(24_000 * 2)
    early, late = (0.0, ev.Cited((BREAD,))), (0.5, ev.Cited((RYE, BREAD)))
    unfinished = [*script[:-1], early, late, (1.0, ev.ReplyDone("r"))]
    log = drive(Conversation(), unfinished)
    assert of(log, ev.TurnSources) == [
        (0.0, ev.TurnSources(1, (BREAD,))),
        (0.5, ev.TurnSources(1, (BREAD, RYE))),
    ]


def test_sources_after_the_end_of_a_reply_belong_to_the_next_one() -> None:
    _, first = reply(24_000 * 2)
    _, second = reply(24_000, at=1.0, id="s")
    log = drive(Conversation(), [*first, (0.5, ev.Cited((RYE,))), *second])
    assert only(log, ev.TurnSources) == [ev.TurnSources(2, (RYE,))]


def test_sources_of_a_reply_that_never_came_are_forgotten() -> None:
    _, script = reply(24_000, at=1.0)
    log = drive(Conversation(), [(0.0, ev.Cited((BREAD,))), (0.5, ev.UserText("Well?")), *script])
    assert not only(log, ev.TurnSources)
