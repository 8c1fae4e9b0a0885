"""The fuzzer finds what it is to find: each test puts a fault into the server, or into an agent, and tells it
the messages that meet it.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from bench.fuzz import Fuzzer
from bench.fuzz_changes import MOST_LINES, Changes
from tests.chaos.seeds import ACTS, SEEDS
from tests.chaos.targets import Finding, Teller, written
from tests.chaos.wires import WIRES

from visavis import events as ev
from visavis.agents.remote import RemoteAgent
from visavis.server.sessions import Seat, Sessions
from visavis.wires import BadMessage, widget

TEXT = '{"type":"text","data":"hello 0.1"}'
MIC = '{"type":"audio_stream_start"}'
THEIRS = '{"type":"hello","resume":"$THEIRS"}'


def tell(wire: str, *messages: str) -> int:
    with closing(Teller(WIRES[wire]())) as teller:
        return teller([*messages])


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


def test_nothing_is_found_in_what_works() -> None:
    assert tell("widget", TEXT, MIC, "!wait 0.3", THEIRS) == 3
    assert tell("remote", "!text", '{"type":"response_start"}') == 1


def test_an_exception_that_nobody_handles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widget, "_mic_on", raising(KeyError("sampleRate")))
    with pytest.raises(BaseExceptionGroup) as found:
        tell("widget", MIC)
    assert found.group_contains(KeyError, match="sampleRate")


def test_an_exception_that_is_only_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RemoteAgent, "_begin", raising(KeyError("id")))
    with pytest.raises(Finding, match="the agent failed"):
        tell("remote", "!text", '{"type":"response_start"}')


def test_a_code_that_is_not_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widget, "_mic_on", raising(BadMessage("MADE_UP", "No.")))
    with pytest.raises(Finding, match="MADE_UP"):
        tell("widget", MIC)


def test_a_task_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []

    def forget(data: dict[str, Any]) -> ev.MicOn:
        kept.append(asyncio.create_task(asyncio.Event().wait()))
        return ev.MicOn()

    monkeypatch.setattr(widget, "_mic_on", forget)
    with pytest.raises(Finding, match="tasks that do not end"):
        tell("widget", MIC)


def test_a_conversation_that_is_taken_from_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def resume(sessions: Sessions, token: str, *_: Any, **__: Any) -> Seat | None:
        return sessions._seats.get(token)

    monkeypatch.setattr(Sessions, "resume", resume)
    with pytest.raises(Finding, match="somebody else"):
        tell("widget", THEIRS)


def test_a_conversation_that_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widget, "_mic_on", lambda data: ev.MicOn(rate=-1))
    with pytest.raises(Finding, match="1011"):
        tell("widget", MIC)


# -- the program -------------------------------------------------------------------------------------------
def test_a_finding_is_written_down_and_ends_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended: list[int] = []
    fuzzer = Fuzzer("widget", 100, raising(Finding("somebody")), ended.append, tmp_path)
    fuzzer.take(b"a\nb")
    (file,) = tmp_path.iterdir()
    assert (ended, file.read_bytes()) == ([1], b"a\nb")
    assert f"--again {file}" in capsys.readouterr().out


def test_it_ends_after_so_many_messages(capsys: pytest.CaptureFixture[str]) -> None:
    ended: list[int] = []
    fuzzer = Fuzzer("widget", 5, len, ended.append)
    fuzzer.take(b"a\nb")
    assert not ended
    fuzzer.take(b"a\nb\nc")
    assert ended == [0]
    assert "5 messages in 2 conversations" in capsys.readouterr().out


# -- changes -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("wire", list(WIRES))
def test_changed_scripts_mostly_keep_to_the_wire(wire: str) -> None:
    seeds = [written(seed) for seed in SEEDS[wire]]
    changes = Changes(seeds, [act.encode() for act in ACTS[wire]])
    made, again = ([_changed(changes, seeds, seed) for seed in range(200)] for _ in range(2))
    assert made == again
    assert len({*made}) > 150
    lines = [line for data in made for line in data.split(b"\n") if line[:1] == b"{"]
    assert all(len(data) <= 20_000 and data.count(b"\n") < MOST_LINES for data in made)
    assert not lines or sum(_is_json(line) for line in lines) > 0.8 * len(lines)
    assert {*lines} - {line for seed in seeds for line in seed.split(b"\n")} or not lines


def _changed(changes: Changes, seeds: list[bytes], seed: int) -> bytes:
    luck = random.Random(seed)
    data = changes.change(luck.choice(seeds), 20_000, seed, lambda line, most: line[::-1][:most])
    return changes.cross(data, luck.choice(seeds), 20_000, seed)


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
