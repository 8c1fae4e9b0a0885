"""Sound of an agent that is far ahead of what is heard: collected, since a large piece costs what a small one
does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from visavis import events as ev

MORE = 0.25
"""Seconds that a piece may wait for others."""
MOST = 256 * 1024
"""Bytes of them."""


class Supply:
    """What one agent has sent and nobody needs yet; all pieces are of one reply."""

    def __init__(self, feed: Callable[[ev.ReplyAudio], None]) -> None:
        self._feed = feed
        self._held: list[ev.ReplyAudio] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None

    def take(self, piece: ev.ReplyAudio) -> None:
        """Hold a piece without phonemes, for `MORE` seconds at most."""
        if self._held and self._held[0].reply != piece.reply:
            self.give()
        self._held.append(piece)
        self._size += len(piece.pcm)
        if self._size > MOST:
            self.give()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(MORE, self.give)

    def give(self) -> None:
        """Feed what is held, in one piece."""
        if self._timer is not None:
            self._timer.cancel()
        held, self._held, self._size, self._timer = self._held, [], 0, None
        if not held:
            return
        words = tuple(word for piece in held for word in piece.words)
        self._feed(ev.ReplyAudio(held[0].reply, b"".join([piece.pcm for piece in held]), words))
