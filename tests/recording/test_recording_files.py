"""What is in a recording and what is not, how it ends, and what is said of one that is damaged."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import anyio
import numpy as np
import pytest
from structlog.testing import capture_logs
from tests import vtime
from tests.recording.booth import SETTINGS, Booth, booth, record, reply, speech
from typer.testing import CliRunner

from visavis import events as ev
from visavis.cli.main import app
from visavis.errors import VisavisError
from visavis.recording import ENDING, folder, reader
from visavis.recording.folder import Folder
from visavis.recording.replay import replay
from visavis.settings import RecordingSettings, Settings

WORDS = ("strawberry", "Wolfgang", "marmalade", "porcupine", "telescope", "hippopotamus", "secretagent")


async def typed(booth: Booth) -> None:
    guest = await booth.guest()
    guest.say(type="text", data="Good morning.", userId="u")
    await anyio.sleep(0.2)
    reply(booth.agent, 2.0, text="[smile] Good morning to you.")
    await anyio.sleep(3)
    assert len(guest.of("sync_frame")) == 60
    assert len(guest.of("transcript_done")) == 1


async def wordy(booth: Booth) -> None:
    """Words in every field that may have some, and sound."""
    guest = await booth.guest()
    guest.say(type="hello", encoding="json", avatar="mia")
    guest.say(type="text", data=f"{WORDS[0]}, please!", userId=WORDS[1])
    guest.say(type="text", data=f"{WORDS[0]}, please?")
    guest.say(type=WORDS[2])
    guest.say(f"{WORDS[3]} is no JSON")
    guest.say(type="audio_stream_start", sampleRate=16_000)
    guest.say(speech(0.2, 16_000))
    await anyio.sleep(0.1)
    say = booth.agent.say.send_nowait
    say(ev.UserPartial(WORDS[0]))
    say(ev.UserSaid(f"{WORDS[0]}?"))
    say(ev.Cited((ev.Source(WORDS[1], f"https://{WORDS[2]}.example/", WORDS[3]),)))
    say(ev.ToolCall("1", "look_up", {WORDS[4]: WORDS[5]}))
    say(ev.Action("wave", {WORDS[4]: [WORDS[5]]}))
    await anyio.sleep(0.1)
    reply(booth.agent, 1.0, text=f"[smile] A {WORDS[4]} and a {WORDS[5]}.")
    await anyio.sleep(2)
    say(ev.ReplyStarted("timed"))
    word, phonemes = (
        ev.Word(WORDS[6], 0.0, 1.0),
        tuple(ev.Phoneme(c, k / 20, k / 20 + 0.05) for k, c in enumerate("sɛkɹɪt")),
    )
    say(ev.ReplyAudio("timed", speech(1.0), (word,), phonemes))
    say(ev.ReplyFailed("FAILED", f"The {WORDS[6]} is gone.", "timed"))
    await anyio.sleep(2)


def text_of(file: Path) -> str:
    return gzip.decompress(file.read_bytes()).decode()


# -- redaction -----------------------------------------------------------------------------------------------
def test_everything_is_in_a_recording_that_is_not_redacted(tmp_path: Path) -> None:
    text = text_of(record(tmp_path, wordy))
    assert all(word in text for word in WORDS)
    assert "ɹ" in text


@pytest.mark.parametrize("redact", ["text", "both"])
def test_without_text_no_word_is_left_and_the_replay_is_identical(tmp_path: Path, redact: str) -> None:
    file = record(tmp_path, wordy, redact=redact)
    text = text_of(file)
    assert [word for word in WORDS if word.lower() in text.lower()] == []
    assert "ɹ" not in text
    assert "[smile] x xxxxxxxxx" in text
    outcome = replay(file, SETTINGS)
    assert [(found.recorded, found.replayed) for found in outcome.differences] == []
    assert not outcome.faces


@pytest.mark.parametrize(
    ("redact", "kept"), [("none", True), ("text", True), ("audio", False), ("both", False)]
)
def test_the_sound_of_the_microphone_is_kept_or_silent(tmp_path: Path, redact: str, kept: bool) -> None:
    async def talk(booth: Booth) -> None:
        guest = await booth.guest()
        guest.say(type="audio_stream_start", sampleRate=16_000)
        guest.say(speech(0.5, 16_000))
        guest.say(type="audio", data=base64.b64encode(speech(0.5, 16_000)).decode())
        await anyio.sleep(0.1)
        reply(booth.agent, 1.0)
        await anyio.sleep(2)

    file = record(tmp_path, talk, redact=redact)
    lines = [json.loads(line) for line in text_of(file).splitlines()]
    binary = next(line["bytes"] for line in lines if line["kind"] == "in" and "bytes" in line)
    spoken = json.loads(next(line["text"] for line in lines if '"data"' in line.get("text", "")))["data"]
    assert (set(binary) != {"A", "="}) is kept
    assert len(binary) == len(spoken)
    assert binary == spoken
    assert replay(file, SETTINGS).different == 0


# -- consent -------------------------------------------------------------------------------------------------
def test_clients_are_told_and_one_that_refuses_is_not_recorded(tmp_path: Path) -> None:
    async def main() -> None:
        async with booth(tmp_path) as made:
            guest = await made.guest()
            assert guest.of("config")[0]["recorded"] is True
            guest.say(type="hello", recording=False)
            guest.say(type="text", data="Do not keep this.")
            await anyio.sleep(0.1)
            made.folder.write()
            assert list(tmp_path.iterdir()) == []

    vtime.run(main())
    assert list(tmp_path.iterdir()) == []


def test_what_was_recorded_before_the_client_refused_is_deleted(tmp_path: Path) -> None:
    async def main() -> None:
        async with booth(tmp_path) as made:
            guest = await made.guest()
            guest.say(type="text", data="Hello.")
            await anyio.sleep(0.1)
            made.folder.write()
            (file,) = tmp_path.iterdir()
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            guest.say(type="hello", recording=False)
            guest.say(type="text", data="Do not keep this.")
            await anyio.sleep(0.1)
            made.folder.write()
            assert list(tmp_path.iterdir()) == []
            reply(made.agent, 1.0)
            await anyio.sleep(2)
            assert guest.of("audio_end")

    vtime.run(main())
    assert list(tmp_path.iterdir()) == []


# -- how recordings end --------------------------------------------------------------------------------------
def ends(file: Path) -> str:
    return str(json.loads(text_of(file).splitlines()[-1]).get("reason"))


def test_a_recording_ends_with_its_session(tmp_path: Path) -> None:
    file = record(tmp_path, typed)
    assert ends(file) == "complete"
    assert not replay(file, SETTINGS).broken_off


def test_a_recording_ends_after_so_many_minutes(tmp_path: Path) -> None:
    file = record(tmp_path, typed, session_minutes=1 / 60)
    assert ends(file) == "limit"
    outcome = replay(file, SETTINGS)
    assert (outcome.different, outcome.broken_off) == (0, False)
    assert 0.9 < outcome.seconds < 1.2


def test_a_recording_ends_at_so_many_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "MEGABYTE", 10_000)

    async def talk(booth: Booth) -> None:
        guest = await booth.guest()
        guest.say(type="text", data="Good morning.")
        reply(booth.agent, 4.0)
        for _ in range(10):
            await anyio.sleep(0.5)
            booth.folder.write()
        assert len(guest.of("sync_frame")) == 120

    file = record(tmp_path, talk, session_megabytes=1)
    assert ends(file) == "limit"
    assert text_of(file).count("sync_frame") < 60
    assert replay(file, SETTINGS).different == 0


class Full(io.BytesIO):
    """A disk with room for 1,000 bytes."""

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > 1000:
            raise OSError(28, "No space left on device")
        return super().write(data)


def refuse(path: Path) -> BinaryIO:
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize("open_file", [lambda path: Full(), refuse])
def test_a_full_disk_ends_the_recording_and_not_the_session(
    tmp_path: Path, open_file: Callable[[Path], BinaryIO]
) -> None:
    async def main() -> int:
        async with booth(tmp_path, open_file=open_file) as made:
            guest = await made.guest()
            guest.say(type="text", data="Good morning.")
            reply(made.agent, 2.0)
            for _ in range(6):
                await anyio.sleep(0.5)
                made.folder.write()
        figures = {metric.name: metric for metric in made.folder.figures()}
        (ended,) = figures["visavis_recordings"].samples
        assert (ended.labels, ended.value) == ({"outcome": "failed"}, 1)
        return len(guest.of("sync_frame"))

    with capture_logs() as logs:
        assert vtime.run(main()) == 60
    warnings = [log for log in logs if log["log_level"] == "warning"]
    assert [log["event"] for log in warnings] == ["a recording ended: it cannot be written"]


def test_a_slow_disk_ends_the_recording_and_not_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "WAITING", 100_000)
    with capture_logs() as logs:
        file = record(tmp_path, typed)  # which is not written before its end
    assert [log["event"] for log in logs if log["log_level"] == "warning"] == [
        "a recording ended: the disk does not keep up"
    ]
    outcome = replay(file, SETTINGS)
    assert (outcome.different, outcome.broken_off) == (0, True)


def test_the_thread_writes_by_itself_and_everything_in_the_end(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"recording": RecordingSettings(folder=tmp_path)})
    recordings = Folder(settings, tmp_path / "new")
    with recordings.running():
        tape, _ = recordings.record("session/1", 0.0, {})
        tape.attached(1.5)
    (file,) = (tmp_path / "new").iterdir()
    assert file.name.endswith(f"-session_1{ENDING}")
    assert '{"kind":"attach","t":1.5}\n' in text_of(file)


def test_a_folder_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(VisavisError, match=r"recording\.folder") as caught,
        Folder(Settings(), tmp_path / "file").running(),
    ):
        pass
    assert caught.value.code == "RECORDING_FAILED"


# -- retention -----------------------------------------------------------------------------------------------
def old(path: Path, name: str, days: float, size: int = 10) -> None:
    file = path / f"{name}{ENDING}"
    file.write_bytes(bytes(size))
    then = time.time() - days * folder.DAY
    os.utime(file, (then, then))


def names(path: Path) -> set[str]:
    return {file.name.removesuffix(ENDING) for file in path.iterdir()}


def test_old_recordings_are_deleted_and_other_files_are_not(tmp_path: Path) -> None:
    old(tmp_path, "older", 8)
    old(tmp_path, "newer", 6)
    (tmp_path / "notes.txt").write_text("mine")
    os.utime(tmp_path / "notes.txt", (0, 0))
    settings = Settings(recording=RecordingSettings(folder=tmp_path, days=7))
    with Folder(settings, tmp_path).running():
        assert names(tmp_path) == {"newer", "notes.txt"}


def test_the_oldest_go_when_there_is_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "MEGABYTE", 10)
    for days, name in enumerate("abcde"):
        old(tmp_path, name, days)
    Folder(Settings(recording=RecordingSettings(folder=tmp_path, megabytes=3)), tmp_path).purge()
    assert names(tmp_path) == {"a", "b", "c"}


def test_everything_is_kept_with_zero(tmp_path: Path) -> None:
    old(tmp_path, "ancient", 30_000)
    Folder(Settings(recording=RecordingSettings(folder=tmp_path, days=0, megabytes=0)), tmp_path).purge()
    assert names(tmp_path) == {"ancient"}


def test_they_are_looked_at_every_hour_but_for_those_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def at_once(call: Callable[[], None]) -> None:
        call()

    monkeypatch.setattr(anyio.to_thread, "run_sync", at_once)

    async def main() -> None:
        async with booth(tmp_path, days=7) as made, anyio.create_task_group() as tasks:
            tasks.start_soon(made.folder.keep)
            guest = await made.guest()
            guest.say(type="text", data="Hello.")
            await anyio.sleep(1)
            made.folder.write()
            (live,) = tmp_path.iterdir()
            os.utime(live, (0, 0))
            old(tmp_path, "older", 8)
            await anyio.sleep(folder.HOUR - 10)
            assert names(tmp_path) == {"older", live.name.removesuffix(ENDING)}
            await anyio.sleep(20)
            assert names(tmp_path) == {live.name.removesuffix(ENDING)}
            tasks.cancel_scope.cancel()

    vtime.run(main())


# -- files that are not as they should be --------------------------------------------------------------------
def packed(*lines: Any) -> bytes:
    return gzip.compress(b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines))


def refused(path: Path, data: bytes) -> str:
    file = path / f"x{ENDING}"
    file.write_bytes(data)
    with pytest.raises(VisavisError) as caught:
        replay(file, SETTINGS)
    assert str(file) in str(caught.value)
    return str(caught.value)


def test_files_that_are_no_recordings_are_refused(tmp_path: Path) -> None:
    header = {"kind": "recording", "format": 1, "t": 0.0}
    assert "not gzipped" in refused(tmp_path, b"garbage")
    assert "breaks off" in refused(tmp_path, b"")
    assert "line 1" in refused(tmp_path, gzip.compress(b"garbage\n"))
    assert "not a recording" in refused(tmp_path, packed({"kind": "in", "t": 0}))
    assert "format 2" in refused(tmp_path, packed({**header, "format": 2}))
    assert "damaged" in refused(tmp_path, packed(header))
    with pytest.raises(VisavisError, match="No such file"):
        replay(tmp_path / "nowhere", SETTINGS)


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = record(tmp_path, typed)
    monkeypatch.setattr(reader, "LARGEST", 100_000)
    with pytest.raises(VisavisError, match="too large"):
        replay(file, SETTINGS)
    monkeypatch.setattr(reader, "LONGEST_LINE", 100_000)
    assert "too large" in refused(tmp_path, gzip.compress(bytes(1_000_000)))


@pytest.mark.parametrize(
    ("number", "line", "said"),
    [
        (5, b"nonsense", "line 5 is not of a recording"),
        (2, b'{"kind":"out","line":1,"ms":1,"text":"x"}', "line 2 is an output of nothing"),
        (5, b'{"kind":"in","t":1.0,"line":9,"text":"x"}', "damaged"),
        (5, b'{"kind":"feed","t":1.0,"event":"Nothing"}', "damaged"),
        (5, b'{"kind":"feed","t":1.0,"event":"ReplyAudio","reply":"r","pcm":"?"}', "damaged"),
        (5, b'{"kind":"feed","t":"soon","event":"Tick"}', "line 5 is not of a recording"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, number: int, line: bytes, said: str) -> None:
    lines = text_of(record(tmp_path, typed)).encode().splitlines()
    lines[number - 1] = line
    assert said in refused(tmp_path, gzip.compress(b"\n".join(lines) + b"\n"))


# -- the command ---------------------------------------------------------------------------------------------
def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["replay", *arguments])
    return result.exit_code, result.output


def test_the_command_says_that_it_is_identical(tmp_path: Path) -> None:
    code, said = run(str(record(tmp_path, typed)))
    assert code == 0
    assert "byte-identical, faces moved again" in said
    assert said.count("\n") == 1


def test_the_command_says_where_a_file_breaks_off(tmp_path: Path) -> None:
    file = record(tmp_path, typed)
    data = file.read_bytes()
    file.write_bytes(data[: len(data) * 2 // 3])
    code, said = run(str(file))
    assert code == 2
    assert "byte-identical" in said
    assert "breaks off" in said


def test_a_changed_output_is_found_and_shown(tmp_path: Path) -> None:
    file = record(tmp_path, typed)
    text = text_of(file).replace('\\"text\\":\\"morning\\"', '\\"text\\":\\"evening\\"', 1)
    file.write_bytes(gzip.compress(text.encode()))
    code, said = run(str(file))
    assert code == 1
    assert "differs at 1 of the inputs, first 0." in said
    assert "text=evening" in said
    code, said = run(str(file), "--diff")
    assert code == 1
    shown = said.splitlines()
    assert any(
        line.startswith("- ") and "transcript_delta" in line and "text=evening" in line for line in shown
    )
    assert any(
        line.startswith("+ ") and "transcript_delta" in line and "text=morning" in line for line in shown
    )


def test_a_message_more_or_less_is_found(tmp_path: Path) -> None:
    file = record(tmp_path, typed)
    lines = text_of(file).splitlines()
    at = next(k for k, line in enumerate(lines) if "audio_end" in line)
    file.write_bytes(gzip.compress("\n".join([*lines[:at], *lines[at + 1 :], ""]).encode()))
    code, said = run(str(file), "--diff")
    assert code == 1
    assert "\n+ kind=out type=audio_end" in said
    file.write_bytes(gzip.compress("\n".join([*lines[:at], lines[at], *lines[at:], ""]).encode()))
    code, said = run(str(file), "--diff")
    assert code == 1
    assert "\n- kind=out type=audio_end" in said


def test_a_face_that_moves_otherwise_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = record(tmp_path, typed)
    text = text_of(file)
    assert '"engine":"net"' in text
    file.write_bytes(gzip.compress(text.replace('"engine":"net"', '"engine":"energy"').encode()))
    code, said = run(str(file), "--diff")
    assert code == 1
    assert "weights.jawOpen=" in said
    assert run(str(file), "--recorded-faces")[0] == 0


@pytest.mark.parametrize("apart", [1e-7, 0.01])
def test_a_face_that_rounds_otherwise_is_the_recorded_one(tmp_path: Path, apart: float) -> None:
    file = record(tmp_path, typed)
    lines = [json.loads(line) for line in text_of(file).splitlines()]
    for line in lines:
        if line.get("event") == "Animated":
            weights = np.frombuffer(base64.b64decode(line["weights"]), "<f4") + np.float32(apart)
            line["weights"] = base64.b64encode(weights.astype("<f4").tobytes()).decode()
    file.write_bytes(packed(*lines))
    outcome = replay(file, SETTINGS)
    if apart < 1e-6:
        assert 0 < outcome.worst < 1e-6
        assert outcome.different < 5  # where a third digit turned in the file
    else:
        assert outcome.worst == 0.0
        assert outcome.different == 0  # it is the face that was moved again, as the messages have it
