"""A server's process: what it costs, and starting one of our own."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from visavis.capacity.process import Server, cpu_seconds, ended, memory_mib, server

__all__ = ["Server", "cpu_seconds", "descriptors", "memory_mib", "server", "simulator"]


def descriptors(pid: int) -> int:
    """Files and sockets that a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


@contextmanager
def simulator(agent: str, delay: float = 0.1) -> Iterator[dict[str, str]]:
    """`visavis simulate` in a process of its own, whose answers begin after `delay` seconds; gives the
    environment of a server that talks to it."""
    command = [sys.executable, "-m", "visavis", "simulate", agent, "--port=0", f"--delay={delay}"]
    with (
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process,
        ended(process, signal.SIGINT),
    ):
        assert process.stderr is not None
        said = process.stderr.readline()
        if "Try: " not in said:
            raise SystemExit(f"the simulator of {agent} did not start: {said}{process.stderr.read()}")
        yield dict(re.findall(r"([A-Z_]+)=(\S+)", said.partition("Try: ")[2]))
