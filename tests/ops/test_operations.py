"""`/metrics`, `/ready` and `visavis top` of a real server."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.ops.asking import get
from tests.process import Server

Sample = tuple[str, frozenset[tuple[str, str]]]


def samples(text: str) -> dict[Sample, float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(name: str, **labels: str) -> Sample:
    return name, frozenset(labels.items())


def test_prometheus_reads_what_happened(scraped: str) -> None:
    found = samples(scraped)
    assert found[of("visavis_turns_total", outcome="heard")] == 2
    assert found[of("visavis_turn_stage_seconds_count", stage="sent")] == 2
    assert found[of("visavis_frames_total")] == 15 + 13  # half a second, at 30 frames and at 25
    assert found[of("visavis_sessions_opened_total", dialect="widget")] == 1
    assert found[of("visavis_sessions_opened_total", dialect="api")] == 1
    assert found[of("visavis_sessions", dialect="api", state="listening")] == 1
    assert found[of("visavis_sessions_limit")] == 100
    assert found[of("visavis_refused_messages_total", code="BAD_JSON")] == 1
    assert found[of("visavis_refused_calls_total", code="BAD_REQUEST")] == 1
    assert found[of("visavis_refused_calls_total", code="NO_SUCH_SESSION")] == 1
    assert found[of("visavis_queue_calls_total", queue="face")] >= 2
    assert found[of("visavis_stage_calls_total", stage="avatar")] >= 2
    assert found[of("visavis_draining")] == 0
    assert found[of("visavis_tasks")] > 1
    assert found[of("process_open_fds")] > 0


def test_programs_are_told_what_happens_now(running: Server) -> None:
    status, headers, body = get(f"{running.http}/metrics", Accept="application/json")
    told = json.loads(body)
    assert (status, headers["cache-control"]) == (200, "no-store")
    (session,) = told["sessions"]
    assert (session["dialect"], session["state"], session["turn"]) == ("api", "listening", 1)
    assert session["ledger"]["sent"] >= session["ledger"]["first_audio"] >= 0
    assert told["turns"]["recent"] == 2
    assert told["turns"]["p95_ms"] >= told["turns"]["p50_ms"] >= 0
    assert told["stages"]["avatar"]["calls"] >= 2
    assert told["queues"]["face"]["jobs"] >= 2
    assert set(told["queues"]) == {"face", "models"}


@pytest.mark.parametrize("path", ["/metrics", "/ready"])
def test_what_it_would_tell_without_telling(path: str, running: Server) -> None:
    with urllib.request.urlopen(urllib.request.Request(running.http + path, method="HEAD")) as answer:
        assert (answer.status, answer.read()) == (200, b"")
        assert answer.headers["cache-control"] == "no-store"


def test_it_is_ready(running: Server) -> None:
    status, _, body = get(f"{running.http}/ready")
    assert (status, json.loads(body)["ready"]) == (200, True)


def test_top_shows_it(running: Server) -> None:
    told = json.loads(get(f"{running.http}/metrics", Accept="application/json")[2])
    shown = top(running.http, "--once")
    assert shown.returncode == 0
    assert "1 of 100 conversations" in shown.stdout
    assert told["sessions"][0]["session"][:8] in shown.stdout
    assert "avatar" in shown.stdout
    assert "Queues" in shown.stdout


def test_top_shows_several(running: Server) -> None:
    shown = top(running.http, f"{running.http}/", "--once")
    heads = [line for line in shown.stdout.splitlines() if ": Visavis " in line]
    assert [head.split(": ")[0] for head in heads] == [running.http, f"{running.http}/"]
    told = json.loads(get(f"{running.http}/metrics", Accept="application/json")[2])
    assert shown.stdout.count(told["sessions"][0]["session"][:8]) == 2
    assert "Queues" not in shown.stdout


def test_top_says_when_nobody_answers() -> None:
    shown = top("http://127.0.0.1:1", "--once")
    assert shown.returncode == 2
    assert "http://127.0.0.1:1" in shown.stderr


def top(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "visavis", "top", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env={"COLUMNS": "160"}
    )
