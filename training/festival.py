"""Festival, an engine for tests only, and the recordings of one of its voices, which are trained on."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import ClassVar

import numpy as np
from scipy.io import wavfile
from scipy.signal import resample_poly

from training.speech import ARPABET, RATE, SILENCE, Utterance, utterance
from training.texts import TEST_EVERY
from visavis.events import Phoneme

_PAUSES = frozenset({"#", "##", "pau", "_"})
_SYMBOLS = {
    "it": {"E": "ɛ", "O": "ɔ", "S": "ʃ", "Z": "ʒ", "tS": "tʃ", "dZ": "dʒ", "J": "ɲ", "L": "ʎ", "ng": "ŋ",
           "nf": "ɱ"},
    "ca": {"ax": "ə", "E": "ɛ", "O": "ɔ", "S": "ʃ", "Z": "ʒ", "J": "ɲ", "L": "ʎ", "rr": "r"},
    "fi": {"@": "æ", "7": "ø", "&": "æ", "T": "θ", "D": "ð", "N": "ŋ", "S": "ʃ", "Z": "ʒ", "L": "ʎ"},
    "cs": {"c": "ts", "c~": "tʃ", "ch": "x", "d~": "ɟ", "dz~": "dʒ", "n~": "ɲ", "n*": "ŋ", "r~": "r",
           "r~*": "r", "s~": "ʃ", "t~": "c", "z~": "ʒ"},
    "ru": {"ae": "ɪ", "ay": "ə", "ur": "ʊ", "y": "ɨ", "c": "ts", "ch": "tɕ", "sh": "ʂ", "sch": "ɕ", "zh": "ʐ",
           "h": "x", "e": "ɛ"},
    "hi": {"a": "ʌ", "aa": "a", "ih": "ɪ", "iy": "i", "uh": "ʊ", "uw": "u", "eh": "ɛ", "ee": "e", "ay": "ɛ",
           "oh": "o", "oo": "o", "aw": "ɔ", "ch": "tʃ", "T": "ʈ", "D": "ɖ", "N": "ɳ", "th": "t", "dh": "d",
           "y": "j", "L": "ɭ", "R": "ɽ", "sh": "ʃ", "j": "dʒ", "ksh": "kʃ", "sri": "ʃri", "kh": "k",
           "gh": "ɡ", "td": "d",
           "tth": "ʈ", "ddh": "ɖ", "bh": "b", "zh": "ʒ", "@": "ə"},
    "en": ARPABET,
}  # fmt: skip
"""Symbols of its languages that are not those of IPA."""


class Festival:
    """Festival (BSD-like; its voices free, some GPL): recorded speech cut and joined again, in six languages.
    It is never trained on."""

    languages: ClassVar = {"en": 1.0, "it": 1.0, "cs": 1.0, "hi": 1.0, "fi": 1.0, "ca": 1.0}
    name = "festival"
    _voices: ClassVar = {
        "en": ("ascii", "ked_diphone"),
        "it": ("iso-8859-15", "lp_diphone", "pc_diphone"),
        "cs": ("iso-8859-2", "czech_machac", "czech_dita", "czech_krb", "czech_ph"),
        "hi": ("utf-8", "hindi_NSK_diphone"),
        "fi": ("iso-8859-1", "suo_fi_lj_diphone", "hy_fi_mv_diphone"),
        "ca": ("iso-8859-15", "upc_ca_ona_hts"),
    }
    _script = """(voice_{voice})
(set! said (eval (list 'Utterance 'Text "{text}")))
(utt.synth said)
(utt.save.wave said "{out}.wav")
(utt.save.segs said "{out}.times")
"""

    def __init__(self, cache: Path, test: bool) -> None:
        if not test:
            raise ValueError("Festival is for tests only.")

    def speak(self, text: str, language: str, random: Random) -> Iterator[Utterance]:
        encoding, *voices = self._voices[language]
        voice = random.choice(voices)
        plain = re.sub(r"[\"\\()]", " ", text).encode(encoding, "ignore").decode(encoding)
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "said"
            script = out.with_suffix(".scm")
            script.write_bytes(self._script.format(voice=voice, text=plain, out=out).encode(encoding))
            subprocess.run(["festival", "-b", str(script)], check=True, capture_output=True)
            times = out.with_suffix(".times").read_text().splitlines()
            rate, samples = wavfile.read(out.with_suffix(".wav"))
        phonemes, begin = [], 0.0
        for line in times[1:]:
            end, _, symbol = line.split()
            plain, stress = _sound(symbol, language)
            phonemes.append(Phoneme(plain, begin, float(end), stress))
            begin = float(end)
        wave = resample_poly(samples.astype(np.float32) / 32768, RATE // 1000, rate // 1000)
        found = utterance(wave.astype(np.float32), phonemes, language, f"festival:{voice}")
        if found:
            yield found


class Recorded:
    """620 sentences that a man read in Russian, with the times of their phonemes: the recordings from which
    Festival's voice msu_ru_nsh_clunits is cut (BSD-like). Every tenth is for tests only."""

    languages: ClassVar = {"ru": 1.0}
    name = "recorded"

    def __init__(self, cache: Path, test: bool) -> None:
        self._root = cache / "debian/usr/share/festival/voices/russian/msu_ru_nsh_clunits"
        names = sorted(file.stem for file in (self._root / "lab").glob("*.lab"))
        self._names = [name for index, name in enumerate(names) if (index % TEST_EVERY == 0) == test]

    def speak(self, text: str, language: str, random: Random) -> Iterator[Utterance]:
        name = random.choice(self._names)
        rate, samples = wavfile.read(self._root / f"wav/{name}.wav")
        phonemes, begin = [], 0.0
        for line in (self._root / f"lab/{name}.lab").read_text().splitlines()[1:]:
            end, _, symbol = line.split()[:3]
            plain, stress = _sound(symbol, language)
            phonemes.append(Phoneme(plain, begin, float(end), stress))
            begin = float(end)
        wave = resample_poly(samples.astype(np.float32) / 32768, RATE // 1000, rate // 1000)
        found = utterance(wave.astype(np.float32), phonemes, language, f"recorded:{self._root.name}")
        if found:
            yield found


def _sound(symbol: str, language: str) -> tuple[str, int]:
    """A symbol's IPA and stress: 1 after a vowel marks stress, in Russian a doubled vowel does, and a doubled
    consonant is palatalised."""
    if symbol in _PAUSES:
        return SILENCE, 0
    if symbol in _SYMBOLS[language]:
        return _SYMBOLS[language][symbol], 0
    doubled = language == "ru" and len(symbol) == 2 and symbol[0] == symbol[1]
    plain = symbol[0] if doubled else symbol.rstrip("1:")
    stressed = symbol.endswith("1") or (doubled and plain in "aeiouy")
    return _SYMBOLS[language].get(plain, plain), 2 if stressed else 0
