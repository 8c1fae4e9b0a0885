"""The lip-sync scores, on curves whose scores are known."""

from __future__ import annotations

import re
import wave
from pathlib import Path

import numpy as np
import pytest
from bench.lipsync.clips import Clip, read_set
from bench.lipsync.gates import count
from bench.lipsync.plot import Chart, page
from bench.lipsync.scores import auc, best_lag, closures, correlated, correlation, curves_of, shifted
from bench.lipsync.tables import recordings, systems
from bench.lipsync.voices import Utterance, resized
from scipy.ndimage import gaussian_filter1d

from visavis.arkit import COUNT, INDEX, NAMES
from visavis.audio import to_pcm
from visavis.events import Phoneme
from visavis.faces.visemes import curves
from visavis.plugins import load
from visavis.settings import Settings

Curve = np.ndarray


def curve(seed: int, frames: int = 600) -> Curve:
    return gaussian_filter1d(np.random.default_rng(seed).standard_normal(frames), 2.0)


def sound(path: Path, seconds: float = 4.0, rate: int = 16_000) -> None:
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, round(seconds * rate))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(to_pcm(noise * np.sin(np.arange(len(noise)) / 2000) ** 2))


# -- figures -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("score", "expected"),
    [([1, 2, 3, 4], 1.0), ([4, 3, 2, 1], 0.0), ([1, 1, 1, 1], 0.5), ([1, 3, 2, 4], 0.75)],
)
def test_auc_counts_pairs(score: list[float], expected: float) -> None:
    assert auc(np.array(score, float), np.array([False, False, True, True])) == expected


@pytest.mark.parametrize("lag", [-3, 0, 2, 5])
def test_the_lag_of_a_system_is_found_and_taken_back(lag: int) -> None:
    truth = curve(0)
    told = np.roll(truth, lag)
    pairs = [(truth, told), (truth[:300], told[:250])]
    assert best_lag(pairs) == lag
    real, said = shifted(truth, told, lag)
    assert len(real) == len(truth) - abs(lag)
    np.testing.assert_array_equal(real, said)


def test_a_curve_that_does_not_move_correlates_with_nothing() -> None:
    assert correlation(curve(0), np.zeros(600)) == 0.0


def test_intervals_hold_the_value_and_shrink_with_more_speech() -> None:
    random = np.random.default_rng(0)

    def score(frames: int) -> tuple[float, float]:
        truth = curve(1, frames)
        found = correlated([(truth, truth + curve(2, frames))], 0, random)
        assert found is not None and found.low < found.value < found.high
        return found.value, found.high - found.low

    (short, wide), (long, narrow) = score(300), score(6000)
    assert long == pytest.approx(0.71, abs=0.05) and short == pytest.approx(0.71, abs=0.2)
    assert narrow < wide / 2


def test_closures_are_told_by_a_curve_that_follows_and_not_by_one_that_does_not() -> None:
    random, speech = np.random.default_rng(0), np.arange(600) % 100 < 80
    truth = curve(3)
    same = closures([(truth, 5 * truth + 1, speech)], 0, random)
    other = closures([(truth, curve(4), speech)], 0, random)
    assert same is not None and other is not None
    assert same.value == 1.0
    assert other.low < 0.5 < other.high
    assert closures([(truth[:10], truth[:10], speech[:10])], 0, random) is None


# -- sets --------------------------------------------------------------------------------------------------
def weights(frames: int) -> np.ndarray:
    face = np.random.default_rng(1).random((frames, COUNT)).astype(np.float32)
    face[:, INDEX["mouthClose"]] *= face[:, INDEX["jawOpen"]]
    return face


def test_curves_are_read_from_both_formats_at_any_frame_rate(tmp_path: Path) -> None:
    face = weights(60)
    for name in ("a", "b", "c"):
        sound(tmp_path / f"{name}.wav")
    np.savez(tmp_path / "a.npz", bs=face)
    lines = [",".join(f"{value:.8f}" for value in row) for row in face]
    titles = ",".join(name[0].upper() + name[1:] for name in NAMES)  # as Live Link Face writes them
    text = "\n".join([f"Timecode,{titles}", *(f"0,{line}" for line in lines)])
    (tmp_path / "b.csv").write_text(text)
    np.savez(tmp_path / "c.npz", gap=np.repeat(curve(0, 50), 2), fps=60.0)
    first, second, third = read_set(str(tmp_path), fps=30.0)
    for name in ("gap", "round", "jaw"):
        np.testing.assert_allclose(first.truth[name], curves_of(face)[name])
        np.testing.assert_allclose(second.truth[name], first.truth[name], atol=1e-6)
    assert set(third.truth) == {"gap"} and third.weights is None
    np.testing.assert_allclose(third.truth["gap"], curve(0, 50), atol=1e-6)
    assert [clip.name for clip in read_set(str(tmp_path / "b*"), 30.0)] == ["b"]
    assert len(first.pcm) == pytest.approx(4 * 48_000, abs=4)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "no WAV"),
        ({"a.wav": None}, "no curves"),
        ({"a.wav": None, "a.npz": {"jaw": np.zeros(9)}}, "neither"),
        ({"a.wav": None, "a.npz": {"bs": np.zeros((9, 7))}}, r"expected \[n, 52\]"),
    ],
)
def test_a_set_that_cannot_be_used_is_named(
    files: dict[str, dict[str, Curve] | None], reason: str, tmp_path: Path
) -> None:
    for name, arrays in files.items():
        if arrays is None:
            sound(tmp_path / name)
        else:
            np.savez(tmp_path / name, **arrays, allow_pickle=False)
    with pytest.raises(ValueError, match=reason) as error:
        read_set(str(tmp_path), 30.0)
    assert str(tmp_path) in str(error.value)


def test_a_resized_voice_keeps_its_phonemes_on_the_sound() -> None:
    click = np.zeros(24_000)
    click[12_000] = 0.9
    said = Utterance("a", to_pcm(click), (Phoneme("p", 0.5, 0.6),))
    small = resized(said, 1.25, "b")
    heard = np.abs(np.frombuffer(small.pcm, "<i2").astype(int))
    assert np.argmax(heard) / 24_000 == pytest.approx(0.4, abs=0.001)
    assert (small.phonemes[0].start, small.phonemes[0].end) == pytest.approx((0.4, 0.48))


# -- tables and charts -------------------------------------------------------------------------------------
def test_every_engine_stands_beside_the_baselines(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    np.savez(tmp_path / "a.npz", bs=weights(120))
    clips: dict[str, list[Clip]] = {"mine": read_set(str(tmp_path), 30.0)}
    engines = {name: load("faces", name, Settings()) for name in ("energy", "phonemes")}
    rows, charts = recordings(clips, engines)
    names = [row.split(" | ")[1] for row in rows]
    assert names == ["energy", "RMS of the sound", "shuffled truth", "zeros", "*measured*"]
    assert set(systems(engines)) == set(names[:-1]), "phonemes are not known here"
    assert {row.count("|") for row in rows} == {9}
    assert [(chart.title, list(chart.told)) for chart in charts] == [
        ("a, gap", ["energy"]),
        ("a, round", ["energy"]),
    ]


def test_charts_need_nothing_but_their_file() -> None:
    chart = Chart("a <b>", curve(0), {"net": curve(1), "x": np.zeros(600)}, (Phoneme("æ", 1.0, 1.2),))
    html = page([chart])
    assert "a &lt;b&gt;" in html and ">æ</text>" in html
    assert html.count("<polyline") == 3
    assert not re.search(r"https?:|src=|@import|nan", html)


def test_lips_that_meet_for_every_consonant_are_found_out() -> None:
    speech = [Phoneme(sign, 0.3 + 0.12 * i, 0.42 + 0.12 * i) for i, sign in enumerate("tanatamatalaka")]
    said = [Phoneme("sil", 0.0, 0.3), *speech]
    exact = curves(said, 70)
    shut = exact.copy()
    for phone in speech:
        if phone.symbol != "a":
            frames = slice(round(phone.start * 30), round(phone.end * 30))
            shut[frames, INDEX["mouthClose"]] = shut[frames, INDEX["jawOpen"]]
            shut[frames, INDEX["mouthLowerDownLeft"] : INDEX["mouthLowerDownRight"] + 1] = 0
            shut[frames, INDEX["mouthUpperUpLeft"] : INDEX["mouthUpperUpRight"] + 1] = 0
    assert count(said, exact).closed == count(said, shut).closed == [True]
    assert len(count(said, exact).parted) == 5 and all(count(said, exact).parted)
    assert not any(count(said, shut).parted)
