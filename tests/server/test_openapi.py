"""The OpenAPI schema is complete, and the real server keeps to it, whatever it is asked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.process import Server, server

from visavis.server.app import create_app
from visavis.settings import Settings

ROOT = Path(__file__).parents[2]
LIGHT = {
    "AGENT_TYPE": "scripted",
    "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    "VISAVIS_SCRIPTED__SECONDS": "0.1",
    "VISAVIS_SCRIPTED__SPEED": "1000",
    "VISAVIS_SERVER__MAX_SESSIONS": "1000",
    "VISAVIS_STAGES__ASR": "tests.server.light:Ears",
    "VISAVIS_STAGES__LLM": "tests.server.light:Echo",
    "VISAVIS_STAGES__TTS": "tests.server.light:Hum",
}
"""A server without models."""
TYPES = ("webm", "wav", "ogg", "mpeg", "pcm", "L16")
UNAVAILABLE = {501, 502, 503, 504}
"""Not failures: the server is full, lacks something, or waits for somebody else."""
ENDLESS = {"/api/v1/sessions/{session_id}/avatar", "/api/muse/stream/{session_id}"}
CHECKS: list[Any] = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
SCHEMA = create_app(Settings(agent="scripted")).openapi()
OPERATIONS = [
    pytest.param(operation, id=f"{method} {path}")
    for path, methods in SCHEMA["paths"].items()
    for method, operation in methods.items()
    if path.startswith("/api/")
]
schema = schemathesis.openapi.from_dict(SCHEMA)


@schemathesis.serializer(*(f"audio/{kind}" for kind in TYPES), "video/mp4", "application/sdp")
def as_it_is(context: schemathesis.SerializationContext, value: Any) -> bytes | None:
    return value if isinstance(value, bytes) or value is None else str(value).encode(errors="replace")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("openapi"), **LIGHT) as started:
        yield started


@pytest.fixture(scope="module")
def http(running: Server) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=running.http, timeout=30) as client:
        yield client


@contextmanager
def session(http: httpx2.Client) -> Iterator[str]:
    id = http.post("/api/v1/sessions", json={}).json()["session_id"]
    yield id
    http.delete(f"/api/v1/sessions/{id}")


@pytest.fixture(scope="module")
def visit(http: httpx2.Client) -> str:
    """A session of the page."""
    id: str = http.post("/api/session").json()["sessionId"]
    return id


@schema.include(path_regex="^/api/").parametrize()
@settings(max_examples=5, deadline=None, derandomize=True, database=None)
def test_the_server_keeps_to_its_schema(
    case: Case[Any], running: Server, http: httpx2.Client, visit: str
) -> None:
    if isinstance(case.body, dict) and "sessionId" in case.body:
        case.body["sessionId"] = visit
    with session(http) as id:
        if "session_id" in (case.path_parameters or ()) and case.path not in ENDLESS:
            case.path_parameters["session_id"] = id
        response = case.call(base_url=running.http, timeout=30)
    unavailable = response.status_code in UNAVAILABLE
    case.validate_response(response, checks=CHECKS if unavailable else [*CHECKS, not_a_server_error])


# -- what is described --------------------------------------------------------------------------------------
@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_is_described_with_examples(operation: dict[str, Any]) -> None:
    assert operation["description"]
    for parameter in operation.get("parameters", []):
        assert parameter.get("description") or parameter["in"] == "path", parameter
    for status, answer in operation["responses"].items():
        assert answer["description"]
        for kind, content in answer.get("content", {}).items():
            if kind == "application/json":
                assert exemplary(content), (status, content)


@pytest.mark.parametrize("name", sorted(SCHEMA["components"]["schemas"]))
def test_every_model_is_described_with_an_example(name: str) -> None:
    model = SCHEMA["components"]["schemas"][name]
    if name in ("HTTPValidationError", "ValidationError"):
        pytest.fail("errors have a form of their own")
    assert model["description"]
    assert model["examples"]
    for field, value in model["properties"].items():
        assert value.get("description"), field
    for example in model["examples"]:
        assert set(example) <= set(model["properties"])
        assert set(model.get("required", ())) <= set(example)


def exemplary(content: dict[str, Any]) -> bool:
    named = content.get("schema", {}).get("$ref", "").removeprefix("#/components/schemas/")
    return bool(content.get("example") or SCHEMA["components"]["schemas"].get(named, {}).get("examples"))


# -- by hand ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/v1/nothing", 404, "NOT_FOUND"),
        ("PUT", "/api/v1/sessions", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/api/v1/sessions/%00", 404, "NO_SUCH_SESSION"),
        ("GET", "/api/v1/sessions/..%2f..%2fetc", 404, "NOT_FOUND"),
        ("GET", "/api/v1/sessions?limit=1e9", 422, "BAD_REQUEST"),
        ("GET", "/api/v1/sessions?offset=99999999999999999999999999", 422, "BAD_REQUEST"),
        ("GET", "/api/muse/file/..%2f..%2fpasswd", 404, "NOT_FOUND"),
        ("GET", "/api/muse/file/%0d%0aSet-Cookie:%20a=b", 404, "NO_SUCH_FILE"),
    ],
)
def test_calls_of_nothing_are_refused_in_the_same_form(
    http: httpx2.Client, method: str, path: str, status: int, code: str
) -> None:
    answer = http.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["message"]
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"\xff\xfe{}", "application/json"),
        (b"{", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b'{"text": "\\ud800"}', "application/json"),
        (b'{"text": NaN}', "application/json"),
        (b'{"text": 1e999}', "application/json"),
        (b'{"text": "hello"}', "text/plain"),
        (b"text=hello", "application/x-www-form-urlencoded"),
        (b'{"text": "hello"}', 'no/thing; "at all'),
        (b"", "application/json"),
    ],
)
def test_bodies_that_are_no_text(http: httpx2.Client, body: bytes, kind: str) -> None:
    with session(http) as id:
        answer = http.post(f"/api/v1/sessions/{id}/text", content=body, headers={"content-type": kind})
    assert (answer.status_code, answer.json()["code"]) == (422, "BAD_REQUEST"), answer.text


def test_the_calls_of_the_first_page(http: httpx2.Client) -> None:
    """Word for word as its manual has them."""
    assert http.get("/health").json()["ok"] is True
    id = http.post("/api/session").json()["sessionId"]
    kind = {"content-type": "application/json"}
    reply = http.post("/api/openai/chat", content=b'{"text": "<user text>"}', headers=kind)
    assert reply.json() == {"reply": "You said: <user text>"}
    wanted = b'{"sessionId": "%s", "avatarId": "mia", "text": "Hello"}' % id.encode()
    start = http.post("/api/muse/start", content=wanted, headers=kind)
    assert start.json() == {"mode": "mse", "url": f"/api/muse/stream/{id}"}


def test_the_calls_of_the_first_api(http: httpx2.Client) -> None:
    made = http.post("/api/v1/sessions", content=b"{}", headers={"content-type": "application/json"})
    path = f"/api/v1/sessions/{made.json()['session_id']}"
    assert made.json()["ws_url"].endswith(f"{path}/ws")
    assert http.get(path).status_code == 200
    assert http.post(f"{path}/text", json={"text": "Hello"}).status_code == 202
    pcm = {"content-type": "audio/pcm"}
    assert http.post(f"{path}/audio", content=bytes(3200), headers=pcm).status_code == 202
    assert http.get("/api/v1/health").json()["status"] == "healthy"
    assert set(http.get("/api/v1/pipeline/status").json()["stages"]) > {"asr", "llm", "tts", "avatar"}
    assert http.delete(path).status_code == 204
