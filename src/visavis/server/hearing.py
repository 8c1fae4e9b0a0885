"""A whole utterance, handed to a session as if it had just been spoken."""

from __future__ import annotations

import anyio
import anyio.lowlevel

from visavis import events as ev
from visavis.audio import BYTES
from visavis.server.talks import Talk

PIECE = 1.0
"""Seconds that are handed on at once."""


async def hear(talk: Talk, pcm: bytes, rate: int) -> int:
    """`pcm` is PCM16 at `rate` Hz. Like a typed message it interrupts whatever is being said or prepared; two
    at once would be one utterance. Returns the number of the turn that answers it."""
    session = talk.seat.session
    session.feed(ev.Interrupt())
    answer = session.next_turn
    session.feed(ev.MicOn(rate, hands_free=False))
    step = int(PIECE * rate) * BYTES
    for begin in range(0, len(pcm), step):
        session.feed(ev.UserAudio(pcm[begin : begin + step]))
        await anyio.lowlevel.checkpoint()  # the agent, and everybody else, has its turn
    session.feed(ev.MicOff())
    return answer
