"""What is counted, and that dashboard and alerts ask for nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families
from tests.talk import Script, drive, only, reply

from visavis import events as ev
from visavis.conversation import Conversation
from visavis.metrics import MOST_CODES, OTHER, Metrics
from visavis.pacing import Policy


def heard(script: Script, **options: Any) -> Metrics:
    metrics = Metrics()
    for _, effect in drive(Conversation(policy=Policy()), script, **options):
        metrics.hear("s", effect)
    return metrics


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_a_turn_is_counted_with_its_frames_and_its_latencies() -> None:
    _, events = reply(24_000, at=0.5)
    metrics = heard([(0.0, ev.UserText("hi")), *events], face_delay=0.25)
    assert value(metrics, "visavis_turns_total", outcome="heard") == 1
    assert value(metrics, "visavis_turns_total", outcome="interrupted") is None
    assert value(metrics, "visavis_heard_seconds_total") == 1
    assert value(metrics, "visavis_underruns_total") == 0
    assert metrics.frames == 30
    assert value(metrics, "visavis_turn_stage_seconds_sum", stage="first_audio") == 0.5
    assert value(metrics, "visavis_turn_stage_seconds_sum", stage="sent") == 0.75
    assert value(metrics, "visavis_turn_stage_seconds_count", stage="sent") == 1
    assert value(metrics, "visavis_turn_stage_seconds_bucket", stage="sent", le="0.65") == 0
    assert value(metrics, "visavis_turn_stage_seconds_bucket", stage="sent", le="0.8") == 1
    assert value(metrics, "visavis_turn_stage_seconds_count", stage="speech_end") is None
    assert list(metrics.latencies) == [0.75]
    assert metrics.last["s"]["sent"] == 750


def test_an_agent_that_is_late_makes_an_underrun_and_an_interruption_is_told_apart() -> None:
    late: Script = [
        (0.0, ev.ReplyStarted("r")),
        (0.0, ev.ReplyAudio("r", bytes(24_000))),
        (2.0, ev.ReplyAudio("r", bytes(24_000))),
        (4.0, ev.ReplyAudio("r", bytes(24_000))),
        (4.1, ev.Interrupt()),
    ]
    metrics = heard(late)
    assert value(metrics, "visavis_underruns_total") == 2
    assert value(metrics, "visavis_turns_total", outcome="interrupted") == 1


def test_a_pause_in_which_a_tool_works_is_no_underrun() -> None:
    script: Script = [
        (0.0, ev.ReplyStarted("r")),
        (0.0, ev.ReplyAudio("r", bytes(24_000))),
        (0.1, ev.ToolCall("c", "look")),
        (3.0, ev.ToolResult("c", "found")),
        (3.0, ev.ReplyAudio("r", bytes(24_000))),
        (3.0, ev.ReplyDone("r")),
    ]
    log = drive(Conversation(), script)
    assert [ended.underruns for ended in only(log, ev.TurnEnded)] == [0]


def test_errors_are_counted_by_code_and_codes_without_end_are_not_told_apart() -> None:
    metrics = Metrics()
    for number in range(MOST_CODES + 50):
        metrics.hear("s", ev.Problem(f"CODE_{number}", "of an agent"))
    metrics.hear("s", ev.Problem("CODE_0", "again"))
    assert value(metrics, "visavis_problems_total", code="CODE_0") == 2
    assert value(metrics, "visavis_problems_total", code=OTHER) == 50


def test_only_so_many_sessions_are_remembered() -> None:
    metrics = Metrics()
    for number in range(1000):
        metrics.hear(f"s{number}", ev.TurnLedger(1, {"speech_end": 0, "sent": 5}))
    assert len(metrics.last) == 256
    assert "s999" in metrics.last


# -- files for Prometheus and Grafana ---------------------------------------------------------------------
DEPLOY = Path(__file__).parents[2] / "deploy"
KINDS = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
NAME = re.compile(r"\b(?:visavis|process)_[a-z_]+")


def asked() -> dict[str, set[str]]:
    """Names of metrics, and the labels that are asked for beside them, in dashboard and alerts."""
    dashboard = json.loads((DEPLOY / "grafana" / "visavis.json").read_text(encoding="utf-8"))
    alerts = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text(encoding="utf-8"))
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    expressions += [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]
    found: dict[str, set[str]] = {}
    for expression in expressions:
        grouped = {label for by in re.findall(r"by \(([^)]*)\)", expression) for label in by.split(",")}
        for name in NAME.findall(expression):
            selected = {
                label
                for inside in re.findall(rf"{name}\{{([^}}]*)\}}", expression)
                for label in re.findall(r"(\w+)(?:=~|!~|=|!=)", inside)
            }
            found.setdefault(name, set()).update(selected | {label.strip() for label in grouped})
    return found


def test_dashboard_and_alerts_ask_only_for_what_is_there(scraped: str) -> None:
    there: set[str] = set()
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(scraped):
        there |= {family.name + ending for ending in KINDS[family.type]}
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    questions = asked()
    assert len(questions) > 20
    assert set(questions) <= there
    of_prometheus = {"instance", "job"}
    for name, wanted in questions.items():
        if name in labels:  # something was counted
            assert wanted <= labels[name] | of_prometheus, name


def test_every_metric_of_ours_is_in_the_documentation(scraped: str) -> None:
    text = (DEPLOY.parent / "docs" / "operations.md").read_text(encoding="utf-8")
    families = [family for family in text_string_to_metric_families(scraped) if family.name[:8] == "visavis_"]
    names = [family.name + "_total" * (family.type == "counter") for family in families]
    names = [name for name in names if not name.endswith("_created")]  # when a counter began, added to each
    assert len(names) > 20
    assert [name for name in names if f"`{name}`" not in text] == []
