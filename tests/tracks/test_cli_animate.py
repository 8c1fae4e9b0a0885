"""`visavis animate` as people use it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import structlog
from tests.tracks import recordings
from tests.tracks.conftest import SENTENCE
from typer.testing import CliRunner

from visavis.cast import built_in
from visavis.cli import main as cli
from visavis.exports import glb
from visavis.track import Track


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty folder to start in, and logging as it was afterwards."""
    monkeypatch.chdir(tmp_path)
    handlers, level = logging.root.handlers, logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers = handlers
    logging.root.setLevel(level)


@pytest.fixture
def film(speech: recordings.Samples, tmp_path: Path) -> Path:
    return recordings.write(tmp_path / "film.mp4", speech, "aac", video=True)


def animate(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(cli.app, ["animate", *map(str, arguments)], terminal_width=200)
    assert result.exit_code == code, (result.output, result.exception)
    assert "Traceback" not in result.output
    return " ".join(result.output.split())


@pytest.mark.parametrize("suffix", ["csv", "json", "jsonl", "npz", "glb"])
def test_a_film_becomes_a_face_in_every_format(suffix: str, film: Path) -> None:
    out = film.with_suffix(f".{suffix}")
    output = animate(film, out)
    assert f"{out.name}: 5." in output and "times real time" in output
    assert out.stat().st_size > 10_000
    assert sorted(film.parent.iterdir()) == sorted([film, out])


def test_options_do_what_they_say(film: Path) -> None:
    output = animate(film, "face.json", "--fps", "24", "--engine", "energy", "--no-life", "--stats")
    track = Track.load("face.json")
    assert track.fps == 24
    assert track.source == "film.mp4"
    assert track["eyeBlinkLeft"].max() == 0
    assert np.percentile(track["jawOpen"], 95) > 0.1
    for word in ("jawOpen", "mean", "95 %", "lips closed", "times real time", f"{len(track)} frames"):
        assert word in output


def test_a_file_that_ends_early_gives_a_face_and_a_word_about_it(
    speech: recordings.Samples, tmp_path: Path
) -> None:
    path = recordings.write(tmp_path / "speech.flac", speech, "flac")
    content = path.read_bytes()
    assert "missing or damaged" not in animate(path, "whole.csv")
    path.write_bytes(content[: len(content) // 2])
    assert "should have 5.27 s of sound; the rest is missing or damaged" in animate(path, "half.csv")
    assert 20 < len(Path("half.csv").read_text().splitlines()) < 140


def test_ones_own_head_is_animated(film: Path) -> None:
    head = Path("mine.glb")
    head.write_bytes(built_in("pip").read_bytes())
    animate(film, "out.glb", "--into", head)
    assert glb.Head.load(Path("out.glb")).gltf["animations"][-1]["name"] == "visavis"
    assert head.read_bytes() == built_in("pip").read_bytes()


def test_nothing_is_overwritten_that_was_given(film: Path) -> None:
    before = film.read_bytes()
    assert "would overwrite" in animate(film, film, code=2)
    assert film.read_bytes() == before
    Path("mine.glb").write_bytes(built_in().read_bytes())
    assert "would overwrite" in animate(film, "mine.glb", "--into", "mine.glb", code=2)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["missing.wav", "face.csv"], "Cannot read missing.wav"),
        (["film.mp4", "face.fbx"], "can be written as .json, .jsonl, .npz, .csv, .glb, or as a video: .mp4"),
        (["film.mp4", ".csv"], ".csv is only the end of a name; a whole one is face.csv."),
        (["film.mp4", "face.csv", "--fps", "0"], "0 frames a second: choose 1 to 120"),
        (["film.mp4", "face.csv", "--engine", "phonemes"], "choose one that listens"),
        (["film.mp4", "face.csv", "--engine", "nobody"], "nobody"),
        (["film.mp4", "face.csv", "--into", "film.mp4"], "only a .glb has a head"),
        (["film.mp4", "face.glb", "--into", "film.mp4"], "is not a glTF binary"),
        (["notes.txt", "face.csv"], "not an audio or video file"),
        (["film.mp4", "nowhere/face.csv"], "Cannot write nowhere/face.csv"),
        (["film.mp4", "face.csv", "--language", "pl"], "--language pl needs --text or --captions"),
    ],
)
def test_what_cannot_work_is_one_sentence(arguments: list[str], reason: str, film: Path) -> None:
    Path("notes.txt").write_text("no sound in here\n" * 50)
    assert reason in animate(*arguments, code=2)
    assert not list(Path().glob("face.*"))


# -- with a transcript ---------------------------------------------------------------------------------
@pytest.mark.parametrize("way", ["text", "@file", "path"])
def test_a_transcript_gives_words_and_phonemes(way: str, film: Path) -> None:
    Path("said.txt").write_text(f"\ufeff{SENTENCE}\n", encoding="utf-8")
    animate(film, "face.json", "--text", {"text": SENTENCE, "@file": "@said.txt", "path": "said.txt"}[way])
    track = Track.load("face.json")
    assert track.text == SENTENCE
    assert [word.text for word in track.words] == SENTENCE.split()
    assert "".join(phoneme.symbol for phoneme in track.phonemes or ()).count("b") == 4  # Bob, blue, by


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--text", ""], "The text is empty"),
        (["--text", "@nowhere"], "Cannot read the text nowhere"),
        (["--text", "nowhere.txt"], "Cannot read the text nowhere.txt"),
        (["--text", "@film.mp4"], "is not a text in UTF-8"),
        (["--text", "What a lovely little garden of mine, cried the queen."], "does not fit what is said"),
        (["--text", "Witaj.", "--language", "xx"], "There is no voice for 'xx'"),
    ],
)
def test_a_transcript_that_cannot_be_used_is_one_sentence(
    arguments: list[str], reason: str, film: Path
) -> None:
    assert reason in animate(film, "face.csv", *arguments, code=2)
    assert not Path("face.csv").exists()
