"""A model file of one's own: what is said when it is no good, and answers of a real small one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import xllamacpp

from visavis.errors import ConfigurationError, VisavisError
from visavis.events import ToolCall
from visavis.models import ModelStore
from visavis.settings import LanguageModelSettings, ModelSettings, Settings
from visavis.stages import Message, llm_gguf
from visavis.stages.llama import Llama
from visavis.stages.llm_gguf import GgufModel
from visavis.tools import Tool

QUESTION = [
    Message("system", "Answer in one short sentence."),
    Message("user", "What is the capital of France?"),
]


def settings(file: Path | None, **more: object) -> Settings:
    return Settings(llm=LanguageModelSettings.model_validate({"file": file, "temperature": 0.0, **more}))


@pytest.fixture(scope="module")
def small() -> Path:
    return next(ModelStore(ModelSettings()).path("smollm2-135m").glob("*.gguf"))


@pytest.fixture(scope="module")
def model(small: Path) -> GgufModel:
    return llm_gguf.load(settings(small, context=512, max_tokens=40, threads=1))


def said(model: GgufModel, messages: list[Message]) -> list[str]:
    async def main() -> list[str]:
        return [str(piece) async for piece in model.reply(messages)]

    return asyncio.run(main())


# -- files that are no good -------------------------------------------------------------------------------
def test_no_file_is_named() -> None:
    with pytest.raises(ConfigurationError, match="VISAVIS_LLM_FILE"):
        llm_gguf.load(settings(None))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"llm.file: .*nothing.gguf cannot be read: No such file"):
        llm_gguf.load(settings(tmp_path / "nothing.gguf"))


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"not a model")
    with pytest.raises(ConfigurationError, match="is not a GGUF file"):
        llm_gguf.load(settings(tmp_path / "model.safetensors"))


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + bytes(2000))
    with pytest.raises(ConfigurationError, match=r"llm.file: llama.cpp cannot open .*model.gguf"):
        llm_gguf.load(settings(tmp_path / "model.gguf"))


def test_a_model_larger_than_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + bytes(3 << 20))
    monkeypatch.setattr(llm_gguf, "_memory", lambda: 2 << 20)
    with pytest.raises(ConfigurationError, match="has 3 MiB, more than the 2 MiB"):
        llm_gguf.load(settings(tmp_path / "model.gguf"))


def test_a_name_is_looked_for_among_ones_own_models(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"something else")
    given = settings(Path("model.gguf")).model_copy(update={"models": ModelSettings(root_path=tmp_path)})
    with pytest.raises(ConfigurationError, match=re.escape(f"{tmp_path / 'model.gguf'} is not a GGUF file")):
        llm_gguf.load(given)


# -- a real one -------------------------------------------------------------------------------------------
@pytest.mark.models
def test_it_answers_in_pieces_by_the_template_of_the_file(model: GgufModel) -> None:
    pieces = said(model, QUESTION)
    assert len(pieces) > 3
    assert "Paris" in "".join(pieces)
    assert "<|im_" not in "".join(pieces)


@pytest.mark.models
def test_an_answer_ends_at_the_longest(small: Path) -> None:
    short = llm_gguf.load(settings(small, context=512, max_tokens=3, threads=1))
    assert 0 < len(said(short, QUESTION)) <= 3


@pytest.mark.models
def test_more_than_it_can_have_in_mind_is_refused_with_advice(model: GgufModel) -> None:
    with pytest.raises(VisavisError, match=r"Raise llm.context") as caught:
        said(model, [Message("user", "tomatoes " * 2000)])
    assert caught.value.code == "LLM_FAILED"
    assert "Paris" in "".join(said(model, QUESTION))


TEMPLATE = """{%- for message in messages %}
{%- if message.role == 'assistant' %}{{- '<|im_start|>assistant' }}
{%- if message.content %}{{- '\n' + message.content }}{%- endif %}
{%- for call in message.tool_calls %}{{- '\n<tool_call>\n{"name": "' }}{{- call.function.name }}
{{- '", "arguments": ' }}{{- call.function.arguments | tojson }}{{- '}\n</tool_call>' }}{%- endfor %}
{{- '<|im_end|>\n' }}
{%- else %}{{- '<|im_start|>' + message.role + '\n' + message.content }}
{%- if loop.first and tools %}
{%- for tool in tools %}{{- '\n' }}{{- tool.function | tojson }}{%- endfor %}{%- endif %}
{{- '<|im_end|>\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"""
"""A chat template that has a place for tools, as those of larger models have."""


def weather(number: int, city: str, found: str) -> list[Message]:
    """Somebody asks, and is told what the tool returns."""
    call = ToolCall(f"w{number}", "weather", {"city": city})
    return [
        Message("user", f"What is the weather in {city}?"),
        Message("assistant", "", calls=(call,)),
        Message("tool", found, call=call.call),
    ]


@pytest.mark.models
def test_a_model_whose_template_knows_tools_calls_them_and_says_what_they_return(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = xllamacpp.CommonParams

    def params() -> Any:
        ours = made()
        ours.chat_template = TEMPLATE
        return ours

    monkeypatch.setattr(xllamacpp, "CommonParams", params)
    model = llm_gguf.load(settings(small, context=1024, max_tokens=40, threads=1))
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    # The smallest of models has to be shown what it is to do.
    before = [
        Message("system", "You tell the weather."),
        *weather(1, "Rome", "sunny"),
        Message("assistant", "It is sunny in Rome."),
    ]
    asked, _, returned = weather(2, "Paris", "rainy")

    async def main() -> tuple[list[str | ToolCall], str]:
        tools = [Tool("weather", "The weather in a city.", schema)]
        pieces = [piece async for piece in model.reply([*before, asked], tools)]
        calls = tuple(piece for piece in pieces if isinstance(piece, ToolCall))
        told = [*before, asked, Message("assistant", "", calls=calls), replace(returned, call=calls[0].call)]
        return pieces, "".join([str(piece) async for piece in model.reply(told, tools)])

    pieces, answer = asyncio.run(main())
    (call,) = pieces
    assert isinstance(call, ToolCall)
    assert (call.name, call.arguments) == ("weather", {"city": "Paris"})
    assert "rain" in answer


@pytest.mark.models
def test_tools_are_nothing_to_a_model_whose_template_has_no_place_for_them(model: GgufModel) -> None:
    async def main() -> list[str | ToolCall]:
        return [piece async for piece in model.reply(QUESTION, [Tool("weather", "The weather in a city.")])]

    assert asyncio.run(main()) == said(model, QUESTION)


class Counting:
    """llama.cpp's server, and how many pieces each answer had."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self.pieces: list[int] = []

    def handle_chat_completions(self, request: Any, take: Callable[[Any], bool]) -> None:
        self.pieces.append(0)

        def counted(chunk: Any) -> bool:
            self.pieces[-1] += 1
            return take(chunk)

        self._server.handle_chat_completions(request, counted)


@pytest.mark.models
def test_closing_stops_the_generation(small: Path) -> None:
    endless = Llama(small, seed=0, most_tokens=1500)
    endless._server = counting = Counting(endless._server)
    model = GgufModel(endless, LanguageModelSettings(temperature=0.0))

    async def main() -> str:
        story = model.reply([Message("user", "Count from one to one thousand, every number as a word.")])
        await anext(story)
        await story.aclose()
        return "".join([str(piece) async for piece in model.reply(QUESTION)])

    assert asyncio.run(main())
    assert counting.pieces[0] < 100
