"""A server's process: what it costs, and starting one of our own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visavis.errors import VisavisError

PATIENCE = 120.0
"""Seconds a server may take to be ready."""


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and of those that it has started, all threads; Linux, in steps of
    10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    tasks = Path(f"/proc/{pid}/task").iterdir()
    children = [child for task in tasks for child in (task / "children").read_text(encoding="ascii").split()]
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(cpu_seconds(int(child)) for child in children)


def memory_mib(pid: int, field: str = "VmRSS") -> float:
    """Resident memory of a process now, or at most (`VmHWM`)."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise LookupError(f"process {pid} has no {field}")


@dataclass(frozen=True, slots=True)
class Server:
    pid: int
    url: str
    ready: float
    """Seconds from the start of the process to the first healthy answer."""


@contextmanager
def server(
    agent: str, settings: Mapping[str, str], folder: Path | None = None, workers: int = 1
) -> Iterator[Server]:
    """`visavis serve` in a process of its own, ready; `settings` are environment variables, `folder` is where
    it looks for its files of settings."""
    with served(
        lambda port: [
            *(sys.executable, "-m", "visavis", "serve", "--no-open"),
            *(f"--port={port}", f"--agent={agent}", f"--workers={workers}"),
        ],
        settings,
        folder,
        workers,
    ) as ours:
        yield ours


@contextmanager
def served(
    command: Callable[[int], Sequence[str]],
    settings: Mapping[str, str],
    folder: Path | None = None,
    workers: int = 1,
) -> Iterator[Server]:
    """Any server that answers `/health` and talks at `/ws`: `command(port)` starts it, or so many of them."""
    port = _free_port()
    begin = time.monotonic()
    with (
        subprocess.Popen(command(port), env=os.environ | settings, cwd=folder) as process,
        ended(process, signal.SIGTERM),
    ):
        _wait_until_ready(process, f"http://127.0.0.1:{port}", workers, begin + PATIENCE)
        yield Server(process.pid, f"ws://127.0.0.1:{port}/ws", time.monotonic() - begin)


@contextmanager
def ended(process: subprocess.Popen[Any], sign: signal.Signals) -> Iterator[None]:
    """Ends the process when it is not needed any more."""
    try:
        yield
    finally:
        process.send_signal(sign)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()


def _wait_until_ready(process: subprocess.Popen[bytes], address: str, workers: int, until: float) -> None:
    while time.monotonic() < until:
        if process.poll() is not None:
            raise VisavisError(
                "SERVER_ENDED", f"The server ended with status {process.returncode} before it was ready."
            )
        try:
            _ask(f"{address}/health")
            if workers == 1 or _servers(address) >= workers:
                return
        except (urllib.error.URLError, OSError):
            pass
        time.sleep(0.02)
    raise VisavisError("SERVER_NOT_READY", f"The server was not ready after {PATIENCE:.0f} s.")


def _servers(address: str) -> int:
    """How many servers this one knows, itself among them."""
    told = re.search(rb"^visavis_servers (\d+)", _ask(f"{address}/metrics"), re.MULTILINE)
    return int(told[1]) if told else 0


def _ask(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - it is our own
        content: bytes = answer.read()
        return content


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port
