"""Heads out of GLB files: the package's own, anybody's, and broken ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.video.render_heads import mask

from visavis.arkit import COUNT, INDEX
from visavis.cast import built_in
from visavis.errors import VisavisError
from visavis.exports.glb import binary, read
from visavis.video.head import Head, load_head, read_head
from visavis.video.head_gltf import Gltf
from visavis.video.raster import BAKED, BLENDED, CUT_OUT, LIT, PAINTED, Kernel

KERNEL = Kernel()


@pytest.mark.parametrize("name", ["mia", "daniel", "amara", "kenji", "elena", "pip"])
def test_our_avatars_have_every_part_and_shape(name: str) -> None:
    head = load_head(built_in(name), KERNEL)
    parts = {part.name: part for part in head.parts}
    assert set(parts) >= {"skin", "eyes", "mouth", "shirt", "hair", "lids"}
    assert [part.name for part in head.parts][-1] == "lids", "what lets light through is drawn last"
    assert (parts["skin"].lighting, parts["hair"].lighting, parts["lids"].lighting) == (LIT, BAKED, PAINTED)
    assert (parts["hair"].cover, parts["lids"].cover) == (CUT_OUT, BLENDED)
    shapes = set().union(*(part.shapes for part in head.parts))
    assert shapes == set(range(COUNT)), "every blendshape moves something"
    assert head.subject.bottom < head.subject.eyes[1] < head.subject.top


def test_unpacked_meshes_are_as_large_as_the_file_says() -> None:
    gltf = Gltf(built_in("mia").read_bytes(), KERNEL)
    checked = 0
    for mesh in gltf.json["meshes"]:
        for attribute in mesh["primitives"][0]["attributes"].values():
            accessor = gltf.json["accessors"][attribute]
            if "min" in accessor:
                whole = {**accessor, "normalized": False}
                gltf.json["accessors"][attribute] = whole
                values = gltf.values(attribute)
                assert values.min(0).tolist() == accessor["min"]
                assert values.max(0).tolist() == accessor["max"]
                checked += 1
    assert checked >= 6


def test_somebodys_head_is_framed_by_its_lids() -> None:
    head = read_head(mask().glb(), "mine.glb", KERNEL)
    (part,) = head.parts
    assert set(part.shapes) == {INDEX["jawOpen"], INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]}
    assert len(part.shapes[INDEX["eyeBlinkLeft"]].vertices) == 1, "only what moves is kept"
    assert head.subject.eyes[:2] == pytest.approx((0.0, 1.65), abs=0.01)
    assert head.neck[0] < head.neck[1] < head.subject.eyes[1]
    assert part.normals == pytest.approx(np.tile([0, 0, 1], (len(part.normals), 1)), abs=1e-6)


def test_the_same_mesh_turned_by_its_node_and_by_a_bone() -> None:
    """A node or the skeleton's rest pose may put the mesh somewhere: both count, and turn the shapes too."""
    turn = [0.0, 0.0, 2**-0.5, 2**-0.5]  # a quarter, about z
    by_node = mask()
    by_node.json["nodes"][0] |= {"rotation": turn, "translation": [1, 2, 3], "scale": [2, 2, 2]}
    by_bone = mask()
    bind = by_bone.accessor(np.eye(4, dtype=np.float32).reshape(1, 16))
    primitive = by_bone.json["meshes"][0]["primitives"][0]
    count = by_bone.json["accessors"][primitive["attributes"]["POSITION"]]["count"]
    primitive["attributes"] |= {
        "JOINTS_0": by_bone.accessor(np.zeros((count, 4), np.uint8)),
        "WEIGHTS_0": by_bone.accessor(np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1))),
    }
    by_bone.json["nodes"] = [
        {"mesh": 0, "skin": 0},
        {"rotation": turn, "translation": [1, 2, 3], "scale": [2, 2, 2]},
    ]
    by_bone.json["scenes"] = [{"nodes": [0, 1]}]
    by_bone.json["skins"] = [{"joints": [1], "inverseBindMatrices": bind}]
    plain, first, second = (
        read_head(maker.glb(), "x", KERNEL).parts[0] for maker in (mask(), by_node, by_bone)
    )
    x, y, z = plain.positions.T
    assert first.positions == pytest.approx(np.stack([1 - 2 * y, 2 + 2 * x, 3 + 2 * z], 1), abs=1e-5)
    assert second.positions == pytest.approx(first.positions, abs=1e-5)
    jaw = INDEX["jawOpen"]
    assert first.shapes[jaw].moves[:, 0] == pytest.approx(0.1, abs=1e-5), "down has become right"
    assert second.shapes[jaw].moves == pytest.approx(first.shapes[jaw].moves, abs=1e-5)


def test_a_mirrored_node_still_shows_its_front() -> None:
    maker = mask()
    maker.json["nodes"][0]["scale"] = [-1, 1, 1]
    part = read_head(maker.glb(), "x", KERNEL).parts[0]
    a, b, c = part.positions[part.triangles[0]]
    assert np.cross(b - a, c - a)[2] > 0


def spoil(change: Callable[[dict[str, Any]], None]) -> bytes:
    maker = mask()
    change(maker.json)
    return maker.glb()


def primitive(json: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json["meshes"][0]["primitives"][0]
    return found


HOSTILE: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "no shapes": (lambda j: j["meshes"][0]["extras"].update(targetNames=["a", "b", "c"]), "ARKit name"),
    "many vertices": (lambda j: j["accessors"][0].update(count=10**9), "a size is 1000000000"),
    "negative count": (lambda j: j["accessors"][0].update(count=-1), "a size is -1"),
    "beyond its data": (lambda j: j["accessors"][0].update(byteOffset=100), "beyond its data"),
    "view beyond the file": (lambda j: j["bufferViews"][0].update(byteLength=10**7), "a size is"),
    "a circle of nodes": (lambda j: j["nodes"][0].update(children=[0]), "circle"),
    "negative reference": (lambda j: primitive(j).update(indices=-1), "a reference is -1"),
    "missing accessor": (lambda j: primitive(j).update(indices=99), "damaged"),
    "draco": (lambda j: j.update(extensionsRequired=["KHR_draco_mesh_compression"]), "Draco"),
    "unknown extension": (lambda j: j.update(extensionsRequired=["EXT_new"]), "EXT_new"),
    "other files": (lambda j: j["bufferViews"][0].update(buffer=1), "other files"),
    "infinite place": (lambda j: j["nodes"][0].update(translation=[1e400, 0, 0]), "finite"),
    "far away": (lambda j: j["nodes"][0].update(translation=[0, 1e30, 0]), "farther away"),
    "flat": (lambda j: j["nodes"][0].update(scale=[1, 1, 0]), "flat"),
    "not an object": (lambda j: j.update(meshes="all of them"), "damaged"),
    "sparse beyond": (
        lambda j: next(a for a in j["accessors"] if "sparse" in a)["sparse"].update(count=500),
        "a part of its data|beyond",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_with_the_reason(name: str) -> None:
    change, reason = HOSTILE[name]
    with pytest.raises(
        VisavisError, match=rf"mine\.glb is not a head that can be drawn: .*({reason})"
    ) as error:
        read_head(spoil(change), "mine.glb", KERNEL)
    assert error.value.code == "BAD_HEAD"


def test_a_triangle_of_missing_vertices_and_numbers_that_are_none() -> None:
    maker = mask()
    indices = maker.json["accessors"][primitive(maker.json)["indices"]]
    at = maker.json["bufferViews"][indices["bufferView"]]["byteOffset"]
    maker.data[at : at + 2] = (60_000).to_bytes(2, "little")
    with pytest.raises(VisavisError, match="names a vertex that is not there"):
        read_head(maker.glb(), "mine.glb", KERNEL)
    maker = mask()
    maker.data[:4] = np.float32("nan").tobytes()
    with pytest.raises(VisavisError, match="not a finite number"):
        read_head(maker.glb(), "mine.glb", KERNEL)


@pytest.mark.parametrize("content", [b"", b"glTF", b"x" * 100, mask().glb()[:-50]], ids=len)
def test_what_is_no_glb_is_refused(content: bytes) -> None:
    with pytest.raises(VisavisError, match="not a head that can be drawn"):
        read_head(content, "mine.glb", KERNEL)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(VisavisError, match=r"Cannot read .*nobody\.glb: No such file"):
        load_head(tmp_path / "nobody.glb", KERNEL)


def test_images_that_are_none_are_refused() -> None:
    maker = mask()
    image = maker.view(np.frombuffer(b"not an image at all", np.uint8))
    maker.json |= {"images": [{"bufferView": image, "mimeType": "image/png"}], "textures": [{"source": 0}]}
    maker.json["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"] = {"index": 0}
    count = maker.json["accessors"][0]["count"]
    primitive(maker.json)["attributes"]["TEXCOORD_0"] = maker.accessor(np.zeros((count, 2), np.float32))
    with pytest.raises(VisavisError, match=r"An image in mine\.glb is not an image that can be read"):
        read_head(maker.glb(), "mine.glb", KERNEL)


MIA = read(built_in("mia").read_bytes())


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 64))
def test_damaged_compressed_data_gives_a_head_or_a_clear_error(seed: int, size: int) -> None:
    """Bytes of the packed meshes are overwritten at random; the memory they are unpacked in is their own."""
    json, data = MIA
    random = np.random.default_rng(seed)
    damaged = bytearray(data)
    view = json["bufferViews"][random.integers(len(json["bufferViews"]))]
    packed = view.get("extensions", {}).get("EXT_meshopt_compression", view)
    at = packed.get("byteOffset", 0) + int(random.integers(packed["byteLength"]))
    damaged[at : at + size] = random.bytes(len(damaged[at : at + size]))
    content = b"".join(binary(orjson.loads(orjson.dumps(json)), [bytes(damaged)]))
    try:
        head: Head = read_head(content, "damaged.glb", KERNEL)
    except VisavisError as error:
        assert "damaged.glb" in str(error)
    else:
        assert all(np.isfinite(part.positions).all() for part in head.parts)
