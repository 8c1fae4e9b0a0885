"""Tracks as files: what is written is what others read."""

from __future__ import annotations

import json
import re
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visavis import exports
from visavis.arkit import COUNT, INDEX, NAMES
from visavis.cast import built_in
from visavis.errors import VisavisError
from visavis.events import Phoneme, Word
from visavis.exports import csv_livelink, glb
from visavis.track import Sound, Track

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs" / "track.schema.json").read_text())


def random_track(frames: int = 40, fps: float = 30) -> Track:
    weights = np.random.default_rng(frames).random((frames, COUNT)).astype(np.float32)
    return Track(
        fps,
        weights,
        (Word("Hi,", 0.1, 0.3), Word("Bob.", 0.35, 0.7)),
        (Phoneme("h", 0.1, 0.2), Phoneme("aɪ", 0.2, 0.3, 2)),
        "Hi, Bob.",
        "hi.wav",
    )


# -- our own formats ------------------------------------------------------------------------------------
@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".npz"])
@pytest.mark.parametrize("frames", [0, 1, 40, 5_000])
def test_what_is_saved_can_be_loaded(suffix: str, frames: int, tmp_path: Path) -> None:
    track = random_track(frames, 23.976)
    track.save(tmp_path / f"face{suffix}")
    loaded = Track.load(tmp_path / f"face{suffix}")
    assert loaded.fps == track.fps
    assert loaded.weights.dtype == np.float32
    assert loaded.weights.shape == track.weights.shape
    assert np.abs(loaded.weights - track.weights).max(initial=0) <= (0 if suffix == ".npz" else 5.1e-5)
    assert loaded.source == track.source
    if suffix != ".npz":
        assert (loaded.words, loaded.phonemes, loaded.text) == (track.words, track.phonemes, track.text)


def test_the_sound_is_kept_with_the_arrays(tmp_path: Path) -> None:
    sound = Sound(b"\1\0\2\0\3\0", 24_000)
    replace(random_track(), sound=sound).save(tmp_path / "face.npz")
    assert Track.load(tmp_path / "face.npz").sound == sound


def test_json_keeps_to_its_schema(tmp_path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for track in (random_track(), Track(25, random_track().weights)):
        track.save(tmp_path / "face.json")
        jsonschema.validate(json.loads((tmp_path / "face.json").read_text()), SCHEMA)


def test_json_lines_keep_to_the_schemas_parts(tmp_path: Path) -> None:
    random_track().save(tmp_path / "face.jsonl")
    header, *frames = (json.loads(line) for line in (tmp_path / "face.jsonl").read_text().splitlines())
    jsonschema.validate(header, SCHEMA | {"$ref": "#/$defs/header", "required": []})
    assert len(frames) == 40
    for frame in frames:
        jsonschema.validate(frame, {"$ref": "#/$defs/frame", "$defs": SCHEMA["$defs"]})


def test_the_schema_refuses_what_is_no_track(tmp_path: Path) -> None:
    random_track().save(tmp_path / "face.json")
    good = json.loads((tmp_path / "face.json").read_text())
    for change in (
        {"fps": 0},
        {"format": "x"},
        {"frames": [[0.5] * 51]},
        {"frames": [[2] * 52]},
        {"extra": 1},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(good | change, SCHEMA)


def test_other_orders_of_the_shapes_are_read_by_name(tmp_path: Path) -> None:
    track = random_track()
    names = list(reversed(NAMES))
    document = {"format": "visavis-track", "version": 1, "fps": 30, "names": names}
    document["frames"] = track.weights[:, ::-1].astype(float).tolist()
    (tmp_path / "face.json").write_text(json.dumps(document))
    assert np.array_equal(Track.load(tmp_path / "face.json").weights, track.weights)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", b""),
        ("a.json", b"[]"),
        ("a.json", b'{"fps": 30, "frames": []}'),
        ("a.json", b'{"format":"visavis-track","version":2,"fps":30,"names":[],"frames":[]}'),
        ("a.json", b'{"format":"visavis-track","version":1,"fps":30,"names":["jawOpem"],"frames":[[0]]}'),
        (
            "a.json",
            b'{"format":"visavis-track","version":1,"fps":30,"names":["jawOpen"],"frames":[[0],[0,1]]}',
        ),
        ("a.jsonl", b""),
        ("a.jsonl", b'{"format":"visavis-track"}\n'),
        ("a.npz", b"PK"),
        ("a.npz", b""),
    ],
)
def test_files_that_are_no_tracks_are_one_clear_error(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(VisavisError, match="is not a face track") as raised:
        Track.load(tmp_path / name)
    assert raised.value.code == "BAD_TRACK"


def test_missing_files_and_unknown_formats_say_so(tmp_path: Path) -> None:
    with pytest.raises(VisavisError, match="Cannot read"):
        Track.load(tmp_path / "missing.json")
    with pytest.raises(VisavisError, match=r"can be read from \.json, \.jsonl, \.npz"):
        Track.load(tmp_path / "face.csv")
    with pytest.raises(VisavisError, match=r"can be written as \.json"):
        random_track().save(tmp_path / "face.fbx")
    with pytest.raises(VisavisError, match=r"only a \.glb has a head"):
        random_track().save(tmp_path / "face.csv", head=tmp_path / "head.glb")
    with pytest.raises(VisavisError, match="Cannot write"):
        random_track().save(tmp_path / "nowhere" / "face.csv")


def test_a_file_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "face.json"
    path.write_text("old")

    def half(file: Any) -> None:
        file.write(b"new")
        raise OSError(28, "No space left on device")

    with pytest.raises(VisavisError, match="No space left"):
        exports.write_whole(path, half)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


# -- Live Link Face -----------------------------------------------------------------------------------------
def imported(text: str) -> tuple[list[str], list[float], np.ndarray[Any, Any]]:
    """Columns, seconds and values as Unreal's Live Link Face importer understands a file: it infers 60 frames
    a second from a frame number above 30, and 30 otherwise."""
    header, *lines = [line.split(",") for line in text.splitlines()]
    assert header[:2] == ["Timecode", "BlendShapeCount"]
    assert all(len(line) == len(header) for line in lines)
    times = [[float(part) for part in line[0].split(":")] for line in lines]
    base = 60 if any(time[3] > 30 for time in times) else 30
    seconds = [h * 3600 + m * 60 + s + f / base for h, m, s, f in times]
    return header[2:], seconds, np.array([line[1:] for line in lines], float)


def test_live_link_columns_are_the_apps(tmp_path: Path) -> None:
    track = random_track()
    track.save(tmp_path / "face.csv")
    columns, _, values = imported((tmp_path / "face.csv").read_text())
    assert len(columns) == 61
    assert columns[:3] == ["EyeBlinkLeft", "EyeLookDownLeft", "EyeLookInLeft"]
    assert columns[14:18] == ["JawForward", "JawRight", "JawLeft", "JawOpen"]
    assert columns[51:55] == ["TongueOut", "HeadYaw", "HeadPitch", "HeadRoll"]
    assert columns[55:] == [
        f"{side}Eye{axis}" for side in ("Left", "Right") for axis in ("Yaw", "Pitch", "Roll")
    ]
    assert (values[:, 0] == 61).all()
    assert sorted(name[0].lower() + name[1:] for name in columns[:52]) == list(NAMES)
    for column, name in enumerate(columns[:52], 1):
        assert np.abs(values[:, column] - track[name[0].lower() + name[1:]]).max() < 1e-6
    assert (values[:, 53:] == 0).all()


@given(
    st.sampled_from([1, 12, 23.976, 24, 25, 29.97, 30, 31, 48, 50, 59.94, 60, 90, 120]) | st.floats(1, 120),
    st.integers(1, 400),
)
@settings(max_examples=60, deadline=None)
def test_live_link_times_are_right_at_every_frame_rate(fps: float, frames: int) -> None:
    track = Track(fps, np.zeros((frames, COUNT), np.float32))
    base = csv_livelink.time_base(track)
    codes = [csv_livelink.timecode(frame, fps, base) for frame in range(frames)]
    assert all(re.fullmatch(r"\d\d:[0-5]\d:[0-5]\d:[0-5]\d\.\d{3}", code) for code in codes)
    _, seconds, _ = imported("\n".join(["Timecode,BlendShapeCount", *(f"{code},61" for code in codes)]))
    assert np.abs(np.array(seconds) - np.arange(frames) / fps).max() < 1e-4


def test_live_link_timecodes_count_like_the_app() -> None:
    assert csv_livelink.timecode(0, 30, 30) == "00:00:00:00.000"
    assert csv_livelink.timecode(31, 30, 30) == "00:00:01:01.000"
    assert csv_livelink.timecode(60 * 3_725 + 59, 60, 60) == "01:02:05:59.000"
    assert csv_livelink.timecode(1, 25, 30) == "00:00:00:01.200"


# -- glTF ---------------------------------------------------------------------------------------------------
def parsed(path: Path) -> tuple[dict[str, Any], bytes]:
    """A .glb's JSON and binary chunk; every length and alignment in it is checked."""
    content = path.read_bytes()
    magic, version, length = struct.unpack_from("<4sII", content)
    assert (magic, version, length) == (b"glTF", 2, len(content))
    size, kind = struct.unpack_from("<I4s", content, 12)
    assert kind == b"JSON" and size % 4 == 0
    gltf = json.loads(content[20 : 20 + size])
    second, kind = struct.unpack_from("<I4s", content, 20 + size)
    assert kind == b"BIN\0" and second % 4 == 0
    assert 28 + size + second == length
    return gltf, content[28 + size :]


def floats(gltf: dict[str, Any], data: bytes, number: int) -> np.ndarray[Any, Any]:
    accessor = gltf["accessors"][number]
    view = gltf["bufferViews"][accessor["bufferView"]]
    assert (accessor["componentType"], accessor["type"], view["buffer"]) == (5126, "SCALAR", 0)
    assert view["byteOffset"] % 4 == 0
    assert view["byteOffset"] + view["byteLength"] <= gltf["buffers"][0]["byteLength"] <= len(data)
    return np.frombuffer(data, "<f4", accessor["count"], view["byteOffset"])


def curves(path: Path, animation: str = "visavis") -> tuple[np.ndarray[Any, Any], dict[str, dict[str, Any]]]:
    """The keys' times, and per node the curve of each of its targets, as a viewer would play them."""
    gltf, data = parsed(path)
    (found,) = [each for each in gltf["animations"] if each["name"] == animation]
    times, nodes = np.zeros(0), {}
    for channel in found["channels"]:
        assert channel["target"]["path"] == "weights"
        sampler = found["samplers"][channel["sampler"]]
        assert sampler["interpolation"] == "LINEAR"
        times = floats(gltf, data, sampler["input"])
        bounds = gltf["accessors"][sampler["input"]]
        assert (bounds["min"], bounds["max"]) == ([times[0]], [times[-1]])
        node = gltf["nodes"][channel["target"]["node"]]
        names = gltf["meshes"][node["mesh"]]["extras"]["targetNames"]
        values = floats(gltf, data, sampler["output"]).reshape(len(times), len(names))
        nodes[node["name"]] = {name: values[:, index] for index, name in enumerate(names)}
    return times, nodes


@pytest.mark.parametrize("avatar", ["mia", "pip"])
def test_the_built_in_head_speaks_and_stays_as_it_is(avatar: str, tmp_path: Path) -> None:
    track, source = random_track(fps=25), built_in(avatar)
    track.save(tmp_path / "head.glb", head=source)
    (before, old), (after, new) = parsed(source), parsed(tmp_path / "head.glb")
    assert new[: len(old)] == old
    for part in ("bufferViews", "accessors"):
        assert after[part][: len(before[part])] == before[part]
    for part in ("meshes", "nodes", "materials", "extensionsRequired"):
        assert after[part] == before[part]
    assert after["buffers"][1:] == before["buffers"][1:]
    times, nodes = curves(tmp_path / "head.glb")
    assert np.allclose(times, np.arange(40) / 25)
    assert set(nodes) == {"Avatar_Skin", "Avatar_Eyes", "Avatar_Mouth", "Avatar_Lids"}
    for shapes in nodes.values():
        assert set(shapes) == set(NAMES)
        assert all(np.array_equal(curve, track[name]) for name, curve in shapes.items())
    assert len(new) - len(old) == 4 * 40 * (1 + COUNT)  # alike meshes share their curves


def head(path: Path, names: list[str], **changes: Any) -> Path:
    """A user's head: one triangle with a morph target for each name."""
    data = np.zeros(9, "<f4").tobytes()
    gltf: dict[str, Any] = {
        "asset": {"version": "2.0"},
        "buffers": [{"byteLength": len(data)}],
        "bufferViews": [{"buffer": 0, "byteLength": len(data)}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
        "meshes": [
            {
                "primitives": [{"attributes": {"POSITION": 0}, "targets": [{"POSITION": 0} for _ in names]}],
                "extras": {"targetNames": names},
            }
        ],
        "nodes": [{"name": "head", "mesh": 0}],
    } | changes
    path.write_bytes(b"".join(glb.binary(gltf, [data])))
    return path


def test_ones_own_head_speaks_by_the_names_of_its_targets(tmp_path: Path) -> None:
    names = [
        "JawOpen",
        "mouthSmile_L",
        "EYE_BLINK_RIGHT",
        "fat",
        "blendShape1.browOuterUp_R",
        "browInnerUp_L",
    ]
    path = head(
        tmp_path / "mine.glb", names, nodes=[{"name": "head", "mesh": 0, "weights": [0, 0, 0, 0.7, 0, 0]}]
    )
    track = random_track()
    track.save(tmp_path / "out.glb", head=path)
    _, nodes = curves(tmp_path / "out.glb")
    shapes = ["jawOpen", "mouthSmileLeft", "eyeBlinkRight", "", "browOuterUpRight", "browInnerUp"]
    for name, shape in zip(names, shapes, strict=True):
        expected = track[shape] if shape else np.full(40, 0.7, np.float32)
        assert np.array_equal(nodes["head"][name], expected)


def test_animations_that_a_head_has_stay(tmp_path: Path) -> None:
    walk = {"name": "walk", "channels": [], "samplers": []}
    path = head(tmp_path / "mine.glb", ["jawOpen"], animations=[walk])
    random_track().save(tmp_path / "out.glb", head=path)
    assert [each["name"] for each in parsed(tmp_path / "out.glb")[0]["animations"]] == ["walk", "visavis"]


MATCHES = {
    "jawOpen": "jawOpen",
    "JawOpen": "jawOpen",
    "jaw_open": "jawOpen",
    "eyeBlinkLeft": "eyeBlinkLeft",
    "eyeBlink_L": "eyeBlinkLeft",
    "EyeBlink_R": "eyeBlinkRight",
    "eyeBlink.R": "eyeBlinkRight",
    "eye_blink_left": "eyeBlinkLeft",
    "EYELOOKOUT_L": "eyeLookOutLeft",
    "blendShape2.mouthFrown_R": "mouthFrownRight",
    "mouth_L": "mouthLeft",
    "mouthLeft": "mouthLeft",
    "jaw-right": "jawRight",
    "cheekPuff_L": "cheekPuff",
    "browInnerUpRight": "browInnerUp",
    "tongue Out": "tongueOut",
    "viseme_aa": None,
    "L": None,
    "": None,
    "...": None,
    "left": None,
    "mouthOpen": None,
}


@pytest.mark.parametrize("name", MATCHES)
def test_targets_are_matched_by_what_their_names_mean(name: str) -> None:
    shape = MATCHES[name]
    assert glb.match(name) == (None if shape is None else INDEX[shape])


@given(st.text(max_size=30))
def test_any_name_is_matched_or_not(name: str) -> None:
    found = glb.match(name)
    assert found is None or 0 <= found < COUNT


def test_all_arkit_names_match_themselves_in_every_spelling() -> None:
    for name in NAMES:
        short = re.sub("Left$", "_L", re.sub("Right$", "_R", name))
        for spelling in (name, name.upper(), short, name[0].upper() + name[1:]):
            assert glb.match(spelling) == INDEX[name], spelling


def bad_head(path: Path, kind: str) -> Path:
    good = head(path, ["jawOpen"]).read_bytes()
    content = {
        "text": b"not a head at all",
        "empty": b"",
        "cut": good[:-20],
        "version": good[:4] + (1).to_bytes(4, "little") + good[8:],
        "json": good[:20] + b"!" + good[21:],
    }
    path.write_bytes(content[kind])
    return path


@pytest.mark.parametrize("kind", ["text", "empty", "cut", "version", "json"])
def test_a_head_that_is_no_glb_is_one_clear_error(kind: str, tmp_path: Path) -> None:
    with pytest.raises(VisavisError, match="is not a glTF binary") as raised:
        random_track().save(tmp_path / "out.glb", head=bad_head(tmp_path / "bad.glb", kind))
    assert raised.value.code == "BAD_HEAD"
    assert not (tmp_path / "out.glb").exists()


def test_a_head_that_cannot_speak_says_why(tmp_path: Path) -> None:
    with pytest.raises(VisavisError, match="Cannot read"):
        random_track().save(tmp_path / "out.glb", head=tmp_path / "missing.glb")
    with pytest.raises(VisavisError, match="no mesh with ARKit blendshapes"):
        random_track().save(tmp_path / "out.glb", head=head(tmp_path / "a.glb", ["fat", "thin"]))
    outside = head(tmp_path / "b.glb", ["jawOpen"], buffers=[{"byteLength": 36, "uri": "head.bin"}])
    with pytest.raises(VisavisError, match="keeps its data in other files"):
        random_track().save(tmp_path / "out.glb", head=outside)
    with pytest.raises(VisavisError, match="without frames"):
        random_track(0).save(tmp_path / "out.glb")
