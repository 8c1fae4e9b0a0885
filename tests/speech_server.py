"""A server with `/v1/audio/speech` on a loopback port: what it answers is up to the test."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from pydantic import SecretStr

from visavis.audio import to_pcm
from visavis.settings import Settings, SpeechSettings
from visavis.stages.tts_openai import OpenAISpeech

KEY = "sk-very-secret"
RATE = 24_000


class Exchange(BaseHTTPRequestHandler):
    """One request: `body` is its JSON; the answer is written with `begin`, `piece` and `refuse`."""

    server: Server
    body: Any

    def do_POST(self) -> None:
        self.body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        try:
            self.server.handle(self)
        except (BrokenPipeError, ConnectionResetError):
            self.server.gone.set()

    def begin(self, kind: str = "audio/pcm") -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.end_headers()

    def piece(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()

    def refuse(self, status: int, message: str) -> None:
        body = json.dumps({"error": {"message": message}}).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing is logged."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, handle: Callable[[Exchange], None]) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self.handle = handle
        self.gone = threading.Event()
        """A client went away before all of it was sent."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def start(self) -> None:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


@contextmanager
def serving(handle: Callable[[Exchange], None]) -> Iterator[Server]:
    with Server(handle) as server:
        server.start()
        try:
            yield server
        finally:
            server.shutdown()  # or its thread would ask a closed socket for callers, without end or rest


def tone(seconds: float, level: float = 0.5) -> bytes:
    return to_pcm(level * np.sin(np.arange(round(seconds * RATE)) * 0.1))


def speak(exchange: Exchange) -> None:
    """A tone of 50 ms a character, with a quarter of a second of silence at both ends."""
    silence = bytes(RATE // 2)
    sound = silence + tone(0.05 * len(exchange.body["input"])) + silence
    exchange.begin()
    for start in range(0, len(sound), 4_801):
        exchange.piece(sound[start : start + 4_801])


@cache
def _for_all() -> Server:
    server = Server(speak)
    server.start()
    return server


def load(settings: Settings) -> OpenAISpeech:
    """A voice on a server that answers as long as the tests run."""
    chosen = SpeechSettings(url=_for_all().url, key=SecretStr(KEY))
    return OpenAISpeech(chosen, settings.voice.speed)
