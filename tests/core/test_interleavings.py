"""Whatever happens in whatever order, the conversation keeps its promises."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.talk import drawings, drive, face, frames_of, number, only

from visavis import events as ev
from visavis.conversation import Conversation
from visavis.pacing import Policy

IDS = st.sampled_from("abc")
STEPS = st.one_of(
    st.builds(ev.ReplyStarted, IDS),
    st.builds(ev.ReplyAudio, IDS, st.integers(0, 6000).map(lambda n: bytes(range(256)) * (n // 64))),
    st.builds(
        ev.ReplyText, IDS, st.text("ab c.", max_size=12) | st.sampled_from(["[smile]", " [sa", "d] a"])
    ),
    st.builds(ev.Emotion, IDS, st.sampled_from(("joy", "neutral")), st.floats(-1, 10)),
    st.builds(ev.ReplyDone, IDS),
    st.builds(ev.ReplyFailed, st.just("X"), st.just("y"), st.none() | IDS),
    st.builds(ev.BargeIn, st.sampled_from(("duck", "deep", "hold", "resume"))),
    st.builds(ev.Played, st.integers(1, 6), st.integers(0, 200)),
    st.builds(ev.UserSaid, st.sampled_from(("", "hi"))),
    st.builds(ev.ToolCall, IDS, st.just("tool")),
    st.builds(ev.ToolResult, IDS, st.just("done")),
    st.sampled_from(
        [
            ev.Interrupt(),
            ev.UserText("x"),
            ev.UserInterrupts(),
            ev.MicOn(),
            ev.MicOff(),
            ev.UserAudio(b"\0\0"),
            ev.ClientLost(),
            ev.ClientBack(),
        ]
    ),
    st.just("animated"),
    st.just("animated"),
    st.just("wait"),
)


class Client:
    """Checks what a client is told, message by message."""

    def __init__(self) -> None:
        self.turn: int | None = None
        self.next = 0
        self.ended = False
        self.shown: set[int] = set()
        self.last = 0
        self.back = False

    def take(self, effect: ev.Effect) -> None:
        match effect:
            case ev.TurnStarted(turn):
                if self.turn == turn:
                    assert self.back, "only a client that came back is told of the same turn twice"
                    self.next = -1  # the unheard rest begins where it begins
                    self.shown.clear()
                else:
                    assert self.turn is None, "one turn at a time"
                    assert turn > self.last, "turn numbers only grow"
                    self.next = 0
                    self.shown.clear()
                self.turn, self.last, self.ended, self.back = turn, turn, False, False
            case ev.Frames(turn, first, pcm, weights, drawn):
                assert turn == self.turn, "no frame of a turn that is over"
                assert not self.ended, "no frame after the end of the audio"
                assert first == self.next or self.next == -1, "frame indices have no gaps"
                assert len(pcm) == len(weights) * 1600
                self.next = first + len(weights)
                self.look(turn, first, drawn, len(weights))
            case ev.WordSpoken(turn) | ev.BargedIn(turn) | ev.AudioEnded(turn):
                assert turn == self.turn
                self.ended = self.ended or isinstance(effect, ev.AudioEnded)
            case ev.TurnEnded(turn, _, interrupted, heard):
                assert turn == self.turn
                assert interrupted or self.ended, "a turn ends after its audio, or by interruption"
                assert heard >= 0
                self.turn = None

    def look(self, turn: int, first: int, drawn: tuple[ev.Drawing | None, ...], count: int) -> None:
        assert len(drawn) == (count if any(drawn) else 0), "a drawing for each frame, or none at all"
        for frame, drawing in enumerate(drawn, first):
            if drawing is None:
                assert not drawn_by_face(turn, frame), "no picture is lost"
                continue
            assert number(drawing) == turn * 4096 + frame, "each picture with the frame that it is for"
            assert frame not in self.shown, "and once"
            self.shown.add(frame)
        if not drawn:
            assert not any(drawn_by_face(turn, first + k) for k in range(count)), "no picture is lost"


def drawn_by_face(turn: int, frame: int) -> bool:
    """Some turns are drawn by the face engine, all the way or until it fails; in others there is nothing."""
    return turn % 3 > 0 and frame < (10_000 if turn % 3 == 1 else 30)


@settings(deadline=None)
@given(st.lists(st.tuples(STEPS, st.floats(0, 0.4)), max_size=120))
def test_any_interleaving_keeps_the_promises(steps: list[tuple[object, float]]) -> None:
    talk, client, now = Conversation(policy=Policy(patience=4.0)), Client(), 0.0
    jobs: list[ev.Animate] = []
    jobs_of: dict[int, int] = {}
    moved: dict[int, int] = {}

    def feed(event: ev.Event) -> None:
        if isinstance(event, ev.ClientBack):
            client.back = True
        for effect in talk.feed(event, now):
            client.take(effect)
            if isinstance(effect, ev.Animate):
                jobs.append(effect)
                jobs_of[effect.turn] = jobs_of.get(effect.turn, 0) + 1
                assert sum(job.turn == effect.turn for job in jobs) == 1, "one animation at a time"

    def animate(job: ev.Animate) -> None:
        first = moved.get(job.turn, 0)
        end = moved[job.turn] = first + frames_of(talk, job.pcm)
        drawn = drawings(job.turn * 4096 + first, job.turn * 4096 + end)
        kept = sum(drawn_by_face(job.turn, frame) for frame in range(first, end))
        feed(ev.Animated(job.turn, face(end - first), job.last, drawn[:kept]))
        turn = talk._turn
        assert turn is None or len(turn.drawings) <= talk.policy.ahead + talk.policy.chunk + 60, "bounded"

    for step, pause in steps:
        until = now + pause
        for _ in range(200):
            if talk.deadline is None or talk.deadline > until:
                break
            now = max(now, talk.deadline)
            feed(ev.Tick())
        else:
            raise AssertionError("the deadline does not move on")
        now = until
        if step == "animated":
            if jobs:
                animate(jobs.pop(0))
        elif step != "wait":
            feed(step)  # type: ignore[arg-type]
        assert talk.deadline is None or talk.deadline > now - 1e-6

    # Left alone, with its client there and its tools done, every talk comes to rest.
    feed(ev.ClientBack())
    for call in "abc":
        feed(ev.ToolResult(call, "done"))
    for _ in range(5000):
        if jobs:
            animate(jobs.pop(0))
        elif talk.deadline is not None:
            now = max(now, talk.deadline)
            feed(ev.Tick())
        else:
            break
    assert talk.deadline is None
    assert client.turn is None
    assert talk.state in ("idle", "listening")


@given(
    st.lists(st.integers(0, 5000), min_size=1, max_size=20),
    st.integers(0, 4),
    st.floats(0, 0.2),
    st.integers(1, 6),
)
@settings(deadline=None)
def test_any_cutting_of_the_audio_gives_the_same_frames(
    pieces: list[int], look_ahead: int, spacing: float, group: int
) -> None:
    samples = np.random.default_rng(7).integers(-20_000, 20_000, sum(pieces)).astype("<i2")
    script: list[tuple[float, ev.Event]] = [(0.0, ev.ReplyStarted("r"))]
    begin, now = 0, 0.0
    for size in pieces:
        script.append((now, ev.ReplyAudio("r", samples[begin : begin + size].tobytes())))
        begin, now = begin + size, now + spacing
    end = (now, ev.ReplyDone("r"))
    log = drive(Conversation(), [*script, end], look_ahead=look_ahead, face_delay=0.02, group=group)
    pcm = b"".join(frames.pcm for frames in only(log, ev.Frames))
    assert pcm[: len(samples) * 2] == samples.tobytes()
    assert not any(pcm[len(samples) * 2 :])
    assert sum(len(frames.weights) for frames in only(log, ev.Frames)) == len(pcm) // 1600


def test_pictures_are_kept_no_longer_than_a_client_may_come_back_for_them() -> None:
    talk, now, kept = Conversation(), 0.0, 0
    moved, seen = 0, list[int]()
    pending: list[ev.Event] = [
        ev.ReplyStarted("r"),
        ev.ReplyAudio("r", bytes(48_000 * 20)),
        ev.ReplyDone("r"),
    ]
    lost = False
    while pending or (talk.deadline is not None and talk.deadline < 25):
        if not pending and now > 8 and not lost:
            lost, pending = True, [ev.ClientLost(), ev.ClientBack()]
            before = seen[-1]
        if not pending:
            now = max(now, talk.deadline or now)
        for effect in talk.feed(pending.pop(0) if pending else ev.Tick(), now):
            if isinstance(effect, ev.Animate):
                first, moved = moved, moved + frames_of(talk, effect.pcm)
                drawn = drawings(first, moved)
                pending.append(ev.Animated(effect.turn, face(moved - first), effect.last, drawn))
            elif isinstance(effect, ev.Frames):
                assert all(effect.drawings)
                seen += [number(drawing) for drawing in effect.drawings if drawing is not None]
        kept = max(kept, len(talk._turn.drawings) if talk._turn else 0)
    again = seen.index(before) + 1
    assert seen[again] <= before, "the client that came back gets the unheard pictures again"
    assert seen == [*range(before + 1), *range(seen[again], 600)]
    assert kept <= 110, "those ahead, those that are heard, and a second behind"
