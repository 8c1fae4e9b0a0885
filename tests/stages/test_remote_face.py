"""A heavy face on another machine: the same weights, and neutral faces instead of waiting when it is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count
from typing import Any

import httpx2
import numpy as np
import pytest
from pydantic import SecretStr
from tests.contract.test_faces import play, voice
from tests.contract.window_models import model, save
from tests.stage_server import SECRET, served, settings

from visavis import plugins
from visavis.audio import Media
from visavis.deploy.stage_server import StageServer
from visavis.errors import ConfigurationError, VisavisError
from visavis.faces import FaceEngine, remote
from visavis.faces.speech_face import Faces
from visavis.faces.wav2arkit import load as load_wav2arkit
from visavis.settings import FaceSettings, RemoteStageSettings, Settings

MEDIA = Media(24_000, 30)
TOKEN = {"authorization": f"Bearer {SECRET}"}


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine may be busy."""
    monkeypatch.setattr(remote, "PATIENCE", 60.0)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Of the machine that has the model."""
    file = save(model(), tmp_path_factory.mktemp("face"))
    face = FaceSettings(engine="wav2arkit", model_path=file)
    return Settings(face=face, remote_stages=RemoteStageSettings(token=SecretStr(SECRET)))


@pytest.fixture(scope="module")
def address(own: Settings) -> Iterator[str]:
    with served(StageServer("face", own)) as address:
        yield address


def moved(engine: FaceEngine, pcm: bytes) -> np.ndarray:
    return np.concatenate(play(engine.open(MEDIA, 0), MEDIA, pcm, [3] * 200))


def test_it_moves_as_it_does_here(own: Settings, address: str) -> None:
    pcm = voice(5.0, MEDIA.rate)
    engine = plugins.load("faces", "remote", settings("face", address))
    np.testing.assert_array_equal(moved(engine, pcm), moved(load_wav2arkit(own), pcm))
    asyncio.run(plugins.close(engine))


def test_what_is_no_window_is_refused(address: str) -> None:
    for body in (b"", bytes(5), bytes(4 * 500_000), np.array([np.nan], "<f4").tobytes()):
        answer = httpx2.post(f"{address}/face", content=body, headers=TOKEN)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BAD_REQUEST"), body[:8]


@pytest.mark.parametrize("weights", [b"", bytes(52 * 4), np.full((2, 52), np.nan, "<f4").tobytes()])
def test_weights_that_are_none_are_not_taken(
    weights: bytes, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    face = remote.RemoteFace("face", settings("face", address).remote_stages)
    monkeypatch.setattr(face, "_once", lambda *_: weights)
    with pytest.raises(VisavisError) as told:
        face(np.zeros(1000, np.float32))  # two frames
    assert told.value.code == "STAGE_FAILED"
    asyncio.run(plugins.close(face))


def test_when_it_is_gone_faces_are_neutral_and_when_it_is_back_they_move(
    own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "REST", 3600.0)
    pcm, stage = voice(1.0, MEDIA.rate), StageServer("face", own)
    with served(stage) as address:
        engine = plugins.load("faces", "remote", settings("face", address))
        face = Faces(engine, engine, life=False)

        def turn() -> float:
            return float(face.open(MEDIA, 0, False).feed(pcm, None, True).max())

        lively = turn()
        assert lively > 0.1
    calls, ask = count(), engine.mover._once

    def counted(*asked: Any) -> bytes:
        next(calls)
        answer: bytes = ask(*asked)
        return answer

    monkeypatch.setattr(engine.mover, "_once", counted)
    assert turn() == 0.0 and turn() == 0.0
    assert next(calls) == remote.RemoteFace.tries, "the second turn waits for nothing"
    (problem,) = face.status()["problems"]
    assert "remote_stages.face" in problem
    with served(stage, int(address.rpartition(":")[2])):
        engine.mover._rests_until = 0.0
        assert turn() == lively
        assert "problems" not in face.status()
    asyncio.run(plugins.close(engine))


def test_what_remembers_what_it_heard_is_not_served() -> None:
    for engine, about in (("net", "cannot be served"), ("remote", "nothing to serve")):
        with pytest.raises(ConfigurationError, match=about):
            StageServer("face", Settings(face=FaceSettings(engine=engine)))


def test_without_an_address_it_says_which_setting_it_needs() -> None:
    with pytest.raises(ConfigurationError, match="VISAVIS_REMOTE_STAGES__FACE"):
        remote.load(Settings())
