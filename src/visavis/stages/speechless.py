"""What the demo brain says in a language for which it has no replies: that it has none."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from visavis.events import ToolCall
from visavis.stages import Message
from visavis.tools import Tool

SENTENCES = {
    "de": "Ich bin nur eine kleine Demo und spreche nur Englisch und ein wenig Polnisch. Verbinde mich mit "
    "einem echten Sprachmodell, dann können wir uns auf Deutsch unterhalten.",
    "es": "Solo soy una pequeña demo y únicamente hablo inglés y un poco de polaco. Conéctame a un modelo de "
    "lenguaje de verdad y podremos hablar en español.",
    "fr": "Je ne suis qu'une petite démo et je ne parle qu'anglais et un peu polonais. Connectez-moi à un "
    "vrai modèle de langage et nous pourrons parler en français.",
    "it": "Sono solo una piccola demo e parlo soltanto inglese e un po' di polacco. Collegami a un vero "
    "modello linguistico e potremo parlare in italiano.",
}
ENGLISH = (
    "I am only a small demo and speak nothing but English and a little Polish. "
    "Connect a real language model to me."
)


class Speechless:
    """The engine of a conversation in a language without replies; it needs no model."""

    def __init__(self, language: str) -> None:
        self._sentence = SENTENCES.get(language, ENGLISH)

    async def reply(
        self, messages: Sequence[Message], tools: Sequence[Tool] = ()
    ) -> AsyncGenerator[str | ToolCall, None]:
        yield self._sentence
