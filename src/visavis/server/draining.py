"""How a server stops: nobody new is let in, turns are spoken to their end, clients are sent elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import structlog

from visavis import events as ev
from visavis.server.sessions import Sessions

RESTART = (1012, "the server restarts; please connect again")
"""The close code after which clients connect again, to whichever server answers then."""
NOTICE = ev.Problem("SERVER_STOPPING", "The server is about to restart: this is its last answer.")
LOOK_SECONDS = 0.05


async def drained(sessions: Sessions, seconds: float, hurry: Callable[[], bool]) -> None:
    """End every session: at once when nobody waits for an answer in it, otherwise after the turn, but no
    later than in `seconds`, or when there is a `hurry`."""
    log = structlog.get_logger()
    sessions.draining = True
    answering = [seat for seat in sessions if seat.session.answering]
    log.info("draining", sessions=len(sessions), answering=len(answering), seconds=seconds)
    for seat in answering:
        seat.session.tell(NOTICE)
    with anyio.move_on_after(seconds):
        while len(sessions) and not hurry():
            for seat in sessions:
                if not seat.session.answering:
                    sessions.send_away(seat, *RESTART)
            await anyio.sleep(LOOK_SECONDS)
    cut = [seat for seat in sessions if seat.session.answering]
    for seat in sessions:
        sessions.send_away(seat, *RESTART)
    log.info("drained", cut=len(cut))
