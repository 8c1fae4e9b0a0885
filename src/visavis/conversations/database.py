"""The tables of conversations in SQLite, and everything that is asked of them. Blocking."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import orjson
import platformdirs

from visavis.conversations import Entry, Record
from visavis.errors import VisavisError
from visavis.events import Source, Word
from visavis.folders import obstacle
from visavis.settings import ConversationSettings

VERSION = 1
_BUSY = 5.0
"""Seconds to wait for another process that writes."""
_TABLES = """
CREATE TABLE IF NOT EXISTS conversations (
    id TEXT PRIMARY KEY,
    token TEXT NOT NULL,
    agent TEXT NOT NULL,
    avatar TEXT NOT NULL,
    started REAL NOT NULL,
    ended REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS turns (
    number INTEGER PRIMARY KEY,
    conversation TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    turn INTEGER NOT NULL,
    started REAL NOT NULL,
    ended REAL NOT NULL,
    text TEXT NOT NULL,
    interrupted INTEGER NOT NULL,
    words BLOB NOT NULL,
    sources BLOB NOT NULL,
    actions BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS turns_of_conversation ON turns (conversation, number);
CREATE INDEX IF NOT EXISTS conversations_by_end ON conversations (ended);
"""


def path_of(settings: ConversationSettings) -> Path:
    """Where conversations are, or would be, written down."""
    return settings.path or platformdirs.user_data_path("visavis", appauthor=False) / "conversations.db"


@contextmanager
def opened(path: Path) -> Iterator[Database]:
    """The database at `path`, made when it is not there; only its owner may read it.

    Raises `VisavisError` when it cannot be used.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = sqlite3.connect(path, timeout=_BUSY, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise _unusable(path, error) from error
    try:
        yield Database(connection)
    except sqlite3.Error as error:
        raise _unusable(path, error) from error
    finally:
        connection.close()


def check(path: Path) -> None:
    """Raises `VisavisError` when the database at `path` cannot be used, or made; makes none."""
    if path.exists():
        with opened(path):
            return
    if why := obstacle(path.parent):
        raise _unusable(path, why)


def _unusable(path: Path, error: Exception | str) -> VisavisError:
    return VisavisError(
        "STORE_FAILED",
        f"Conversations cannot be kept in {path}: {error}. Set conversations.path to another file.",
    )


class Database:
    """An open database. What is deleted is overwritten, also in the log of writes."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._sql = connection
        for pragma in (
            "journal_mode = WAL",
            "secure_delete = ON",
            "foreign_keys = ON",
            "synchronous = NORMAL",
        ):
            connection.execute(f"PRAGMA {pragma}")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, VERSION):
            raise sqlite3.DatabaseError(f"it is of version {version}, this program knows {VERSION}")
        connection.executescript(_TABLES)
        if version != VERSION:
            connection.execute(f"PRAGMA user_version = {VERSION}")

    # -- writing -----------------------------------------------------------------------------------------
    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside, or nothing."""
        self._sql.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._sql.execute("ROLLBACK")
            raise
        self._sql.execute("COMMIT")

    def begin(self, record: Record, token: str) -> None:
        """A conversation without turns; nothing when it is there already. `token` is hashed."""
        row = (record.id, token, record.agent, record.avatar, record.started, record.ended)
        self._sql.execute("INSERT OR IGNORE INTO conversations VALUES (?, ?, ?, ?, ?, ?)", row)

    def add(self, id: str, entry: Entry) -> None:
        """The next turn of a conversation, or more of the same."""
        times = (entry.started, entry.ended)
        words = orjson.dumps([[word.text, word.start, word.end] for word in entry.words])
        sources = orjson.dumps([asdict(source) for source in entry.sources])
        actions = orjson.dumps(entry.actions, default=str)
        row = (id, entry.role, entry.turn, *times, entry.text, entry.interrupted, words, sources, actions)
        self._sql.execute(
            "DELETE FROM turns WHERE conversation = ? AND role = ? AND turn = ?", (id, entry.role, entry.turn)
        )
        self._sql.execute("INSERT INTO turns VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        self._sql.execute("UPDATE conversations SET ended = max(ended, ?) WHERE id = ?", (entry.ended, id))

    def delete(self, *, id: str | None = None, before: float | None = None) -> int:
        """Delete one conversation, those that ended before a time, or all; returns how many."""
        with self.transaction():
            if id is not None:
                deleted = self._sql.execute("DELETE FROM conversations WHERE id = ?", (id,)).rowcount
            else:
                until = float("inf") if before is None else before
                deleted = self._sql.execute("DELETE FROM conversations WHERE ended < ?", (until,)).rowcount
        if deleted:
            self._sql.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return deleted

    # -- reading -----------------------------------------------------------------------------------------
    def list(self) -> list[Record]:
        """All conversations, the latest first, without their turns."""
        latest_first = "GROUP BY id ORDER BY conversations.started DESC, id"
        return [Record(*row) for row in self._sql.execute(f"{_RECORDS} {latest_first}")]

    def get(self, id: str) -> Record | None:
        """A conversation with its turns; `id` may be its beginning when there is no other like it."""
        query = f"{_RECORDS} WHERE id BETWEEN ? AND ? GROUP BY id LIMIT 2"
        rows = self._sql.execute(query, (id, f"{id}{_LAST_LETTER}")).fetchall()
        if len(rows) != 1:
            return None
        (row,) = rows
        query = "SELECT * FROM turns WHERE conversation = ? ORDER BY number"
        return replace(Record(*row), entries=tuple(map(_entry, self._sql.execute(query, (row[0],)))))

    def resumable(self) -> Iterator[tuple[str, str, float, int, int, Entry | None]]:
        """Of every conversation: its hashed token, its id, when it ended, how many turns the user had, the
        number of the avatar's last one, and that one when it was cut off."""
        rows = self._sql.execute("SELECT token, id, ended FROM conversations").fetchall()
        users = dict(self._sql.execute(_LAST_TURNS, ("user",)).fetchall())
        replies = dict(self._sql.execute(_LAST_TURNS, ("assistant",)).fetchall())
        cut = {row[1]: _entry(row) for row in self._sql.execute(_CUT)}
        for token, id, ended in rows:
            yield token, id, ended, users.get(id, 0), replies.get(id, 0), cut.get(id)


_LAST_TURNS = "SELECT conversation, max(turn) FROM turns WHERE role = ? GROUP BY conversation"
_CUT = """SELECT * FROM turns WHERE interrupted AND number IN
(SELECT max(number) FROM turns WHERE role = 'assistant' GROUP BY conversation)"""
_LAST_LETTER = chr(0x10FFFF)
_RECORDS = """SELECT id, conversations.started, conversations.ended, agent, avatar, count(number)
FROM conversations LEFT JOIN turns ON conversation = id"""


def _entry(row: tuple[Any, ...]) -> Entry:
    _, _, role, turn, started, ended, text, interrupted, *more = row
    words, sources, actions = (orjson.loads(part) for part in more)
    return Entry(
        role,
        turn,
        started,
        ended,
        str(text),
        bool(interrupted),
        tuple(Word(*word) for word in words),
        tuple(Source(**source) for source in sources),
        tuple(actions),
    )
