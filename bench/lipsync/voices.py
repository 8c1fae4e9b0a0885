"""Speech whose phoneme times are known: our own voice in many variants, and espeak-ng where it is installed.

espeak-ng is GPL: it is only looked for, never required, and nothing but measurements comes from it.
"""

from __future__ import annotations

import ctypes as c
import ctypes.util
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import soxr

from visavis.audio import to_float, to_pcm
from visavis.events import Phoneme
from visavis.stages import TextToSpeech

RATE = 24_000
SILENCE = 0.5
"""Seconds before every utterance: a mouth opens before its sound, and one that opens too early must show."""

SENTENCES = (
    "Maybe my mother bought a big apple pie. Papa, please bring Bob a warm blanket.",
    "Who moved the blue moon? Two new shoes would do, if you choose a smooth shoe.",
    "Far apart, the calm father parked a dark car. That man has a map in his hand.",
    "Hello, how are you today? I was hoping to hear about your plans for the summer.",
    "A bumpy boat went by the empty beach. Somebody put a lamp on top of the pump.",
    "What an odd problem: the room was full of soup, and nobody knew what to do!",
)
WORLD = {
    "en-us": "My mother buys apple pie. Who moved the blue moon? Far apart, the calm father parked a car.",
    "pl": "Moja mama ma małą małpę. Proszę, podaj mi buty i ubranie. Dobry wieczór, Barbara. Pada deszcz.",
    "de": "Mama malt ein buntes Bild. Du suchst Blumen, Obst und Brot. Bitte bring mir am Abend einen Apfel.",
    "es": "Mi mamá me mima mucho. Pablo busca una pluma azul. Buenos días, amigo. Hoy sopla el viento.",
    "fr": "Papa a bu un peu de soupe. Où vas-tu ce soir, Barbara ? Bonjour madame, voulez-vous une pomme ?",
    "it": "La mamma prepara una buona pappa. Tu bevi un po' d'uva. Buongiorno, Marco. Abbiamo una barca blu.",
    "pt": "Papai comprou uma bola para o bebê. A lua é muito bonita. Bom dia, Paula. Quer um pouco de sopa?",
    "sv": "Mamma målar en blå båt. Du får bullar och saft. God morgon, Bo. Boken ligger på bordet.",
}
"""Language of espeak-ng -> what is said in it."""
VARIANTS = ("", "+f2", "+m3")
"""Voices that espeak-ng derives from that of a language."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """PCM16 mono at `RATE` and its phonemes in seconds."""

    voice: str
    pcm: bytes
    phonemes: tuple[Phoneme, ...]


def resized(said: Utterance, factor: float, voice: str) -> Utterance:
    """The voice of a head `factor` times smaller: formants and pitch higher, speech faster by that much."""
    samples = soxr.resample(to_float(said.pcm), RATE * factor, RATE)
    moved = (replace(p, start=p.start / factor, end=p.end / factor) for p in said.phonemes)
    return Utterance(voice, to_pcm(samples), tuple(moved))


def rested(said: Utterance) -> Utterance:
    """The same after `SILENCE`."""
    moved = (replace(p, start=p.start + SILENCE, end=p.end + SILENCE) for p in said.phonemes)
    quiet = bytes(2 * round(SILENCE * RATE))
    return Utterance(said.voice, quiet + said.pcm, (Phoneme("sil", 0.0, SILENCE), *moved))


def hibari(speak: Callable[[float], TextToSpeech]) -> Iterator[Utterance]:
    """Every sentence in three voices; `speak` makes the voice of a speed."""
    for speed, factor in ((1.0, 1.0), (0.85, 1.18), (1.15, 0.88)):
        voice = speak(speed)
        name = f"hibari x{factor:g}, speed {speed:g}"
        for text in SENTENCES:
            said = voice(text)
            yield rested(resized(Utterance(name, said.pcm, said.phonemes or ()), factor, name))


def espeak() -> Iterator[Utterance]:
    """Sentences of all languages in `WORLD`; nothing when espeak-ng is not installed."""
    found = ctypes.util.find_library("espeak-ng")
    if found is None:
        return
    engine = _Espeak(found)
    for language, text in WORLD.items():
        for variant in VARIANTS:
            yield rested(engine(text, language, variant))


class _Id(c.Union):
    _fields_ = [("number", c.c_int), ("name", c.c_char_p), ("string", c.c_char * 8)]


class _Event(c.Structure):
    _fields_ = [
        ("type", c.c_int), ("uid", c.c_uint), ("text_position", c.c_int), ("length", c.c_int),
        ("audio_position", c.c_int), ("sample", c.c_int), ("user_data", c.c_void_p), ("id", _Id),
    ]  # fmt: skip


class _Espeak:
    """libespeak-ng: PCM and phoneme events (speak_lib.h)."""

    SYNCHRONOUS, PHONEME_EVENTS, IPA = 2, 1, 2
    END, PHONEME = 0, 7
    UTF8, RATE_PARAMETER, WORDS_A_MINUTE = 1, 1, 160

    def __init__(self, library: str) -> None:
        self._library = c.CDLL(library)
        self._rate = int(
            self._library.espeak_Initialize(self.SYNCHRONOUS, 300, None, self.PHONEME_EVENTS | self.IPA)
        )
        if self._rate <= 0:
            raise OSError(f"{library} has no voices; is espeak-ng-data installed?")
        self._pieces: list[np.ndarray] = []
        self._starts: list[tuple[float, str]] = []
        kind = c.CFUNCTYPE(c.c_int, c.POINTER(c.c_short), c.c_int, c.POINTER(_Event))
        self._callback = kind(self._take)  # kept alive as long as the library may call it
        self._library.espeak_SetSynthCallback(self._callback)

    def _take(self, wave: c._Pointer[c.c_short], count: int, events: c._Pointer[_Event]) -> int:
        if count > 0 and wave:
            self._pieces.append(np.ctypeslib.as_array(wave, (count,)).copy())
        at = 0
        while events[at].type != self.END:
            if events[at].type == self.PHONEME:
                symbol = bytes(events[at].id.string).split(b"\0")[0].decode(errors="replace")
                self._starts.append((events[at].audio_position / 1000, symbol))
            at += 1
        return 0

    def __call__(self, text: str, language: str, variant: str) -> Utterance:
        self._pieces.clear()
        self._starts.clear()
        if self._library.espeak_SetVoiceByName((language + variant).encode()) != 0:
            raise OSError(f"espeak-ng has no voice {language!r}; install all of its data.")
        self._library.espeak_SetParameter(self.RATE_PARAMETER, self.WORDS_A_MINUTE, 0)
        data = text.encode()
        self._library.espeak_Synth(data, len(data) + 1, 0, 1, 0, self.UTF8, None, None)
        samples = np.concatenate(self._pieces).astype(np.float32) / 32768
        end = len(samples) / self._rate
        sound = soxr.resample(samples, self._rate, RATE)
        ends = [start for start, _ in self._starts[1:]] + [end]
        phonemes = (
            Phoneme(_plain(symbol), start, stop)
            for (start, symbol), stop in zip(self._starts, ends, strict=True)
            if stop > start
        )
        return Utterance(f"espeak-ng {language}", to_pcm(sound), tuple(phonemes))


def _plain(symbol: str) -> str:
    """An espeak-ng phoneme's IPA without stress and length marks; "sil" for its pauses."""
    plain = "".join(sign for sign in symbol if unicodedata.category(sign) not in ("Mn", "Lm", "Sk"))
    return plain.strip("_:;ˈˌ' ") or "sil"
