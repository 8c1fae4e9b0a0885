"""The store: everything comes back, old things go, and what is deleted is not on the disk any more."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import stat
import time
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from structlog.testing import capture_logs
from tests import vtime
from typer.testing import CliRunner

from visavis.cli.main import app
from visavis.conversations import Entry, Record, store
from visavis.conversations.database import opened, path_of
from visavis.conversations.exports import to_json, to_webvtt
from visavis.conversations.store import DAY, Known, Store, hash_of, open_store
from visavis.errors import VisavisError
from visavis.events import Source, TurnEnded, TurnStarted, UserTurn, Word, WordSpoken
from visavis.settings import ConversationSettings, Settings
from visavis.stages import Message

RECORD = Record("c1", 1_700_000_000.0, 1_700_000_000.0, "embedded", "mia", 0)
ASKED = Entry("user", 1, 1_700_000_001.0, 1_700_000_001.0, "How long does <rye> take?")
ANSWERED = Entry(
    "assistant",
    1,
    1_700_000_002.5,
    1_700_000_004.0,
    "A whole",
    True,
    (Word("A", 0.0, 0.25), Word("whole", 0.25, 0.75)),
    (Source("Bread", "https://example.org/", "Rye takes a day."),),
    ({"name": "confetti", "arguments": {"amount": 3}},),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "conversations.db"


def filled(path: Path, *ids: str, ended: float = ANSWERED.ended) -> None:
    with opened(path) as database:
        for id in ids or ("c1",):
            database.begin(
                Record(id, RECORD.started, RECORD.started, "embedded", "mia", 0), hash_of(f"t-{id}")
            )
            database.add(id, ASKED)
            database.add(id, replace(ANSWERED, ended=ended))


def on_disk(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(path.parent.iterdir()))


# -- the database ------------------------------------------------------------------------------------------
def test_everything_comes_back(path: Path) -> None:
    filled(path)
    with opened(path) as database:
        record = database.get("c")
    assert record is not None
    assert record.entries == (ASKED, ANSWERED)
    assert (record.id, record.started, record.ended, record.turns) == (
        "c1",
        RECORD.started,
        ANSWERED.ended,
        2,
    )


def test_the_beginning_of_an_id_is_enough_when_it_is_the_only_one(path: Path) -> None:
    filled(path, "ab1", "ab2", "%_")
    with opened(path) as database:
        assert [record.id for record in database.list()] == ["%_", "ab1", "ab2"]
        assert database.get("ab") is None
        assert database.get("%") is not None
        assert database.get("x%") is None
        found = database.get("ab2")
        assert found is not None
        assert len(found.entries) == 2


def test_only_its_owner_may_read_it(path: Path) -> None:
    filled(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("choice", [{"id": "secret-1"}, {"before": ANSWERED.ended + 1}, {}])
def test_what_is_deleted_is_not_on_the_disk_any_more(path: Path, choice: dict[str, object]) -> None:
    with opened(path) as writer:  # another process that holds the database open, so that its log stays
        secret = Entry("user", 1, 1.0, 2.0, "xyzzy" * 2000)
        writer.begin(Record("secret-1", 1.0, 1.0, "embedded", "mia", 0), hash_of("t"))
        writer.add("secret-1", secret)
        assert b"xyzzy" in on_disk(path)
        with opened(path) as database:
            assert database.delete(**choice) == 1  # type: ignore[arg-type]
        assert b"xyzzy" not in on_disk(path)
        assert b"secret-1" not in on_disk(path)


def test_a_file_that_is_no_database_or_of_another_version_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("This is a letter to my grandmother, and quite a long one." * 100)
    with pytest.raises(VisavisError, match=r"conversations\.path"), opened(path):
        pass
    path.unlink()
    sqlite3.connect(path).execute("PRAGMA user_version = 9").connection.close()
    with pytest.raises(VisavisError, match="version 9"), opened(path):
        pass


# -- the store ---------------------------------------------------------------------------------------------
def test_a_conversation_goes_on_after_a_restart(path: Path) -> None:
    first = Store(path, 0, "embedded", "mia")
    with first.running():
        recorder = first.record("c1", "token")
        for effect in (
            UserTurn(1, "Hi!"),
            TurnStarted(1),
            WordSpoken(1, Word("Good", 0, 0.5)),
            WordSpoken(1, Word("day.", 0.5, 1)),
            TurnEnded(1, "Good", True, 0.6),
        ):
            recorder.hear(effect)
    cut = TurnEnded(1, "Good", True, 0.5)
    known = first.known("token")
    assert known is not None
    assert replace(known, ended=0.0) == Known("c1", 0.0, 1, 1, cut)
    second = Store(path, 0, "embedded", "mia")
    assert second.known("token") is None
    with second.running():
        assert second.known("token") == known
        assert second.known("other") is None
        assert asyncio.run(second.history("c1")) == (Message("user", "Hi!"), Message("assistant", "Good"))
        second.record("c1", "token").hear(UserTurn(1, "Go on."))
    with opened(path) as database:
        record = database.get("c1")
    assert record is not None
    assert [(entry.turn, entry.text) for entry in record.entries] == [(1, "Hi!"), (1, "Good"), (2, "Go on.")]


def test_a_server_that_is_gone_in_the_middle_of_a_reply_loses_its_end_only(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "time", lambda: now)
    first = Store(path, 0, "embedded", "mia")
    with first.running():
        recorder = first.record("c1", "token")
        recorder.hear(UserTurn(1, "Hi!"))
        recorder.hear(TurnStarted(1))
        for number, text in enumerate("Good day to you".split()):
            now += 1.0
            recorder.hear(WordSpoken(1, Word(text, float(number), number + 0.6)))
    second = Store(path, 0, "embedded", "mia")
    with second.running():
        known = second.known("token")
        assert known is not None
        assert (known.turns, known.cut) == (1, TurnEnded(1, "Good day to", True, 2.6))
    with opened(path) as database:
        record = database.get("c1")
    assert record is not None
    assert [(entry.text, entry.interrupted) for entry in record.entries] == [
        ("Hi!", False),
        ("Good day to", True),
    ]


def test_the_token_itself_is_not_kept(path: Path) -> None:
    kept = Store(path, 0, "embedded", "mia")
    with kept.running():
        kept.record("c1", "a-secret-token").hear(UserTurn(1, "Hi!"))
    assert b"a-secret-token" not in on_disk(path)
    assert hash_of("a-secret-token").encode() in on_disk(path)


def test_conversations_without_a_word_are_not_kept(path: Path) -> None:
    kept = Store(path, 0, "embedded", "mia")
    with kept.running():
        kept.record("c1", "token")
    with opened(path) as database:
        assert database.list() == []


def test_what_is_too_old_is_deleted_at_the_start(path: Path) -> None:
    filled(path, "old")
    filled(path, "new", ended=4_000_000_000.0)
    with Store(path, 30, "embedded", "mia").running():
        pass
    with opened(path) as database:
        assert [record.id for record in database.list()] == ["new"]
    assert b"whole" in on_disk(path)


def test_what_grows_old_is_deleted_and_cannot_be_gone_on_with(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Store(path, 30, "embedded", "mia")
    now = time.time()

    async def main() -> None:
        with kept.running():
            kept.record("c1", "old").hear(UserTurn(1, "Hi!"))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(kept.keep)
                await anyio.sleep(29.5 * DAY)
                monkeypatch.setattr(time, "time", lambda: now + 29.5 * DAY)
                kept.record("c2", "new").hear(UserTurn(1, "Hello!"))
                assert kept.known("old") is not None
                monkeypatch.setattr(time, "time", lambda: now + 30.5 * DAY)
                await anyio.sleep(DAY)
                assert kept.known("old") is None
                assert kept.known("new") is not None
                tasks.cancel_scope.cancel()

    vtime.run(main())
    with opened(path) as database:
        assert [record.id for record in database.list()] == ["c2"]


def test_a_disk_that_does_not_keep_up_is_a_problem_and_nobody_waits(path: Path) -> None:
    kept = Store(path, 0, "embedded", "mia")  # nobody writes
    recorder = kept.record("c1", "token")
    with capture_logs() as logs:
        for number in range(store.WAITING + 5):
            recorder.hear(UserTurn(number, "secret"))
    assert len(logs) == 1
    assert "does not keep up" in kept.status()["problems"][0]
    assert "secret" not in repr(logs)


def test_a_failing_disk_is_a_problem_until_it_works_again(path: Path) -> None:
    kept = Store(path, 0, "embedded", "mia")
    with capture_logs() as logs, kept.running():
        path.unlink()
        path.mkdir()
        kept.record("c1", "token").hear(UserTurn(1, "secret"))
    assert "could not be written" in kept.status()["problems"][0]
    assert "secret" not in repr(logs)


def test_off_is_off(tmp_path: Path) -> None:
    assert open_store(Settings()) is None
    chosen = ConversationSettings(store="sqlite", path=tmp_path / "c.db")
    opened_store = open_store(Settings(conversations=chosen))
    assert opened_store is not None
    assert opened_store.path == path_of(chosen) == tmp_path / "c.db"


# -- files and the command -----------------------------------------------------------------------------------
def full(path: Path) -> Record:
    filled(path)
    with opened(path) as database:
        record = database.get("c1")
    assert record is not None
    return record


def test_json_holds_everything(path: Path) -> None:
    shown = json.loads(to_json(full(path)))
    assert shown["started"] == "2023-11-14T22:13:20.000Z"
    assert shown["entries"][1] == {
        "role": "assistant",
        "turn": 1,
        "started": "2023-11-14T22:13:22.500Z",
        "ended": "2023-11-14T22:13:24.000Z",
        "text": "A whole",
        "interrupted": True,
        "words": [{"text": "A", "start": 0.0, "end": 0.25}, {"text": "whole", "start": 0.25, "end": 0.75}],
        "sources": [{"title": "Bread", "url": "https://example.org/", "excerpt": "Rye takes a day."}],
        "actions": [{"name": "confetti", "arguments": {"amount": 3}}],
    }


def test_captions_stand_where_things_were_said(path: Path) -> None:
    assert to_webvtt(full(path)) == (
        "WEBVTT\n\n00:00:01.000 --> 00:00:02.733\n<v You>How long does &lt;rye&gt; take?\n\n"
        "00:00:02.500 --> 00:00:03.300\n<v Mia>A whole\n"
    )


def test_the_command(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISAVIS_CONVERSATIONS__PATH", str(path))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, ["conversations", *arguments])
        assert result.exit_code == code, result.output
        return result.output

    run("show", "c1", code=2)
    assert not path.exists()
    filled(path, "c1", "d1", "d2")
    assert {line.split()[0] for line in run("list").splitlines()[1:]} == {"c1", "d1", "d2"}
    assert "mia: A whole –" in run("show", "c1")
    assert "from: Bread https://example.org/" in run("show", "c1")
    run("export", "c1", "talk.vtt")
    assert (tmp_path / "talk.vtt").read_text().startswith("WEBVTT")
    run("export", "c1", "talk.json")
    assert json.loads((tmp_path / "talk.json").read_text())["id"] == "c1"
    run("export", "c1", "talk.doc", code=2)
    run("delete", code=2)
    run("delete", "d", code=2)
    assert "1 conversation is deleted" in run("delete", "c")
    assert "2 conversations are deleted" in run("delete", "--older-than", "1")
    assert "0 conversations are deleted" in run("delete", "--all")
