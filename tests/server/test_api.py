"""The api dialect against a real server process, over real sockets, with the scripted agent."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import wave
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import av
import httpx2
import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray
from tests.process import Server, server
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from visavis import events as ev
from visavis.arkit import NAMES
from visavis.server.hearing import hear
from visavis.server.talks import Talk
from visavis.server.waiting import Collector

WAIT = 20.0
SECONDS = 1.5
FRAMES = 38
CLUSTER = b"\x1f\x43\xb6\x75"
"""What each piece of a live WebM begins with."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {
        "AGENT_TYPE": "scripted",
        "VISAVIS_SCRIPTED__SECONDS": str(SECONDS),
        "VISAVIS_SCRIPTED__SPEED": "20",
        "VISAVIS_SERVER__MAX_SESSIONS": "8",
    }
    with server(tmp_path_factory.mktemp("api"), **settings) as started:
        yield started


@pytest.fixture
def http(running: Server) -> Iterator[httpx2.Client]:
    """Calls below /api/v1; what a test has created is ended behind it."""
    with httpx2.Client(base_url=f"{running.http}/api/v1", timeout=WAIT) as client:
        yield client
        for session in client.get("/sessions", params={"limit": 100}).json()["sessions"]:
            client.delete(f"/sessions/{session['session_id']}")


def create(http: httpx2.Client, **wanted: Any) -> dict[str, Any]:
    answer = http.post("/sessions", json=wanted)
    assert answer.status_code == 201, answer.text
    session: dict[str, Any] = answer.json()
    return session


def problem(answer: httpx2.Response) -> tuple[int, str]:
    body = answer.json()
    assert body["message"]
    return answer.status_code, body["code"]


def tone(seconds: float = 1.0, rate: int = 16_000) -> bytes:
    return (8000 * np.sin(np.arange(int(seconds * rate)) * 2 * np.pi * 300 / rate)).astype("<i2").tobytes()


def wav(pcm: bytes, rate: int = 16_000) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, rate, 0, "NONE", ""))
        writer.writeframes(pcm)
    return file.getvalue()


# -- sessions ------------------------------------------------------------------------------------------------
def test_a_session_lives_until_it_is_ended(http: httpx2.Client) -> None:
    session = create(http, avatar="elena", output="both", metadata={"customer": 7})
    id = session["session_id"]
    assert session["ws_url"].endswith(f"/api/v1/sessions/{id}/ws")
    assert (session["avatar"], session["output"], session["metadata"]) == ("elena", "both", {"customer": 7})
    assert session["audio"] == {
        "input_sample_rate": 16_000,
        "output_sample_rate": 24_000,
        "format": "audio/pcm16",
    }
    assert session["created_at"] < session["expires_at"]
    details = http.get(f"/sessions/{id}").json()
    assert details | {"expires_at": ""} == session | {
        "expires_at": "",
        "state": "idle",
        "turns": 0,
        "transcript": [],
        "metrics": [],
    }
    assert http.delete(f"/sessions/{id}").status_code == 204
    assert problem(http.get(f"/sessions/{id}")) == (410, "SESSION_ENDED")
    assert problem(http.delete(f"/sessions/{id}")) == (410, "SESSION_ENDED")
    assert problem(http.get("/sessions/nobody")) == (404, "NO_SUCH_SESSION")


def test_everything_about_a_session_is_optional(http: httpx2.Client) -> None:
    answer = http.post("/sessions")
    assert (answer.status_code, answer.json()["avatar"], answer.json()["output"]) == (201, "mia", "video")


def test_sessions_are_listed_in_pages(http: httpx2.Client) -> None:
    made = [create(http)["session_id"] for _ in range(3)]
    page = http.get("/sessions", params={"offset": 1, "limit": 1}).json()
    assert (page["total"], page["offset"], page["limit"]) == (3, 1, 1)
    assert [session["session_id"] for session in page["sessions"]] == made[1:2]


def test_a_full_server_says_when_to_come_back(http: httpx2.Client) -> None:
    for _ in range(8):
        create(http)
    answer = http.post("/sessions", json={})
    assert problem(answer) == (503, "SERVER_FULL")
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"output": "smell"}, "body.output"),
        ({"language": "Polish!"}, "body.language"),
        ({"avatr": "mia"}, "body.avatr"),
        ({"instructions": "x" * 8001}, "body.instructions"),
        ({"metadata": [1]}, "body.metadata"),
    ],
)
def test_a_wrong_body_names_the_field(http: httpx2.Client, body: dict[str, Any], field: str) -> None:
    answer = http.post("/sessions", json=body)
    assert problem(answer) == (422, "BAD_REQUEST")
    assert answer.json()["fields"] == [field]


def test_an_unknown_avatar(http: httpx2.Client) -> None:
    assert problem(http.post("/sessions", json={"avatar": "../mia"})) == (422, "BAD_AVATAR")


# -- text and audio ----------------------------------------------------------------------------------------
def test_a_whole_reply_is_waited_for_without_being_played(http: httpx2.Client) -> None:
    id = create(http, output="weights")["session_id"]
    reply = http.post(f"/sessions/{id}/text", params={"wait": True}, json={"text": "Hello"}).json()
    frames = len(reply["weights"])
    assert reply["turn_id"] == "turn_1"
    assert (reply["fps"], frames) == (25, FRAMES)
    assert (reply["names"], {len(row) for row in reply["weights"]}) == (list(NAMES), {52})
    assert reply["interrupted"] is False
    with wave.open(io.BytesIO(base64.b64decode(reply["audio"]))) as sound:
        assert (sound.getframerate(), sound.getnframes()) == (24_000, frames * 960)
    details = http.get(f"/sessions/{id}").json()
    assert (details["turns"], details["state"]) == (1, "listening")
    assert [line["role"] for line in details["transcript"]] == ["user", "assistant"]
    assert details["transcript"][1]["text"] == reply["text"] != ""
    assert details["metrics"][0]["turn_id"] == "turn_1"
    assert http.post(f"/sessions/{id}/text", json={"text": "Again"}).json() == {"turn_id": "turn_2"}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("audio/wav", wav(tone())),
        ("application/octet-stream", wav(tone(rate=44_100), 44_100)),
        ("audio/pcm", tone()),
        ("audio/L16;rate=48000", tone(rate=48_000)),
    ],
)
def test_a_recording_is_answered(http: httpx2.Client, kind: str, body: bytes) -> None:
    id = create(http)["session_id"]
    headers = {"content-type": kind}
    answer = http.post(f"/sessions/{id}/audio", content=body, headers=headers, params={"wait": True})
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["weights"]) > 30


def test_a_recording_interrupts_as_a_text_does() -> None:
    fed: list[ev.Event] = []
    session = SimpleNamespace(feed=fed.append, next_turn=3)
    talk = SimpleNamespace(seat=SimpleNamespace(session=session))
    assert asyncio.run(hear(cast(Talk, talk), bytes(48_000), 16_000)) == 3
    sound = [ev.UserAudio(bytes(32_000)), ev.UserAudio(bytes(16_000))]
    assert fed == [ev.Interrupt(), ev.MicOn(16_000, hands_free=False), *sound, ev.MicOff()]


def test_of_two_callers_that_wait_the_second_interrupts_the_first() -> None:
    first = Collector()
    happened: list[ev.ToClient] = [
        ev.UserTurn(1, "Hello"),
        ev.StateChanged("thinking"),
        ev.StateChanged("listening"),
        ev.UserTurn(2, "What is your name?"),
        ev.StateChanged("thinking"),
        ev.TurnStarted(2, "Mia."),
    ]
    for event in happened:
        first.put(event)
    assert first.done.is_set()
    assert (first.text, first.turn, first.interrupted) == ("Hello", None, True)


def test_texts_at_once_have_replies_of_their_own(http: httpx2.Client) -> None:
    id = create(http)["session_id"]

    async def all_at_once() -> list[str]:
        async with httpx2.AsyncClient(base_url=http.base_url, timeout=WAIT) as client:
            posts = [client.post(f"/sessions/{id}/text", json={"text": f"Number {k}"}) for k in range(6)]
            return [answer.json()["turn_id"] for answer in await asyncio.gather(*posts)]

    assert sorted(asyncio.run(all_at_once())) == [f"turn_{k}" for k in range(1, 7)]


def test_there_is_nothing_to_say(http: httpx2.Client) -> None:
    id = create(http)["session_id"]
    answer = http.post(f"/sessions/{id}/text", json={"text": " \n"})
    assert (problem(answer), answer.json()["fields"]) == ((422, "BAD_REQUEST"), ["body.text"])


def test_a_recording_in_a_form(http: httpx2.Client) -> None:
    id = create(http)["session_id"]
    files = {"file": ("question.wav", wav(tone()), "audio/wav")}
    answer = http.post(f"/sessions/{id}/audio", files=files)
    assert (answer.status_code, answer.json()["turn_id"]) == (202, "turn_1")


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("audio/wav", b"", (415, "NO_SOUND")),
        ("audio/wav", b"this is not a recording", (415, "NOT_MEDIA")),
        ("audio/pcm", b"odd", (415, "NOT_MEDIA")),
        ("audio/pcm;rate=1", tone(), (415, "NOT_MEDIA")),
        ("audio/wav", wav(tone())[:44], (415, "NO_SOUND")),
        ("audio/pcm", bytes(130 * 32_000), (413, "TOO_LONG")),
        ("audio/pcm", bytes(26 << 20), (413, "TOO_LARGE")),
        ("multipart/form-data; boundary=x", b"--x\r\nbroken", (415, "NO_SOUND")),
        ("multipart/form-data", b"", (422, "BAD_FORM")),
    ],
)
def test_what_is_no_recording(http: httpx2.Client, kind: str, body: bytes, expected: tuple[int, str]) -> None:
    id = create(http)["session_id"]
    answer = http.post(f"/sessions/{id}/audio", content=body, headers={"content-type": kind})
    assert problem(answer) == expected
    assert http.get(f"/sessions/{id}").json()["state"] == "idle"


# -- the WebSocket ------------------------------------------------------------------------------------------
async def until(socket: ClientConnection, type: str, **fields: Any) -> list[dict[str, Any]]:
    """All messages up to the first of this kind."""
    log = []
    while True:
        message = json.loads(await asyncio.wait_for(socket.recv(), WAIT))
        log.append(message)
        if message["type"] == type and all(message.get(key) == value for key, value in fields.items()):
            return log


def test_a_session_is_followed_and_spoken_to_over_its_socket(http: httpx2.Client) -> None:
    session = create(http, output="weights")

    async def script() -> list[dict[str, Any]]:
        async with connect(session["ws_url"]) as socket:
            message = {
                "type": "text_message",
                "data": "Hello, how are you?",
                "session_id": session["session_id"],
            }
            await socket.send(json.dumps(message | {"timestamp": 1234567890}))
            return await until(socket, "state", state="listening")

    log = asyncio.run(script())
    assert {message["session_id"] for message in log} == {session["session_id"]}
    assert all(isinstance(message["timestamp"], int) for message in log)
    frames = [message for message in log if message["type"] in ("avatar_frame", "audio_response")]
    assert [message["type"] for message in frames] == ["avatar_frame", "audio_response"] * (len(frames) // 2)
    assert [message["frame_id"] for message in frames[::2]] == list(range(len(frames) // 2))
    assert [message["frame_id"] for message in frames[1::2]] == list(range(len(frames) // 2))
    assert {message["turn_id"] for message in frames} == {"turn_1"}
    assert set(frames[0]["weights"]) == set(NAMES)
    assert sum(len(base64.b64decode(message["data"])) for message in frames[1::2]) == len(frames) // 2 * 1920
    texts = [message for message in log if message["type"] == "text_response"]
    assert [message["is_final"] for message in texts[-2:]] == [False, True]
    assert texts[-1]["data"] == texts[-2]["data"]
    said = [message for message in log if message["type"] == "transcript"]
    assert [(message["data"], message["is_final"]) for message in said] == [("Hello, how are you?", True)]


def test_spoken_sound_is_answered_and_a_reply_can_be_stopped(http: httpx2.Client) -> None:
    session = create(http, output="weights")

    async def script() -> list[dict[str, Any]]:
        async with connect(session["ws_url"]) as socket:
            await socket.send(json.dumps({"type": "audio_chunk", "data": base64.b64encode(tone()).decode()}))
            await socket.send(tone())
            await socket.send(json.dumps({"type": "end_audio"}))
            log = await until(socket, "audio_response")
            await socket.send(json.dumps({"type": "interrupt"}))
            return log + await until(socket, "text_response", is_final=True)

    log = asyncio.run(script())
    [cut] = [message for message in log if message["type"] == "interrupted"]
    assert cut["turn_id"] == "turn_1"
    assert 0 <= cut["offset_ms"] < SECONDS * 1000


def test_malformed_messages_get_one_error_each(http: httpx2.Client) -> None:
    session = create(http, output="weights")

    async def script() -> list[str]:
        codes = []
        async with connect(session["ws_url"]) as socket:
            for bad in (
                "{",
                "[]",
                '{"type": "sing"}',
                '{"type": "text_message"}',
                '{"type": "audio_chunk", "data": "%"}',
                '{"type": "text_message", "data": "Hi", "session_id": "another"}',
                b"odd",
                b"\x1a\x45\xdf\xa3" + bytes(20),
            ):
                await socket.send(bad)
                codes.append((await until(socket, "error"))[-1]["code"])
            await socket.send(json.dumps({"type": "ping"}))
            await until(socket, "pong")
        return codes

    assert asyncio.run(script()) == [
        "BAD_JSON",
        "BAD_MESSAGE",
        "UNKNOWN_TYPE",
        "BAD_FIELD",
        "BAD_BASE64",
        "WRONG_SESSION",
        "BAD_AUDIO",
        "BAD_AUDIO",
    ]


def test_a_socket_closes_with_its_session_and_none_opens_without(http: httpx2.Client) -> None:
    session = create(http)

    async def script() -> tuple[tuple[int, str], tuple[int, str]]:
        closes = []
        async with connect(session["ws_url"]) as socket:
            await until(socket, "state")
            await asyncio.to_thread(http.delete, f"/sessions/{session['session_id']}")
            for attempt in (socket, await connect(session["ws_url"])):
                with pytest.raises(ConnectionClosed) as closed:
                    await asyncio.wait_for(attempt.recv(), WAIT)
                assert closed.value.rcvd is not None
                closes.append((closed.value.rcvd.code, closed.value.rcvd.reason))
        return closes[0], closes[1]

    assert asyncio.run(script()) == ((1000, "the session has ended"), (1008, "the session has ended"))


# -- the rest -----------------------------------------------------------------------------------------------
def test_frames_stream_as_events(http: httpx2.Client) -> None:
    id = create(http)["session_id"]
    with http.stream("GET", f"/sessions/{id}/avatar", params={"format": "weights"}) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert http.post(f"/sessions/{id}/text", json={"text": "Hello"}).status_code == 202
        frames, lines = [], stream.iter_lines()
        for line in lines:
            if line == "event: turn_end":
                break
            if line == "event: frame":
                frames.append(json.loads(next(lines).removeprefix("data: ")))
    assert [frame["frame_id"] for frame in frames] == list(range(FRAMES))
    assert set(frames[0]["weights"]) == set(NAMES)


def test_pictures_come_with_their_sound(http: httpx2.Client) -> None:
    session = create(http, output="both")

    async def script() -> list[dict[str, Any]]:
        async with connect(session["ws_url"], max_size=None) as socket:
            await socket.send(json.dumps({"type": "text_message", "data": "Hello"}))
            return await until(socket, "state", state="listening")

    log = asyncio.run(script())
    frames = [message for message in log if message["type"] in ("avatar_frame", "audio_response")]
    assert [message["type"] for message in frames] == ["avatar_frame", "audio_response"] * FRAMES
    assert [message["frame_id"] for message in frames] == [k // 2 for k in range(2 * FRAMES)]
    pictures = [simplejpeg.decode_jpeg(base64.b64decode(message["data"])) for message in frames[::2]]
    assert {picture.shape for picture in pictures} == {(480, 640, 3)}
    assert all(set(message["weights"]) == set(NAMES) for message in frames[::2])
    kinds = [message["type"] for message in log]
    assert kinds.index("transcript") < kinds.index("avatar_frame")
    assert kinds[-2:] == ["text_response", "state"]


def test_an_endless_video_shows_the_turns_between_an_idle_face(http: httpx2.Client) -> None:
    id = create(http)["session_id"]
    received = bytearray()
    with http.stream("GET", f"/sessions/{id}/avatar") as stream:
        assert stream.headers["content-type"].startswith("video/webm")
        asked = False
        for piece in stream.iter_bytes():
            received += piece
            if not asked:
                asked = True
                assert http.post(f"/sessions/{id}/text", json={"text": "Hello"}).status_code == 202
            elif received.count(CLUSTER) > 4 * FRAMES:  # one for each frame
                break
    with av.open(io.BytesIO(bytes(received)), "r") as container:
        assert {kind.codec_context.name for kind in container.streams} == {"vp8", "opus"}
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with av.open(io.BytesIO(bytes(received)), "r") as container:
        sound = np.concatenate([frame.to_ndarray().ravel() for frame in container.decode(audio=0)])
    assert pictures[0].shape == (480, 640, 3)
    assert 4 * FRAMES / 5 <= len(pictures) <= 4 * FRAMES + 1, "a busy machine leaves some out"
    assert len(sound) / 48_000 == pytest.approx(4 * FRAMES / 25, abs=0.3), "but no sound"
    loud = np.abs(sound) > 0.01
    assert SECONDS * 0.5 < loud.sum() / 48_000 * 2 < SECONDS * 3
    assert not loud[:2400].any()  # it begins with an idle face


def test_pictures_alone_for_an_image_tag(http: httpx2.Client) -> None:
    id = create(http)["session_id"]
    headers = {"Accept": "multipart/x-mixed-replace"}
    received = bytearray()
    with http.stream("GET", f"/sessions/{id}/avatar", headers=headers) as stream:
        boundary = stream.headers["content-type"].split("boundary=")[1].encode()
        for piece in stream.iter_bytes():
            received += piece
            if received.count(b"--" + boundary) > 3:
                break
    parts = bytes(received).split(b"--" + boundary + b"\r\n")[1:-1]
    for part in parts:
        head, _, body = part.partition(b"\r\n\r\n")
        assert b"Content-Type: image/jpeg" in head
        assert simplejpeg.decode_jpeg(body[:-2]).shape == (480, 640, 3)


def test_another_face_while_the_session_is_watched(http: httpx2.Client) -> None:
    id = create(http, avatar="mia")["session_id"]

    def looks(buffer: bytes) -> NDArray[np.float64]:
        picture = simplejpeg.decode_jpeg(buffer[buffer.rindex(b"\xff\xd8") :], fastdct=True)
        return np.asarray(picture, np.float64)

    def next_whole(parts: Iterator[bytes], buffer: bytes = b"") -> bytes:
        while b"\xff\xd9\r\n" not in buffer:
            buffer += next(parts)
        return buffer[: buffer.rindex(b"\xff\xd9\r\n") + 2]

    with http.stream("GET", f"/sessions/{id}/avatar", params={"format": "mjpeg"}) as stream:
        parts = stream.iter_raw()
        mia, again = looks(next_whole(parts)), looks(next_whole(parts))
        assert np.abs(mia - again).mean() < 3
        changed = http.patch(f"/sessions/{id}", json={"avatar": "pip"})
        assert (changed.status_code, changed.json()["avatar"]) == (200, "pip")
        for _ in range(500):  # a head takes a while to be loaded on a busy machine
            difference = np.abs(mia - looks(next_whole(parts))).mean()
            if difference > 10:
                break
        assert difference > 10
    assert http.get(f"/sessions/{id}").json()["avatar"] == "pip"
    assert problem(http.patch(f"/sessions/{id}", json={"avatar": "nobody"})) == (422, "BAD_AVATAR")
    assert problem(http.patch(f"/sessions/{id}", json={"voice": "x"})) == (422, "BAD_REQUEST")


def test_health_and_status(http: httpx2.Client) -> None:
    health = http.get("/health").json()
    assert (health["status"], set(health)) == ("healthy", {"status", "version", "uptime_s"})
    assert http.head("/health").status_code == 200
    status = http.get("/pipeline/status").json()
    assert status["agent"]["name"] == "scripted"
    assert status["face"]["worker"]["jobs"] >= 0


def test_captions_of_what_was_said_and_heard(http: httpx2.Client) -> None:
    id = create(http, avatar="elena")["session_id"]
    assert http.get(f"/sessions/{id}/captions").text == "WEBVTT\n"
    reply = http.post(f"/sessions/{id}/text", params={"wait": True}, json={"text": "Hello <there>"}).json()
    answer = http.get(f"/sessions/{id}/captions")
    assert answer.headers["content-type"] == "text/vtt; charset=utf-8"
    begin, question, *answers = answer.text.split("\n\n")
    assert begin == "WEBVTT"
    assert question.endswith("<v You>Hello &lt;there&gt;")
    assert re.match(r"00:00:\d\d\.\d{3} --> 00:00:\d\d\.\d{3}\n", question)
    assert answers[0].splitlines()[1].startswith("<v Elena>")
    spoken = " ".join(line for cue in answers for line in cue.splitlines()[1:])
    assert spoken.replace("<v Elena>", "").split() == reply["text"].split()
