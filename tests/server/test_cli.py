"""The command as people use it, without a server that runs."""

from __future__ import annotations

import io
import json
import logging
import re
import socket
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import structlog
from tests.espeak import needs_espeak
from tests.process import server
from typer.testing import CliRunner

import visavis
from visavis import doctor, logs
from visavis.arkit import INDEX, NAMES
from visavis.cli import main as cli
from visavis.errors import VisavisError, for_people
from visavis.needs import needed_models
from visavis.server import run
from visavis.settings import Settings, StageSettings


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty folder to start in, and logging as it was afterwards."""
    monkeypatch.chdir(tmp_path)
    handlers, level = logging.root.handlers, logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers = handlers
    logging.root.setLevel(level)


def command(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(cli.app, list(arguments), terminal_width=200)
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock.getsockname()[1]


def test_version_and_help() -> None:
    assert command("version").strip() == visavis.__version__
    assert all(name in command("--help") for name in ("serve", "say", "doctor", "models", "version"))


@pytest.mark.parametrize("serve", [(), ("serve",)])
def test_a_port_in_use_is_named_with_the_way_out(serve: tuple[str, ...], taken: int) -> None:
    output = command(*serve, "--port", str(taken), "--agent", "scripted", code=2)
    assert f"Port {taken} on 127.0.0.1 is in use" in output
    assert f"visavis --port {taken + 1}" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("agent", "says"),
    [
        ("def load(settings):\n    raise VisavisError('GONE', 'The sky is gone; wait.')", "is gone; wait."),
        ("raise ExtraMissing('The agent needs the sky', 'sky')", "-m pip install 'visavis[sky]'"),
    ],
)
def test_what_keeps_it_from_starting_is_said(agent: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "sky.py").write_text(f"from visavis.errors import ExtraMissing, VisavisError\n{agent}\n")
    settings = {"AGENT_TYPE": "sky:load", "PYTHONPATH": str(tmp_path)}
    with (
        pytest.raises(AssertionError, match=f"(?s)did not start:.*{re.escape(says)}") as refused,
        server(tmp_path, **settings),
    ):
        pass
    assert "Traceback" not in str(refused.value)


def test_what_is_not_installed_is_said_before_models_are_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cloudy_ears.py").write_text("import no_such_cloud\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("VISAVIS_STAGES__ASR", "cloudy_ears:load")
    monkeypatch.setenv("VISAVIS_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("VISAVIS_OFFLINE", "1")
    assert "needs the module 'no_such_cloud'" in " ".join(command("serve", code=2).split())


def test_debugging_adds_the_traceback(taken: int) -> None:
    assert "Traceback" in command("--port", str(taken), "--agent", "scripted", "--debug", code=2)


def test_a_file_without_a_face_is_refused_before_anything_is_served(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a sound")
    assert "notes.txt is not an audio or video file" in command("face", "notes.txt", "--no-open", code=2)
    assert "Cannot read none.wav" in command("face", "none.wav", "--no-open", code=2)


@pytest.mark.parametrize("arguments", [(), ("doctor",), ("models", "list"), ("say", "hi", "x.wav")])
def test_every_command_refuses_a_wrong_configuration(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISAVIS_SERVER__PROT", "1")
    assert "did you mean VISAVIS_SERVER__PORT?" in command(*arguments, code=2)


def test_offline_without_models_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISAVIS_OFFLINE", "1")
    monkeypatch.setenv("VISAVIS_MODELS", str(tmp_path / "none"))
    with socket.create_server(("127.0.0.1", 0)) as sock:
        free = sock.getsockname()[1]
    output = command("--port", str(free), code=2)
    assert "visavis models pull silero-vad" in output


def test_say_writes_the_voice_and_its_face() -> None:
    text = "Peter buys more maps."
    command("say", text, "out.wav")
    track = json.loads(Path("out.json").read_bytes())
    with wave.open("out.wav", "rb") as sound:
        seconds = sound.getnframes() / sound.getframerate()
    frames = np.array(track["frames"])
    assert track["names"] == list(NAMES)
    assert frames.shape == (round(seconds * track["fps"]), 52)
    assert frames.min() >= 0
    assert frames.max() <= 1
    assert [word["text"] for word in track["words"]] == text.split()
    assert track["text"] == text
    assert track["phonemes"][-1]["end"] <= seconds
    assert frames[:, INDEX["jawOpen"]].max() > 0.15


def test_captions_of_what_is_said() -> None:
    text = "Peter buys more maps."
    command("say", text, "out.wav", "--captions", "said.vtt")
    begin, cue = Path("said.vtt").read_text().split("\n\n")
    assert begin == "WEBVTT"
    times, said = cue.splitlines()
    assert (times[:18], said) == ("00:00:00.000 --> 0", text)
    command("animate", "out.wav", "out.csv", "--text", text, "--captions", "heard.vtt", "--engine", "energy")
    assert Path("heard.vtt").read_text().splitlines()[3:] == [text]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("say", "hello", "out.wav", "--captions", "out.txt"), "out.txt must end in .vtt"),
        (("say", "hello", "out.wav", "--captions", "nowhere/out.vtt"), "there is no folder nowhere"),
        (("animate", "in.wav", "out.wav.csv", "--captions", "out.srt"), "out.srt must end in .vtt"),
        (("animate", "in.wav", "out.csv", "--captions", "out.vtt"), "Cannot read in.wav"),
    ],
)
def test_captions_that_cannot_be_are_refused_before_the_work(arguments: tuple[str, ...], said: str) -> None:
    assert said in command(*arguments, code=2)
    assert not Path("out.wav").exists()


def test_say_by_ear_and_faster() -> None:
    command("say", "Peter buys more maps.", "drawn.wav")
    command("say", "Peter buys more maps.", "heard.wav", "--engine", "energy", "--speed", "2")
    drawn, heard = (json.loads(Path(f"{name}.json").read_bytes())["frames"] for name in ("drawn", "heard"))
    assert len(heard) < 0.7 * len(drawn)
    assert np.array(heard)[:, INDEX["jawOpen"]].max() > 0.05


@needs_espeak
def test_say_in_another_language() -> None:
    for language in ("en", "pl"):
        command("say", "Jak", f"{language}.wav", "--language", language)
    english, polish = (json.loads(Path(f"{name}.json").read_bytes())["phonemes"] for name in ("en", "pl"))
    assert [phoneme["symbol"] for phoneme in polish] == ["j", "a", "k", "sil"]
    assert english != polish


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("...", "out.wav"), "nothing to pronounce"),
        (("hello", "nowhere/out.wav"), "Cannot write nowhere"),
        (("hello", "out.json"), "out.json: speech is written as .wav, or as a video"),
        (("hello", "out.avi"), "out.avi: speech is written as .wav, or as a video"),
        (("hello", "."), ".: speech is written as .wav, or as a video"),
        (("hello", "out.wav", "--fps", "25"), "out.wav: only for a video (.mp4, .webm, .gif): --fps"),
        (("hello", "out.wav", "--language", "Polish"), "assistant.language is 'Polish' but must match"),
        (("hello", "out.wav", "--speed", "9"), "voice.speed is 9.0 but must be less than or equal to 2"),
        (("hello", "out.wav", "--engine", "nte"), "did you mean net?"),
    ],
)
def test_say_explains_what_it_cannot_do(arguments: tuple[str, ...], said: str) -> None:
    assert said in command("say", *arguments, code=2)


def test_the_doctor_finds_a_missing_model_and_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISAVIS_MODELS", str(tmp_path / "none"))
    output = command("doctor", code=1)
    assert "fail" in output
    assert "visavis models pull" in " ".join(output.split())
    assert not list(tmp_path.glob("none/*-*")), "the doctor must not fetch anything"


def test_the_doctor_of_a_server_without_models(monkeypatch: pytest.MonkeyPatch, taken: int) -> None:
    monkeypatch.setenv("AGENT_TYPE", "scripted")
    monkeypatch.setenv("AVATAR_PORT", str(taken))
    output = command("doctor")
    assert "weak" in output, "a port in use is worth saying and no reason to fail"
    assert "lips close on 7 of 7" in " ".join(output.split())
    assert "answers with its voice" in " ".join(output.split())


def test_the_doctor_talks_to_an_agent_that_is_somewhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_TYPE", "openai")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("VISAVIS_OPENAI__TIMEOUT_SECONDS", "0.2")
    assert "cannot be reached" in " ".join(command("doctor", code=1).split())


@needs_espeak
@pytest.mark.models
def test_the_doctor_speaks_the_language_of_the_assistant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSISTANT_LANGUAGE", "pl")
    output = " ".join(command("doctor").split())
    assert "spoken 'Przepraszam, nie mam na to odpowiedzi.'" in output
    assert "lips close on 6 of 6" in output


@pytest.mark.models
def test_the_doctor_speaks_understands_and_answers() -> None:
    checks = {check.name: check for check in doctor.examine(Settings())}
    assert [check for check in checks.values() if check.required and not check.ok] == []
    assert "My name is Pam" in checks["understand"].finding


def test_a_part_that_breaks_is_a_failed_check_and_not_the_end() -> None:
    examination = doctor.Examination(Settings())
    assert examination.check("bad", lambda: 1 // 0) is None  # type: ignore[arg-type, return-value]
    assert examination.check("good", lambda: ("fine", 3)) == 3
    bad, good = examination.checks
    assert not bad.ok
    assert "ZeroDivisionError" in bad.finding
    assert good.ok


@pytest.mark.parametrize(
    ("heard", "rate"),
    [
        ("Hello, there WORLD!", 0),
        ("hello world", 1 / 3),
        ("hello there word", 1 / 3),
        ("", 1),
        ("oh hello there world", 1 / 3),
    ],
)
def test_word_errors(heard: str, rate: float) -> None:
    assert doctor.word_errors("hello there world", heard) == pytest.approx(rate)


def test_only_what_is_chosen_is_needed() -> None:
    assert needed_models(Settings(agent="scripted")) == []
    assert "smollm2-135m" in needed_models(Settings())
    assert "smollm2-135m" not in needed_models(Settings(stages=StageSettings(llm="openai")))


def test_addresses() -> None:
    assert run.page_url("127.0.0.1", 80) == "http://127.0.0.1:80/"
    assert run.page_url("0.0.0.0", 8080) == "http://localhost:8080/"
    assert run.page_url("::1", 8080) == "http://[::1]:8080/"
    with pytest.raises(VisavisError, match="no-such-host"):
        run.bind("no-such-host.invalid", 8080)


def test_the_reason_is_found_inside_groups() -> None:
    wanted = VisavisError("X", "what to do")
    nested = ExceptionGroup("a", [ValueError(), ExceptionGroup("b", [KeyError(), wanted])])
    assert for_people(nested) is wanted
    group = ExceptionGroup("c", [ValueError()])
    assert for_people(group) is None


def test_logs_for_programs_are_json_with_what_is_bound_and_without_secrets() -> None:
    stream = io.StringIO()
    logs.set_up(debug=False, stream=stream)
    log = structlog.get_logger("visavis.x").bind(session="s1")
    log.info("turn ended", turn=3, token="hush", key="hush")
    log.debug("not shown")
    logging.getLogger("uvicorn.error").info("WebSocket /ws?token=hush [accepted]")
    logging.getLogger("somewhere").warning("of %s", "libraries")
    turn, library = map(json.loads, stream.getvalue().splitlines())
    assert (turn["event"], turn["session"], turn["turn"], turn["token"]) == ("turn ended", "s1", 3, "***")
    assert (library["event"], library["level"]) == ("of libraries", "warning")
    assert "hush" not in stream.getvalue()


def test_tracebacks_hold_no_local_variables() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    logs.set_up(debug=True, stream=stream)
    try:
        words_of_a_person = "hush"
        raise ValueError(len(words_of_a_person))
    except ValueError:
        structlog.get_logger("x").exception("failed")
    assert "ValueError: 4" in stream.getvalue()
    assert "'hush'" not in stream.getvalue()
