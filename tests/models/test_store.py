"""The store once files are there: presence, verification, derived files, removal; and the catalogue."""

from __future__ import annotations

import dataclasses
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.models.conftest import MakeModel, MakeStore

from visavis.errors import VisavisError
from visavis.model_catalogue import MODELS, Model
from visavis.models import ModelStore
from visavis.settings import ModelSettings

NET = {"voice/net.onnx": b"weights" * 100}


@pytest.fixture
def store(make_model: MakeModel, make_store: MakeStore) -> ModelStore:
    store = make_store(make_model("voice", NET))
    store.pull()
    return store


def copy_upper(source: Path, target: Path) -> None:
    (target / "upper.onnx").write_bytes((source / "net.onnx").read_bytes().upper())


def test_an_unknown_model_names_the_known_ones(store: ModelStore) -> None:
    with pytest.raises(VisavisError, match="no model 'ears'; the models are: voice") as caught:
        store.path("ears")
    assert caught.value.code == "UNKNOWN_MODEL"


@pytest.mark.parametrize("damage", ["truncate", "delete", "stamp"])
def test_a_file_that_lost_bytes_is_fetched_again(store: ModelStore, damage: str) -> None:
    folder = store.folder("voice")
    if damage == "truncate":
        (folder / "net.onnx").write_bytes(b"weig")
    elif damage == "delete":
        (folder / "net.onnx").unlink()
    else:
        (folder / ".verified").write_bytes(b"\xff not a stamp")
    assert store.missing() == ["voice"]
    assert (store.path("voice") / "net.onnx").read_bytes() == NET["voice/net.onnx"]


def test_a_catalogue_with_another_hash_does_not_trust_the_old_files(store: ModelStore) -> None:
    model = store.catalogue["voice"]
    digest = model.files["voice/net.onnx"]._replace(sha256="0" * 64)
    changed = dataclasses.replace(model, files={"voice/net.onnx": digest})
    assert ModelStore(ModelSettings(cache=store.root), [changed]).missing() == ["voice"]


def test_verify_reads_every_byte(store: ModelStore) -> None:
    assert store.verify("voice") == []
    file = store.folder("voice") / "net.onnx"
    file.write_bytes(b"W" + file.read_bytes()[1:])
    assert store.present("voice")  # the size alone cannot tell
    (problem,) = store.verify("voice")
    assert str(file) in problem
    assert store.catalogue["voice"].files["voice/net.onnx"].sha256 in problem
    file.unlink()
    assert "No such file" in store.verify("voice")[0]
    store.remove("voice")
    assert store.verify("voice") == [f"voice is not in {store.root}"]


def test_derived_files_are_built_once_for_a_version(store: ModelStore) -> None:
    built: list[str] = []

    def build(source: Path, target: Path) -> None:
        built.append(target.name)
        copy_upper(source, target)

    first = store.derived("voice", build, "1")
    assert (first / "upper.onnx").read_bytes() == NET["voice/net.onnx"].upper()
    assert store.derived("voice", build, "1") == first
    assert len(built) == 1
    second = store.derived("voice", build, "2")
    assert second != first
    assert len(built) == 2


def test_derived_files_that_lost_bytes_are_built_again(store: ModelStore) -> None:
    file = store.derived("voice", copy_upper, "1") / "upper.onnx"
    file.write_bytes(b"W")
    assert store.derived("voice", copy_upper, "1") == file.parent
    assert file.read_bytes() == NET["voice/net.onnx"].upper()


def test_derived_files_are_verified_too(store: ModelStore) -> None:
    file = store.derived("voice", copy_upper, "1") / "upper.onnx"
    assert store.verify("voice") == []
    file.write_bytes(b"X" + file.read_bytes()[1:])
    (problem,) = store.verify("voice")
    assert str(file) in problem


def test_a_build_that_fails_leaves_nothing(store: ModelStore) -> None:
    def fail(source: Path, target: Path) -> None:
        copy_upper(source, target)
        raise ValueError("cannot convert")

    with pytest.raises(ValueError, match="cannot convert"):
        store.derived("voice", fail, "1")
    assert {file.name for file in store.folder("voice").iterdir()} == {"net.onnx", ".verified"}
    assert (store.derived("voice", copy_upper, "1") / "upper.onnx").exists()


def test_two_threads_build_derived_files_once(store: ModelStore) -> None:
    together = threading.Barrier(2)
    built: list[str] = []

    def build(source: Path, target: Path) -> None:
        built.append(target.name)
        copy_upper(source, target)

    def derive() -> Path:
        together.wait()
        return store.derived("voice", build, "1")

    with ThreadPoolExecutor(2) as pool:
        folders = {job.result() for job in [pool.submit(derive), pool.submit(derive)]}
    assert len(folders) == 1
    assert len(built) == 1


def test_remove_takes_the_derived_files_along(store: ModelStore) -> None:
    store.derived("voice", copy_upper, "1")
    assert store.remove("voice")
    assert not store.folder("voice").exists()
    assert store.missing() == ["voice"]
    assert not store.remove("voice")


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_catalogue_is_well_formed(model: Model) -> None:
    assert len(model.stored) == len(model.files) > 0
    for digest in [model.wheel, *model.files.values()]:
        assert re.fullmatch("[0-9a-f]{64}", digest.sha256)
        assert digest.bytes > 0
    assert model.licence in {"MIT", "Apache-2.0", "BSD-2-Clause"}


def test_names_of_the_catalogue_are_unique() -> None:
    assert len({model.name for model in MODELS}) == len(MODELS)


@pytest.mark.models
def test_the_real_files_are_the_expected_ones() -> None:
    store = ModelStore(ModelSettings())
    for name in store.catalogue:
        store.path(name)
        assert store.verify(name) == []
