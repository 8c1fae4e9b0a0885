"""The sessions of a caller on all servers together, as a list that is asked for in parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import anyio
from starlette.requests import Request

from visavis.errors import VisavisError
from visavis.server.hop import passed_on

if TYPE_CHECKING:
    from visavis.server.directory import Replica  # an extra

PART = 100
"""Sessions that a server tells of at a time."""


async def of_others(request: Request, most: int) -> tuple[list[dict[str, Any]], int]:
    """The caller's sessions on other servers, at least the oldest `most` of each as it tells of them; and how
    many there are in all. Raises `VisavisError` when a server that is there does not answer."""
    directory = request.app.state.directory
    if directory is None or passed_on(request):
        return [], 0
    found: list[dict[str, Any]] = []
    totals: list[int] = []
    problems: list[VisavisError] = []

    async def ask(replica: Replica) -> None:
        try:
            sessions, total = await _of(replica, request, most)
        except VisavisError as problem:
            problems.append(problem)
            return
        found.extend(sessions)
        totals.append(total)

    async with anyio.create_task_group() as tasks:
        for replica in directory.servers - {directory.me}:
            tasks.start_soon(ask, replica)
    if problems:
        raise problems[0]
    return found, sum(totals)


async def _of(replica: Replica, request: Request, most: int) -> tuple[list[dict[str, Any]], int]:
    found: list[dict[str, Any]] = []
    total = most
    while len(found) < min(most, total):
        part = await _part(replica, request, len(found))
        if part is None:
            if await _gone(replica, request):
                return [], 0
            raise VisavisError("SERVER_GONE", "Not all servers answer; please try again in a few seconds.")
        total = part["total"]
        if not part["sessions"]:
            break
        found += part["sessions"]
    return found, total


async def _part(replica: Replica, request: Request, offset: int) -> Any:
    """Those from `offset` on, None when the server does not tell them."""
    from visavis.server.relay import Unreachable

    state = request.app.state
    query = [
        (name, value) for name, value in request.query_params.multi_items() if name not in ("offset", "limit")
    ]
    told = urlencode([*query, ("offset", offset), ("limit", PART)])
    scope = {**request.scope, "query_string": told.encode()}
    try:
        answer = await state.relay.read(replica.address, state.auth.hops.sign(scope, replica.name), scope)
    except Unreachable:
        return None
    return answer.json() if answer.status_code == 200 else None


async def _gone(replica: Replica, request: Request) -> bool:
    """Whether it is known to be dead."""
    from visavis.server.directory import Unknown

    try:
        return not await request.app.state.directory.alive(replica)
    except Unknown:
        return False
