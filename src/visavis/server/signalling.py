"""How peers of a session find it: an offer, its answer, and the end (WHEP, without trickling)."""

from __future__ import annotations

from contextlib import ExitStack
from types import ModuleType
from typing import TYPE_CHECKING

import anyio.to_thread
from fastapi import Request

from visavis import events as ev
from visavis.errors import VisavisError
from visavis.security.callers import caller
from visavis.server.auth import Auth
from visavis.server.talks import Talk, Talks
from visavis.settings import WebRtcSettings

if TYPE_CHECKING:
    from visavis.video.webrtc import Peer

SDP = "application/sdp"
MAX_BYTES = 64 << 10
"""Of an offer; a browser's has about 8 KB."""


async def connect(request: Request, talks: Talks, talk: Talk, settings: WebRtcSettings) -> tuple[Peer, str]:
    """A peer of the session, which takes the place of the one before, and the answer to its offer. When the
    token is revoked that it came with, it ends.

    Raises `VisavisError`: NOT_SDP, TOO_LARGE, BAD_OFFER, ICE_FAILED, or MISSING_EXTRA.
    """
    offer = await _offer(request)
    webrtc = await anyio.to_thread.run_sync(_extra)

    def hear(event: ev.MicOn | ev.UserAudio) -> None:
        talks.touch(talk)
        talk.seat.session.feed(event)

    stream = await talks.stream(talk)
    peer: Peer = webrtc.Peer(talk.media, talks.size, settings.ice_servers, hear)
    auth: Auth = request.app.state.auth

    async def cut(reason: str) -> None:
        peer.close()

    with ExitStack() as kept:
        kept.enter_context(auth.opened(caller(request).claims, cut))
        answer = await peer.answer(offer)
        talks.show(talk, peer, stream, kept.pop_all())
    return peer, answer


async def _offer(request: Request) -> str:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != SDP:
        raise VisavisError("NOT_SDP", f"The body is {kind[:40] or 'of no type'}; expected {SDP}.")
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BYTES:
            raise VisavisError("TOO_LARGE", f"An offer may have at most {MAX_BYTES >> 10} KB.")
    return body.decode(errors="replace")


def _extra() -> ModuleType:
    try:
        from visavis.video import webrtc
    except ModuleNotFoundError as missing:
        raise VisavisError(
            "MISSING_EXTRA",
            f"WebRTC needs aiortc (no module {missing.name!r}): pip install 'visavis[webrtc]'",
        ) from None
    return webrtc
