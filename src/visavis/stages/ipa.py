"""The signs of the synthesisers' alphabets, as the face reads them. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from visavis.faces.viseme_table import SYMBOLS

LETTERS = {
    "A": "eɪ", "I": "aɪ", "O": "oʊ", "W": "aʊ", "Y": "ɔɪ", "Q": "əʊ", "ʤ": "dʒ", "ʧ": "tʃ", "T": "ɾ",
    "ᵊ": "ə", "ᵻ": "ɪ", "S": "ʃ", "ʦ": "ts", "ʣ": "dz", "ʨ": "tɕ", "ʥ": "dʑ",
}  # fmt: skip
"""One letter for a sound that IPA writes with two, and the like, in the alphabet of hibari and Kokoro."""
STRESS = {"ˌ": 1, "ˈ": 2}
PAUSES = frozenset('.,!?;:—…"“”()')
_NEAREST = {
    "ʲ": "j",
    "ʷ": "w",
    "ɧ": "ʃ",
    "ɺ": "ɾ",
    "ʟ": "l",
    "ɮ": "l",
    "ʛ": "ɡ",
    "ɠ": "ɡ",
    "ɓ": "b",
    "ɗ": "d",
}
"""Signs that the face does not know, and others that look like them."""


def known(symbol: str) -> str:
    """IPA with only the signs that the face knows, or others that look like them."""
    return "".join(_signs(symbol))


def _signs(symbol: str) -> Iterator[str]:
    for sign in unicodedata.normalize("NFC", symbol):
        for part in (sign, *unicodedata.normalize("NFD", sign)):
            if (near := _NEAREST.get(part, part)) in SYMBOLS:
                yield near
                break
