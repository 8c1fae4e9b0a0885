"""A disk that is full while people talk: for their recordings, and for the store of conversations."""

from __future__ import annotations

import errno
import io
import sqlite3
import threading
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from fastapi import FastAPI
from tests import vtime
from tests.chaos.house import Guest, house
from tests.chaos.party import SETTINGS, ask
from tests.chaos.watch import alarms

from visavis.conversations.database import Database, opened
from visavis.recording import folder
from visavis.recording.replay import replay
from visavis.settings import Settings

NOTICED = 60.0
"""Real seconds that a thread may take to write on a busy machine."""


class Disk:
    """Full, until it is not any more."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.full = True
        self.noticed = threading.Event(), threading.Event()
        self._add, self._new_file = Database.add, folder._new_file
        patch.setattr(Database, "add", lambda database, *given: self._write_down(database, *given))
        patch.setattr(folder, "_new_file", self._record)

    def _write_down(self, database: Database, *given: Any) -> None:
        if self.full:
            self.noticed[0].set()
            raise sqlite3.OperationalError("database or disk is full")
        self._add(database, *given)

    def _record(self, path: Path) -> BinaryIO:
        disk = self

        class File(io.FileIO):
            def write(self, data: Any) -> int:
                if disk.full:
                    disk.noticed[1].set()
                    raise OSError(errno.ENOSPC, "No space left on device")
                return super().write(data)

        return File(path, "wb")


def test_people_talk_on_when_the_disk_is_full_and_what_follows_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    database, recordings = tmp_path / "talks.db", tmp_path / "recordings"
    settings = Settings.model_validate(
        SETTINGS
        | {
            "conversations": {"store": "sqlite", "path": str(database)},
            "recording": {"folder": str(recordings)},
        }
    )

    async def talk(app: FastAPI) -> None:
        async with Guest(app) as first:
            for number in range(3):
                await ask(first, f"lost-{number} 0.5")
            assert not first.codes
            for noticed in disk.noticed:  # by threads; meanwhile the clock of everybody else stands still
                assert noticed.wait(NOTICED)
            disk.full = False
            await ask(first, "kept 0.5")
        async with Guest(app) as second:
            await ask(second, "recorded 0.5")
            assert not second.codes

    async def main() -> list[str]:
        with alarms() as heard:
            async with house(settings) as app:
                await talk(app)
        return heard.raised

    logged = vtime.run(main())
    assert [event.split(":")[0] for event in logged] == ["conversations could not be written down"]
    with opened(database) as written:
        records = [written.get(record.id) for record in written.list()]
    entries = [entry.text for record in records if record is not None for entry in record.entries]
    assert "kept 0.5" in entries
    assert "recorded 0.5" in entries
    lost, whole = sorted(recordings.iterdir(), key=lambda file: file.stat().st_size)
    assert lost.stat().st_size == 0
    outcome = replay(whole, settings)
    assert (outcome.different, outcome.broken_off) == (0, False)
