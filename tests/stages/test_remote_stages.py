"""Stages that run elsewhere: what goes over the line, and what may go wrong with it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import httpx2
import numpy as np
import pytest
from pydantic import SecretStr
from tests import stage_server
from tests.stage_server import SECRET, Brain, offer, served, settings

from visavis import plugins
from visavis.deploy.stage_server import StageServer
from visavis.errors import ConfigurationError, VisavisError
from visavis.events import Source, ToolCall
from visavis.settings import RemoteStageSettings, Settings, StageSettings
from visavis.stages import Message, Speech, remote, remote_wire
from visavis.tools import Tool

WEATHER = Tool(
    "weather", "Tells the weather.", {"type": "object", "properties": {"city": {"type": "string"}}}
)
TALK = (
    Message("system", "Be kind."),
    Message("assistant", "", calls=(ToolCall("1", "weather", {"city": "Łódź"}),)),
    Message("tool", "sunny", call="1"),
    Message("user", "And in Paris?", "en", (Source("A book", "http://book", "Paris is fine."),)),
)


def brain(own: Settings) -> Brain:
    return Brain()


class Voice:
    """Says its letters; it fails at "break"."""

    rate, languages = 24_000, frozenset({"en", "pl"})

    def __call__(self, text: str, language: str | None = None) -> Speech:
        if text == "break":
            raise VisavisError("VOICE_FAILED", "It broke.")
        return Speech((language or "-").encode() + text.encode(), (), None)


def voice(own: Settings) -> Voice:
    return Voice()


@pytest.fixture(scope="module")
def thinking() -> Iterator[tuple[StageServer, str]]:
    stage = offer("llm", f"{__name__}:brain")
    with served(stage) as address:
        yield stage, address


@pytest.fixture(scope="module")
def speaking() -> Iterator[str]:
    with served(offer("tts", f"{__name__}:voice")) as address:
        yield address


def ask(address: str, *messages: Message, tools: tuple[Tool, ...] = ()) -> list[str | ToolCall]:
    async def main() -> list[str | ToolCall]:
        model = await asyncio.to_thread(remote.load_llm, settings("llm", address))
        try:
            async with aclosing(model.reply(messages, tools)) as pieces:
                return [piece async for piece in pieces]
        finally:
            await model.aclose()

    return asyncio.run(main())


def problem(stage: remote.Remote) -> str | None:
    """What `/health` tells of it."""
    return stage.problem


def test_a_question_arrives_whole_and_the_answer_comes_in_pieces(thinking: tuple[StageServer, str]) -> None:
    stage, address = thinking
    found = ask(address, *TALK, tools=(WEATHER,))
    assert found == ["You said: ", ToolCall("", "weather", {"city": "Paris"}), "And in Paris?"]
    assert stage.engine.asked[-1] == (TALK, (WEATHER,))


def test_leaving_ends_the_work(thinking: tuple[StageServer, str]) -> None:
    stage, address = thinking
    stage.engine.begun.clear()
    stage.engine.closed.clear()

    async def main() -> None:
        model = await asyncio.to_thread(remote.load_llm, settings("llm", address))
        async with aclosing(model.reply([Message("user", "wait")])) as pieces:
            assert await anext(pieces) == "You said: "
            assert await asyncio.to_thread(stage.engine.begun.wait, 60)
        assert await asyncio.to_thread(stage.engine.closed.wait, 60)
        await model.aclose()

    asyncio.run(main())


def test_what_a_stage_raises_comes_through_but_not_what_it_must_keep(
    thinking: tuple[StageServer, str], speaking: str
) -> None:
    with pytest.raises(VisavisError) as broken:
        ask(thinking[1], Message("user", "break"))
    assert broken.value.code == "STAGE_FAILED" and "secret" not in str(broken.value)
    tts = remote.load_tts(settings("tts", speaking))
    with pytest.raises(VisavisError, match=r"It broke\.") as failed:
        tts("break")
    assert failed.value.code == "VOICE_FAILED"
    assert problem(tts) == "It broke."
    assert tts("Hi").pcm == b"-Hi"
    assert problem(tts) is None
    asyncio.run(plugins.close(tts))


def test_a_voice_is_told_its_language_if_it_speaks_it(speaking: str) -> None:
    tts = remote.load_tts(settings("tts", speaking))
    assert (tts.rate, tts.languages) == (24_000, frozenset({"en", "pl"}))
    assert (tts("Hi", "pl").pcm, tts("Hi", "xx").pcm) == (b"plHi", b"-Hi")
    assert tts.of_avatar("daniel") is tts  # this one is nobody else's
    asyncio.run(plugins.close(tts))


def test_only_who_knows_the_secret_comes_in(speaking: str) -> None:
    with pytest.raises(ConfigurationError, match="another secret"):
        remote.load_tts(settings("tts", speaking, token=SecretStr("wrong")))
    for path, method in (("/hello", "GET"), ("/tts", "POST")):
        answer = httpx2.request(method, speaking + path)
        assert answer.status_code == 401 and SECRET not in answer.text
    assert httpx2.get(f"{speaking}/health").json() == {"status": "ok", "kind": "tts"}


def test_another_stage_or_none_is_told_at_the_start(speaking: str) -> None:
    with pytest.raises(ConfigurationError, match=r"remote_stages.asr: .* of the kind 'tts'"):
        remote.load_asr(settings("asr", speaking))
    with pytest.raises(ConfigurationError, match="VISAVIS_REMOTE_STAGES__ASR"):
        remote.load_asr(Settings())
    with pytest.raises(ConfigurationError, match="cannot be reached"):
        remote.load_asr(settings("asr", "http://127.0.0.1:1"))


def test_a_stage_that_comes_back_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "BACK_OFF", 0.001)
    stage = offer("tts", f"{__name__}:voice")
    with served(stage) as address:
        tts = remote.load_tts(settings("tts", address))
        assert tts("Hi").pcm == b"-Hi"
    with pytest.raises(VisavisError) as gone:
        tts("Hi")
    assert gone.value.code == "STAGE_UNREACHABLE"
    assert "cannot be reached" in (problem(tts) or "")
    with served(stage, int(address.rpartition(":")[2])):
        assert tts("Hi").pcm == b"-Hi"
    assert problem(tts) is None
    asyncio.run(plugins.close(tts))


@pytest.mark.parametrize("body", [b"", b"{", b'{"text": 1}', b"\xff\xfe", b'{"text": "x", "language": {}}'])
def test_what_is_no_request_is_refused(speaking: str, body: bytes) -> None:
    answer = httpx2.post(f"{speaking}/tts", content=body, headers={"authorization": f"Bearer {SECRET}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BAD_REQUEST")


def test_a_request_is_bounded(speaking: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_wire, "LARGEST_REQUEST", 1 << 16)
    answer = httpx2.post(
        f"{speaking}/tts", content=bytes(1 << 17), headers={"authorization": f"Bearer {SECRET}"}
    )
    assert answer.status_code == 400


def test_lines_come_in_pieces_of_any_size() -> None:
    speech = Speech(b"\n\0\n" * 5, (), None)
    data = remote_wire.spoken(speech) + remote_wire.written(remote_wire.Line(end=True))
    lines = remote_wire.Lines()
    found = [each for start in range(len(data)) for each in lines(data[start : start + 1])]
    assert [remote_wire.heard(*found[0]), found[1][0].end] == [speech, True]


@pytest.mark.parametrize(
    "data", [b"nonsense\n", b'{"size": -1}\n', b'{"size": 99999999999}\n', bytes(5 << 20)]
)
def test_lines_that_are_none_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        remote_wire.Lines()(data)


def test_sound_that_is_no_sound_is_refused() -> None:
    assert remote_wire.samples(np.ones(3, np.float32).tobytes()).tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(ValueError):
        remote_wire.samples(b"abc")


def test_a_stage_of_a_stage_is_not_served() -> None:
    with pytest.raises(ConfigurationError, match="'remote'"):
        StageServer("tts", Settings(stages=StageSettings(tts="remote")))
    with pytest.raises(ConfigurationError, match="end_of_turn, asr, llm, tts"):
        StageServer("vad", Settings())


def test_without_a_secret_it_is_not_offered_to_everybody() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "visavis", "stage", "serve", "tts", "--host", "0.0.0.0", "--port", "0"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert said.returncode == 2 and "VISAVIS_REMOTE_STAGES__TOKEN" in said.stderr


def test_the_pipeline_names_it(speaking: str) -> None:
    from visavis.meters import Meter, stage

    tts = remote.load_tts(settings("tts", speaking))
    assert stage("remote", tts, Meter())["device"] == speaking
    assert RemoteStageSettings(token=SecretStr(SECRET)).token.get_secret_value() == stage_server.SECRET
    asyncio.run(plugins.close(tts))


def test_the_command_serves_what_the_settings_choose() -> None:
    environment = {
        "VISAVIS_STAGES__TTS": "tests.stages.test_remote_stages:voice",
        "VISAVIS_REMOTE_STAGES__TOKEN": SECRET,
    }
    command = [sys.executable, "-m", "visavis", "stage", "serve", "tts", "--port", "0"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command, env=os.environ | environment, cwd=root, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        try:
            tts = remote.load_tts(settings("tts", line.split()[-1], start_seconds=60.0))
            assert tts("Hi", "pl").pcm == b"plHi"
            asyncio.run(plugins.close(tts))
        finally:
            process.terminate()
            process.communicate(timeout=60)
