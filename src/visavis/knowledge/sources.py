"""Where knowledge comes from: a file, a folder, or a web address. Everything is bounded."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import httpx2

from visavis.knowledge.texts import ENDINGS, Kind, Unreadable, kind_of
from visavis.settings import KnowledgeSettings

REDIRECTS = 5
_BLOCK = 1 << 16
_PRINT = tuple[tuple[str, int, int], ...]
"""Path, time of change (ns) and size (bytes) of every file."""


@dataclass(frozen=True, slots=True)
class Item:
    """A document as it was found; `name` is for people, `url` empty for files."""

    name: str
    kind: Kind
    content: bytes
    url: str = ""
    charset: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """What a source held when it was looked at, and sentences about what could not be taken."""

    items: tuple[Item, ...]
    problems: tuple[str, ...] = ()


class Source(Protocol):
    def look(self) -> Look | None:
        """What it holds; None when that has not changed since the last call. Blocking.

        Raises `Unreadable` when there is nothing to be had at all.
        """
        ...


def open_source(settings: KnowledgeSettings) -> Source:
    """The source that `settings.source` names."""
    if settings.source.startswith(("http://", "https://")):
        return WebSource(settings)
    return FileSource(settings)


class FileSource:
    """A file, or a folder with all below it. Hidden ones are left out, links to folders are not followed."""

    def __init__(self, settings: KnowledgeSettings) -> None:
        self._root = Path(settings.source).expanduser()
        self._most, self._bytes = settings.max_files, settings.max_megabytes << 20
        self._seen: _PRINT | None = None

    def look(self) -> Look | None:
        problems: list[str] = []
        paths = list(self._paths(problems))
        seen = tuple(_print(path) for path in paths)
        if seen == self._seen:
            return None
        items = tuple(self._items(paths, problems))
        if not items:
            raise Unreadable(f"There is nothing to read: {'; '.join(problems) or self._root}")
        self._seen = seen
        return Look(items, tuple(problems))

    def _paths(self, problems: list[str]) -> Iterator[Path]:
        if not self._root.is_dir():
            yield self._root
            return
        found: list[Path] = []
        for folder, folders, files in os.walk(self._root):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            paths = (Path(folder) / name for name in sorted(files) if not name.startswith("."))
            found += [path for path in paths if path.suffix.lower() in ENDINGS and path.is_file()]
            if len(found) > self._most:
                problems.append(f"{self._root} has more than {self._most} documents; the others are left out")
                break
        if not found:
            problems.append(f"{self._root} has no documents ({', '.join(ENDINGS)})")
        yield from found[: self._most]

    def _items(self, paths: list[Path], problems: list[str]) -> Iterator[Item]:
        left = self._bytes
        for path in paths:
            name = path.name if path == self._root else path.relative_to(self._root).as_posix()
            try:
                item = _read(path, name, left)
            except Unreadable as error:
                problems.append(str(error))
                continue
            left -= len(item.content)
            yield item


def _print(path: Path) -> tuple[str, int, int]:
    try:
        found = path.stat()
    except OSError:
        return str(path), 0, -1
    return str(path), found.st_mtime_ns, found.st_size


def _read(path: Path, name: str, most: int) -> Item:
    kind = kind_of(name)
    if kind is None:
        raise Unreadable(f"{name} is none of {', '.join(ENDINGS)}.")
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            raise Unreadable(f"{name} is not a file.")
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise Unreadable(f"{name} cannot be read: {error.strerror or error}.") from None
    if len(content) > most:
        raise Unreadable(f"{name} is left out: there would be more than knowledge.max_megabytes.")
    return Item(name, kind, content)


class WebSource:
    """One address, asked again only for what is new there."""

    def __init__(self, settings: KnowledgeSettings) -> None:
        self._url = settings.source
        self._bytes, self._patience = settings.max_megabytes << 20, settings.timeout_seconds
        self._asked: dict[str, str] = {}
        self._content: bytes | None = None

    def look(self) -> Look | None:
        try:
            item = self._fetch()
        except httpx2.HTTPError as error:
            raise Unreadable(
                f"{self._shown} cannot be fetched: {str(error) or type(error).__name__}."
            ) from None
        if item is None or item.content == self._content:
            return None
        self._content = item.content
        return Look((item,))

    @property
    def _shown(self) -> str:
        """The address without what may be secret in it."""
        parts = urlsplit(self._url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def _fetch(self) -> Item | None:
        until = time.monotonic() + self._patience
        headers = {"Accept-Encoding": "identity", "User-Agent": "visavis", **self._asked}
        client = httpx2.Client(timeout=self._patience, follow_redirects=True, max_redirects=REDIRECTS)
        with client, client.stream("GET", self._url, headers=headers) as answer:
            if answer.status_code == httpx2.codes.NOT_MODIFIED:
                return None
            if not answer.is_success:
                raise Unreadable(f"{self._shown} answers {answer.status_code} {answer.reason_phrase}.")
            content = bytearray()
            for block in answer.iter_bytes(_BLOCK):
                content += block
                if len(content) > self._bytes:
                    raise Unreadable(f"{self._shown} has more than {self._bytes >> 20} MiB.")
                if time.monotonic() > until:
                    raise Unreadable(f"{self._shown} takes longer than {self._patience:g} s.")
            known = {"If-None-Match": "etag", "If-Modified-Since": "last-modified"}
            self._asked = {ask: answer.headers[tag] for ask, tag in known.items() if tag in answer.headers}
            return self._item(bytes(content), answer.headers.get("content-type", ""), answer.charset_encoding)

    def _item(self, content: bytes, media_type: str, charset: str | None) -> Item:
        name = Path(urlsplit(self._url).path).name or urlsplit(self._url).hostname or self._shown
        kind = kind_of(name, media_type)
        if kind is None:
            raise Unreadable(
                f"{self._shown} is neither Markdown, text, HTML nor PDF ({media_type or 'untold'})."
            )
        return Item(name, kind, content, self._shown, charset or "")
