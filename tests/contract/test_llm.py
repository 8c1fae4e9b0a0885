"""The language models: the demo brain with its real models, and a client of a real server that misbehaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, cast

import pytest
from pydantic import SecretStr

from visavis.errors import ConfigurationError, VisavisError
from visavis.events import ToolCall
from visavis.settings import LanguageModelSettings, Settings
from visavis.stages import Message, llm_openai
from visavis.stages.llm_openai import OpenAIModel
from visavis.stages.openai_server import TRIES
from visavis.tools import Tool

KEY = "sk-very-secret"
QUESTION = [Message("system", "Be kind."), Message("user", "Hello?")]
Handler = Callable[[str, Any, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(handle: Handler) -> AsyncIterator[str]:
    """An HTTP server on a loopback port; `handle` gets the path, the JSON body, and the wire."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lengths = [line for line in head.splitlines() if line.lower().startswith("content-length:")]
            body = await reader.readexactly(int(lengths[0].split(":")[1])) if lengths else b"{}"
            assert f"Bearer {KEY}" in head
            await handle(head.split()[1], json.loads(body), writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"


@asynccontextmanager
async def client(url: str, **more: Any) -> AsyncIterator[OpenAIModel]:
    values: dict[str, Any] = {"url": url, "key": SecretStr(KEY), "model": "small"} | more
    model = llm_openai.load(Settings(llm=LanguageModelSettings(**values)))
    try:
        yield model
    finally:
        await model.aclose()


def respond(writer: asyncio.StreamWriter, status: str, body: str, kind: str = "application/json") -> None:
    writer.write(f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n{body}".encode())


def event(text: str) -> str:
    return "data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}) + "\n\n"


def stream(writer: asyncio.StreamWriter, *parts: str) -> None:
    respond(writer, "200 OK", "".join(parts), "text/event-stream")


async def ping(writer: asyncio.StreamWriter) -> None:
    """Keep the stream open until the client has gone: then raises ConnectionError."""
    while True:
        writer.write(b": ping\n\n")
        await writer.drain()
        await asyncio.sleep(0)


async def collect(model: OpenAIModel, messages: Sequence[Message] = QUESTION) -> list[str]:
    return [str(piece) async for piece in model.reply(messages)]


def ask(handle: Handler, **more: Any) -> list[str]:
    async def main() -> list[str]:
        async with server(handle) as url, client(url, **more) as model:
            return await collect(model)

    return asyncio.run(main())


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm_openai, "BACK_OFF", 0.0)


def test_streams_the_answer_and_passes_the_settings() -> None:
    seen: list[tuple[str, Any]] = []

    async def handle(path: str, body: Any, writer: asyncio.StreamWriter) -> None:
        seen.append((path, body))
        stream(writer, event("Good "), event("day!"), "data: [DONE]\n\n")

    assert ask(handle, max_tokens=7, temperature=0.5) == ["Good ", "day!"]
    ((path, body),) = seen
    assert path == "/v1/chat/completions"
    assert body == {
        "model": "small",
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello?"}],
        "max_tokens": 7,
        "temperature": 0.5,
        "stream": True,
    }


def test_garbage_between_the_events_is_ignored() -> None:
    async def handle(path: str, body: Any, writer: asyncio.StreamWriter) -> None:
        role = 'data: {"choices": [{"delta": {"role": "assistant", "content": null}}]}\n\n'
        usage = 'data: {"choices": [], "usage": {"total_tokens": 3}}\n\n'
        stream(writer, ": ping\n\n", role, "data: {oops\n\ndata: 5\n\nnonsense\n\n", event("Yes."), usage)

    assert ask(handle) == ["Yes."]


def test_the_first_model_of_the_server_is_taken_and_remembered() -> None:
    paths: list[str] = []

    async def handle(path: str, body: Any, writer: asyncio.StreamWriter) -> None:
        paths.append(path)
        if path == "/v1/models":
            respond(writer, "200 OK", '{"data": [{"id": "best"}, {"id": "other"}]}')
        else:
            stream(writer, event(body["model"]))

    async def main() -> None:
        async with server(handle) as url, client(url, model="") as model:
            assert await collect(model) == ["best"]
            assert await collect(model) == ["best"]

    asyncio.run(main())
    assert paths.count("/v1/models") == 1


def test_a_server_without_models_is_named() -> None:
    async def handle(path: str, body: Any, writer: asyncio.StreamWriter) -> None:
        respond(writer, "200 OK", '{"data": []}')

    with pytest.raises(VisavisError, match="VISAVIS_LLM_MODEL") as caught:
        ask(handle, model="")
    assert caught.value.code == "LLM_REFUSED"


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_passing_refusals_are_tried_again(status: str) -> None:
    calls: list[str] = []

    async def handle(path: str, body: Any, writer: asyncio.StreamWriter) -> None:
        calls.append(path)
        if len(calls) < TRIES:
            respond(writer, status, '{"error": {"message": "busy"}}')
        else:
            stream(writer, event("Now."))

    assert ask(handle) == ["Now."]


@pytest.mark.parametrize(
    ("status", "tries"), [("401 Unauthorized", 1), ("404 Not Found", 1), ("429 Too Many Requests", 3)]
)
def test_a_refusal_gives_the_reason_and_never_the_key(status: str, tries: int) -> None:
    calls: list[str] = []

    async def handle(path: str, body: Any, writer: asyncio.StreamWriter) -> None:
        calls.append(path)
        respond(writer, status, json.dumps({"error": {"message": f"Incorrect key {KEY} given"}}))

    with pytest.raises(VisavisError, match=r"Incorrect key \(key\) given") as caught:
        ask(handle)
    assert caught.value.code == "LLM_REFUSED"
    assert status.split()[0] in str(caught.value)
    assert KEY not in str(caught.value)
    assert len(calls) == tries


def test_an_error_inside_the_stream_is_a_refusal() -> None:
    async def handle(path: str, body: Any, writer: asyncio.StreamWriter) -> None:
        stream(writer, 'data: {"error": {"message": "out of memory"}}\n\n')

    with pytest.raises(VisavisError, match="out of memory") as caught:
        ask(handle)
    assert caught.value.code == "LLM_REFUSED"


def test_an_empty_answer_is_a_refusal() -> None:
    async def handle(path: str, body: Any, writer: asyncio.StreamWriter) -> None:
        stream(writer, "data: [DONE]\n\n")

    with pytest.raises(VisavisError, match="empty answer"):
        ask(handle)


def test_what_was_streamed_before_a_broken_connection_is_kept() -> None:
    async def handle(path: str, body: Any, writer: asyncio.StreamWriter) -> None:
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9999\r\n\r\n"
        writer.write((head + event("Once upon")).encode())

    async def main() -> list[str]:
        heard: list[str] = []
        async with server(handle) as url, client(url) as model:
            answer = model.reply(QUESTION)
            heard.append(str(await anext(answer)))
            with pytest.raises(VisavisError) as caught:
                await anext(answer)
        assert caught.value.code == "LLM_UNREACHABLE"
        return heard

    assert asyncio.run(main()) == ["Once upon"]


def test_nobody_listens() -> None:
    async def nobody(path: str, body: Any, writer: asyncio.StreamWriter) -> None: ...

    async def main() -> None:
        async with server(nobody) as url:
            pass
        async with client(url) as model:
            await collect(model)

    with pytest.raises(VisavisError, match="VISAVIS_LLM_URL") as caught:
        asyncio.run(main())
    assert caught.value.code == "LLM_UNREACHABLE"


def test_a_slow_first_piece_times_out_although_the_server_pings() -> None:
    async def handle(path: str, body: Any, writer: asyncio.StreamWriter) -> None:
        stream(writer, ": ping\n\n")
        await ping(writer)

    with pytest.raises(VisavisError) as caught:
        ask(handle, timeout_seconds=0.05)
    assert caught.value.code == "LLM_TIMEOUT"


def test_closing_the_answer_closes_the_request() -> None:
    closed: list[bool] = []

    async def main() -> None:
        gone = asyncio.Event()

        async def handle(path: str, body: Any, writer: asyncio.StreamWriter) -> None:
            stream(writer, event("One."))
            try:
                await ping(writer)
            finally:
                closed.append(True)
                gone.set()

        async with server(handle) as url, client(url) as model:
            answer = cast(AsyncGenerator[str, None], model.reply(QUESTION))
            assert await anext(answer) == "One."
            await answer.aclose()
            async with asyncio.timeout(10):
                await gone.wait()

    asyncio.run(main())
    assert closed == [True]


def test_needs_an_address_and_hides_the_key() -> None:
    with pytest.raises(ConfigurationError, match="VISAVIS_LLM_URL"):
        llm_openai.load(Settings())
    model = OpenAIModel(LanguageModelSettings(url="http://localhost:1/v1", key=SecretStr(KEY)))
    assert KEY not in repr(model)


# -- the demo brain --------------------------------------------------------------------------------------
def pieces_of(*parts: str) -> AsyncIterator[str]:
    async def generate() -> AsyncIterator[str]:
        for part in parts:
            yield part

    return generate()


@pytest.mark.parametrize(
    ("parts", "sentences", "said"),
    [
        (["It is ", "a river. ", "It is long. ", "And wide."], 1, "It is a river."),
        (["It is ", "a river. ", "It is long. ", "And wide."], 2, "It is a river. It is long."),
        (["It is a river. ", "It is lo"], 2, "It is a river. "),
        (["It is a river. ", "It is long."], 2, "It is a river. It is long."),
        (["Assist", "ant: A river", " it is\nUser: no"], 2, "A river it is"),
        (["Well... a river is", " water. Yes."], 1, "Well... a river is water."),
        (["No."], 2, "No."),
    ],
)
def test_short_answers_end_with_a_sentence(parts: list[str], sentences: int, said: str) -> None:
    from visavis.stages.llm_demo import short_answer

    async def main() -> str:
        return "".join([piece async for piece in short_answer(pieces_of(*parts), sentences)])

    assert asyncio.run(main()) == said


def test_a_first_sentence_can_be_spoken_while_the_second_is_written() -> None:
    from visavis.clauses import ClauseCutter
    from visavis.stages.llm_demo import short_answer

    async def main() -> str:
        cutter, written = ClauseCutter(), ""

        async def generate() -> AsyncIterator[str]:
            nonlocal written
            for part in ("It is a river", ".", " It", " is", " long", ".", " And"):
                written += part
                yield part

        async for piece in short_answer(generate(), 2):
            if cutter.feed(piece):
                return written
        return "all of it"

    assert asyncio.run(main()) == "It is a river. It"


@pytest.mark.parametrize("parts", [[], ["  "], ["...", "\n"], ["Assistant:"]])
def test_an_empty_answer_is_admitted(parts: list[str]) -> None:
    from visavis.stages.llm_demo import FALLBACK, short_answer

    async def main() -> list[str]:
        return [piece async for piece in short_answer(pieces_of(*parts), 2)]

    assert asyncio.run(main()) == [FALLBACK]


@cache
def brain() -> Any:
    from visavis.stages.llm_demo import load

    return load(Settings())


def say(*said: str) -> list[str]:
    async def main() -> list[str]:
        messages: list[Message] = [Message("system", Settings().assistant.instructions)]
        for text in said:
            messages.append(Message("user", text))
            messages.append(Message("assistant", "".join([p async for p in brain().reply(messages)])))
        return [message.text for message in messages if message.role == "assistant"]

    return asyncio.run(main())


def test_the_small_model_reads_the_end_of_the_last_exchange_only() -> None:
    from visavis.stages.llm_demo import DemoBrain

    shown: list[Sequence[Message]] = []

    class Unprepared:
        def choose(self, *_: object) -> None: ...

    class Generator:
        workers = None

        async def generate(self, messages: Sequence[Message], **_: object) -> AsyncGenerator[str, None]:
            shown.append(messages)
            yield "Fine."

    async def main() -> list[str | ToolCall]:
        told = Message("assistant", "Once upon a time. " * 40 + "They lived happily.")
        said = [
            Message("user", "Hello!"),
            Message("assistant", "Hi!"),
            Message("user", "Tell me more."),
            told,
        ]
        brain = DemoBrain(cast(Any, Unprepared()), cast(Any, Generator()), "Be kind.")
        return [piece async for piece in brain.reply([*said, Message("user", "I liked that.")])]

    assert asyncio.run(main()) == ["Fine."]
    ((system, asked, story, question),) = shown
    assert (system.text, asked.text, question.text) == ("Be kind.", "Tell me more.", "I liked that.")
    assert len(story.text) <= 160 and story.text.endswith("a time. They lived happily.")
    assert story.text.split()[0] in ("Once", "upon", "a", "time.")


@pytest.mark.parametrize(
    ("question", "alone"),
    [
        ("Can you help me with my homework?", True),
        ("What is the capital of France?", True),
        ("What is it made of?", False),
        ("Can you tell me a bit more?", False),
        ("And the blue ones?", False),
        ("My garden is full of tomatoes this year.", False),
    ],
)
def test_a_whole_question_needs_nothing_said_before(question: str, alone: bool) -> None:
    from visavis.stages.llm_demo import stands_alone

    assert stands_alone(question) is alone


@pytest.mark.models
def test_known_questions_get_prepared_replies() -> None:
    (answer,) = say("What licence is this under?")
    assert "Apache" in answer


@pytest.mark.models
def test_questions_of_fact_come_with_a_warning_and_the_same_every_time() -> None:
    from visavis.stages.llm_demo import PREFACES

    answers = say("What is the capital of France?", "Why is the sky blue?")
    assert answers == say("What is the capital of France?", "Why is the sky blue?")
    assert answers[0].startswith(PREFACES[0]) and answers[1].startswith(PREFACES[1])
    assert all(len(answer.split()) < 80 for answer in answers)


async def first_piece(answer: AsyncIterator[str]) -> str:
    return await anext(answer)


@pytest.mark.models
def test_closing_stops_the_generation_and_others_are_answered() -> None:
    async def main() -> list[str]:
        first = brain().reply([Message("user", "My garden is full of tomatoes this year, Mister Smith says")])
        assert await anext(first)
        await first.aclose()
        waiting = [
            asyncio.create_task(
                first_piece(brain().reply([Message("user", f"I talked with my {who} today")]))
            )
            for who in ("aunt", "uncle", "teacher")
        ]
        return list(await asyncio.gather(*waiting))

    assert all(asyncio.run(main()))


@pytest.mark.models
def test_an_overlong_conversation_still_fits() -> None:
    async def main() -> str:
        messages = [Message("system", "Be kind. " * 900), Message("user", "tomatoes " * 3000)]
        return "".join([piece async for piece in brain().reply(messages)])

    assert asyncio.run(main())


WEATHER = Tool("weather", "Of a city.", {"type": "object", "properties": {"city": {"type": "string"}}})


def call_event(**call: Any) -> str:
    delta = {"tool_calls": [call]}
    return "data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}) + "\n\n"


def use(messages: Sequence[Message], *parts: str) -> tuple[list[str | ToolCall], dict[str, Any]]:
    """What the model answers when the server streams `parts`, and what the server was asked."""
    asked: list[dict[str, Any]] = []

    async def handle(path: str, body: Any, writer: asyncio.StreamWriter) -> None:
        asked.append(body)
        stream(writer, *parts, "data: [DONE]\n\n")

    async def main() -> list[str | ToolCall]:
        async with server(handle) as url, client(url) as model:
            return [piece async for piece in model.reply(messages, [WEATHER])]

    return asyncio.run(main()), asked[0]


def test_calls_that_come_in_pieces_follow_the_text() -> None:
    answer, asked = use(
        QUESTION,
        call_event(index=0, id="a", function={"name": "weather", "arguments": '{"ci'}),
        event("Let me look. "),
        call_event(index=1, id="b", function={"name": "weather", "arguments": "{}"}),
        call_event(index=0, function={"arguments": 'ty": "Paris"}'}),
    )
    assert answer == [
        "Let me look. ",
        ToolCall("a", "weather", {"city": "Paris"}),
        ToolCall("b", "weather", {}),
    ]
    (tool,) = asked["tools"]
    assert tool["function"] == {
        "name": "weather",
        "description": "Of a city.",
        "parameters": WEATHER.parameters,
    }


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ({"function": {"name": "weather", "arguments": "{"}}, "{"),
        ({"function": {"name": "weather"}}, {}),
        ({"index": 0, "function": {"name": "weather", "arguments": "[1]"}}, [1]),
        ({"index": 0, "function": {"name": "weather", "arguments": "9" * 40_000}}, "9" * 32_001),
    ],
)
def test_arguments_are_what_the_model_wrote(call: dict[str, Any], arguments: Any) -> None:
    assert use(QUESTION, call_event(**call))[0] == [ToolCall("", "weather", arguments)]


@pytest.mark.parametrize("calls", [None, "x", [None], [{"index": "x"}], [{"index": {}}], {"index": 0}])
def test_calls_that_are_not_well_formed_are_left_out(calls: Any) -> None:
    data = "data: " + json.dumps({"choices": [{"delta": {"content": "Hi.", "tool_calls": calls}}]}) + "\n\n"
    assert use(QUESTION, data)[0] == ["Hi."]


def test_a_model_that_calls_without_end_is_cut_short() -> None:
    pieces = [call_event(index=n, function={"name": "weather"}) for n in range(100)]
    assert len(use(QUESTION, *pieces)[0]) == 16


def test_the_results_of_calls_are_told_and_need_no_further_words() -> None:
    call = ToolCall("r1-1", "weather", {"city": "Paris"})
    broken = ToolCall("r1-2", "weather", "{")
    messages = [
        *QUESTION,
        Message("assistant", "", calls=(call, broken)),
        Message("tool", "sunny", call="r1-1"),
        Message("tool", "The arguments must be a JSON object.", call="r1-2"),
    ]
    answer, asked = use(messages)
    assert answer == [""]
    assert asked["messages"][2:] == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "id": "r1-1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city":"Paris"}'},
                },
                {"id": "r1-2", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "content": "sunny", "tool_call_id": "r1-1"},
        {"role": "tool", "content": "The arguments must be a JSON object.", "tool_call_id": "r1-2"},
    ]
