"""A shirt cut from the base mesh's tights, its collar, glasses and earrings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from scipy.ndimage import gaussian_filter
from trimesh.intersections import slice_mesh_plane

from avatars.face import Face
from avatars.geometry import Array
from avatars.source import BODY, base_mesh

AROUND = 96  # points around a collar

# Cross sections of the collars: outwards, upwards, brightness.
COLLARS = {
    "crew": [(-0.012, -0.055, 0.72), (0.018, -0.035, 1.0), (0.030, 0.0, 1.05), (0.016, 0.034, 1.05),
             (-0.030, 0.036, 0.9), (-0.060, 0.0, 0.4)],
    "vneck": [(-0.012, -0.05, 0.7), (0.016, -0.03, 1), (0.022, 0.0, 1.05), (0.012, 0.026, 1.05),
              (-0.022, 0.022, 0.85), (-0.05, -0.01, 0.4)],
    "turtle": [(0.0, -0.06, 0.6), (0.035, -0.02, 0.9), (0.045, 0.07, 1.0), (0.02, 0.17, 1.05),
               (-0.035, 0.245, 1.1), (-0.085, 0.25, 0.9), (-0.115, 0.20, 0.45)],
    "polo": [(0.0, -0.04, 0.55), (-0.03, 0.06, 0.6), (-0.06, 0.15, 0.75), (-0.055, 0.185, 1.08),
             (-0.01, 0.175, 1.1), (0.055, 0.09, 1.06), (0.10, 0.0, 1.03), (0.125, -0.055, 0.98)],
}  # fmt: skip


@dataclass(frozen=True)
class Cloth:
    """A static mesh; `tint` is a factor of the shirt's colour or, for `extras`, the colour itself."""

    vertices: Array
    triangles: Array
    uv: Array
    tint: Array


def shirt(face: Face) -> Cloth:
    body = _cut(face, _tights(face))
    vertices, triangles = np.asarray(body.vertices), np.asarray(body.faces)
    collar, brightness, rings = _collar(face, _opening(face, vertices, triangles))
    angle = _angles()
    body_uv = np.stack([vertices[:, 0] * 2.2 + 0.7 * vertices[:, 2], vertices[:, 1] * 2.2], 1)
    height = np.repeat(np.linspace(0, 0.25, len(brightness)), AROUND)
    collar_uv = np.stack([np.tile(angle / np.pi * 5.2, len(brightness)), height], 1)
    return Cloth(
        vertices=np.vstack([vertices, collar]).astype(np.float32),
        triangles=np.vstack([triangles, rings + len(vertices)]),
        uv=np.vstack([body_uv, collar_uv]).astype(np.float32),
        tint=np.r_[np.ones(len(vertices)), np.repeat(brightness, AROUND)].astype(np.float32),
    )


def _tights(face: Face) -> trimesh.Trimesh:
    """The tights' upper part, subdivided once and lifted off the skin."""
    triangles = [[vertex for vertex, _ in t] for t in base_mesh().triangles("helper-tights")]
    ids = np.unique(triangles)
    number = {vertex: i for i, vertex in enumerate(ids)}
    faces = [[number[vertex] for vertex in t] for t in triangles]
    mesh = trimesh.Trimesh(face.vertices[ids], faces, process=False)
    corners = mesh.vertices[mesh.faces]
    mesh.update_faces((corners[:, :, 1].max(1) > face.bottom - 0.3) & (np.abs(corners[:, :, 0]).max(1) < 3.2))
    mesh.remove_unreferenced_vertices()
    mesh.merge_vertices()
    mesh = mesh.subdivide_loop(1)
    thickness = 0.038 if face.neckline_depth else 0.045
    return trimesh.Trimesh(mesh.vertices + thickness * mesh.vertex_normals, mesh.faces, process=False)


def _cut(face: Face, mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """Cut at the bottom, the arms and the neckline."""
    for normal, origin in (
        ([0, 1, 0], [0, face.bottom, 0]),
        ([-1, 0, 0], [2.7, 0, 0]),
        ([1, 0, 0], [-2.7, 0, 0]),
        ([0, -1, -0.42], [0, face.neckline, 0.6]),
    ):
        mesh = slice_mesh_plane(mesh, normal, origin)
    if face.neckline_depth:
        front = slice_mesh_plane(mesh, [0, 0, 1], [0, 0, 0.2])
        pieces = [slice_mesh_plane(mesh, [0, 0, -1], [0, 0, 0.2])]
        notch = face.neckline - 0.42 * (0.72 - 0.6) - face.neckline_depth
        for side in (1, -1):
            half = slice_mesh_plane(front, [side, 0, 0], [0, 0, 0])
            pieces.append(slice_mesh_plane(half, [1.5 * side, -1, 0], [0, notch, 0]))
        mesh = trimesh.util.concatenate(pieces)
    mesh.merge_vertices(digits_vertex=4)
    return mesh


def _angles() -> Array:
    return np.linspace(-np.pi, np.pi, AROUND, endpoint=False)


def _opening(face: Face, vertices: Array, triangles: Array) -> Array:
    """The neckline's edge as a smooth loop of AROUND points, from the back over the right to the left."""
    edges = np.sort(np.vstack([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), 1)
    unique, count = np.unique(edges, axis=0, return_counts=True)
    rim = vertices[np.unique(unique[count == 1])]
    high = (rim[:, 1] > face.neckline - 0.75) & (rim[:, 1] > face.bottom + 0.4) & (np.abs(rim[:, 0]) < 0.95)
    rim = rim[high]
    rim = rim[np.abs(rim[:, 1] - face.neckline_at(rim)) < 0.16]
    angle = np.arctan2(rim[:, 0], rim[:, 2] - 0.5 * (rim[:, 2].max() + rim[:, 2].min()))
    order = np.argsort(angle)
    angle, rim = angle[order], rim[order]
    turns = np.r_[angle - 2 * np.pi, angle, angle + 2 * np.pi]
    smooth = 0.8 if face.neckline_depth else 1.6
    loop = [np.interp(_angles(), turns, np.tile(rim[:, k], 3)) for k in range(3)]
    return np.stack([gaussian_filter(values, smooth, mode="wrap") for values in loop], 1)


def _collar(face: Face, loop: Array) -> tuple[Array, Array, Array]:
    """Vertices ring by ring, the brightness of each ring, triangles."""
    style = face.person["shirt"]["collar"]
    profile, angle = COLLARS[style], _angles()
    outwards = np.stack([np.sin(angle), 0 * angle, np.cos(angle)], 1)
    rings = []
    for out, up, _ in profile:
        ring = loop + outwards * out
        if style == "polo":  # lower and open at the throat
            throat = np.clip((np.cos(angle) - 0.3) / 0.7, 0, 1)
            gap, spread = np.clip(1 - np.abs(angle) / 0.42, 0, 1), max(0, (out + 0.06) / 0.18)
            ring[:, 1] += up * (1 - 0.62 * throat)
            opened = [np.sign(angle) * gap * 0.10, -gap * 0.16, gap * 0.02]
            ring = ring + np.stack(opened, 1) * spread
        else:
            ring = ring + np.array([0, up, 0])
        rings.append(ring)
    triangles = []
    for row in range(len(profile) - 1):
        for j in range(AROUND):
            a, b = row * AROUND + j, row * AROUND + (j + 1) % AROUND
            if style == "polo":
                a, b = b, a
            triangles += [(a, b, a + AROUND), (b, b + AROUND, a + AROUND)]
    return np.vstack(rings), np.array([brightness for _, _, brightness in profile]), np.array(triangles)


def fabric(knit: float) -> Array:
    """A ribbed knit, 128x128 grey as RGB; `knit` is how coarse it is."""
    y, x = np.mgrid[0:128, 0:128]
    rib = np.abs(((x % 16) - 7.5) / 8)
    stitch = ((y + np.abs((x % 16) - 7.5) * 0.9) % 12) / 12
    noise = np.random.default_rng(2).normal(size=x.shape)
    cloth = 0.93 - knit * 0.10 * rib**3 - knit * 0.09 * np.cos(stitch * 2 * np.pi) * 0.5
    cloth = cloth + 0.035 * noise * (0.4 + knit * 0.4)
    return np.repeat(np.clip(cloth, 0, 1)[..., None], 3, 2)


def extras(face: Face) -> Cloth | None:
    tubes: list[Cloth] = []
    if face.person.get("glasses"):
        tubes += _glasses(face)
    if face.person.get("earrings"):
        tubes += [_earring(face, side) for side in (-1, 1)]
    if not tubes:
        return None
    starts = np.cumsum([0] + [len(tube.vertices) for tube in tubes])
    return Cloth(
        vertices=np.vstack([tube.vertices for tube in tubes]).astype(np.float32),
        triangles=np.vstack([tube.triangles + start for tube, start in zip(tubes, starts, strict=False)]),
        uv=np.vstack([tube.uv for tube in tubes]),
        tint=np.vstack([tube.tint for tube in tubes]),
    )


def _tube(
    path: Array, radius: float, colour: tuple[float, ...], closed: bool = False, sides: int = 6
) -> Cloth:
    path = np.asarray(path, float)
    count = len(path)
    tangents = np.roll(path, -1, 0) - np.roll(path, 1, 0) if closed else np.gradient(path, axis=0)
    tangents = tangents / np.linalg.norm(tangents, axis=1, keepdims=True)
    across = np.cross(tangents, [0, 0, 1.0])
    straight = np.linalg.norm(across, axis=1) < 0.15
    across[straight] = np.cross(tangents[straight], [0, 1.0, 0])
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    up, angle = np.cross(across, tangents), np.arange(sides) / sides * 2 * np.pi
    circle = np.cos(angle)[None, :, None] * across[:, None] + np.sin(angle)[None, :, None] * up[:, None]
    vertices = (path[:, None] + radius * circle).reshape(-1, 3)
    triangles = []
    for i in range(count if closed else count - 1):
        for j in range(sides):
            a, a_next = i * sides + j, i * sides + (j + 1) % sides
            b, b_next = ((i + 1) % count) * sides + j, ((i + 1) % count) * sides + (j + 1) % sides
            triangles += [(a, b, a_next), (a_next, b, b_next)]
    tint = np.tile(np.array(colour, np.float32), (len(vertices), 1))
    return Cloth(vertices, np.array(triangles), np.zeros((len(vertices), 2)), tint)


def _glasses(face: Face) -> list[Cloth]:
    ex, ey, _ = face.eye
    body, colour = face.vertices[BODY], (0.045, 0.04, 0.04)
    brow = (np.abs(body[:, 0] - ex) < 0.2) & (np.abs(body[:, 1] - ey - 0.1) < 0.12)
    front = float(body[brow][:, 2].max()) + 0.06

    def temple(z: float) -> float:
        """Half the width of the head at a depth."""
        near = (np.abs(body[:, 1] - ey) < 0.08) & (np.abs(body[:, 2] - z) < 0.09)
        return float(np.abs(body[near][:, 0]).max()) + 0.02

    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    round_x = 0.205 * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.72
    round_y = 0.155 * np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** 0.72
    tubes = []
    for side in (-1, 1):
        middle = side * (ex + 0.012)
        bent = np.clip((np.abs(middle + 0.205 * np.cos(angle)) - 0.30) / 0.2, 0, 1) ** 2
        rim = np.stack(
            [middle + round_x, ey - 0.035 + round_y - 0.012 * np.sin(angle), front - 0.10 * bent], 1
        )
        tubes.append(_tube(rim, 0.0125, colour, closed=True))
        arm = [
            (ex + 0.215, ey + 0.03, front - 0.10),
            (ex + 0.255, ey + 0.035, front - 0.14),
            (max(temple(0.95), ex + 0.26), ey + 0.025, 0.95),
            (temple(0.75), ey + 0.02, 0.75),
            (temple(0.58), ey + 0.01, 0.58),
            (temple(0.58) + 0.01, ey, 0.42),
        ]
        tubes.append(_tube(np.array(arm) * [side, 1, 1], 0.0135, colour))
    bridge = [
        (-(ex - 0.19), ey + 0.02, front),
        (-0.06, ey + 0.055, front + 0.045),
        (0.06, ey + 0.055, front + 0.045),
        (ex - 0.19, ey + 0.02, front),
    ]
    return [*tubes, _tube(np.array(bridge), 0.0125, colour)]


def _earring(face: Face, side: int) -> Cloth:
    ey, body = face.eye[1], face.vertices[BODY]
    lobe = (body[:, 0] * side > 0.55) & (np.abs(body[:, 2] - 0.45) < 0.35)
    lobe = body[lobe & (body[:, 1] < ey - 0.10) & (body[:, 1] > ey - 0.42)]
    x, y, z = lobe[np.argmax(side * lobe[:, 0] - 0.6 * np.abs(lobe[:, 1] - (ey - 0.36)))]
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = np.stack(
        [x + 0 * angle + side * 0.02, y - 0.10 + 0.085 * np.sin(angle), z + 0.085 * np.cos(angle)], 1
    )
    return _tube(ring, 0.013, (0.86, 0.66, 0.30), closed=True)
