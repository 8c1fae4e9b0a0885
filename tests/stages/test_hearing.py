"""Pure parts of the stages that listen."""

from __future__ import annotations

import numpy as np
import pytest

from visavis.stages import LISTEN_RATE, Samples
from visavis.stages.asr_moonshine import _read_vocabulary
from visavis.stages.end_of_turn_smart_turn import HOP, WINDOW, _mel_filters, log_mel
from visavis.stages.pieces import LEAD, LONGEST_PIECE, SHORTEST_PIECE, pieces, without_lead


def tone(hertz: float, seconds: float, level: float = 0.5) -> Samples:
    time = np.arange(round(seconds * LISTEN_RATE)) / LISTEN_RATE
    return (level * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


# -- log-mel features -----------------------------------------------------------------------------------
def test_features_have_the_shape_and_range_of_the_network() -> None:
    features = log_mel(tone(440, 3.0))
    assert features.shape == (80, 800)
    assert features.dtype == np.float32
    assert features.max() - features.min() <= 2.0 + 1e-6


def test_features_do_not_depend_on_loudness() -> None:
    assert log_mel(tone(440, 8.0, 0.5)) == pytest.approx(log_mel(tone(440, 8.0, 0.05)), abs=1e-3)


def test_short_audio_is_at_the_end() -> None:
    features = log_mel(tone(440, 1.0))
    energy = features.max(axis=0)
    assert energy[-99:].min() > energy[: 800 - 102].max()


def test_only_the_last_eight_seconds_count() -> None:
    late = tone(700, 8.0)
    assert np.array_equal(log_mel(np.concatenate([tone(3_000, 2.0), late])), log_mel(late))


@pytest.mark.parametrize(("hertz", "band"), [(200.0, 4), (1_000.0, 26), (4_000.0, 62)])
def test_a_tone_is_in_its_band(hertz: float, band: int) -> None:
    """Slaney's scale: 80 bands to 8 kHz, 37.2 Hz apart below 1 kHz, logarithmic above."""
    assert abs(int(log_mel(tone(hertz, 8.0))[:, 400].argmax()) - band) <= 1


def test_mel_filters_have_equal_area() -> None:
    filters = _mel_filters()
    assert filters.shape == (201, 80)
    assert filters.min() == 0.0
    wide = filters[:, 50:].sum(axis=0) * LISTEN_RATE / 400  # enough bins for a sum to be an integral
    assert wide == pytest.approx(np.ones(30), abs=0.05)


def test_nothing_at_all_has_features() -> None:
    assert np.isfinite(log_mel(np.zeros(0, np.float32))).all()
    assert WINDOW // HOP == 800


# -- what is given to the recogniser --------------------------------------------------------------------
def test_leading_silence_is_shortened() -> None:
    audio = np.concatenate([np.zeros(LISTEN_RATE, np.float32), tone(300, 1.0)])
    assert len(without_lead(audio)) == pytest.approx(LISTEN_RATE + LEAD, abs=160)


def test_early_speech_is_kept_whole() -> None:
    audio = np.concatenate([np.zeros(LEAD // 2, np.float32), tone(300, 1.0)])
    assert np.array_equal(without_lead(audio), audio)


@pytest.mark.parametrize("level", [0.0, 1e-4])
def test_silence_is_dropped(level: float) -> None:
    assert len(without_lead(tone(300, 1.0, level))) == 0


def test_long_audio_is_cut_at_its_quietest_point() -> None:
    audio = tone(300, 40.0)
    for second in (11, 24):
        audio[round((second - 0.2) * LISTEN_RATE) : round((second + 0.2) * LISTEN_RATE)] = 0.0
    parts = list(pieces(audio))
    assert np.array_equal(np.concatenate(parts), audio)
    assert len(parts[0]) / LISTEN_RATE == pytest.approx(11, abs=0.2)
    assert len(parts[1]) / LISTEN_RATE == pytest.approx(13, abs=0.4)
    assert all(SHORTEST_PIECE <= len(part) <= LONGEST_PIECE for part in parts[:-1])


def test_short_audio_is_one_piece() -> None:
    assert [len(part) for part in pieces(tone(300, 14.9))] == [round(14.9 * LISTEN_RATE)]
    assert list(pieces(np.zeros(0, np.float32))) == []


def test_vocabulary_lengths_take_one_byte_or_two() -> None:
    assert _read_vocabulary(b"\x02ab\x00\x81\x01" + b"c" * 129) == [b"ab", b"", b"c" * 129]
