"""What is said in one session never comes out of another: every dialect at once, on one server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from tests.process import Server, server
from tests.server.test_openapi import LIGHT
from websockets.asyncio.client import connect

pytestmark = pytest.mark.models
WAIT = 30.0
TURNS = 3
MARKERS = {name: f"only{name}knows" for name in ("first", "second", "frames", "widget", "page")}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    small = {"VISAVIS_VIDEO__WIDTH": "64", "VISAVIS_VIDEO__HEIGHT": "64"}
    with server(
        tmp_path_factory.mktemp("strangers"), **LIGHT | small | {"AGENT_TYPE": "embedded"}
    ) as started:
        yield started


async def heard(url: str, question: dict[str, Any], ends: str) -> str:
    """Everything that a socket says while it is asked the same again and again."""
    log: list[str] = []
    async with connect(url, max_size=None) as socket:
        for _ in range(TURNS):
            await socket.send(json.dumps(question))
            while True:
                message = await asyncio.wait_for(socket.recv(), WAIT)
                assert isinstance(message, str)
                log.append(message)
                said = json.loads(message)
                if said["type"] == ends and said.get("role") != "user" and said.get("is_final", True):
                    break
    return "\n".join(log)


async def api(running: Server, name: str) -> str:
    async with httpx2.AsyncClient(base_url=running.http, timeout=WAIT) as http:
        session = (await http.post("/api/v1/sessions", json={"metadata": {"is": MARKERS[name]}})).json()
        question = {"type": "text_message", "data": MARKERS[name]}
        log = await heard(session["ws_url"], question, "text_response")
        path = f"/api/v1/sessions/{session['session_id']}"
        asked = {"text": MARKERS[name]}
        waited = (await http.post(f"{path}/text", params={"wait": True}, json=asked)).json()
        del waited["weights"], waited["audio"]
        rest = [(await http.get(f"{path}{part}")).text for part in ("", "/captions")]
        foreign = {"type": "text_message", "data": "hello", "session_id": session["session_id"] + "x"}
        async with connect(session["ws_url"]) as socket:
            await socket.send(json.dumps(foreign))
            while (said := json.loads(await asyncio.wait_for(socket.recv(), WAIT)))["type"] != "error":
                assert said["type"] == "state"
            assert said["code"] == "WRONG_SESSION"
        assert (await http.delete(path)).status_code == 204
    return "\n".join([log, json.dumps(waited), *rest])


async def page(running: Server) -> str:
    async with httpx2.AsyncClient(base_url=running.http, timeout=WAIT) as http:
        id = (await http.post("/api/session")).json()["sessionId"]
        asked = {"text": MARKERS["page"], "sessionId": id}
        log = [(await http.post("/api/openai/chat", json=asked)).text for _ in range(TURNS)]
        for path in (f"/api/v1/sessions/{id}", f"/api/v1/sessions/{id}/captions"):
            assert (await http.get(path)).status_code == 404  # nobody's of the api
    return "\n".join(log)


def test_nothing_that_one_says_reaches_another(running: Server) -> None:
    async def main() -> dict[str, str]:
        root = f"ws://127.0.0.1:{running.port}/"
        logs = await asyncio.gather(
            api(running, "first"),
            api(running, "second"),
            heard(root, {"type": "text_input", "text": MARKERS["frames"]}, "stream_end"),
            heard(running.ws, {"type": "text", "data": MARKERS["widget"]}, "transcript_done"),
            page(running),
        )
        return dict(zip(MARKERS, logs, strict=True))

    logs = asyncio.run(main())
    for name, log in logs.items():
        told = {other for other, marker in MARKERS.items() if marker in log}
        assert told == {name}
        assert log.count(f"You said: {MARKERS[name]}") + log.count(f'"{MARKERS[name]}') >= TURNS
