"""Loops over triangles, pixels and points: UV rasteriser, depth maps, noise, normals, visibility."""

from __future__ import annotations

import numpy as np
from numba import njit

Array = np.ndarray


@njit(cache=True, fastmath=True)
def uv_raster(points: Array, triangles: Array, attributes: Array, out: Array, covered: Array) -> None:
    """Interpolates `attributes` of the corners over the texels of `out`; marks those `covered`."""
    size = out.shape[0]
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay = points[i, 0], points[i, 1]
        bx, by = points[j, 0], points[j, 1]
        cx, cy = points[k, 0], points[k, 1]
        area = (by - cy) * (ax - cx) + (cx - bx) * (ay - cy)
        if abs(area) < 1e-9:
            continue
        x0, x1 = max(0, int(min(ax, bx, cx) - 1)), min(size, int(max(ax, bx, cx) + 2))
        y0, y1 = max(0, int(min(ay, by, cy) - 1)), min(size, int(max(ay, by, cy) + 2))
        for y in range(y0, y1):
            for x in range(x0, x1):
                w0 = ((by - cy) * (x + 0.5 - cx) + (cx - bx) * (y + 0.5 - cy)) / area
                w1 = ((cy - ay) * (x + 0.5 - cx) + (ax - cx) * (y + 0.5 - cy)) / area
                w2 = 1 - w0 - w1
                if w0 > -0.02 and w1 > -0.02 and w2 > -0.02:
                    for c in range(attributes.shape[1]):
                        out[y, x, c] = w0 * attributes[i, c] + w1 * attributes[j, c] + w2 * attributes[k, c]
                    covered[y, x] = True


@njit(cache=True, fastmath=True)
def depth_raster(points: Array, triangles: Array, depth: Array) -> None:
    """Keeps in `depth` the z nearest to the viewer."""
    size = depth.shape[0]
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay = points[i, 0], points[i, 1]
        bx, by = points[j, 0], points[j, 1]
        cx, cy = points[k, 0], points[k, 1]
        area = (by - cy) * (ax - cx) + (cx - bx) * (ay - cy)
        if abs(area) < 1e-9:
            continue
        x0, x1 = max(0, int(min(ax, bx, cx))), min(size, int(max(ax, bx, cx) + 1))
        y0, y1 = max(0, int(min(ay, by, cy))), min(size, int(max(ay, by, cy) + 1))
        for y in range(y0, y1):
            for x in range(x0, x1):
                w0 = ((by - cy) * (x + 0.5 - cx) + (cx - bx) * (y + 0.5 - cy)) / area
                w1 = ((cy - ay) * (x + 0.5 - cx) + (ax - cx) * (y + 0.5 - cy)) / area
                w2 = 1 - w0 - w1
                if w0 >= 0 and w1 >= 0 and w2 >= 0:
                    z = w0 * points[i, 2] + w1 * points[j, 2] + w2 * points[k, 2]
                    if z > depth[y, x]:
                        depth[y, x] = z


@njit(cache=True, fastmath=True)
def _noise(points: Array, scale: float, lattice: Array, out: Array) -> None:
    for q in range(points.shape[0]):
        x, y, z = points[q, 0] * scale, points[q, 1] * scale, points[q, 2] * scale
        i, j, k = np.floor(x), np.floor(y), np.floor(z)
        fx, fy, fz = x - i, y - j, z - k
        fx = fx * fx * (3 - 2 * fx)
        fy = fy * fy * (3 - 2 * fy)
        fz = fz * fz * (3 - 2 * fz)
        i0, j0, k0 = int(i) & 31, int(j) & 31, int(k) & 31
        i1, j1, k1 = (i0 + 1) & 31, (j0 + 1) & 31, (k0 + 1) & 31
        near = (lattice[i0, j0, k0] * (1 - fx) + lattice[i1, j0, k0] * fx) * (1 - fy) + (
            lattice[i0, j1, k0] * (1 - fx) + lattice[i1, j1, k0] * fx
        ) * fy
        far = (lattice[i0, j0, k1] * (1 - fx) + lattice[i1, j0, k1] * fx) * (1 - fy) + (
            lattice[i0, j1, k1] * (1 - fx) + lattice[i1, j1, k1] * fx
        ) * fy
        out[q] = near * (1 - fz) + far * fz - 0.5


def noise(points: Array, scale: float, seed: int) -> Array:
    """Smooth value noise, -0.5 to 0.5, at points of any shape (..., 3); `scale` cells a unit."""
    flat = np.ascontiguousarray(points.reshape(-1, 3), np.float32)
    out = np.empty(len(flat), np.float32)
    lattice = np.random.default_rng(seed).random((32, 32, 32)).astype(np.float32)
    _noise(flat, float(scale), lattice, out)
    return out.reshape(points.shape[:-1])


def normals(vertices: Array, triangles: Array) -> Array:
    """Unit normals of the vertices, weighted by area."""
    vertices = np.asarray(vertices, np.float64)
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    faces = np.cross(b - a, c - a)
    out = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(out, triangles[:, k], faces)
    return out / (np.linalg.norm(out, axis=1, keepdims=True) + 1e-12)


def unit(vectors: Array) -> Array:
    """The vectors at length 1; zero stays zero."""
    vectors = np.asarray(vectors, np.float64)
    return vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-9)


def strip(rows: int, columns: int) -> list[tuple[int, int, int]]:
    """Triangles of a grid of vertices, row after row."""
    out = []
    for row in range(rows - 1):
        for column in range(columns - 1):
            a = row * columns + column
            out += [(a, a + columns, a + 1), (a + 1, a + columns, a + columns + 1)]
    return out


def bump(points: Array, centre: Array, size: Array) -> Array:
    """A Gaussian around `centre`, alike on both sides of the face."""
    mirrored = np.column_stack([np.abs(points[:, 0]), points[:, 1], points[:, 2]])
    return np.exp(-(((mirrored - np.array(centre)) / np.array(size)) ** 2).sum(1))


def visibility(
    points: dict[str, Array],
    facing: dict[str, Array],
    directions: list[Array],
    weights: list[float],
    occluders: list[tuple[Array, Array]],
    centre: Array,
    radius: float = 3.0,
    size: int = 384,
    bias: float = 0.035,
) -> dict[str, Array]:
    """For each part, the weighted share of directions from which its points are seen."""
    seen = {part: np.zeros(len(p)) for part, p in points.items()}
    total = {part: np.zeros(len(p)) + 1e-9 for part, p in points.items()}
    for direction, weight in zip(directions, weights, strict=True):
        up = np.array([0, 1.0, 0]) if abs(direction[1]) < 0.9 else np.array([1.0, 0, 0])
        x = np.cross(up, direction)
        x /= np.linalg.norm(x)
        axes = np.stack([x, np.cross(direction, x), direction])
        to_pixels, middle = (
            np.array([size / 2 / radius, size / 2 / radius, 1]),
            np.array([size / 2, size / 2, 0]),
        )

        def project(
            p: Array, axes: Array = axes, to_pixels: Array = to_pixels, middle: Array = middle
        ) -> Array:
            return ((p - centre) @ axes.T) * to_pixels + middle

        depth = np.full((size, size), -1e9, np.float32)
        for vertices, triangles in occluders:
            depth_raster(project(vertices).astype(np.float32), triangles, depth)
        for part, p in points.items():
            q = project(p + facing[part] * 0.012)
            w = np.full(len(p), 0.5 * weight)
            if part != "hair":
                w = np.maximum(facing[part] @ direction, 0) * weight
            column = np.clip(q[:, 0].astype(int), 0, size - 1)
            row = np.clip(q[:, 1].astype(int), 0, size - 1)
            seen[part] += w * np.clip((q[:, 2] - depth[row, column]) / bias + 1, 0, 1)
            total[part] += w
    return {part: (seen[part] / total[part]).astype(np.float32) for part in seen}
