"""A real server in a process of its own."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 240
"""The longest that models may take to load on a busy machine."""
STOP_SECONDS = 120
"""The longest that a server may take to end there."""


@dataclass
class Server:
    port: int
    process: subprocess.Popen[str]
    log: str = ""
    """What it wrote after it was ready; there once it has ended."""

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"


@contextmanager
def server(cwd: Path, command: tuple[str, ...] = ("serve",), /, **settings: str) -> Iterator[Server]:
    """`visavis serve`, or another command that serves, with these environment variables, in which `{port}` is
    its own, once it has said that it is ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    started = [sys.executable, "-m", "visavis", *command, "--no-open", "--port", str(port)]
    given = {name: value.replace("{port}", str(port)) for name, value in settings.items()}
    env = {**os.environ, "COLUMNS": "200", **given}
    with subprocess.Popen(
        started, cwd=cwd, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        running = Server(port, process)
        try:
            _await_ready(process)
            yield running
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                running.log = process.communicate(timeout=STOP_SECONDS)[1]
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def _await_ready(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    said = ""
    while "is ready" not in said:
        readable, _, _ = select.select([process.stderr], [], [], START_SECONDS)
        line = process.stderr.readline() if readable else ""
        said += line
        assert line, f"the server did not start:\n{said}"


def certificate(folder: Path) -> None:
    """One for localhost that was made here: `chain.pem` and `key.pem`."""
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -keyout key.pem"
    named = ["-out", "chain.pem", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*make.split(), *named], cwd=folder, check=True, capture_output=True, timeout=STOP_SECONDS)
