"""What a conversation remembers, as much of it as a language model is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from visavis.languages import name_of
from visavis.stages import Message

CHARACTERS = 6_000
"""Most characters of the conversation that are kept, about 1,500 tokens."""


class Memory:
    """The last messages of one conversation, oldest first.

    User and assistant take turns: whatever one of them says in a row is one message. The oldest messages are
    forgotten beyond `limit` messages or `characters` characters; the last one is always kept, shortened at
    its beginning when it alone is too long.
    """

    def __init__(
        self, instructions: str, limit: int, characters: int = CHARACTERS, history: Sequence[Message] = ()
    ) -> None:
        self._system = Message("system", instructions)
        self._limit = limit
        self._characters = characters
        self._messages: list[Message] = []
        for message in history:
            if message.role in ("user", "assistant"):
                self._say(message.role, message.text)

    def user(self, text: str) -> None:
        """The user said `text`."""
        self._say("user", text)

    def assistant(self, text: str) -> None:
        """The assistant said `text`, or will have said it unless `cut` follows."""
        self._say("assistant", text)

    def cut(self, heard: str) -> None:
        """Only `heard` of the assistant's last message was heard; empty when nothing was."""
        if self._messages and self._messages[-1].role == "assistant":
            self._messages.pop()
            self.assistant(heard)

    def messages(self, language: str | None = None) -> list[Message]:
        """The instructions, when there are any, and what is remembered of the conversation.

        `language`: the code of the language to answer in, which then is one of the instructions.
        """
        told = self._system.text
        if language is not None:
            told = f"{told} Answer in {name_of(language)}.".strip()
        return [Message("system", told), *self._messages] if told else list(self._messages)

    def _say(self, role: Literal["user", "assistant"], text: str) -> None:
        text = text.strip()
        if not text:
            return
        if self._messages and self._messages[-1].role == role:
            text = f"{self._messages.pop().text} {text}"
        self._messages.append(Message(role, text[-self._characters :]))
        self._forget()

    def _forget(self) -> None:
        size = sum(len(message.text) for message in self._messages)
        while len(self._messages) > self._limit or size > self._characters:
            size -= len(self._messages.pop(0).text)
