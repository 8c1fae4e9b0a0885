"""What every face engine must keep to, whoever wrote it, and what ours must look like."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visavis.arkit import COUNT, INDEX, NAMES, Weights, neutral
from visavis.audio import Media, to_pcm
from visavis.errors import ConfigurationError
from visavis.events import Animate, Phoneme
from visavis.faces import FaceEngine, FaceStream
from visavis.faces.net import MODEL, NetEngine
from visavis.faces.speech_face import Faces, Move, move
from visavis.plugins import load, names
from visavis.settings import FaceSettings, Settings

ENGINES = ["phonemes", "net", "energy"]
MEDIA = [Media(24_000, 30), Media(16_000, 25), Media(16_000, 30), Media(22_050, 30), Media(48_000, 60)]
JAW, CLOSE = INDEX["jawOpen"], INDEX["mouthClose"]
WORDS = "h ə l oʊ sil m aɪ n eɪ m ɪ z p iː t ɚ sil f ʌ b".split()


@cache
def engine(name: str) -> FaceEngine:
    loaded: FaceEngine = load("faces", name, Settings())
    return loaded


def phonemes(seconds: float) -> tuple[Phoneme, ...]:
    starts = np.arange(0.05, seconds, 0.09).tolist()
    return tuple(
        Phoneme(WORDS[i % len(WORDS)], start, start + 0.09, stress=2 * (i % 3 == 0))
        for i, start in enumerate(starts)
    )


def voice(seconds: float, rate: int, seed: int = 0) -> bytes:
    """A buzz with formants that comes and goes like syllables; enough to make any engine move."""
    times = np.arange(round(seconds * rate)) / rate
    random = np.random.default_rng(seed)
    tones = sum(np.sin(2 * np.pi * 120 * k * times) / k for k in (1, 2, 4, 5, 6, 12, 20))
    syllables = np.clip(np.sin(2 * np.pi * 3.5 * times), 0, 1) * (np.sin(2 * np.pi * 0.4 * times) > -0.5)
    return to_pcm(0.15 * tones * syllables + 0.001 * random.standard_normal(len(times)))


def play(stream: FaceStream, media: Media, pcm: bytes, chunks: list[int]) -> list[Weights]:
    """Feed `pcm` in pieces of `chunks` frames (then the rest), all phonemes with the first."""
    samples, frame, start = len(pcm) // 2, 0, 0
    parts: list[Weights] = []
    for chunk in chunks:
        frame += chunk
        end = media.edge(frame)
        if end >= samples:
            break
        known = phonemes(samples / media.rate) if not parts else ()
        parts.append(stream.feed(pcm[2 * start : 2 * end], known, False))
        start = end
    known = phonemes(samples / media.rate) if not parts else ()
    return [*parts, stream.feed(pcm[2 * start :], known, True)]


def whole(name: str, media: Media, pcm: bytes) -> Weights:
    return np.concatenate(play(engine(name).open(media, 0), media, pcm, []))


media_and_engine = pytest.mark.parametrize(
    ("name", "media"), [(name, media) for name in ENGINES for media in MEDIA], ids=str
)
chunkings = st.lists(st.integers(1, 20), max_size=40)


def test_every_engine_is_under_contract() -> None:
    assert set(names("faces")) >= set(ENGINES)


@media_and_engine
@settings(max_examples=12, deadline=None, derandomize=True)
@given(chunks=chunkings, samples=st.integers(0, 60_000))
def test_one_frame_per_frame_of_audio(name: str, media: Media, chunks: list[int], samples: int) -> None:
    pcm = voice(samples / media.rate, media.rate)[: 2 * samples]
    parts = play(engine(name).open(media, 0), media, pcm, chunks)
    heard = np.cumsum(chunks)
    for done, frames in zip(np.cumsum([len(part) for part in parts[:-1]]), heard, strict=False):
        assert done <= frames
    result = np.concatenate(parts)
    assert result.shape == (media.covering(len(pcm) // 2), COUNT)
    assert result.dtype == np.float32
    assert np.isfinite(result).all() and result.min(initial=0) >= 0 and result.max(initial=0) <= 1
    assert (result[:, CLOSE] <= result[:, JAW] + 1e-6).all()


@media_and_engine
@settings(max_examples=8, deadline=None, derandomize=True)
@given(chunks=chunkings)
def test_pieces_do_not_matter(name: str, media: Media, chunks: list[int]) -> None:
    pcm = voice(2.4, media.rate)
    parts = np.concatenate(play(engine(name).open(media, 0), media, pcm, chunks))
    np.testing.assert_allclose(parts, whole(name, media, pcm), atol=1e-5)


@media_and_engine
def test_moves_with_a_voice_and_the_same_every_time(name: str, media: Media) -> None:
    pcm = voice(3.0, media.rate)
    first, second = whole(name, media, pcm), whole(name, media, pcm)
    assert first[:, JAW].std() > 0.02
    np.testing.assert_array_equal(first, second)


@media_and_engine
def test_rests_in_silence(name: str, media: Media) -> None:
    silence = engine(name).open(media, 0).feed(bytes(2 * media.rate), (Phoneme("sil", 0.0, 1.0),), True)
    assert silence[:, JAW].max() < 0.05


@pytest.mark.parametrize("name", ENGINES)
def test_mouth_is_closed_150_ms_after_speech(name: str) -> None:
    media = Media()
    spoken = np.frombuffer(voice(0.9, media.rate), "<i2")
    pcm = np.concatenate([spoken[: round(0.7 * media.rate)], np.zeros(media.rate, "<i2")]).tobytes()
    known = tuple(p for p in phonemes(0.65) if p.end <= 0.7)
    result = engine(name).open(media, 0).feed(pcm, known, True)
    assert result[:21, JAW].max() > 0.05
    assert result[26:, JAW].max() < 0.05  # 0.87 s on


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize(
    "sound",
    [
        np.random.default_rng(1).uniform(-1, 1, 48_000),
        np.zeros(48_000),
        np.ones(48_000),
        np.tile([1.0, -1.0], 24_000),
    ],
    ids=["noise", "zeros", "dc", "nyquist"],
)
def test_survives_any_sound(name: str, sound: np.ndarray) -> None:
    result = engine(name).open(Media(), 0).feed(to_pcm(sound), phonemes(2.0), True)
    assert len(result) == 60
    assert np.isfinite(result).all() and result.min() >= 0 and result.max() <= 1


def test_the_net_knows_its_shapes_by_our_names() -> None:
    model = onnx.load_from_string(files("visavis.faces").joinpath("face_net.onnx").read_bytes())
    assert {p.key: p.value for p in model.metadata_props}["arkit"].split(",") == list(NAMES)


# -- the face of a conversation -------------------------------------------------------------------------
class Broken:
    """An engine that fails in the way it is told to, in its second call."""

    name = "broken"

    def __init__(self, failure: str) -> None:
        self.failure = failure
        self.calls = 0

    def open(self, media: Media, seed: int) -> FaceStream:
        if self.failure == "open":
            raise RuntimeError("no such device")
        self.calls = 0
        return self

    def feed(self, pcm: bytes, phonemes: tuple[Phoneme, ...] | None, last: bool) -> Weights:
        self.calls += 1
        frames = Media().whole(len(pcm) // 2)
        if self.calls < 2:
            return np.full((frames, COUNT), 0.5, np.float32)
        if self.failure == "raise":
            raise RuntimeError("out of memory")
        shape = {"many": (frames + 1, COUNT), "shape": (frames, 7)}.get(self.failure, (frames, COUNT))
        return np.full(shape, np.nan if self.failure == "nan" else 0.5, np.float32)


@pytest.mark.parametrize("failure", ["open", "raise", "many", "shape", "nan"])
def test_a_failing_engine_leaves_a_neutral_face(failure: str, capsys: pytest.CaptureFixture[str]) -> None:
    media = Media()
    face = Faces(Broken(failure), engine("phonemes"), life=False).open(media, 0, timed=False)
    piece = voice(0.2, media.rate)
    parts = [
        face.feed(piece, None, False),
        face.feed(piece, None, False),
        face.feed(piece[:-100], None, True),
    ]
    assert [len(part) for part in parts] == [6, 6, 6]
    assert parts[0].max() == (0 if failure == "open" else 0.5)
    assert parts[1].max() == parts[2].max() == 0
    assert capsys.readouterr().out.count("neutral face") == 1


def test_values_out_of_range_are_clipped() -> None:
    class Loud(Broken):
        def feed(self, pcm: bytes, phonemes: tuple[Phoneme, ...] | None, last: bool) -> Weights:
            return np.full((Media().whole(len(pcm) // 2), COUNT), 7.0, np.float32)

    face = Faces(Loud(""), engine("phonemes"), life=False).open(Media(), 0, timed=False)
    assert face.feed(voice(0.2, 24_000), None, True).max() == 1.0


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("media", MEDIA, ids=str)
def test_life_is_added_without_touching_speech(media: Media, timed: bool) -> None:
    faces = Faces.load(Settings())
    pcm = voice(4.0, media.rate)
    alive = np.concatenate(play(faces.open(media, 3, timed), media, pcm, [2] * 300))
    again = np.concatenate(play(faces.open(media, 3, timed), media, pcm, [7, 3, 11]))
    plain = whole("phonemes" if timed else "net", media, pcm)
    np.testing.assert_allclose(alive, again, atol=1e-5)
    for shape in ("jawOpen", "mouthClose", "mouthPucker", "mouthFunnel", "mouthRollLower"):
        np.testing.assert_allclose(alive[:, INDEX[shape]], plain[:, INDEX[shape]], atol=1e-5)
    assert alive[:, INDEX["eyeBlinkLeft"]].max() > 0.85
    assert np.ptp(alive[:, INDEX["browInnerUp"]]) > 0.03


def test_the_configured_engine_moves_speech_without_phonemes() -> None:
    chosen = Faces.load(Settings(face=FaceSettings(engine="energy", life=False)))
    assert chosen.status() == {"engine": "energy", "timed": "phonemes", "life": False}
    pcm = voice(1.0, 24_000)
    np.testing.assert_array_equal(
        chosen.open(Media(), 0, timed=False).feed(pcm, None, True), whole("energy", Media(), pcm)
    )


def test_an_unknown_engine_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="wav2nothing"):
        Faces.load(Settings(face=FaceSettings(engine="wav2nothing")))


def test_a_failing_life_layer_leaves_the_face_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    media = Media()
    face = Faces.load(Settings()).open(media, 0, timed=False)
    bare = Faces.load(Settings.model_validate({"face": {"life": False}})).open(media, 0, timed=False)
    sound = bytes(media.edge(30) * 2)

    def broken(*_: object) -> None:
        raise RuntimeError("no life")

    monkeypatch.setattr("visavis.faces.speech_face.enliven", broken)
    np.testing.assert_array_equal(face.feed(sound, None, True), bare.feed(sound, None, True))


def test_many_voices_are_moved_together_as_each_alone() -> None:
    media, faces = Media(), Faces.load(Settings())
    sounds = [voice(seconds, media.rate) for seconds in (0.4, 1.3, 0.9, 1.3, 0.01)]
    alone = [faces.open(media, i, timed=False).feed(pcm, None, True) for i, pcm in enumerate(sounds)]
    together = [faces.open(media, i, timed=i == 2) for i in range(len(sounds))]
    parts: list[list[Weights]] = [[] for _ in sounds]
    step = media.edge(3) * 2
    for begin in range(0, max(map(len, sounds)), step):
        left = [i for i, pcm in enumerate(sounds) if begin < len(pcm)]
        jobs = [
            Animate(1, sounds[i][begin : begin + step], None, begin + step >= len(sounds[i]), 0.0)
            for i in left
        ]
        moved = move([Move(together[i], job) for i, job in zip(left, jobs, strict=True)])
        assert [each.last for each in moved] == [job.last for job in jobs]
        for i, each in zip(left, moved, strict=True):
            parts[i].append(each.weights)
    alone[2] = faces.open(media, 2, timed=True).feed(sounds[2], None, True)
    for rows, wanted in zip(parts, alone, strict=True):
        np.testing.assert_allclose(np.concatenate(rows), wanted, atol=1e-5)


def test_an_engine_that_fails_for_many_leaves_each_a_neutral_face() -> None:
    class Broken(NetEngine):
        def feed_all(self, streams: object, pieces: object) -> list[Weights]:
            raise RuntimeError("no")

    media = Media()
    model = files("visavis.faces").joinpath(MODEL).read_bytes()
    faces = Faces(Broken(model), engine("phonemes"), life=False)
    jobs = [
        Move(faces.open(media, i, timed=False), Animate(i, voice(0.2, 24_000), None, True, 0.0))
        for i in (1, 2)
    ]
    for each in move(jobs):
        np.testing.assert_array_equal(each.weights, neutral(6))
    assert faces.figures()["errors"] == 2


def test_one_that_an_engine_fails_among_many_is_alone_neutral() -> None:
    class Broken(NetEngine):
        def feed_all(self, streams: Sequence[Any], pieces: Sequence[tuple[bytes, bool]]) -> list[Weights]:
            first, *others = super().feed_all(streams, pieces)
            return [np.full_like(first, np.nan), *(2 + weights for weights in others)]

    model = files("visavis.faces").joinpath(MODEL).read_bytes()
    faces = Faces(Broken(model), engine("phonemes"), life=False)
    opened = [faces.open(Media(), i, timed=False) for i in range(3)]
    job = Animate(1, voice(0.2, 24_000), None, True, 0.0)
    found = [each.weights for each in move([Move(face, job) for face in opened])]
    for weights, value in zip(found, (0, 1, 1), strict=True):
        np.testing.assert_array_equal(weights, np.full((6, COUNT), value))
    assert faces.figures()["errors"] == 1
