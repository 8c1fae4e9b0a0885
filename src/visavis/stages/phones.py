"""Timed pieces of synthesised speech: silence trimmed, phones joined, words found in them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from visavis.events import Word

Wave = NDArray[np.float32]

SPEECH_RATE = 24_000
"""Hz of all speech that is handled here."""
LEAD, TAIL = 0.02, 0.12
"""Seconds of silence kept before speech and after it."""
KNEE = 0.6
"""Above this amplitude the limiter bends the wave instead of clipping it."""
BLOCK = 120
"""Samples in one step (5 ms) of the loudness curve that finds silence."""
FLOOR = 32.0
"""Decibels below the loud parts (90th percentile) at which a pause begins."""
SILENCE = "sil"


class Phone(NamedTuple):
    """A stretch of sound: IPA or "sil", seconds, stress 0-2, and the written word it belongs to (or -1)."""

    symbol: str
    start: float
    end: float
    stress: int
    owner: int


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
    """The phones with neighbouring silences made one."""
    pending: Phone | None = None
    for phone in phones:
        if pending and pending.symbol == SILENCE == phone.symbol:
            pending = pending._replace(end=phone.end)
            continue
        if pending:
            yield pending
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
