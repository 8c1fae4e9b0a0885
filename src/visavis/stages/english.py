"""English text in the alphabet of hibari and Kokoro, with the pronunciation that hibari's package brings."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import hibari
from hibari.g2p import G2P
from hibari.g2p.normalize import normalize

from visavis.stages.passages import SpokenWord, breaths
from visavis.stages.spoken_text import align, speakable


class English:
    """The pronunciation of English, in symbols of `vocabulary`; calls may run on several threads."""

    def __init__(self, vocabulary: Collection[str], longest: int) -> None:
        self._g2p = G2P()
        self._vocabulary, self._longest = vocabulary, longest

    def passages(self, text: str) -> Iterator[list[SpokenWord]]:
        """What to say in one breath each: sentences, cut where they have more than `longest` symbols."""
        before = 0
        for line in text.splitlines():
            written = line.split()
            sentences = [self._pronounce(sentence) for sentence in _sentences(written)]
            spoken = [word for sentence in sentences for word, _ in sentence]
            owners = iter(align(written, spoken, _spoken_count))
            for sentence in sentences:
                words = [SpokenWord(symbols, before + next(owners)) for _, symbols in sentence]
                yield from breaths(words, self._longest)
            before += len(written)

    def _pronounce(self, sentence: str) -> list[tuple[str, str]]:
        """Each word of a normalised sentence with its symbols (those of the vocabulary)."""
        words: list[tuple[str, str]] = []
        text = symbols = ""
        for token in self._g2p.phonemize_tokens(self._g2p.tokenize(sentence)):
            text += token.text
            symbols += token.phonemes or ""
            if token.whitespace:
                words.append((text, self._known(symbols)))
                text = symbols = ""
        return [*words, (text, self._known(symbols))] if text else words

    def _known(self, symbols: str) -> str:
        return "".join(symbol for symbol in symbols if symbol in self._vocabulary).strip()


def _sentences(written: list[str]) -> list[str]:
    text = normalize(" ".join(filter(None, map(speakable, written))))
    sentences: list[str] = hibari.Hibari.split_sentences(text)
    return sentences


def _spoken_count(word: str) -> int:
    return len(normalize(speakable(word)).split())
