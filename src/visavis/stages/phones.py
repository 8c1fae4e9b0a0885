"""Timed pieces of synthesised speech: symbols made phones, silence trimmed, words found in them. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from visavis.audio import to_pcm
from visavis.events import Phoneme, Word
from visavis.stages import Speech
from visavis.stages.ipa import LETTERS, PAUSES, STRESS, known

Wave = NDArray[np.float32]

SPEECH_RATE = 24_000
"""Hz of all speech that is handled here."""
LEAD, TAIL = 0.02, 0.12
"""Seconds of silence kept before speech and after it."""
PAUSE = 0.30
"""Seconds of silence between sentences."""
LONGEST_TEXT = 5_000
"""Characters of a text that are spoken, about five minutes of speech."""
KNEE = 0.6
"""Above this amplitude the limiter bends the wave instead of clipping it."""
BLOCK = 120
"""Samples in one step (5 ms) of the loudness curve that finds silence."""
FLOOR = 32.0
"""Decibels below the loud parts (90th percentile) at which a pause begins."""
LEVEL = 10 ** (-18 / 20)
"""RMS of the loud parts; voices differ by more than 10 dB."""
MOST_GAIN = 10 ** (20 / 20)
HUSH = 0.08
"""Seconds of silence at the end of a phoneme that count as a pause and not as part of it."""
SILENCE = "sil"


class Phone(NamedTuple):
    """A stretch of sound: IPA or "sil", seconds, stress 0-2, and the written word it belongs to (or -1)."""

    symbol: str
    start: float
    end: float
    stress: int
    owner: int


def speech_of(text: str, passages: Iterable[tuple[Wave, list[Phone]]], gain: float) -> Speech:
    """`text` whose passages sound so, one after the other, `gain` times louder; empty without sound.

    The phones of each passage tile its wave.
    """
    waves: list[Wave] = []
    phones: list[Phone] = []
    samples = 0
    parts = list(passages)
    for number, part in enumerate(parts, 1):
        wave, found = trim(*part, TAIL if number == len(parts) else PAUSE)
        begin = samples / SPEECH_RATE
        phones += (phone._replace(start=phone.start + begin, end=phone.end + begin) for phone in found)
        waves.append(wave)
        samples += len(wave)
    if not samples:
        return Speech(b"", (), ())
    return Speech(
        to_pcm(louder(np.concatenate(waves), gain)),
        tuple(words_of(text.split(), phones)),
        tuple(Phoneme(phone.symbol, phone.start, phone.end, phone.stress) for phone in joined(phones)),
    )


def phones_of(
    symbols: Sequence[str], owners: Sequence[int], durations: NDArray[np.float64], wave: Wave, lag: float
) -> list[Phone]:
    """Phones that tile the wave, from a network's symbols and their durations in seconds.

    A stress mark has a duration of its own and belongs to the vowel after it; a space, a length mark and
    whatever the face does not know belong to the phone before. A long silence at the end of a phoneme becomes
    "sil". `lag`: seconds by which the durations run behind the sound.
    """
    total = len(wave) / SPEECH_RATE
    edges = np.clip(np.concatenate([[0.0], np.cumsum(durations)]) - lag, 0.0, total)
    edges[-1] = total
    level = loudness(wave)
    phones = [Phone(SILENCE, 0.0, 0.0, 0, -1)]
    begin, stress = 0.0, 0  # of the phone that the marks so far belong to
    for symbol, owner, end in zip(symbols, owners, edges[1:].tolist(), strict=True):
        if symbol in STRESS:
            stress = STRESS[symbol]
            continue
        if end <= begin:
            continue
        if symbol in PAUSES or symbol in ("<s>", "</s>"):
            phones.append(Phone(SILENCE, begin, end, 0, -1))
        elif face := _face_symbol(symbol):
            phones.append(Phone(face, begin, end, stress, owner))
        else:
            phones[-1] = phones[-1]._replace(end=end)
        begin, stress = end, 0
    return [part for phone in phones if phone.end > phone.start for part in _without_hush(phone, level)]


def _face_symbol(symbol: str) -> str:
    """What the face is told; empty for what only changes the sound before."""
    if symbol == " " or unicodedata.category(symbol[0]) in ("Mn", "Lm"):
        return ""
    return known(LETTERS.get(symbol, symbol))


def _without_hush(phone: Phone, level: NDArray[np.float64]) -> list[Phone]:
    """The phone, and the silence at its end as a phone of its own."""
    if phone.symbol == SILENCE or phone.end - phone.start < 2 * HUSH:
        return [phone]
    first = int(phone.start * SPEECH_RATE) // BLOCK
    loud = np.flatnonzero(level[first : int(phone.end * SPEECH_RATE) // BLOCK] > -FLOOR)
    last = phone.start + 0.04 if not len(loud) else (first + int(loud[-1]) + 1) * BLOCK / SPEECH_RATE
    if phone.end - last < HUSH:
        return [phone]
    return [phone._replace(end=last), Phone(SILENCE, last, phone.end, 0, -1)]


def loudness(wave: Wave) -> NDArray[np.float64]:
    """Decibels relative to the loud parts (their 90th percentile), one value a `BLOCK`."""
    blocks = wave[: len(wave) // BLOCK * BLOCK].reshape(-1, BLOCK).astype(np.float64)
    level = 10 * np.log10(np.mean(blocks**2, axis=1) + 1e-12)
    result: NDArray[np.float64] = level - np.percentile(level, 90) if len(level) else level
    return result


def trim(wave: Wave, phones: list[Phone], tail: float) -> tuple[Wave, list[Phone]]:
    """Keep `LEAD` seconds before the first sound and `tail` after the last, in the wave and the times."""
    loud = np.flatnonzero(loudness(wave) > -FLOOR - 8)  # 8 dB more, so that a soft h or f is not cut
    if not len(loud):
        return wave[:0], []
    start = max(0, int(loud[0]) * BLOCK - round(LEAD * SPEECH_RATE))
    stop = min(len(wave), (int(loud[-1]) + 1) * BLOCK + round(tail * SPEECH_RATE))
    length = (stop - start) / SPEECH_RATE
    kept = [
        phone._replace(
            start=min(max(phone.start - start / SPEECH_RATE, 0.0), length),
            end=min(max(phone.end - start / SPEECH_RATE, 0.0), length),
        )
        for phone in phones
    ]
    return wave[start:stop], [phone for phone in kept if phone.end > phone.start]


def joined(phones: list[Phone]) -> Iterator[Phone]:
    """The phones with neighbouring silences made one, each beginning exactly where the one before ends."""
    pending: Phone | None = None
    for phone in phones:
        if pending and pending.symbol == SILENCE == phone.symbol:
            pending = pending._replace(end=phone.end)
            continue
        if pending:
            yield pending
            phone = phone._replace(start=pending.end)
        pending = phone
    if pending:
        yield pending


def words_of(written: list[str], phones: list[Phone]) -> Iterator[Word]:
    """The written words with the time their phones take; a word without sound takes none."""
    spans: dict[int, tuple[float, float]] = {}
    for phone in phones:
        if phone.owner >= 0:
            start, _ = spans.get(phone.owner, (phone.start, 0.0))
            spans[phone.owner] = (start, phone.end)
    at = 0.0
    for index, text in enumerate(written):
        start, at = spans.get(index, (at, at))
        yield Word(text, start, at)


def louder(wave: Wave, gain: float) -> Wave:
    """`gain` times louder, bent smoothly above `KNEE` so that nothing clips."""
    wave = wave * np.float32(gain)
    over = np.abs(wave) - KNEE
    bent = np.sign(wave) * (KNEE + (1 - KNEE) * np.tanh(np.maximum(over, 0) / (1 - KNEE)))
    result: Wave = np.where(over > 0, bent, wave).astype(np.float32)
    return result


def levelled(wave: Wave) -> Wave:
    """`wave` so much louder or softer that its loud parts are at `LEVEL`."""
    loud = np.repeat(loudness(wave) > -FLOOR, BLOCK)
    power = float(np.mean(wave[: len(loud)][loud].astype(np.float64) ** 2)) if loud.any() else 0.0
    gain = min(LEVEL / np.sqrt(power), MOST_GAIN) if power > 0 else 1.0
    result: Wave = wave * np.float32(gain)
    return result
