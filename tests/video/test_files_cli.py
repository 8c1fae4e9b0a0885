"""`visavis say` and `visavis animate` as people use them, when what they write is a video."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
import structlog
from tests.tracks import recordings
from tests.video.pictures import decode, shift
from typer.testing import CliRunner

from visavis.audio import to_float
from visavis.cast import built_in
from visavis.cli import main as cli
from visavis.cli.video import parse_size
from visavis.errors import VisavisError
from visavis.settings import Settings
from visavis.stages import tts_hibari

SMALL = ("--size", "128x96")


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty folder to start in, and logging as it was afterwards."""
    monkeypatch.chdir(tmp_path)
    handlers, level = logging.root.handlers, logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers = handlers
    logging.root.setLevel(level)


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(cli.app, [*map(str, arguments)], terminal_width=200)
    assert result.exit_code == code, (result.output, result.exception)
    assert "Traceback" not in result.output
    return " ".join(result.output.split())


def codecs(path: str) -> list[str]:
    with av.open(path, "r") as container:
        return [stream.codec_context.name for stream in container.streams]


def moving(path: str) -> float:
    """How much of the mouth's part of the picture changes from one picture to the next, on average."""
    pictures = [picture[48:80, 44:84].astype(int) for _, picture in decode(Path(path))[0]]
    return float(np.mean([np.abs(b - a).mean() for a, b in pairwise(pictures)]))


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("a.mp4", [], ["vp9", "opus"]),
        ("a.webm", [], ["vp9", "opus"]),
        ("a.mp4", ["--h264"], ["h264", "aac"]),
        ("a.gif", [], ["gif"]),
    ],
)
def test_a_text_becomes_a_film(name: str, options: list[str], expected: list[str]) -> None:
    output = run("say", "Hello there.", name, *SMALL, *options)
    assert output.startswith(f"{name}: ") and "times real time" in output
    assert codecs(name) == expected
    assert list(Path().iterdir()) == [Path(name)]
    assert moving(name) > 0.3
    if name.endswith("webm"):
        heard = decode(Path(name))[2]
        said = to_float(tts_hibari.load(Settings())("Hello there.").pcm).repeat(2).astype(np.float64)
        assert abs(shift(heard, said)) < 48


def test_options_change_what_is_seen() -> None:
    Path("mine.glb").write_bytes(built_in("daniel").read_bytes())
    run("say", "Hi.", "plain.webm", *SMALL, "--background", "#00ff00", "--avatar", "mine.glb", "--fps", "12")
    run("say", "Hi.", "mia.webm", *SMALL, "--background", "#00ff00")
    slow, fast = decode(Path("plain.webm"))[0], decode(Path("mia.webm"))[0]
    assert slow[1][0] == pytest.approx(1 / 12, abs=0.001)
    assert fast[1][0] == pytest.approx(1 / 30, abs=0.001)
    for pictures in (slow, fast):
        assert pictures[0][1].shape == (96, 128, 3)
        assert pictures[0][1][4, 4] == pytest.approx([0, 255, 0], abs=12)
    assert np.abs(slow[0][1].astype(int) - fast[0][1]).mean() > 5, "another face"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["a.mp4", "--size", "big"], "not like 640x480"),
        (["a.mp4", "--size", "127x96"], "even sides"),
        (["a.mp4", "--size", "9998x9998"], "9998"),
        (["a.mp4", "--fps", "61"], "from 1 to 60"),
        (["a.gif", "--fps", "51"], "from 1 to 50"),
        (["a.webm", "--h264"], "only an .mp4"),
        (["a.mp4", "--avatar", "nobody"], "nobody"),
        (["a.mp4", "--background", "pink elephants"], "pink elephants"),
        (["a.wav", "--size", "64x64", "--h264"], "only for a video (.mp4, .webm, .gif): --size and --h264."),
        ([".mp4"], ".mp4 is only the end of a name; a whole one is face.mp4."),
        (["nowhere/a.mp4"], "no folder nowhere"),
    ],
)
def test_what_cannot_be_filmed_is_one_sentence(arguments: list[str], reason: str) -> None:
    assert reason in run("say", "Hi.", *arguments, code=2)
    assert list(Path().iterdir()) == []


def test_a_size_is_two_numbers() -> None:
    assert parse_size("640x480") == parse_size(" 640X480 ") == parse_size("640×480") == (640, 480)
    for bad in ("640", "x480", "640x480x3", "-2x4", "9" * 5000 + "x1"):
        with pytest.raises(VisavisError):
            parse_size(bad)


def test_a_recording_is_spoken_in_time(tmp_path: Path) -> None:
    speech = to_float(tts_hibari.load(Settings())("My name is Bob. Pleased to meet you.").pcm)
    recordings.write(tmp_path / "speech.mp3", speech, "libmp3lame")
    output = run("animate", "speech.mp3", "film.webm", *SMALL, "--fps", "25")
    assert output.startswith("film.webm: ")
    assert codecs("film.webm") == ["vp9", "opus"]
    assert moving("film.webm") > 0.3
    heard = decode(Path("film.webm"))[2]
    assert abs(shift(heard, speech.repeat(2).astype(np.float64))) < 48
    assert "would overwrite" in run("animate", "film.webm", "film.webm", code=2)
    own = run("animate", "speech.mp3", "a.mp4", "--into", "me.glb", code=2)
    assert "--into is only for a .glb; whose face is in a video says --avatar me.glb." in own
    avatar = run("animate", "speech.mp3", "a.csv", "--avatar", "pip", code=2)
    assert "only for a video (.mp4, .webm, .gif): --avatar." in avatar
