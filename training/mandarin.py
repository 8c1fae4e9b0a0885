"""Pinyin with tone numbers -> the phonetic alphabet that Kokoro was trained on."""

from __future__ import annotations

import re

_INITIALS = {
    "zh": "ꭧ", "ch": "ꭧʰ", "sh": "ʂ", "b": "p", "p": "pʰ", "m": "m", "f": "f", "d": "t", "t": "tʰ", "n": "n",
    "l": "l", "g": "k", "k": "kʰ", "h": "x", "j": "ʨ", "q": "ʨʰ", "x": "ɕ", "r": "ɻ", "z": "ʦ", "c": "ʦʰ",
    "s": "s",
}  # fmt: skip
_FINALS = {
    "a": "a", "ai": "ai", "ao": "au", "an": "an", "ang": "aŋ", "e": "ɤ", "ei": "ei", "en": "ən", "eng": "əŋ",
    "er": "əɻ", "i": "i", "ia": "ja", "ie": "je", "iao": "jau", "iu": "jou", "ian": "jɛn", "in": "in",
    "iang": "jaŋ", "ing": "iŋ", "iong": "jʊŋ", "o": "wo", "ong": "ʊŋ", "ou": "ou", "u": "u", "ua": "wa",
    "uo": "wo", "uai": "wai", "ui": "wei", "uan": "wan", "un": "wən", "uang": "waŋ", "ueng": "wəŋ", "v": "y",
    "ve": "ɥe", "van": "ɥɛn", "vn": "yn",
}  # fmt: skip
_TONES = {"1": "→", "2": "↗", "3": "↓", "4": "↘", "5": ""}
_BUZZED = frozenset({"zh", "ch", "sh", "r", "z", "c", "s"})
"""Initials after which the final i is no i but the consonant going on."""
# Spelling without an initial, and u after j, q, x, y, which is ü.
_SPELLINGS = (
    (r"^y(u|v)", "v"), (r"^yi", "i"), (r"^you", "iu"), (r"^y", "i"), (r"^wu", "u"), (r"^wei", "ui"),
    (r"^wen$", "un"), (r"^w", "u"), (r"^([jqx])u", r"\1v"),
)  # fmt: skip


def sounds(pinyin: str) -> str:
    """What syllables like "ni3 hao3" sound like; other signs than syllables stay as they are."""
    return re.sub(r"([a-zü]+)([1-5])", lambda found: _syllable(found[1], found[2]), pinyin).replace(" ", "")


def _syllable(letters: str, tone: str) -> str:
    plain = letters.replace("ü", "v")
    for spelling, regular in _SPELLINGS:
        plain, changed = re.subn(spelling, regular, plain)
        if changed:
            break
    initial = next((sign for sign in _INITIALS if plain.startswith(sign)), "")
    final = plain[len(initial) :]
    vowel = "ɨ" if final == "i" and initial in _BUZZED else _FINALS.get(final, "ə")
    return _INITIALS.get(initial, "") + vowel + _TONES[tone]
