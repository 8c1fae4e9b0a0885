"""The setting `avatar`."""

from __future__ import annotations

import io
from pathlib import Path

import av
import pytest
from fastapi.testclient import TestClient

from visavis.cast import built_in
from visavis.configuration import load_settings
from visavis.errors import ConfigurationError, VisavisError
from visavis.server.app import create_app
from visavis.settings import Settings


@pytest.mark.parametrize("name", ["mia", "kenji"])
def test_any_of_the_cast_can_be_chosen(name: str, tmp_path: Path) -> None:
    assert load_settings({}, None, {"VISAVIS_AVATAR": name}, tmp_path).avatar == name


@pytest.mark.parametrize("name", ["nobody", "", "../mia", "Mia"])
def test_anybody_else_stops_the_start(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"avatar.*expected one of amara, daniel, elena"):
        load_settings({"avatar": name}, None, {}, tmp_path)


def test_a_head_of_ones_own_is_one_of_the_cast(tmp_path: Path) -> None:
    file = tmp_path / "My Head-2.glb"
    file.write_bytes(built_in("pip").read_bytes())
    settings = load_settings({"avatar": str(file)}, None, {}, tmp_path)
    changed = settings.model_copy(update={"agent": "scripted"})
    with TestClient(create_app(changed)) as client:
        facts = client.get("/").json()
        assert facts["avatar"] == "myhead2"
        assert facts["avatars"] == ["amara", "daniel", "elena", "kenji", "mia", "myhead2", "pip"]
        assert 'data-avatar="myhead2"' in client.get("/", headers={"Accept": "text/html"}).text
        assert client.get("/avatars/myhead2/myhead2.glb").content == file.read_bytes()
        for kind, size in ("poster", (1280, 640)), ("thumb", (256, 256)):
            answer = client.get(f"/avatars/myhead2/{kind}.webp")
            assert answer.headers["Content-Type"] == "image/webp"
            with av.open(io.BytesIO(answer.content)) as picture:
                assert (picture.streams.video[0].width, picture.streams.video[0].height) == size
        assert client.get("/avatars/myhead2/other.webp").status_code == 404
        assert client.get("/avatars/mia/mia.glb").content == built_in("mia").read_bytes()
        assert client.post("/api/v1/sessions", json={}).json()["avatar"] == "myhead2"
        assert client.post("/api/v1/sessions", json={"avatar": "mia"}).json()["avatar"] == "mia"
        for wrong in str(file), file.name, "myhead":
            assert client.post("/api/v1/sessions", json={"avatar": wrong}).status_code == 422


def test_what_is_no_head_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"avatar.*there is no .*gone\.glb"):
        load_settings({"avatar": str(tmp_path / "gone.glb")}, None, {}, tmp_path)
    (tmp_path / "bad.glb").write_bytes(b"glTF")
    with pytest.raises(VisavisError, match=r"bad\.glb is not a glTF binary"):
        create_app(Settings(agent="scripted", avatar=str(tmp_path / "bad.glb")))
