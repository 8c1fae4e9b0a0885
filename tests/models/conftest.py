"""A wheelhouse of small wheels and a store that pulls from it with the real pip, without a network."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from visavis.model_catalogue import Digest, Model
from visavis.models import ModelStore
from visavis.settings import ModelSettings

MakeModel = Callable[..., Model]
MakeStore = Callable[..., ModelStore]


def digest(data: bytes) -> Digest:
    return Digest(hashlib.sha256(data).hexdigest(), len(data))


def write_wheel(file: Path, package: str, version: str, members: Mapping[str, bytes]) -> None:
    info = f"{package}-{version}.dist-info"
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\nGenerator: test\n"
        )
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture
def wheelhouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "wheelhouse"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def make_model(wheelhouse: Path) -> MakeModel:
    """Puts a wheel into the wheelhouse and returns the model that describes it."""

    def make(
        name: str,
        members: Mapping[str, bytes],
        tag: str = "any",
        platform: str | None = None,
        optional: bool = False,
    ) -> Model:
        file = wheelhouse / f"{name}-1.0-py3-none-{tag}.whl"
        write_wheel(file, name, "1.0", members)
        return Model(
            name=name,
            package=name,
            version="1.0",
            licence="MIT",
            purpose="tests",
            wheel=digest(file.read_bytes()),
            files={member: digest(data) for member, data in members.items()},
            platform=platform,
            optional=optional,
        )

    return make


@pytest.fixture
def make_store(tmp_path: Path) -> MakeStore:
    def make(*models: Model, offline: bool = False) -> ModelStore:
        return ModelStore(ModelSettings(cache=tmp_path / "cache", offline=offline), models)

    return make
