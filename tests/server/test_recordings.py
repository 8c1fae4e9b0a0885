"""The page `/face` and `POST /api/animate`: recordings in, faces and refusals out."""

from __future__ import annotations

import base64
import http.client
import io
import json
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.process import Server, server

import visavis
from visavis import Track
from visavis.arkit import INDEX, NAMES
from visavis.cast import built_in
from visavis.errors import VisavisError
from visavis.exports import glb
from visavis.server import recordings
from visavis.server.recordings import Engines, listen
from visavis.server.routes_face import WAITING
from visavis.settings import FaceSettings, Settings
from visavis.stages import tts_hibari

WAIT = 60.0
MOST = 30 << 20
"""Bytes of a recording that the server takes."""
Floats = NDArray[np.float32]


@pytest.fixture(scope="module")
def voice() -> bytes:
    return tts_hibari.load(Settings())("My mum bought a big apple pie.").pcm


@pytest.fixture(scope="module")
def spoken(voice: bytes) -> bytes:
    return wav(np.frombuffer(voice, "<i2"), 24_000)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, spoken: bytes) -> Iterator[Server]:
    """`visavis face` with a recording to begin with."""
    folder = tmp_path_factory.mktemp("face")
    (folder / "own.wav").write_bytes(spoken)
    limits = {"VISAVIS_LIMITS__UPLOAD_MEGABYTES": str(MOST >> 20)}
    with server(folder, ("face", "own.wav"), **limits) as started:
        yield started


def wav(samples: NDArray[np.int16], rate: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(samples.tobytes())
    return file.getvalue()


def ask(
    running: Server, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    line = http.client.HTTPConnection("127.0.0.1", running.port, timeout=WAIT)
    try:
        line.request(method, path, body, headers)
        answer = line.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        line.close()


def animate(running: Server, body: Any = None, **query: Any) -> tuple[int, http.client.HTTPMessage, bytes]:
    return ask(running, "POST", f"/api/animate?{urlencode(query)}", body)


def refused(running: Server, body: Any = None, **query: Any) -> tuple[int, str, str]:
    status, _, content = animate(running, body, **query)
    error = json.loads(content)
    assert set(error) == {"code", "message"}
    return status, error["code"], error["message"]


def test_the_page_and_what_it_may_ask_for(running: Server) -> None:
    status, headers, body = ask(running, "GET", "/face")
    assert (status, headers.get_content_type()) == (200, "text/html")
    assert b'src="static/assets/face' in body.replace(b"./static", b"static")
    offer = json.loads(ask(running, "GET", "/api/animate")[2])
    assert offer["engine"] == "net"
    assert "phonemes" not in offer["engines"], "it cannot listen"
    assert {"net", "energy"} <= set(offer["engines"])
    assert (offer["maxBytes"], offer["recording"]) == (MOST, "own.wav")


def test_a_recording_comes_back_as_its_face_and_its_sound(
    running: Server, spoken: bytes, voice: bytes
) -> None:
    status, _, body = animate(running, spoken, name="a clip.wav")
    assert status == 200
    answer = json.loads(body)
    track, sound = answer["track"], answer["sound"]
    assert (answer["engine"], track["fps"], tuple(track["names"])) == ("net", 30, NAMES)
    assert track["source"] == "a clip.wav"
    assert (sound["rate"], base64.b64decode(sound["pcm"])) == (24_000, voice)
    frames = np.array(track["frames"])
    assert len(frames) == answer["stats"]["frames"] == -(-len(voice) // 1600)
    assert frames[:, INDEX["jawOpen"]].max() > 0.1
    assert answer["stats"]["closures"] > 0


def test_it_is_the_face_that_the_library_makes(running: Server, spoken: bytes, voice: bytes) -> None:
    frames = np.array(json.loads(animate(running, spoken)[2])["track"]["frames"])
    assert np.abs(frames - visavis.animate(voice, 24_000).weights).max() < 1e-4


def test_the_recording_that_the_server_was_started_with(running: Server, spoken: bytes) -> None:
    own = json.loads(animate(running, None, recording=1, name="own.wav")[2])
    sent = json.loads(animate(running, spoken, name="own.wav")[2])
    assert own["track"] == sent["track"]


def test_other_engines_and_frames_a_second(running: Server, spoken: bytes, voice: bytes) -> None:
    answer = json.loads(animate(running, spoken, engine="energy", fps=60)[2])
    assert (answer["engine"], answer["track"]["fps"]) == ("energy", 60)
    assert len(answer["track"]["frames"]) == pytest.approx(len(voice) / 48_000 * 60, abs=2)


@pytest.mark.parametrize("format", ["json", "npz", "jsonl"])
def test_files_that_can_be_read_back(running: Server, spoken: bytes, format: str, tmp_path: Path) -> None:
    status, headers, body = animate(running, spoken, format=format, name="../Über uns.mp4")
    assert status == 200
    assert headers["Content-Disposition"] == f"attachment; filename*=UTF-8''%C3%9Cber%20uns.{format}"
    path = tmp_path / f"face.{format}"
    path.write_bytes(body)
    track = Track.load(path)
    assert track.source == "Über uns.mp4"
    assert track["jawOpen"].max() > 0.1


def test_a_csv_and_a_head_that_was_chosen(running: Server, spoken: bytes) -> None:
    _, headers, body = animate(running, spoken, format="csv")
    assert headers.get_content_type() == "text/csv"
    assert body.startswith(b"Timecode,BlendShapeCount,EyeBlinkLeft")
    _, headers, body = animate(running, spoken, format="glb", avatar="pip")
    assert headers.get_content_type() == "model/gltf-binary"
    head, _ = glb.read(body)
    pip, _ = glb.read(built_in("pip").read_bytes())
    assert [node.get("name") for node in head["nodes"]] == [node.get("name") for node in pip["nodes"]]
    assert head["animations"][-1]["name"] == glb.ANIMATION


BAD_ORDERS = [
    ({"engine": "os:system"}, "BAD_ENGINE", "choose one of"),
    ({"engine": "phonemes"}, "BAD_ENGINE", "net"),
    ({"engine": "wav2arkit"}, "BAD_CONFIGURATION", "model_path"),
    ({"fps": "0"}, "BAD_FPS", "choose 1 to 120"),
    ({"fps": "nan"}, "BAD_FPS", "choose 1 to 120"),
    ({"fps": "many"}, "BAD_FPS", "many"),
    ({"format": "exe"}, "BAD_FORMAT", "csv"),
    ({"format": "glb", "avatar": "../mia"}, "BAD_AVATAR", "../mia"),
]


@pytest.mark.parametrize(("query", "code", "part"), BAD_ORDERS)
def test_wrong_wishes(running: Server, spoken: bytes, query: dict[str, str], code: str, part: str) -> None:
    status, found, message = refused(running, spoken, **query)
    assert (status, found) == (422, code)
    assert part in message


def test_bodies_that_are_no_recording(running: Server) -> None:
    assert refused(running, b"")[:2] == (422, "NO_SOUND")
    status, code, message = refused(running, b"not a sound" * 1000, name="notes.txt")
    assert (status, code) == (415, "NOT_MEDIA")
    assert message.startswith("notes.txt is not an audio or video file"), "no path of the server in it"
    assert refused(running, wav(np.zeros(0, np.int16), 24_000))[:2] == (422, "NO_SOUND")


def test_silence_has_a_face_at_rest(running: Server) -> None:
    answer = json.loads(animate(running, wav(np.zeros(24_000, np.int16), 24_000))[2])
    frames = np.array(answer["track"]["frames"])
    assert len(frames) == 30
    assert frames[:, INDEX["jawOpen"]].max() < 0.05


def test_what_is_too_large_is_refused(running: Server) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range((MOST >> 20) + 1):
            yield bytes(1 << 20)

    announced = ask(running, "POST", "/api/animate", b"x", **{"Content-Length": str(2 * MOST + 1)})
    assert (announced[0], json.loads(announced[2])["code"]) == (413, "TOO_LARGE")
    status, _, body = ask(running, "POST", "/api/animate", endless())
    assert (status, json.loads(body)["code"]) == (413, "TOO_LARGE")
    assert refused(running, bytes(MOST + 1))[:2] == (413, "TOO_LARGE")
    assert refused(running, bytes(MOST))[:2] == (415, "NOT_MEDIA"), "it was read"


def test_many_at_once_wait_for_each_other_or_are_told_to_come_back(running: Server, spoken: bytes) -> None:
    lines = [http.client.HTTPConnection("127.0.0.1", running.port, timeout=WAIT) for _ in range(WAITING * 3)]
    for line in lines:
        line.request("POST", "/api/animate?format=glb", spoken)
    statuses = []
    for line in lines:
        answer = line.getresponse()
        answer.read()
        statuses.append(answer.status)
        line.close()
    assert set(statuses) <= {200, 503}
    assert statuses.count(200) > WAITING


def test_who_leaves_before_the_end_does_not_hold_up_the_next(running: Server, spoken: bytes) -> None:
    minutes = wav(np.zeros(9 * 60 * 24_000, np.int16), 24_000)
    line = http.client.HTTPConnection("127.0.0.1", running.port, timeout=WAIT)
    line.request("POST", "/api/animate", minutes)
    line.close()
    assert animate(running, spoken)[0] == 200


def test_longer_recordings_than_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoken: bytes
) -> None:
    path = tmp_path / "long.wav"
    path.write_bytes(wav(np.zeros(24_000 * 4, np.int16), 24_000))
    assert len(listen(path, lambda: None)) == 24_000 * 4 * 2
    monkeypatch.setattr(recordings, "MAX_SECONDS", 2)
    with pytest.raises(VisavisError) as told:
        listen(path, lambda: None)
    assert told.value.code == "TOO_LONG"
    silent_about_it = bytearray(path.read_bytes())
    silent_about_it[4:8] = silent_about_it[40:44] = b"\xff\xff\xff\xff"  # a WAV file that was streamed
    path.write_bytes(silent_about_it)
    with pytest.raises(VisavisError) as told:
        listen(path, lambda: None)
    assert told.value.code == "TOO_LONG"


def test_work_is_given_up_when_nobody_waits(tmp_path: Path, spoken: bytes) -> None:
    path = tmp_path / "spoken.wav"
    path.write_bytes(spoken)

    class Left(Exception):
        pass

    def leave() -> None:
        raise Left

    engines = Engines(Settings())
    with pytest.raises(Left):
        recordings.animate(path, engines.load("energy"), 30, Settings(), leave)


def test_an_engine_of_ones_own_is_offered_first() -> None:
    settings = Settings(face=FaceSettings(engine="visavis.faces.energy:load"))
    engines = Engines(settings)
    assert engines.names[0] == engines.default == "visavis.faces.energy:load"
    assert engines.load(engines.default) is engines.load(engines.default), "loaded once"
    assert Engines(Settings(face=FaceSettings(engine="phonemes"))).default == "net"
