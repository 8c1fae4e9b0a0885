"""Several servers on one port of one machine, each a process of its own; one that dies is started anew."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.synchronize import Event
from types import FrameType

import structlog
import typer

from visavis import logs
from visavis.console import readable_errors
from visavis.errors import ConfigurationError, VisavisError
from visavis.server import run
from visavis.settings import Settings

AGAIN_SECONDS = 1.0
"""Between the end of a worker and the start of the next."""
LOOK_SECONDS = 0.5
LAST_PORT = 65535
PORT_OPTION = "cluster.worker_port:"


def check(settings: Settings, count: int) -> None:
    """Raises `ConfigurationError` when there cannot be so many."""
    if count > 1 and not settings.redis:
        raise ConfigurationError(
            "--workers needs cluster.redis: that is where workers know of each other's conversations. Start "
            "a Redis, and set VISAVIS_REDIS_URL=redis://localhost:6379/0 and AUTH_SECRET_KEY"
        )
    if count > 1 and settings.cluster.address:
        raise ConfigurationError(
            "cluster.address is one address, and each of --workers has one of its own; leave it empty"
        )
    if settings.cluster.worker_port + count - 1 > LAST_PORT:
        raise ConfigurationError(
            f"cluster.worker_port is {settings.cluster.worker_port}, after which there are no {count} ports: "
            f"--workers {count} needs one that is at most {LAST_PORT + 1 - count}"
        )


@dataclass
class Crew:
    """The workers, until they are told to stop."""

    settings: Settings
    sock: socket.socket
    context: SpawnContext = field(default_factory=lambda: multiprocessing.get_context("spawn"))
    stopping: bool = False

    def serve(self, count: int) -> None:
        """Serve with `count` processes until a signal. Raises `VisavisError` when one does not start."""
        run.check(self.settings)  # what is wrong is said once, and not by each of them
        with ExitStack() as end:
            for sign in (signal.SIGTERM, signal.SIGINT):
                end.callback(signal.signal, sign, signal.signal(sign, self._stop))
            self._crew = [self._start(number, first=number == 0) for number in range(count)]
            while any(process.is_alive() for process, _ in self._crew):
                wait([process.sentinel for process, _ in self._crew], LOOK_SECONDS)
                for place, (process, _) in enumerate(self._crew):
                    if not process.is_alive() and not self.stopping:
                        self._replace(place, process)
        ended = (process.exitcode for process, _ in self._crew)
        if failed := [code for code in ended if code not in (0, -signal.SIGTERM)]:
            raise VisavisError("WORKER_FAILED", f"A worker ended with {failed[0]}; see above.")

    def _start(self, place: int, *, first: bool) -> tuple[SpawnProcess, Event]:
        server = self.settings.server.model_copy(
            update={"open_browser": self.settings.server.open_browser and first}
        )
        settings = self.settings.model_copy(update={"server": server})
        ready, port = self.context.Event(), settings.cluster.worker_port
        task = (settings, self.sock, port + place if port else 0, ready)
        process = self.context.Process(target=_work, args=task, name="worker")
        process.start()
        return process, ready

    def _replace(self, place: int, process: SpawnProcess) -> None:
        if not any(ready.is_set() for _, ready in self._crew):  # the next one would not start either
            self._stop(signal.SIGTERM, None)
            return
        structlog.get_logger(__name__).error("a worker has died", code=process.exitcode)
        time.sleep(AGAIN_SECONDS)
        if not self.stopping:
            self._crew[place] = self._start(place, first=False)

    def _stop(self, sign: int, frame: FrameType | None) -> None:
        """Each is told as often as we are: the second time they end at once."""
        self.stopping = True
        for process, _ in self._crew:
            if process.is_alive():
                process.terminate()


def _work(settings: Settings, sock: socket.socket, port: int, ready: Event) -> None:
    """A worker's process. It listens on the port of all, and on `port` (0: any) by which others reach it."""
    if hasattr(os, "setpgrp"):
        os.setpgrp()  # Ctrl-C is for the crew, which tells us
    _end_with_the_crew()
    logs.set_up(settings.logs, debug=settings.debug)
    try:
        with readable_errors(debug=settings.debug), run.bind(settings.server.host, port, PORT_OPTION) as own:
            run.run(settings, sock, own=own, on_ready=ready.set)
    except typer.Exit as end:  # which is a command's
        sys.exit(end.exit_code)


def _end_with_the_crew() -> None:
    crew = multiprocessing.parent_process()
    assert crew is not None

    def watch() -> None:
        wait([crew.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="crew", daemon=True).start()
