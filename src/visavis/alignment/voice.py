"""Whose speech a transcript is found by."""

from __future__ import annotations

from visavis.errors import ConfigurationError, VisavisError
from visavis.settings import EspeakSettings, Settings
from visavis.stages import TextToSpeech, tts_espeak
from visavis.stages.espeak_library import INSTALL

_NAMES = {"zh": "cmn-latn-pinyin", "cmn": "cmn-latn-pinyin"}
"""espeak-ng's other voice of Mandarin reads the digits of tones in English."""


def voice_of(language: str) -> TextToSpeech:
    """A voice that knows when its phonemes sound: our own for English, espeak-ng's for other languages.

    Raises `VisavisError` when there is none.
    """
    name = language.strip().lower()
    if name.split("-")[0] == "en":
        from visavis.stages import tts_hibari  # here, for it takes a second

        return tts_hibari.load(Settings())
    try:
        return tts_espeak.load(Settings(espeak=EspeakSettings(voice=_NAMES.get(name.split("-")[0], name))))
    except ConfigurationError as error:
        raise VisavisError(
            "NO_VOICE",
            f"There is no voice for {language!r}, which it takes to find a text in a recording; for every "
            f"language but English it is one of espeak-ng's. {INSTALL}; espeak-ng --voices lists them.",
        ) from error
