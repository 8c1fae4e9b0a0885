"""Which model files a configuration needs."""

from __future__ import annotations

from visavis.languages import DETECT, ENGLISH, base
from visavis.settings import Settings

STAGES = {
    ("vad", "silero"): ("silero-vad",),
    ("end_of_turn", "smart_turn"): ("smart-turn",),
    ("asr", "moonshine"): ("moonshine-base-en",),
    ("asr", "whisper"): ("whisper-base", "whisper-base-part2"),
    ("tts", "piper"): ("piper-joe",),
    ("tts", "kokoro"): ("kokoro", "kokoro-part2", "kokoro-part3", "kokoro-part4", "kokoro-voices"),
    ("llm", "demo"): ("smollm2-135m", "minilm", "minilm-tokenizer"),
}
"""The models of the stages that come with Visavis; hibari carries its own inside its package."""
ENCODER = ("minilm", "minilm-tokenizer")
"""What knowledge is looked up with."""


def speaks_english(settings: Settings) -> bool:
    """Whether conversations may be in English, as far as the settings tell."""
    told = {"whisper": settings.whisper.language, "openai": settings.transcription.language}
    return told.get(settings.stages.asr) == DETECT or base(settings.assistant.language) == ENGLISH


def needed_models(settings: Settings) -> list[str]:
    """The names of the models that the chosen agent loads, as `visavis models list` shows them."""
    return list(dict.fromkeys([*_of_stages(settings), *(ENCODER if settings.knowledge.source else ())]))


def _of_stages(settings: Settings) -> list[str]:
    if settings.agent != "embedded":
        return []
    chosen = settings.stages.model_dump()
    if settings.whisper.model and chosen["asr"] == "whisper":
        del chosen["asr"]  # the user's own
    if settings.piper.voice and chosen["tts"] == "piper":
        del chosen["tts"]
    if chosen["llm"] == "demo" and not speaks_english(settings):
        del chosen["llm"]  # in other languages it needs no model
    return [name for stage in chosen.items() for name in STAGES.get(stage, ())]
