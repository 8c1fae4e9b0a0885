"""Is everything well? What `visavis doctor` checks and shows."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
import time
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import soxr
import structlog
from rich.table import Table

from visavis import plugins
from visavis.agents import AgentEngine, Brief
from visavis.arkit import INDEX
from visavis.audio import to_float
from visavis.errors import VisavisError
from visavis.events import ReplyAudio, ReplyFailed, UserText
from visavis.faces.speech_face import Faces
from visavis.knowledge import knowledge
from visavis.languages import ENGLISH, NO_ANSWER, base
from visavis.models import ModelStore
from visavis.needs import needed_models
from visavis.say import Spoken, render
from visavis.server import run
from visavis.settings import AssistantSettings, Settings
from visavis.stages import LISTEN_RATE, LanguageModel, Message, SpeechToText, TextToSpeech

SENTENCE = "My name is Pam, and I am happy to meet you."
MEMORY = 1_200
"""MiB the server may need with everything embedded."""
OPEN = 0.12
"""A jaw that opens less than this beyond the lips' closing shows closed lips."""
PATIENCE = 30.0
"""Seconds to wait for an agent's voice."""
WRONG_WORDS = 0.2
"""Share of the sentence's words that may be misheard."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `finding` says what was found or, when not ok, what to do."""

    name: str
    ok: bool
    finding: str
    milliseconds: float
    required: bool


class Examination:
    """The checks of one configuration, in order. No model is fetched from the network."""

    def __init__(self, settings: Settings) -> None:
        self.given = settings
        self.settings = settings.model_copy(
            update={"models": settings.models.model_copy(update={"offline": True})}
        )
        self.checks: list[Check] = []

    def check(self, name: str, probe: Callable[[], tuple[str, T]], *, required: bool = True) -> T | None:
        """Time `probe`, which returns a finding and a result, or raises; None when it raised."""
        begin = time.perf_counter()
        result: T | None = None
        try:
            finding, result = probe()
            ok = True
        except VisavisError as error:
            finding, ok = str(error), False
        except Exception as error:
            # Whatever a part does wrong is what we are here to find.
            structlog.get_logger(__name__).debug("check failed", check=name, exc_info=True)
            finding = f"{type(error).__name__}: {error}. For more, run: visavis doctor --debug"
            ok = False
        self.checks.append(Check(name, ok, finding, (time.perf_counter() - begin) * 1000, required))
        return result


def examine(settings: Settings) -> list[Check]:
    """Check the machine, speak and animate a sentence, understand it, or talk to another agent."""
    examination = Examination(settings)
    _examine_machine(examination)
    _examine_parts(examination)
    return examination.checks


def table(checks: list[Check]) -> Table:
    """The checks for people to read."""
    shown = Table("part", "", "ms", "finding", box=None, pad_edge=False)
    shown.columns[2].justify = "right"
    for check in checks:
        state = "[green]ok" if check.ok else "[red]fail" if check.required else "[yellow]weak"
        shown.add_row(check.name, state, f"{check.milliseconds:.0f}", check.finding)
    return shown


# -- the machine -----------------------------------------------------------------------------------------
def _examine_machine(examination: Examination) -> None:
    settings = examination.settings
    store = ModelStore(settings.models)
    examination.check("python", _python)
    examination.check("configuration", lambda: _configuration(examination.given))
    for name in needed_models(settings):
        examination.check(f"model {name}", partial(_model, store, name))
    examination.check("port", lambda: _port(settings), required=False)
    examination.check("memory", _memory, required=False)


def _python() -> tuple[str, None]:
    cores = os.cpu_count() or 1
    return f"{platform.python_version()} on {sys.platform} {platform.machine()}, {cores} cores", None


def _configuration(settings: Settings) -> tuple[str, None]:
    run.check(settings)
    stages = ", ".join(f"{stage}: {name}" for stage, name in settings.stages.model_dump().items())
    parts = f" ({stages})" if settings.agent == "embedded" else ""
    return f"agent: {settings.agent}{parts}, face: {settings.face.engine}, avatar: {settings.avatar}", None


def _model(store: ModelStore, name: str) -> tuple[str, None]:
    if not store.present(name):
        raise VisavisError("MODEL_MISSING", f"Not in {store.root}. Run: visavis models pull {name}")
    if problems := store.verify(name):
        again = f"visavis models remove {name} && visavis models pull {name}"
        raise VisavisError("MODEL_CORRUPT", f"{'; '.join(problems)}. Run: {again}")
    return "here, SHA-256 verified", None


def _port(settings: Settings) -> tuple[str, None]:
    run.bind(settings.server.host, settings.server.port).close()
    return f"{settings.server.port} on {settings.server.host} is free", None


def _memory() -> tuple[str, None]:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return "unknown on this system", None
    kibibytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    free = kibibytes["MemAvailable"] >> 10
    if free < MEMORY:
        raise VisavisError(
            "LOW_MEMORY", f"{free} MiB available, {MEMORY} may be needed; close some programs."
        )
    return f"{free} MiB available, at most {MEMORY} needed", None


# -- the parts -------------------------------------------------------------------------------------------
def _examine_parts(examination: Examination) -> None:
    settings = examination.settings
    if settings.knowledge.source:
        examination.check("knowledge", lambda: _knowledge(settings))
    voice: TextToSpeech | None = examination.check("load voice", partial(_stage, settings, "tts"))
    faces = examination.check("load face", lambda: ("ready", Faces.load(settings)))
    spoken: Spoken | None = None
    if voice is not None and faces is not None:
        spoken = examination.check("speak, animate", lambda: _speak(voice, faces, settings.assistant))
    if settings.agent != "embedded":
        examination.check("talk", lambda: _talk(settings))
        return
    ears: SpeechToText | None = examination.check("load ears", partial(_stage, settings, "asr"))
    if ears is not None and spoken is not None:
        examination.check("understand", lambda: _understand(ears, spoken))
    brain: LanguageModel | None = examination.check("load brain", partial(_stage, settings, "llm"))
    if brain is not None:
        examination.check("answer", lambda: _answer(brain, settings.assistant.instructions))


def _knowledge(settings: Settings) -> tuple[str, None]:
    library = knowledge.load(settings)
    assert library is not None
    status = library.status()
    if status["problems"]:
        raise VisavisError("KNOWLEDGE_UNREADABLE", " ".join(status["problems"]))
    left_out = f"; left out: {' '.join(status['warnings'])}" if status["warnings"] else ""
    return f"{status['documents']} documents, {status['passages']} passages{left_out}", None


def _talk(settings: Settings) -> tuple[str, None]:
    engine: AgentEngine = plugins.load("agents", settings.agent, settings)
    return asyncio.run(_first_sound(engine, settings)), None


async def _first_sound(engine: AgentEngine, settings: Settings) -> str:
    """Greet the agent and wait until its voice is heard."""
    began = time.perf_counter()
    answer: ReplyAudio | ReplyFailed | None = None
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE), engine.open(Brief(settings.assistant.instructions)) as agent:
            await agent.send(UserText("Hello!"))
            async for event in agent:
                if isinstance(event, ReplyAudio | ReplyFailed):
                    answer = event
                    break
    if answer is None:
        raise VisavisError("NO_ANSWER", f"The agent was silent for {PATIENCE:g} s; does its server run?")
    if isinstance(answer, ReplyFailed):
        raise VisavisError(answer.code, answer.message)
    return f"answers with its voice after {(time.perf_counter() - began) * 1000:.0f} ms"


def _stage(settings: Settings, stage: str) -> tuple[str, Any]:
    return "ready", plugins.load(stage, getattr(settings.stages, stage), settings)


def _speak(voice: TextToSpeech, faces: Faces, assistant: AssistantSettings) -> tuple[str, Spoken]:
    language = base(assistant.language)
    sentence = SENTENCE if language == ENGLISH else NO_ANSWER.get(language, SENTENCE)
    spoken = render(sentence, voice, faces, assistant.seed)
    seconds = len(spoken.weights) / spoken.media.fps
    finding = f"{seconds:.1f} s of speech, {len(spoken.weights)} frames"
    jaw, lips = (spoken.weights[:, INDEX[name]] for name in ("jawOpen", "mouthClose"))
    if jaw.max() - jaw.min() < OPEN:
        raise VisavisError("STILL_FACE", f"{finding}, but the mouth does not move; try face.engine: energy")
    if spoken.phonemes is None:
        return f"{finding}, moved by the sound", spoken
    closures = [phoneme for phoneme in spoken.phonemes if phoneme.symbol in "pbm"]
    gap = jaw - lips
    # The lips meet in at least one frame of each p, b and m.
    closed = sum(
        gap[int(p.start * spoken.media.fps) : int(p.end * spoken.media.fps) + 1].min() < OPEN
        for p in closures
    )
    if closed < len(closures):
        problem = f"{finding}, but lips close on only {closed} of {len(closures)} p, b, m"
        raise VisavisError("OPEN_LIPS", problem)
    return f"{finding}, lips close on {closed} of {len(closures)} p, b, m", spoken


def _understand(ears: SpeechToText, spoken: Spoken) -> tuple[str, None]:
    heard = ears(soxr.resample(to_float(spoken.pcm), spoken.media.rate, LISTEN_RATE).astype(np.float32)).text
    if spoken.text != SENTENCE:  # how good other languages should be nobody has measured
        return f"heard {heard!r}, spoken {spoken.text!r}", None
    wrong = word_errors(SENTENCE, heard)
    if wrong > WRONG_WORDS:
        raise VisavisError("MISHEARD", f"heard {heard!r} instead of {SENTENCE!r}; run: visavis models verify")
    return f"heard {heard!r}", None


def _answer(brain: LanguageModel, instructions: str) -> tuple[str, None]:
    async def first() -> str:
        question = [Message("system", instructions), Message("user", "Hello!")]
        async with aclosing(brain.reply(question)) as pieces:
            return str(await anext(pieces, ""))

    piece = asyncio.run(first())
    if not piece.strip():
        raise VisavisError("NO_ANSWER", "The language model said nothing; check llm.url and llm.model.")
    return f"begins with {piece.strip()[:40]!r}", None


def word_errors(expected: str, heard: str) -> float:
    """The word error rate: least insertions, deletions and substitutions per expected word (Levenshtein)."""
    want, got = _plain_words(expected), _plain_words(heard)
    row = list(range(len(got) + 1))
    for count, word in enumerate(want, 1):
        before = row
        row = [count]
        for index, other in enumerate(got):
            row.append(min(before[index] + (word != other), before[index + 1] + 1, row[index] + 1))
    return row[-1] / max(1, len(want))


def _plain_words(text: str) -> list[str]:
    letters = "".join(letter if letter.isalnum() or letter == "'" else " " for letter in text.lower())
    return letters.split()
