"""A real server that writes conversations down, is stopped in the middle of a reply, and started again."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.process import server
from tests.server.test_server import Client, get
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from visavis.conversations import Record
from visavis.conversations.database import opened

SETTINGS = {
    "AGENT_TYPE": "scripted",
    "VISAVIS_SCRIPTED__SECONDS": "30",
    "VISAVIS_SCRIPTED__SPEED": "20",
    "VISAVIS_CONVERSATIONS__STORE": "sqlite",
}


def stored(path: Path) -> list[Record]:
    with opened(path) as database:
        records = [database.get(record.id) for record in database.list()]
    return [record for record in records if record is not None]


def test_a_conversation_goes_on_after_the_server_was_restarted(tmp_path: Path) -> None:
    path = tmp_path / "conversations.db"
    settings = {**SETTINGS, "VISAVIS_CONVERSATIONS__PATH": str(path), "VISAVIS_SERVER__DRAIN_SECONDS": "0"}

    async def begin(url: str) -> dict[str, Any]:
        async with connect(url, max_size=None) as socket:
            client = Client(socket)
            config = await client.next()
            await client.send(type="hello")
            await client.send(type="text", data="How are you?", userId="u1")
            for _ in range(30):  # a second of it is heard
                frame = await client.until("sync_frame")
                await client.send(type="playback", turnId=frame["turnId"], frameIndex=frame["frameIndex"])
            running.process.terminate()
            await asyncio.wait_for(socket.wait_closed(), 20)
            return config

    async def go_on(url: str, token: str) -> list[dict[str, Any]]:
        async with connect(url, max_size=None) as socket:
            client = Client(socket)
            await client.next()
            await client.send(type="hello", resume=token)
            resumed = await client.until("config")
            ended = await client.until("transcript_done")
            await client.send(type="text", data="Go on.", userId="u1")
            return [resumed, ended, await client.until("audio_start")]

    with server(tmp_path, **settings) as running:
        config = asyncio.run(begin(running.ws))
        running.process.wait(20)
    (record,) = stored(path)
    assert record.id == config["sessionId"]
    question, answer = record.entries
    assert (question.role, question.text) == ("user", "How are you?")
    assert answer.interrupted
    assert 0 < len(answer.words) < 20
    assert " ".join(word.text for word in answer.words) == answer.text

    with server(tmp_path, **settings) as running:
        resumed, ended, started = asyncio.run(go_on(running.ws, config["resume"]))
        health = json.loads(get(f"{running.http}/health")[2])
        wrong = asyncio.run(refused(running.ws))
    assert resumed["resumed"] is True
    assert resumed["sessionId"] == config["sessionId"]
    assert (ended["turnId"], ended["interrupted"], ended["text"]) == ("turn_1", True, answer.text)
    assert started["turnId"] == "turn_2"
    assert health["conversations"]["problems"] == []
    assert wrong["code"] == "RESUME_EXPIRED"
    (record,) = stored(path)
    assert [entry.text for entry in record.entries[:3]] == ["How are you?", answer.text, "Go on."]


def test_a_server_that_is_killed_loses_a_second_of_a_reply_at_most(tmp_path: Path) -> None:
    path = tmp_path / "conversations.db"
    settings = {**SETTINGS, "VISAVIS_CONVERSATIONS__PATH": str(path)}

    async def begin(url: str) -> tuple[str, float]:
        async with connect(url, max_size=None) as socket:
            client = Client(socket)
            config = await client.next()
            await client.send(type="hello")
            await client.send(type="text", data="How are you?", userId="u1")
            while len(client.of("sync_frame")) < 90:
                frame = await client.until("sync_frame")
                await client.send(type="playback", turnId=frame["turnId"], frameIndex=frame["frameIndex"])
            running.process.kill()
            with suppress(ConnectionClosed):
                while True:
                    await client.next()
            return config["resume"], len(client.of("sync_frame")) / 30

    async def go_on(url: str, token: str) -> dict[str, Any]:
        async with connect(url, max_size=None) as socket:
            client = Client(socket)
            await client.next()
            await client.send(type="hello", resume=token)
            return await client.until("transcript_done")

    with server(tmp_path, **settings) as running:
        token, sent = asyncio.run(begin(running.ws))
        running.process.wait(20)
    with server(tmp_path, **settings) as running:
        ended = asyncio.run(go_on(running.ws, token))
    (record,) = stored(path)
    question, answer = record.entries
    assert (question.text, answer.interrupted) == ("How are you?", True)
    heard = sent - 0.3  # frames are sent ahead
    assert heard - 1.2 < answer.words[-1].end < heard + 0.1  # and a fifth of a second for the disk
    assert (ended["turnId"], ended["interrupted"], ended["text"]) == ("turn_1", True, answer.text)


async def refused(url: str) -> dict[str, Any]:
    async with connect(url, max_size=None) as socket:
        client = Client(socket)
        await client.send(type="hello", resume="somebody else's")
        return await client.until("error")


@pytest.mark.models
def test_when_do_you_open_is_answered_from_the_knowledge_base_with_its_source(tmp_path: Path) -> None:
    page = tmp_path / "shop.md"
    page.write_text(
        "# Mill Bakery\n\n## Opening hours\n\n- Monday to Friday: 7:00 to 18:00\n- Sunday: closed\n"
    )
    settings = {"KNOWLEDGE_BASE_SOURCE": str(page), "VISAVIS_KNOWLEDGE__CACHE": str(tmp_path / "cache")}

    async def ask(url: str) -> Client:
        async with connect(url, max_size=None) as socket:
            client = Client(socket)
            await client.send(type="hello", encoding="binary")
            await client.send(type="text", data="When do you open?")
            await client.until("transcript_done", role="assistant")
            await client.send(type="text", data="Hello!")
            await client.until("transcript_done", role="assistant")
            return client

    question = {"text": "When do you open?"}
    with server(tmp_path, **settings) as running, httpx2.Client(base_url=running.http, timeout=60) as http:
        client = asyncio.run(ask(running.ws))
        health = json.loads(get(f"{running.http}/health")[2])
        chat = http.post("/api/openai/chat", json=question).json()
        session = f"/api/v1/sessions/{http.post('/api/v1/sessions', json={}).json()['session_id']}"
        whole = http.post(f"{session}/text", params={"wait": True}, json=question).json()
        remembered = http.get(session).json()["transcript"]
    answer, greeting = (done["text"] for done in client.of("transcript_done") if done["role"] == "assistant")
    assert answer == "Monday to Friday: 7:00 to 18:00. Sunday: closed."
    assert "18:00" not in greeting
    (cited,) = client.of("sources")
    assert cited["turnId"] == "turn_1"
    (source,) = cited["sources"]
    assert source["title"] == "Mill Bakery: Opening hours"
    assert source["excerpt"] == "Monday to Friday: 7:00 to 18:00\nSunday: closed"
    assert (chat["reply"], chat["sources"]) == (answer, [source])
    assert (whole["text"], whole["sources"]) == (answer, [source])
    assert [line["sources"] for line in remembered] == [[], [source]]
    assert health["knowledge"] == {"documents": 1, "passages": 1, "warnings": [], "problems": []}
    assert health["conversations"] is None


def test_a_source_that_is_not_there_is_told_by_health_and_the_conversation_works(tmp_path: Path) -> None:
    missing = {"KNOWLEDGE_BASE_SOURCE": str(tmp_path / "gone.md"), "AGENT_TYPE": "scripted"}
    with server(tmp_path, **missing) as running:
        status, _, body = get(f"{running.http}/health")
    assert status == 503
    assert "gone.md cannot be read" in json.loads(body)["problems"][0]
