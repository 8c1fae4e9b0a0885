"""What the agent can look up: read once, searched for every question, refreshed when its source changes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import anyio
import numpy as np
import platformdirs
import structlog

from visavis.events import Source
from visavis.knowledge.chunks import Chunk, Document, cut
from visavis.knowledge.index import SURE, SURE_ABROAD, Embed, Index, Vectors, units
from visavis.knowledge.sources import Item, Look, open_source
from visavis.knowledge.sources import Source as Origin
from visavis.knowledge.texts import Unreadable, read
from visavis.models import ModelStore
from visavis.needs import ENCODER
from visavis.settings import KnowledgeSettings, Settings
from visavis.stages.sentence_encoder import SentenceEncoder

MOST_UNITS = 20_000
"""Sentences of a library, about 1,500,000 characters."""
_VERSION = b"1"
"""Of what is cached; to be raised with every change of `texts`, `chunks` or `units`."""
_CACHED = 500
"""Files in the cache."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Shelf:
    """One state of the library; replaced as a whole."""

    index: Index
    whole: str = ""
    """All of it, when it is short."""
    documents: int = 0
    passages: int = 0
    warnings: tuple[str, ...] = ()
    """What could not be read."""


class Knowledge:
    """A library. `search`, `whole` and `status` may be called from any thread."""

    def __init__(
        self, origin: Origin, embed: Embed, cache: Path, settings: KnowledgeSettings, sure: float = SURE
    ) -> None:
        self._origin, self._embed, self._cache = origin, embed, Cache(cache)
        self._settings, self._sure = settings, sure
        self._shelf = Shelf(Index((), np.zeros((0, 0), np.float32), embed))
        self._problem = ""

    def search(self, question: str, before: Sequence[str] = ()) -> tuple[Source, ...]:
        """The passages that may answer `question`, best first; empty when there are none. Blocking.

        `before`: what the same person said before it, oldest first.
        """
        found = self._shelf.index.search(question, self._settings.passages, before)
        return tuple(Source(_title(hit.chunk), hit.chunk.url, hit.chunk.text) for hit in found)

    @property
    def whole(self) -> str:
        """All that is known, when it is short enough to be told at the beginning; else empty."""
        return self._shelf.whole

    def status(self) -> dict[str, Any]:
        """What health checks show; `problems` is empty when well."""
        shelf = self._shelf
        return {
            "documents": shelf.documents,
            "passages": shelf.passages,
            "warnings": list(shelf.warnings),
            "problems": [self._problem] if self._problem else [],
        }

    def refresh(self) -> None:
        """Read what is new in the source; what was known stays when that fails. Blocking, never raises."""
        try:
            look = self._origin.look()
            if look is not None:
                self._shelf = self._read(look)
                self._tell()
            self._problem = ""
        except Exception as error:
            if not isinstance(error, Unreadable):
                _log.exception("the knowledge base failed")
            self._fail(str(error) if isinstance(error, Unreadable) else f"{type(error).__name__}.")

    async def watch(self) -> None:
        """Look at the source every now and then, for as long as this is not cancelled."""
        while True:
            await anyio.sleep(self._settings.refresh_seconds)
            await anyio.to_thread.run_sync(self.refresh)

    def _fail(self, reason: str) -> None:
        old = " What was read before is still used." if self._shelf.documents else ""
        problem = f"The knowledge base (knowledge.source) could not be read: {reason}{old}"
        if problem != self._problem:
            _log.warning("the knowledge base could not be read", reason=reason)
        self._problem = problem

    def _tell(self) -> None:
        shelf = self._shelf
        _log.info("the knowledge base is read", documents=shelf.documents, passages=shelf.passages)
        for warning in shelf.warnings:
            _log.warning("part of the knowledge base is left out", reason=warning)

    # -- reading ---------------------------------------------------------------------------------------
    def _read(self, look: Look) -> Shelf:
        documents: list[Document] = []
        warnings = list(look.problems)
        for item in look.items:
            try:
                documents += self._documents(item)
            except Unreadable as error:
                warnings.append(str(error))
        chunks: list[Chunk] = []
        room = MOST_UNITS
        for chunk in chain.from_iterable(map(cut, documents)):
            room -= sum(1 for _ in units([chunk]))
            if room < 0:
                warnings.append(f"{_title(chunk)} and all after it are left out: there is too much text.")
                break
            chunks.append(chunk)
        if not chunks:
            raise Unreadable(" ".join(warnings) or "There is no text in it.")
        whole = "\n\n".join(f"# {_title(chunk)}\n{chunk.text}" for chunk in chunks)
        index = Index(chunks, self._vectors(chunks), self._embed, self._sure)
        short = whole if len(whole) <= self._settings.whole_characters else ""
        return Shelf(index, short, len(look.items), len(chunks), tuple(warnings))

    def _documents(self, item: Item) -> list[Document]:
        """The text of an item; PDF is kept, as taking it apart takes long."""
        if item.kind != "pdf":
            return read(item.content, item.kind, item.name, item.url, item.charset)
        key = _key(item.content, item.name.encode(), item.url.encode())
        if (known := self._cache.get(f"{key}.json")) is not None:
            return [Document(**fields) for fields in json.loads(known)]
        documents = read(item.content, item.kind, item.name, item.url)
        self._cache.put(f"{key}.json", json.dumps([asdict(document) for document in documents]).encode())
        return documents

    def _vectors(self, chunks: Sequence[Chunk]) -> Vectors:
        """One row a unit, from the cache when this very text was read before."""
        texts = list(units(chunks))
        key = _key(*(text.encode() for text in texts))
        if (known := self._cache.get(f"{key}.vectors")) is not None and len(known) % len(texts) == 0:
            return np.frombuffer(known, np.float32).reshape(len(texts), -1)
        vectors = np.stack([self._embed(text) for text in texts]).astype(np.float32)
        self._cache.put(f"{key}.vectors", vectors.tobytes())
        return vectors


class Cache:
    """Files by name in one folder, at most `_CACHED` of them; a cache that cannot be written is none."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str) -> bytes | None:
        try:
            return (self._folder / name).read_bytes()
        except OSError:
            return None

    def put(self, name: str, content: bytes) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile(dir=self._folder, delete=False) as file:
                file.write(content)
            Path(file.name).replace(self._folder / name)
            self._prune()
        except OSError as error:
            _log.warning("the knowledge base cannot be cached", reason=str(error))

    def _prune(self) -> None:
        with os.scandir(self._folder) as entries:
            files = sorted((entry.stat().st_mtime, entry.path) for entry in entries if entry.is_file())
        for _, path in files[:-_CACHED]:
            Path(path).unlink(missing_ok=True)


def load(settings: Settings) -> Knowledge | None:
    """The library of `settings.knowledge`, read for the first time; None when there is none. Blocking.

    Raises `ModelMissing`; what is wrong with the source is a problem of the library's status.
    """
    if not settings.knowledge.source:
        return None
    store = ModelStore(settings.models)
    model, tokenizer = (store.path(name) for name in ENCODER)
    encoder = SentenceEncoder(model / "model.onnx", tokenizer / "tokenizer.json")
    cache = settings.knowledge.cache or platformdirs.user_cache_path("visavis", appauthor=False) / "knowledge"
    sure = SURE if settings.assistant.language.split("-")[0] == "en" else SURE_ABROAD
    knowledge = Knowledge(open_source(settings.knowledge), encoder, cache, settings.knowledge, sure)
    knowledge.refresh()
    return knowledge


def _key(*parts: bytes) -> str:
    digest = hashlib.sha256(_VERSION)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def _title(chunk: Chunk) -> str:
    """Document and heading, without saying the same twice."""
    if not chunk.heading:
        return chunk.title
    return chunk.heading if chunk.heading.startswith(chunk.title) else f"{chunk.title}: {chunk.heading}"
