"""`visavis simulate` as people use it: another process, and the settings that it prints."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.contract.hearing import hearing

from visavis import plugins
from visavis.configuration import load_settings


@contextmanager
def simulating(*options: str) -> Iterator[dict[str, str]]:
    """The variables that a running simulator tells people to set."""
    command = [sys.executable, "-m", "visavis", "simulate", *options]
    environment = {**os.environ, "COLUMNS": "300"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        try:
            line = process.stderr.readline()
            yield dict(re.findall(r"([A-Z_]+)=(\S+)", line))
        finally:
            process.terminate()


@pytest.mark.parametrize("kind", ["remote", "gemini"])
def test_the_printed_settings_are_all_that_is_needed(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(variables: dict[str, str]) -> str:
        settings = load_settings({}, None, variables, tmp_path)
        async with hearing(plugins.load("agents", settings.agent, settings)) as heard:
            return heard.text(await heard.ask("good morning"))

    with simulating(kind, "--port", "0", "--answers", "Well, {}", "--speed", "100") as variables:
        assert variables["AGENT_TYPE"] == kind
        if "SSL_CERT_FILE" in variables:
            monkeypatch.setenv("SSL_CERT_FILE", variables["SSL_CERT_FILE"])
        assert asyncio.run(ask(variables)) == "Well, good morning"


def test_a_fault_that_does_not_exist_is_named() -> None:
    command = [sys.executable, "-m", "visavis", "simulate", "remote", "--fault", "flood"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "oversized" in done.stderr
