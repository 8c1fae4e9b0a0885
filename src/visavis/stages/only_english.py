"""What the demo brain says in a language that it does not speak: that it does not."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from visavis.stages import Message

SENTENCES = {
    "de": "Ich bin nur eine kleine Demo und spreche nur Englisch. Verbinde mich mit einem echten "
    "Sprachmodell, dann können wir uns auf Deutsch unterhalten.",
    "es": "Solo soy una pequeña demo y únicamente hablo inglés. Conéctame a un modelo de lenguaje de verdad "
    "y podremos hablar en español.",
    "fr": "Je ne suis qu'une petite démo et je ne parle qu'anglais. Connectez-moi à un vrai modèle de "
    "langage et nous pourrons parler en français.",
    "it": "Sono solo una piccola demo e parlo soltanto inglese. Collegami a un vero modello linguistico "
    "e potremo parlare in italiano.",
    "pl": "Jestem tylko małą wersją demonstracyjną i mówię tylko po angielsku. Podłącz prawdziwy model "
    "językowy, a porozmawiamy po polsku.",
}
ENGLISH = "I am only a small demo and speak nothing but English. Connect a real language model to me."


class OnlyEnglish:
    """The engine of a conversation in another language than English; it needs no model."""

    def __init__(self, language: str) -> None:
        self._sentence = SENTENCES.get(language.split("-")[0], ENGLISH)

    async def reply(self, messages: Sequence[Message]) -> AsyncGenerator[str, None]:
        yield self._sentence
