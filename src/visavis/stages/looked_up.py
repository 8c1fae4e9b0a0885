"""What was looked up, in words for a language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from visavis.events import Source
from visavis.stages import Message

FOUND = "This was looked up for the question. Use what answers it; if nothing does, say that you do not know."

RECENT = 2
"""Messages of the user before a question with which it may go on."""


def said_before(messages: Sequence[Message]) -> list[str]:
    """What the user said before the last message, oldest first."""
    return [message.text for message in messages[:-1] if message.role == "user"][-RECENT:]


def told(messages: Sequence[Message], passages: tuple[Source, ...]) -> list[Message]:
    """The messages with what was looked up for the last one, also in the instructions unless it is there."""
    *before, last = messages
    last = replace(last, passages=passages)
    system = before.pop(0).text if before and before[0].role == "system" else ""
    new = [source for source in passages if source.excerpt not in system]
    if not new:
        return [*messages[:-1], last]
    texts = [f"# {source.title}\n{source.excerpt}" for source in new]
    instructions = "\n\n".join([system, FOUND, *texts]).lstrip()
    return [Message("system", instructions), *before, last]
