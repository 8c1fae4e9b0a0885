"""Emotion tags in an agent's text: `[smile]` before a word says with which face that word is spoken."""

from __future__ import annotations

import re

from visavis.events import EmotionName

_WORDS: dict[EmotionName, str] = {
    "neutral": "neutral calm calmly serious seriously",
    "joy": "joy joyful smile smiles smiling happy happily laugh laughs laughing laughter grin grins chuckle"
    " chuckles amused cheerful excited",
    "sadness": "sadness sad sadly sorry sigh sighs sorrow cry cries crying",
    "surprise": "surprise surprised wow gasp gasps amazed astonished",
    "anger": "anger angry angrily annoyed mad frown frowns",
    "doubt": "doubt doubtful doubtfully sceptical skeptical confused hmm unsure",
}
MEANINGS: dict[str, EmotionName] = {word: name for name, words in _WORDS.items() for word in words.split()}
"""What may stand in a tag, in lower case -> the emotion it means."""

_TAG = re.compile(rf"\[({'|'.join(MEANINGS)})\]", re.I)
_MARKED = re.compile(rf"\s*({_TAG.pattern.replace('(', '(?:', 1)})([.,!?;:…]+)", re.I)
"""A tag before a punctuation mark, which belongs to the word before the tag."""


def read(text: str) -> tuple[list[str], dict[int, EmotionName]]:
    """The words of `text` without its tags, and the emotions by the index of the word that follows each.

    An index of `len(words)` means that no word follows yet. Brackets around anything that is not in
    `MEANINGS` are ordinary text. Of several tags before one word the last counts.
    """
    if "[" not in text:
        return text.split(), {}
    first, *rest = _TAG.split(_MARKED.sub(r"\2 \1", text))
    words = first.split()
    emotions: dict[int, EmotionName] = {}
    for tag, after in zip(rest[::2], rest[1::2], strict=True):
        emotions[len(words)] = MEANINGS[tag.lower()]
        words += after.split()
    return words, emotions
