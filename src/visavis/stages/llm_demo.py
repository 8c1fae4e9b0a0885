"""The demo brain: prepared replies for a first minute of talk, and a very small language model for the rest.

It answers on any machine without a key, and it is honest about being small.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from datetime import datetime
from importlib.resources import files
from pathlib import Path

import numpy as np

from visavis.events import ToolCall
from visavis.languages import ENGLISH, base
from visavis.models import ModelStore
from visavis.needs import speaks_english
from visavis.settings import AssistantSettings, Settings
from visavis.spoken_clock_pl import polish_clock
from visavis.stages import LanguageModel, Message
from visavis.stages.gguf_blocks import unpack
from visavis.stages.llama import Llama
from visavis.stages.onnx import release_memory
from visavis.stages.prepared import DemoBrains, load_prepared
from visavis.stages.quote import quote
from visavis.stages.replies import Replies, embed_bank, read_bank
from visavis.stages.sentence_encoder import SentenceEncoder
from visavis.tools import Tool

FACTS = "Be a helpful assistant. Answer in one short sentence."
"""Instead of the default instructions when a fact is asked for: a model this small knows less in a role. It
begins unlike them, so that each keeps its place in the cache."""
FALLBACK = "I'm only a small demo brain, and I don't know what to say to that."
"""Instead of an answer that is empty or goes in circles."""
PREFACES = (
    "I'm only a small demo brain, so do check this:",
    "I may well be wrong about this:",
    "Please don't quote me on this:",
)
"""Said before the answer to a question of fact; they take turns."""
_ASKS_FACT = re.compile(
    r"(?:please |can you |could you )*"
    r"(?:wh(?:at|o|om|ose|en|ere|ich|y)|how|is|are|was|were|does|do|did|has|tell me about|explain)\b",
    re.I,
)
_PERSONAL = re.compile(r"\b(?:you|your|yours|i'm|my|mine|our|let's)\b", re.I)
_REFERS = re.compile(
    r"\b(?:its?|he|his|him|she|her|they|them|their|that|this|those|these|there|one|more|else|other|another|again|too)\b",
    re.I,
)
"""Words that need what was said before."""
_WHOLE_QUESTION = 6
"""Words of a question that is understood by itself."""
_SENTENCE_END = re.compile(r"(?<!\.)[.!?]+(?<!\.\.)[\"'”’)]*(?=\s)")
_ROLE = re.compile(r"^(?:assistant|ai|bot|answer|a)\s*:\s*", re.I)
_LONGEST_ROLE = 12
"""Characters after which no role name can be coming."""
_CONTEXT, _PARALLEL = 1024, 4
"""Tokens of a conversation with its answer, and answers that are generated at a time: together four cost a
quarter less than one after the other (CPU), and nobody waits for three others to be complete."""
_LONGEST_INSTRUCTIONS, _LONGEST_QUESTION, _LONGEST_PAST = 1_200, 800, 160
_MESSAGES = 3
"""What the small model is shown of the conversation, in characters: the question, and how each message of the
last exchange ended. More only confuses and slows it: it reads hardly faster than it writes."""


def load(settings: Settings) -> DemoBrains:
    """The demo brain of every language that may be spoken.

    The models of the English one are loaded only when English is the language, or languages are detected.
    """
    home = base(settings.assistant.language)
    brains: dict[str, LanguageModel] = {"pl": load_prepared("pl", polish_clock, settings.assistant.seed)}
    if speaks_english(settings):
        brains[ENGLISH] = load_english(settings)
    return DemoBrains(home, brains)


def load_english(settings: Settings) -> DemoBrain:
    """The English brain with its models in place and warm."""
    store = ModelStore(settings.models)
    encoder = SentenceEncoder(
        store.path("minilm") / "model.onnx", store.path("minilm-tokenizer") / "tokenizer.json"
    )
    (gguf,) = store.derived("smollm2-135m", _unpack, "1").glob("*.gguf")
    model = Llama(gguf, seed=settings.assistant.seed, context=_CONTEXT, parallel=_PARALLEL)
    brain = DemoBrain(
        load_replies(store, encoder, settings.assistant.seed), model, settings.assistant.instructions
    )
    brain.warm_up()
    release_memory()
    return brain


def _unpack(source: Path, target: Path) -> None:
    (gguf,) = source.glob("*.gguf")
    unpack(gguf, target / gguf.name)


def load_replies(store: ModelStore, encoder: SentenceEncoder, seed: int) -> Replies:
    """The bank that comes with the package; its vectors are computed once and kept in the store."""
    text = files("visavis").joinpath("data/replies.yaml").read_text(encoding="utf-8")
    bank = read_bank(text)

    def build(source: Path, target: Path) -> None:
        np.save(target / "replies.npy", embed_bank(bank, encoder))

    version = hashlib.sha256(text.encode()).hexdigest()[:12]
    return Replies(bank, np.load(store.derived("minilm", build, version) / "replies.npy"), encoder, seed)


class DemoBrain:
    """A `LanguageModel`."""

    def __init__(self, replies: Replies, model: Llama, instructions: str) -> None:
        self._replies = replies
        self._model = model
        self.workers = model.workers
        self._instructions = instructions
        self._chooser = ThreadPoolExecutor(1, thread_name_prefix="replies")

    def warm_up(self) -> None:
        """Run every part once, and leave the instructions in the model's cache."""
        hello, question = [Message("user", "Hello, how are you?")], [Message("user", "What is water?")]
        self._replies.choose(hello, datetime.now())
        self._model.warm_up(*[self._prompt(hello)] * (_PARALLEL - 1), self._prompt(question))

    async def reply(
        self, messages: Sequence[Message], tools: Sequence[Tool] = ()
    ) -> AsyncGenerator[str | ToolCall, None]:
        """A sentence of what was looked up, a prepared reply, perhaps with the tool that goes with it, or a
        generated one as it grows; closing it stops the generation.

        Raises `VisavisError` (`LLM_FAILED`) when the model breaks.
        """
        if messages[-1].role == "tool":
            return  # what there was to say has been said
        names = [tool.name for tool in tools]
        loop = asyncio.get_running_loop()
        if passages := messages[-1].passages:
            asked, passage = messages[-1].text, passages[0].excerpt
            yield await loop.run_in_executor(self._chooser, quote, asked, passage, self._replies.embed)
            return
        prepared = await loop.run_in_executor(
            self._chooser, self._replies.choose, messages, datetime.now(), names
        )
        if prepared is not None:
            yield prepared
            for call in self._replies.calls(prepared):
                yield call
            return
        fact = asks_fact(messages[-1].text)
        if fact:
            yield choose_preface(messages) + " "
        # In a chat it needs a penalty against repeating itself, which makes facts worse.
        generated = self._model.generate(self._prompt(messages), repeat_penalty=1.0 if fact else 1.1)
        text = (piece async for piece in generated if isinstance(piece, str))
        answer = short_answer(text, sentences=1 if fact else 2)
        async with aclosing(generated), aclosing(answer):
            async for piece in answer:
                yield piece

    def _prompt(self, messages: Sequence[Message]) -> list[Message]:
        """The messages as the small model sees them: prefaces gone, not too many or too long."""
        instructions = " ".join(m.text for m in messages if m.role == "system") or self._instructions
        talk = [m for m in messages if m.role != "system"][-_MESSAGES:]
        if asks_fact(talk[-1].text) and instructions in ("", AssistantSettings().instructions):
            instructions = FACTS
        if stands_alone(talk[-1].text):
            talk = talk[-1:]  # what was said before would only lead it astray
        past = [Message(m.role, _end_of(_without_preface(m.text), _LONGEST_PAST)) for m in talk[:-1]]
        question = Message("user", _end_of(talk[-1].text.strip(), _LONGEST_QUESTION))
        return [Message("system", instructions[:_LONGEST_INSTRUCTIONS]), *past, question]


def asks_fact(text: str) -> bool:
    """Whether `text` asks for knowledge of the world, which the small model is not to be trusted with."""
    question = _ASKS_FACT.match(text.strip())
    return question is not None and not _PERSONAL.search(text.strip()[question.end() :])


def stands_alone(text: str) -> bool:
    """Whether `text` is a question that is understood without what was said before."""
    whole = asks_fact(text) or (text.rstrip().endswith("?") and len(text.split()) >= _WHOLE_QUESTION)
    return whole and not _REFERS.search(text)


def choose_preface(messages: Sequence[Message]) -> str:
    """The next of the `PREFACES` in this conversation."""
    said = [message.text for message in messages if message.role == "assistant"]
    used = sum(text.startswith(preface) for text in said for preface in PREFACES)
    return PREFACES[used % len(PREFACES)]


def _without_preface(text: str) -> str:
    for preface in PREFACES:
        text = text.removeprefix(preface)
    return text.strip()


def _end_of(text: str, characters: int) -> str:
    """The last words of `text`."""
    return text if len(text) <= characters else text[-characters:].partition(" ")[2] or text[-characters:]


async def short_answer(pieces: AsyncIterator[str], sentences: int) -> AsyncGenerator[str, None]:
    """The first sentences of one line: the very first as it grows, others only when complete.

    A role name at the beginning is left out; `FALLBACK` comes when there is nothing to say.
    """
    text = ""
    passed = 0
    async for piece in pieces:
        text += piece
        line, newline, _ = _ROLE.sub("", text.lstrip()).partition("\n")
        ends = [match.end() for match in _SENTENCE_END.finditer(line)][:sentences]
        growing = len(line) if len(line) > _LONGEST_ROLE else 0
        # The space after a sentence says that it is complete; whoever speaks it need not wait for the next.
        end = ends[-1] + (len(ends) < sentences) if ends else growing
        if end > passed:
            yield line[passed:end]
            passed = end
        if newline or len(ends) == sentences:
            break
    line = _ROLE.sub("", text.strip()).partition("\n")[0]
    if not any(map(str.isalnum, line)):
        yield FALLBACK
    elif not passed or (line[-1] in ".!?" and len(_SENTENCE_END.findall(line)) < sentences):
        yield line[passed:]
