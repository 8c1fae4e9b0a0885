"""One thread that does one thing after the other, and that can be left behind when it does not return."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from threading import Thread
from typing import Any

WAIT = 5.0
"""Seconds that a thread has to end."""


class Lane(Executor):
    """As a pool of one thread, but a process ends without waiting for it."""

    def __init__(self, name: str) -> None:
        self._work: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._work.put((future, lambda: fn(*args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """No more work is taken. `wait`: for what is being done, `WAIT` seconds at most."""
        self._work.put(None)
        if wait:
            self._thread.join(WAIT)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            future, call = work
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(call())
            except BaseException as error:  # whoever waits for it is told
                future.set_exception(error)
            del work, future, call  # nothing is held while it waits
