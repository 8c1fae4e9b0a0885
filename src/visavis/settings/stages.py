"""The parts of the embedded agent, and where their models are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from visavis.settings.values import HomePath, Section, web_address


class StageSettings(Section):
    """Which plug-in does what in the embedded agent: a name from the entry points, or `module:attr`."""

    vad: str = "silero"
    end_of_turn: str = "smart_turn"
    asr: str = "moonshine"
    llm: str = "demo"
    tts: str = "hibari"


class LanguageModelSettings(Section):
    """An OpenAI-compatible server or a model of your own; setting `url` or `file` replaces the demo brain."""

    file: HomePath | None = None
    """A GGUF file, run by llama.cpp inside the server."""
    context: int = Field(4096, ge=256, le=131_072)
    """Tokens that a model from a file can have in mind: instructions, conversation and answer."""
    threads: int = Field(0, ge=0, le=64)
    """Of a model from a file; 0 is half of the machine's processors."""
    parallel: int = Field(1, ge=1, le=64)
    """Answers that a model from a file generates at a time, as one batch; each needs the memory of a
    `context`."""
    url: Annotated[str, AfterValidator(web_address)] = ""
    model: str = ""
    key: SecretStr = SecretStr("")
    max_tokens: int = Field(200, ge=1, le=4096)
    temperature: float = Field(0.7, ge=0, le=2)
    timeout_seconds: float = Field(20.0, gt=0, le=600)
    """Longest wait for the first piece of an answer."""


class VoiceSettings(Section):
    speed: float = Field(1.0, ge=0.5, le=2.0)


class WhisperSettings(Section):
    """Speech to text with Whisper, in 99 languages."""

    model: str = ""
    """A size such as `small` (downloaded from Hugging Face), or the folder of a converted model; empty is
    the `base` model of the model store."""
    language: str = ""
    """A code such as `pl`; empty is `assistant.language`, `detect` listens for it in every utterance."""
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    """Where a model of your own runs; `auto` takes a GPU when there is one."""


class TranscriptionSettings(Section):
    """Speech to text by a server that is compatible with OpenAI's; setting `url` chooses it."""

    url: Annotated[str, AfterValidator(web_address)] = ""
    """`/audio/transcriptions` is added."""
    model: str = "whisper-1"
    key: SecretStr = SecretStr("")
    language: str = ""
    """A code such as `pl`; empty is `assistant.language`, `detect` lets the server find out."""
    prompt: str = ""
    """Words to expect."""
    timeout_seconds: float = Field(20.0, gt=0, le=600)
    """Longest wait for the words of an utterance."""


class EspeakSettings(Section):
    """Text to speech with espeak-ng, in more than a hundred languages."""

    voice: str = ""
    """A voice such as `pl`, `pt-br` or `en-us+f3`; empty is `assistant.language`."""


class SpeechSettings(Section):
    """Text to speech by a server that is compatible with OpenAI's; setting `url` chooses it."""

    url: Annotated[str, AfterValidator(web_address)] = ""
    """`/audio/speech` is added."""
    model: str = "gpt-4o-mini-tts"
    voice: str = "alloy"
    key: SecretStr = SecretStr("")
    rate: int = Field(24_000, ge=8_000, le=48_000)
    """Hz of the PCM that the server sends."""
    timeout_seconds: float = Field(20.0, gt=0, le=600)
    """Longest wait for the next piece of the sound."""


class KokoroSettings(Section):
    """Text to speech with Kokoro-82M; setting `voice` makes it the voice."""

    voice: str = ""
    """One of the model store (`jf_alpha`, `jf_gongitsune`, `jf_nezumi`, `jf_tebukuro`, `jm_kumo`) or a
    file `.bin` with the styles of another; empty is `jf_alpha`."""


class PiperSettings(Section):
    """Text to speech with a voice of Piper; setting `voice` makes it the voice."""

    voice: HomePath | None = None
    """A file `.onnx`, with its `.onnx.json` beside it; None is `joe` (English) of the model store."""
    speaker: str = ""
    """Name or number of a speaker, when the voice has several; empty is the first."""


class RemoteStageSettings(Section):
    """Stages that run elsewhere (`visavis stage serve`); the handler `remote` uses them."""

    end_of_turn: Annotated[str, AfterValidator(web_address)] = ""
    asr: Annotated[str, AfterValidator(web_address)] = ""
    llm: Annotated[str, AfterValidator(web_address)] = ""
    tts: Annotated[str, AfterValidator(web_address)] = ""
    face: Annotated[str, AfterValidator(web_address)] = ""
    """Of the face engine `remote`."""
    token: SecretStr = SecretStr("")
    """A secret that both sides know."""
    connections: int = Field(8, ge=1, le=256)
    """Requests to one stage at a time, and connections that are kept; for `end_of_turn` and `asr`."""
    timeout_seconds: float = Field(20.0, gt=0, le=600)
    """Longest wait for an answer, or for the next piece of one."""
    start_seconds: float = Field(30.0, ge=0, le=3600)
    """How long a server that starts waits for its stages."""

    def address(self, kind: str) -> str:
        found: str = getattr(self, kind)
        return found


class ModelSettings(Section):
    cache: HomePath | None = None
    """Where model files are kept; None is the platform's cache directory."""
    root_path: HomePath | None = None
    """A folder of your own model files: a name without a path is looked for there, and what Whisper downloads
    is put there."""
    cache_size: int = Field(0, ge=0, le=100_000)
    """Spoken clauses whose sound is kept, to be said again at once; 0 keeps none."""
    offline: bool = False
    """Never fetch anything from the network."""

    def own(self, file: Path) -> Path:
        """A model file of the user's: `file` as it is, or in `root_path` when it is only there."""
        if self.root_path is None or file.is_absolute() or file.exists():
            return file
        inside = self.root_path / file
        return inside if inside.exists() else file
