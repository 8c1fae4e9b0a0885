"""`visavis top`: the conversations of running servers and their latencies, in the terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import httpx2
from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from visavis.errors import VisavisError

MOST_SESSIONS = 30
"""Rows; the longest conversations first."""
TIMEOUT = 5.0
LEDGER = ("transcript", "first_token", "first_audio", "first_frame", "sent", "played")


def show(
    urls: Sequence[str], token: str, seconds: float, *, once: bool, console: Console | None = None
) -> None:
    """Until Ctrl-C, or `once`. Raises `VisavisError` when a server cannot be asked."""
    console = console or Console()
    headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    with httpx2.Client(headers=headers, timeout=TIMEOUT) as client:

        def look() -> Group:
            return screen({url: _ask(client, url) for url in urls})

        if once:
            console.print(look())
            return
        try:
            with Live(look(), console=console, screen=True, auto_refresh=False) as live:
                while True:
                    time.sleep(seconds)
                    live.update(look(), refresh=True)
        except KeyboardInterrupt:
            return


def _ask(client: httpx2.Client, url: str) -> dict[str, Any]:
    try:
        answer = client.get(f"{url.rstrip('/')}/metrics")
    except httpx2.HTTPError as error:
        raise VisavisError("UNREACHABLE", f"No server answers at {url} ({error}).") from error
    if answer.status_code in (401, 403):
        raise VisavisError("FORBIDDEN", f"{url} wants the token of an administrator: --token or AUTH_TOKEN.")
    if answer.status_code != 200 or "json" not in answer.headers.get("content-type", ""):
        raise VisavisError(
            "NO_METRICS",
            f"{url}/metrics answers {answer.status_code}. Is it Visavis, and is metrics.enabled on?",
        )
    told: dict[str, Any] = answer.json()
    return told


def screen(all: dict[str, dict[str, Any]]) -> Group:
    """What servers told, by their addresses, as it is shown: of one everything, of several what they have."""
    if len(all) == 1:
        [told] = all.values()
        return Group(
            _head(told), _sessions(told["sessions"]), _stages(told["stages"]), _queues(told["queues"])
        )
    heads = [Text(f"{url}: {_head(told)}") for url, told in all.items()]
    return Group(*heads, _sessions([session for told in all.values() for session in told["sessions"]]))


def _head(told: dict[str, Any]) -> Text:
    turns, pictures, places = told["turns"], told["pictures"], told["max_sessions"]
    return Text(
        f"Visavis {told['version']}, up {_span(told['uptime_s'])}"
        f"{', stopping' if told['draining'] else ''}: {len(told['sessions'])} of {places} conversations, "
        f"first frame p50 {_ms(turns['p50_ms'])} p95 {_ms(turns['p95_ms'])} ms of {turns['recent']} turns, "
        f"{told['frames']} frames, {told['outbox_bytes'] // 1000} kB to be sent, "
        f"pictures {pictures['quality']} at {pictures['load']:.0%}",
    )


def _sessions(sessions: list[dict[str, Any]]) -> Table:
    table = Table(title="Conversations", title_justify="left", expand=True, box=box.SIMPLE_HEAD, padding=0)
    for name in ("session", "dialect", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("age", "turn", *(stage.replace("_", " ") for stage in LEDGER)):
        table.add_column(name, justify="right")
    longest = sorted(sessions, key=lambda session: -float(session["age_s"]))
    for session in longest[:MOST_SESSIONS]:
        state = "away" if session["away"] else session["state"]
        ledger = [_ms(session["ledger"].get(stage)) for stage in LEDGER]
        age, turn = _span(session["age_s"]), str(session["turn"])
        table.add_row(session["session"][:8], session["dialect"], state, age, turn, *ledger)
    if len(longest) > MOST_SESSIONS:
        table.caption = f"and {len(longest) - MOST_SESSIONS} more"
    return table


def _stages(stages: dict[str, dict[str, Any]]) -> Table:
    table = Table(title="Stages, ms of the last calls", title_justify="left", expand=True)
    for name in ("stage", "handler"):
        table.add_column(name, no_wrap=True)
    for name in ("calls", "errors", "p50", "p95"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, known in stages.items():
        counts = (str(known["calls"]), str(known["errors"]))
        table.add_row(name, known["handler"], *counts, _ms(known["p50_ms"]), _ms(known["p95_ms"]))
    return table


def _queues(queues: dict[str, dict[str, Any]]) -> Table:
    table = Table(title="Queues", title_justify="left", expand=True)
    table.add_column("queue", no_wrap=True)
    for name in ("wait now", "calls", "waited", "mean wait, ms"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, known in queues.items():
        mean = known["wait_s"] * 1000 / known["jobs"] if known["jobs"] else None
        counts = (str(known[count]) for count in ("waiting", "jobs", "waited"))
        table.add_row(name, *counts, _ms(mean))
    return table


def _ms(ms: float | None) -> str:
    return "-" if ms is None else f"{ms:.0f}" if ms >= 10 else f"{ms:.2f}"


def _span(seconds: float) -> str:
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"
