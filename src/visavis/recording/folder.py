"""Writes recordings into a folder: one thread encodes and writes, and nobody waits for it."""

from __future__ import annotations

import os
import platform
import re
import time
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any, BinaryIO

import anyio
import numpy as np
import structlog
from prometheus_client.core import Metric

import visavis
from visavis.errors import VisavisError
from visavis.folders import obstacle
from visavis.metrics import counter, gauge
from visavis.recording import ENDING, FORMAT, INPUTS
from visavis.recording.lines import encode
from visavis.recording.redaction import Redaction
from visavis.recording.tape import Tape
from visavis.settings import Settings

PERIOD = 0.5
"""Seconds between two rounds of the thread."""
WAITING = 16 << 20
"""Bytes that may wait for it, of one recording."""
HOUR, DAY, MEGABYTE = 3600.0, 86_400.0, 1 << 20
CLOSING = 10.0
"""Seconds that the last round may take."""
GZIP = 16 + zlib.MAX_WBITS
LEVEL = 1
"""Of compression: most of it is sound, which hardly shrinks."""

_log = structlog.get_logger()
Opener = Callable[[Path], BinaryIO]


@dataclass(eq=False)
class Reel:
    """One recording. `put` and `end` are of the event loop's thread, the rest of the one that writes."""

    path: Path
    session: str
    begun: float
    """Seconds on the event loop's clock."""
    seconds: float
    size: int
    """How long it may get, and how large, in bytes."""
    waiting: deque[tuple[str, dict[str, Any]]]
    bytes_done: int = 0
    bytes_taken: int = 0
    written: int = 0
    ended: str = ""
    """Why nothing more is taken: complete, limit, failed, or refused."""
    file: BinaryIO | None = None
    packer: Any = None

    def put(self, kind: str, values: dict[str, Any], size: int) -> None:
        if self.ended:
            return
        if kind in INPUTS and kind != "end":
            # Only here: what came of an input is complete in every recording that ends in order.
            if self.bytes_taken - self.bytes_done > WAITING:
                self.ended = "failed"
                _log.warning("a recording ended: the disk does not keep up", session=self.session)
                return
            if values["t"] - self.begun > self.seconds or self.written > self.size:
                self.end("limit", values["t"])
                return
        self.waiting.append((kind, values))
        self.bytes_taken += size + 64

    def end(self, why: str, at: float) -> None:
        """Nothing more is taken."""
        if not self.ended:
            self.put("end", {"t": at, "reason": why}, 0)
            self.ended = why


class Folder:
    """The recordings of this server."""

    def __init__(self, settings: Settings, path: Path, open_file: Opener | None = None) -> None:
        """`open_file` makes a new file, to be written."""
        self._settings, self._limits, self.path = settings, settings.recording, path
        self._redaction = Redaction.of(settings.recording.redact)
        self._open = open_file or _new_file
        self._reels: set[Reel] = set()
        self._stop = Event()
        self._outcomes: Counter[str] = Counter()
        self._written = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Write until the end. Raises `VisavisError` when the folder cannot be used."""
        self.check()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.purge()
        except OSError as error:
            raise self._unusable(error.strerror) from error
        thread = Thread(target=self._run, name="recording", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(CLOSING)

    def check(self) -> None:
        """Raises `VisavisError` when the folder cannot be used, or made; makes nothing."""
        if why := obstacle(self.path):
            raise self._unusable(why)

    def _unusable(self, why: str | None) -> VisavisError:
        return VisavisError(
            "RECORDING_FAILED",
            f"Sessions cannot be recorded in {self.path}: {why}. Set recording.folder to another folder.",
        )

    def record(
        self, session: str, at: float, facts: Mapping[str, Any]
    ) -> tuple[Tape, Callable[[float], None]]:
        """A session begins at `at` of the event loop's clock: its tape, and what to call when it has ended.
        `facts` are what a replay has to know besides."""
        now = datetime.now(UTC)
        name = f"{now:%Y%m%dT%H%M%S}-{re.sub(r'[^A-Za-z0-9-]', '_', session)[:64]}{ENDING}"
        limits = self._limits
        size = limits.session_megabytes * MEGABYTE
        reel = Reel(self.path / name, session, at, limits.session_minutes * 60, size, deque())
        header = self._header() | {"session": session, "started": now.isoformat(), "t": at, **facts}
        reel.put("recording", header, 0)
        self._reels.add(reel)

        def erase() -> None:
            reel.ended = "refused"

        def end(at: float) -> None:
            reel.end("complete", at)

        return Tape(reel.put, erase), end

    def _header(self) -> dict[str, Any]:
        chosen = self._settings
        face = chosen.face.model_dump(mode="json", include={"engine", "life", "mode", "polish", "identity"})
        return {
            "format": FORMAT,
            "redacted": self._redaction.name,
            "versions": {
                "visavis": visavis.__version__,
                "python": platform.python_version(),
                "numpy": np.__version__,
                "machine": f"{platform.system()} {platform.machine()}",
            },
            "settings": {
                "agent": chosen.agent,
                "avatar": chosen.avatar,
                "language": chosen.assistant.language,
                "stages": chosen.stages.model_dump(mode="json"),
                "face": face,
            },
        }

    # -- what is kept --------------------------------------------------------------------------------------
    async def keep(self) -> None:
        """Delete what is too old or too much, every hour, for as long as this is not cancelled."""
        while True:
            await anyio.sleep(HOUR)
            with suppress(OSError):
                await anyio.to_thread.run_sync(self.purge)

    def purge(self) -> None:
        """Delete recordings that are too old, then the oldest of what is too much. Raises `OSError`."""
        writing = {reel.path for reel in tuple(self._reels)}
        files = [(path.stat(), path) for path in self.path.glob(f"*{ENDING}") if path not in writing]
        files.sort(key=lambda file: file[0].st_mtime)
        total, deleted = sum(stat.st_size for stat, _ in files), 0
        oldest, most = time.time() - self._limits.days * DAY, self._limits.megabytes * MEGABYTE
        for stat, path in files:
            if (self._limits.days and stat.st_mtime < oldest) or (most and total > most):
                path.unlink(missing_ok=True)
                total, deleted = total - stat.st_size, deleted + 1
        if deleted:
            _log.info("old recordings are deleted", count=deleted)

    def figures(self) -> Iterable[Metric]:
        """For Prometheus."""
        ended = {(outcome,): count for outcome, count in self._outcomes.items()}
        yield counter("visavis_recordings", "Recordings by how they ended.", ended, "outcome")
        yield counter("visavis_recording_bytes", "Bytes of recordings on the disk.", {(): self._written})
        yield gauge("visavis_recordings_open", "Sessions that are being recorded.", {(): len(self._reels)})

    # -- the thread ----------------------------------------------------------------------------------------
    def _run(self) -> None:
        while not self._stop.wait(PERIOD):
            self.write()
        self.write()
        for reel in tuple(self._reels):
            self._close(reel, "complete")

    def write(self) -> None:
        """One round: what waits is written, and what has ended closed."""
        for reel in tuple(self._reels):
            ended = reel.ended  # read first: nothing is added behind it
            try:
                if ended != "refused":
                    self._write(reel)
            except Exception as error:  # the session goes on without its recording
                ended = reel.ended = "failed"
                reason = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
                _log.warning("a recording ended: it cannot be written", session=reel.session, reason=reason)
            if ended:
                self._close(reel, ended)

    def _write(self, reel: Reel) -> None:
        if reel.file is None:
            reel.file, reel.packer = self._open(reel.path), zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP)
        packed, taken = [], reel.bytes_taken
        while reel.waiting:
            packed.append(reel.packer.compress(encode(*reel.waiting.popleft(), self._redaction)))
        if packed:
            self._add(reel, b"".join([*packed, reel.packer.flush(zlib.Z_SYNC_FLUSH)]))
        reel.bytes_done = taken

    def _add(self, reel: Reel, data: bytes) -> None:
        assert reel.file is not None
        reel.file.write(data)
        reel.file.flush()
        reel.written += len(data)
        self._written += len(data)

    def _close(self, reel: Reel, outcome: str) -> None:
        self._reels.discard(reel)
        reel.waiting.clear()
        self._outcomes[outcome] += 1
        if reel.file is None:
            return
        with suppress(OSError):
            if outcome in ("complete", "limit"):
                self._add(reel, reel.packer.flush())
            reel.file.close()
        if outcome == "refused":
            with suppress(OSError):
                reel.path.unlink(missing_ok=True)


def open_folder(settings: Settings) -> Folder | None:
    """The folder of `settings.recording`; None when nothing is recorded."""
    path = settings.recording.folder
    return None if path is None else Folder(settings, path)


def _new_file(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")
