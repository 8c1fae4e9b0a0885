"""Writes conversations down: one thread writes, and nobody waits for it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, Full, Queue
from threading import Thread
from typing import Any

import anyio
import structlog

from visavis.cast import Cast
from visavis.conversations import Entry, Record
from visavis.conversations.database import Database, opened, path_of
from visavis.conversations.recorder import Recorder
from visavis.errors import VisavisError
from visavis.events import TurnEnded
from visavis.settings import Settings
from visavis.stages import Message

WAITING = 1_000
"""Turns that may wait to be written."""
OPEN = 10.0
"""Seconds that the database stays open when there is nothing to write; closing it waits for the disk."""
CLOSING = 10.0
"""Seconds that the last ones may take."""
RECALLED = 200
"""Turns that are told to the agent of a conversation that goes on; it keeps what it can."""
DAY = 86_400.0

Job = Callable[[Database], Any]
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Known:
    """What has to be known of a conversation to go on with it: the numbers of its last turns, and how the
    avatar's ended when it was cut off."""

    id: str
    ended: float = 0.0
    turns: int = 0
    user_turns: int = 0
    cut: TurnEnded | None = None


class Store:
    """The conversations of this server; everything but its thread is used on the event loop's thread."""

    def __init__(self, path: Path, retention_days: int, agent: str, avatar: str) -> None:
        self.path = path
        self._retention, self._agent, self._avatar = retention_days * DAY, agent, avatar
        self._jobs: Queue[Job | None] = Queue(WAITING)
        self._known: dict[str, Known] = {}
        self._problem = ""

    @contextmanager
    def running(self) -> Iterator[None]:
        """Open the database and write until the end. Raises `VisavisError` when it cannot be used."""
        with opened(self.path) as database:
            self._purge(database)
            self._known = {
                token: Known(id, ended, turns, user_turns, _cut_off(cut))
                for token, id, ended, user_turns, turns, cut in database.resumable()
            }
        thread = Thread(target=self._write, name="conversations", daemon=True)
        thread.start()
        try:
            yield
        finally:
            with suppress(Full):
                self._jobs.put(None, timeout=CLOSING)
            thread.join(CLOSING)

    def status(self) -> dict[str, Any]:
        """What health checks show."""
        return {"waiting": self._jobs.qsize(), "problems": [self._problem] if self._problem else []}

    async def keep(self) -> None:
        """Delete what is too old, every day, for as long as this is not cancelled."""
        while self._retention:
            await anyio.sleep(DAY)
            self._put(self._purge)
            least = time.time() - self._retention
            self._known = {token: known for token, known in self._known.items() if known.ended >= least}

    # -- conversations -----------------------------------------------------------------------------------
    def record(self, id: str, token: str, user_turns: int | None = None) -> Recorder:
        """A conversation begins, or goes on; the recorder hears all that comes of it. `user_turns`: how
        many the user has had elsewhere."""
        hashed, now = hash_of(token), time.time()
        record = Record(id, now, now, self._agent, self._avatar, 0)
        known = self._known.get(hashed, Known(id))

        def add(entry: Entry) -> None:
            nonlocal known
            known = replace(known, ended=entry.ended)
            if entry.role == "user":
                known = replace(known, user_turns=max(known.user_turns, entry.turn))
            else:
                known = replace(known, turns=max(known.turns, entry.turn), cut=_cut_off(entry))
            self._known[hashed] = known
            write(entry)

        def write(entry: Entry) -> None:
            def job(database: Database) -> None:
                with database.transaction():
                    database.begin(record, hashed)
                    database.add(id, entry)

            self._put(job)

        return Recorder(add, time.time, known.user_turns if user_turns is None else user_turns, update=write)

    def known(self, token: str) -> Known | None:
        """The conversation that the holder of this token may go on with."""
        return self._known.get(hash_of(token))

    async def history(self, id: str) -> tuple[Message, ...]:
        """The last turns of a conversation as they were heard."""

        def read() -> tuple[Message, ...]:
            with opened(self.path) as database:
                record = database.get(id)
            entries = record.entries[-RECALLED:] if record is not None else ()
            return tuple(Message(entry.role, entry.text) for entry in entries if entry.text)

        try:
            return await anyio.to_thread.run_sync(read)
        except VisavisError as error:
            _log.warning("a conversation could not be read", reason=str(error))
            return ()

    # -- the thread --------------------------------------------------------------------------------------
    def _put(self, job: Job) -> None:
        try:
            self._jobs.put_nowait(job)
        except Full:
            self._fail("the disk does not keep up")

    def _write(self) -> None:
        job: Job | None
        while (job := self._jobs.get()) is not None:
            try:
                with opened(self.path) as database, suppress(Empty):
                    while job is not None:
                        job(database)
                        self._problem = ""
                        job = self._jobs.get(timeout=OPEN)
            except Exception as error:
                # What failed is lost; conversations go on.
                self._fail(str(error) if isinstance(error, VisavisError) else type(error).__name__)
            if job is None:
                break

    def _purge(self, database: Database) -> None:
        if not self._retention:
            return
        if deleted := database.delete(before=time.time() - self._retention):
            _log.info("old conversations are deleted", count=deleted)

    def _fail(self, reason: str) -> None:
        problem = f"Conversations could not be written down: {reason}."
        if problem != self._problem:
            _log.error("conversations could not be written down", reason=reason)
        self._problem = problem


def open_store(settings: Settings) -> Store | None:
    """The store of `settings.conversations`; None when it is off."""
    chosen = settings.conversations
    if chosen.store == "off":
        return None
    return Store(path_of(chosen), chosen.retention_days, settings.agent, Cast(settings.avatar).first)


def _cut_off(entry: Entry | None) -> TurnEnded | None:
    if entry is None or not entry.interrupted:
        return None
    return TurnEnded(entry.turn, entry.text, True, entry.words[-1].end if entry.words else 0.0)


def hash_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
