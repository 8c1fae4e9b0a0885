"""Recordings that callers send in a request: any audio or video, or raw PCM16, as mono PCM16."""

from __future__ import annotations

import io
import re
from pathlib import Path

from visavis.audio import BYTES, Resampler, to_pcm
from visavis.errors import VisavisError
from visavis.media_files import open_sound

LONGEST = 120.0
"""Seconds of one utterance."""
MAX_BYTES = 25 << 20
RATES = range(8_000, 192_001)
"""Hz that raw PCM may have."""
_RAW = re.compile(r"audio/(pcm|l16|raw)$")
_NAME = Path("The recording")


def decoded(body: bytes, content_type: str, rate: int) -> bytes:
    """The sound of `body` as PCM16 at `rate` Hz; blocking.

    Raw PCM16 is `audio/pcm` or `audio/L16` with `;rate=` (`rate` Hz without). Everything else is recognised
    by what is in it. Raises `VisavisError`: NO_SOUND, BAD_SOUND, TOO_LONG, or NOT_MEDIA.
    """
    if not body:
        raise VisavisError("NO_SOUND", "The request has no sound in it: send the recording as its body.")
    kind, _, parameters = content_type.lower().partition(";")
    return _raw(body, parameters, rate) if _RAW.match(kind.strip()) else _file(body, rate)


def _raw(body: bytes, parameters: str, rate: int) -> bytes:
    given = re.search(r"\brate=(\d{1,6})\b", parameters)
    source = int(given[1]) if given else rate
    if source not in RATES:
        raise VisavisError("NOT_MEDIA", f"rate={source}: expected {RATES[0]} to {RATES[-1]} Hz.")
    if len(body) % BYTES:
        raise VisavisError("NOT_MEDIA", "PCM16 audio must have an even number of bytes.")
    if len(body) > LONGEST * source * BYTES:
        raise _too_long()
    return Resampler(source, rate)(body, last=True)


def _file(body: bytes, rate: int) -> bytes:
    sound: list[bytes] = []
    with open_sound(_NAME, io.BytesIO(body)) as file:
        resampler = Resampler(file.rate, rate)
        room = LONGEST * file.rate
        for piece in file.pieces():
            room -= len(piece)
            if room < 0:
                raise _too_long()
            sound.append(resampler(to_pcm(piece)))
        sound.append(resampler(b"", last=True))
    return b"".join(sound)


def _too_long() -> VisavisError:
    return VisavisError("TOO_LONG", f"The recording is longer than {LONGEST:g} s.")
