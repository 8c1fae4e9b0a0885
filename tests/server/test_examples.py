"""The examples that are programs: what is wrong is one sentence."""

from __future__ import annotations

import json
import runpy
import socket
import sys
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from websockets.sync.server import ServerConnection, serve

EXAMPLES = Path(__file__).parents[2] / "examples"
HELLO = {"type": "connection_established", "config": {"fps": 25, "sample_rate": 16_000}}


@pytest.mark.parametrize("example", ["ask.py", "frames_client.py"])
@pytest.mark.parametrize(
    ("out", "url", "reason"),
    [
        ("answer.xyz", "ws://127.0.0.1:{port}/", "answer.xyz"),
        ("nowhere/answer{suffix}", "ws://127.0.0.1:{port}/", "nowhere"),
        ("answer{suffix}", "ws://127.0.0.1:{port}/", "There is no Visavis at ws://127.0.0.1:{port}/"),
        ("answer{suffix}", "http://127.0.0.1:{port}/", "There is no Visavis at http://127.0.0.1:{port}/"),
    ],
)
def test_a_client_without_a_server_or_with_a_wrong_file(
    example: str,
    out: str,
    url: str,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and nobody listens
        known = {"port": nobody.getsockname()[1], "suffix": {"ask.py": ".wav"}.get(example, ".mp4")}
        arguments = [text.format(**known) for text in ("Hello", out, url)]
        monkeypatch.setattr(sys, "argv", [example, *arguments])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(EXAMPLES / example), run_name="__main__")
    assert reason.format(**known) in f"{ended.value.code} {capsys.readouterr().err}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("example", ["ask.py", "frames_client.py"])
@pytest.mark.parametrize(
    ("hello", "close", "said"),
    [
        ({}, (1008, "UNAUTHORIZED: The token has expired."), "UNAUTHORIZED: The token has expired."),
        (HELLO, (1000, ""), "has ended the conversation."),
    ],
)
def test_a_client_whose_server_ends_it(
    example: str,
    hello: dict[str, Any],
    close: tuple[int, str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(socket: ServerConnection) -> None:
        if hello:
            socket.send(json.dumps(hello))
            socket.recv()  # the question
        socket.close(*close)

    out = tmp_path / ("answer.wav" if example == "ask.py" else "answer.mp4")
    with serve(refuse, "127.0.0.1", 0) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}/?token=secret"
        monkeypatch.setattr(sys, "argv", [example, "Hello", str(out), url])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(EXAMPLES / example), run_name="__main__")
    assert said in str(ended.value.code) and "secret" not in str(ended.value.code)
    assert not out.exists()


def test_an_agent_whose_port_is_taken() -> None:
    source = (EXAMPLES / "echo_agent.py").read_text(encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        moved = source.replace("PORT, RATE = 9000", f"PORT, RATE = {port}")
        with pytest.raises(SystemExit, match=f"Cannot listen on port {port}: ") as ended:
            exec(compile(moved, "echo_agent.py", "exec"), {"__name__": "__main__"})
    assert "change PORT and AGENT_URL" in str(ended.value.code)
