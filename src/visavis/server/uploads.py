"""Recordings that callers send in a request: any audio or video, or raw PCM16, as mono PCM16."""

from __future__ import annotations

import io
import re
from pathlib import Path

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from visavis.audio import BYTES, Resampler, to_pcm
from visavis.errors import VisavisError
from visavis.media_files import open_sound

LONGEST = 120.0
"""Seconds of one utterance."""
MAX_BYTES = 25 << 20
"""Of one utterance, unless `limits.upload_megabytes` is less: it is in memory as a whole."""
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
        raise VisavisError("NO_SOUND", "The recording is empty.")
    kind, _, parameters = content_type.lower().partition(";")
    return _raw(body, parameters, rate) if _RAW.match(kind.strip()) else _file(body, rate)


def _raw(body: bytes, parameters: str, rate: int) -> bytes:
    given = re.search(r"\brate=([^;]*)", parameters)
    said = given[1].strip(' "') if given else str(rate)
    source = int(said) if re.fullmatch(r"[0-9]{1,6}", said) else 0
    if source not in RATES:
        raise VisavisError("NOT_MEDIA", f"rate={said[:20]}: expected {RATES[0]} to {RATES[-1]} Hz.")
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


async def recording(request: Request) -> tuple[bytes, str]:
    """The recording in a request, and what it says it is."""
    kind = request.headers.get("content-type", "")
    most = min(MAX_BYTES, request.app.state.settings.limits.upload_megabytes << 20)
    if kind.lower().startswith("multipart/form-data"):
        try:
            async with request.form(max_files=1, max_fields=10, max_part_size=most) as form:
                file = next((item for item in form.values() if isinstance(item, UploadFile)), None)
                if file is None:
                    raise VisavisError("NO_SOUND", "The form has no file in it.")
                body = await file.read(most + 1)
                kind = file.content_type or ""
        except HTTPException as error:
            raise VisavisError("BAD_FORM", f"The form cannot be read: {error.detail}") from None
    else:
        pieces = bytearray()
        async for piece in request.stream():
            pieces += piece
            if len(pieces) > most:
                break
        body = bytes(pieces)
    if len(body) > most:
        raise VisavisError("TOO_LARGE", f"A recording may have at most {most >> 20} MB.")
    return body, kind
