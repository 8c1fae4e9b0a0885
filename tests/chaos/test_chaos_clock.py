"""The clock on the wall is set by an hour, forth and back: only the times that are told follow it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from fastapi import FastAPI
from tests import vtime
from tests.chaos.house import ABORTED, Guest, house
from tests.chaos.party import SETTINGS, ask
from tests.chaos.watch import alarms

from visavis.conversations.database import opened
from visavis.recording.replay import replay
from visavis.security.tokens import BadToken
from visavis.server.auth import Auth
from visavis.settings import Settings

HOUR = 3600.0
KEY = "k" * 32


class Wall:
    """The clock that people set; those who measure time go by another one."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.set_by = 0.0
        now, now_ns = time.time, time.time_ns
        patch.setattr(time, "time", lambda: now() + self.set_by)
        patch.setattr(time, "time_ns", lambda: now_ns() + int(self.set_by * 1e9))


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    return Wall(monkeypatch)


def test_people_talk_on_and_all_is_written_down_in_its_order(tmp_path: Path, wall: Wall) -> None:
    database, recordings = tmp_path / "talks.db", tmp_path / "recordings"
    kept = {
        "conversations": {"store": "sqlite", "path": str(database)},
        "recording": {"folder": str(recordings)},
    }
    settings = Settings.model_validate(SETTINGS | kept)
    asked = [f"question-{number} 0.5" for number in range(5)]

    async def talk(app: FastAPI) -> None:
        guest = Guest(app)
        for question, wall.set_by in zip(asked[:4], (0.0, HOUR, -HOUR, 0.0), strict=True):
            await ask(guest, question)
        long = "question-long 3.0"
        guest.say(type="text", data=long)
        for wall.set_by in (HOUR, -HOUR, HOUR):  # while it is being said
            await guest.more(len(guest.heard) + 20)
        token = (await guest.until("config"))["resume"]
        await guest.leave(ABORTED)
        wall.set_by = -HOUR
        async with Guest(app) as again:
            again.say(type="hello", resume=token)
            assert await again.until("config", resumed=True)
            assert await again.until("transcript_done", role="assistant")
            assert not [*guest.codes, *again.codes]
            async with Guest(app) as other:
                await ask(other, asked[4])

    async def main() -> list[str]:
        with alarms() as heard:
            async with house(settings) as app:
                await talk(app)
        return heard.raised

    assert not vtime.run(main())
    with opened(database) as written:
        records = [written.get(record.id) for record in written.list()]
    texts = [[entry.text for entry in record.entries if entry.role == "user"] for record in records if record]
    assert sorted(texts, key=len) == [asked[4:], [*asked[:4], "question-long 3.0"]]
    for file in recordings.iterdir():
        outcome = replay(file, settings)
        assert (outcome.different, outcome.broken_off) == (0, False)


def auth() -> Auth:
    given = {"enabled": True, "secret_key": KEY, "token_ttl": HOUR / 2}
    return Auth(Settings.model_validate({"auth": given, "limits": {"requests_per_minute": 2}}))


def test_tokens_go_by_the_wall_and_what_was_revoked_stays_so(wall: Wall) -> None:
    async def main() -> None:
        ours = auth()
        token, other, gone = (ours.visitor("https://a.example", None) for _ in range(3))
        await ours.revoke(ours.read(gone))
        wall.set_by = HOUR
        with pytest.raises(BadToken, match="expired"):
            ours.read(token)
        await ours.learn("somebody else's", time.time() + HOUR)
        wall.set_by = 0.0
        assert ours.read(token).subject != ours.read(other).subject
        with pytest.raises(BadToken, match="revoked"):
            ours.read(gone)
        wall.set_by = -HOUR
        with pytest.raises(BadToken, match="future"):
            ours.read(token)
        assert ours.read(ours.visitor("https://a.example", None))

    vtime.run(main())


def test_limits_do_not_go_by_the_wall(wall: Wall) -> None:
    async def main() -> None:
        requests = auth().requests
        assert requests is not None
        assert [await requests.take("192.0.2.1") for _ in range(2)] == [0, 0]
        for wall.set_by in (HOUR, -HOUR):
            assert await requests.take("192.0.2.1") == pytest.approx(30)

    vtime.run(main())
