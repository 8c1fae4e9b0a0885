"""What lies on the eyes, alpha blended and unlit: lid shadows, wet lines, liner, lashes, catch lights."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from avatars import eyes, light
from avatars.face import Face, Part
from avatars.geometry import Array, normals, strip, unit
from avatars.source import ARKIT, SIDES, Morphs, base_mesh

COLUMNS = 29  # points along the edge of a lid
BALL = 1.065  # just outside the eyeball


@dataclass
class Layers:
    """Meshes that end up as one."""

    vertices: list[Array] = field(default_factory=list)
    colours: list[Array] = field(default_factory=list)
    triangles: list[Array] = field(default_factory=list)
    morphs: dict[str, list[Array]] = field(default_factory=lambda: {name: [] for name in ARKIT})
    count: int = 0

    def add(
        self, vertices: Array, colours: Array, triangles: list[tuple[int, int, int]], morphs: Morphs
    ) -> None:
        self.vertices.append(np.array(vertices, np.float32))
        self.colours.append(np.array(colours, np.float32))
        self.triangles.append(np.array(triangles) + self.count)
        self.count += len(vertices)
        still = np.zeros((len(vertices), 3), np.float32)
        for name in ARKIT:
            self.morphs[name].append(np.asarray(morphs.get(name, still), np.float32))

    def extend(self, other: Layers) -> None:
        for triangles in other.triangles:
            self.triangles.append(triangles + self.count)
        self.vertices += other.vertices
        self.colours += other.colours
        for name in ARKIT:
            self.morphs[name] += other.morphs[name]
        self.count += other.count

    def part(self) -> Part:
        vertices, triangles = np.vstack(self.vertices), np.vstack(self.triangles)
        return Part(
            vertices=vertices,
            triangles=triangles,
            normals=normals(vertices, triangles).astype(np.float32),
            colour=np.vstack(self.colours),
            morphs={name: np.vstack(m) for name, m in self.morphs.items()},
        )


@dataclass(frozen=True)
class Edge:
    """The edge of one lid from right to left, and how it moves."""

    side: str
    upper: bool
    ball: Array
    radius: float
    points: Array
    morphs: Morphs

    @property
    def along(self) -> Array:
        return np.linspace(0, 1, COLUMNS)

    @property
    def outer(self) -> Array:
        """0 at the nose, 1 at the temple."""
        return self.along if self.side == "Left" else 1 - self.along

    def fade(self, slope: float, least: float = 0.0) -> Array:
        """1 in the middle, less towards both corners."""
        return np.clip(np.minimum(self.along, 1 - self.along) * slope + least, 0, 1)

    def on_ball(self, points: Array, scale: float, lift: float = 0.0) -> Array:
        away = points - self.ball
        return self.ball + away / np.linalg.norm(away, axis=1, keepdims=True) * (self.radius * scale + lift)

    @property
    def outwards(self) -> Array:
        return unit(self.points - self.ball)

    @property
    def open_direction(self) -> Array:
        return np.array([0, 1.0 if self.upper else -1.0, 0])


def lids(face: Face) -> Layers:
    below, above = Layers(), Layers()
    for side in SIDES:
        for upper in (True, False):
            edge = _edge(face, side, upper)
            if upper:
                _shadow(below, edge)
            else:
                _wet_line(below, edge)
            _liner(above, edge, face)
            _lashes(above, edge, face)
    below.extend(above)
    _catch_lights(below, face)
    return below


def _lash_colour(face: Face) -> Array:
    dark = float(np.mean(face.person["skin"])) < 0.85
    return np.array([0.045, 0.03, 0.026] if dark else [0.06, 0.04, 0.03], np.float32)


def _edge(face: Face, side: str, upper: bool) -> Edge:
    """The base mesh's lashes are five shells of twelve vertices around the ball; the second is the edge."""
    ids = base_mesh().ids(f"helper-{side[0].lower()}-eyelashes-{2 if upper else 1}")
    points, ball = face.vertices[ids], eyes.centre(face, side)
    shells = np.argsort(np.linalg.norm(points - ball, axis=1) / face.eye_radius)
    shell = shells[12:24]
    shell = shell[np.argsort(points[shell, 0])]
    x = np.linspace(0, 11, COLUMNS)
    left = np.clip(x.astype(int), 0, 10)
    weight = (x - left)[:, None]

    def resample(values: Array) -> Array:
        line = values[left] * (1 - weight) + values[left + 1] * weight
        for _ in range(2):
            line = np.vstack([line[:1], (line[:-2] + 2 * line[1:-1] + line[2:]) / 4, line[-1:]])
        return np.asarray(line)

    names = [name for name in ARKIT if name.startswith("eye") and name.endswith(side)]
    names += [name + side for name in ("cheekSquint", "mouthSmile", "noseSneer", "browDown")]
    morphs = {name: resample(face.units[name][ids[shell]]) for name in names}
    return Edge(side, upper, ball, eyes.radius(face), resample(points[shell]), morphs)


def _shadow(layers: Layers, edge: Edge) -> None:
    """The upper lid's shadow on the ball."""
    rows, colours = [], []
    morphs: dict[str, list[Array]] = {name: [] for name in edge.morphs}
    for k, (offset, alpha) in enumerate(((0.0, 0.62), (-0.020, 0.36), (-0.045, 0.13), (-0.085, 0.0))):
        down, lift = np.array([0, offset, 0]), 0.004 * (3 - k)
        row = edge.on_ball(edge.points + down, BALL, lift)
        rows.append(row)
        colours.append(np.column_stack([np.tile([0.10, 0.05, 0.045], (COLUMNS, 1)), alpha * edge.fade(8)]))
        for name, moved in edge.morphs.items():
            morphs[name].append(edge.on_ball(edge.points + moved + down, BALL, lift) - row)
    layers.add(
        np.vstack(rows),
        np.vstack(colours),
        strip(4, COLUMNS),
        {name: np.vstack(m) for name, m in morphs.items()},
    )


def _band(edge: Edge, colour: Array, alpha: Array) -> tuple[Array, list[tuple[int, int, int]], Morphs]:
    """Colours, triangles and morphs of a band along the edge that fades out."""
    colours = np.vstack([
        np.column_stack([np.tile(colour[0], (COLUMNS, 1)), alpha]),
        np.column_stack([np.tile(colour[1], (COLUMNS, 1)), 0 * alpha]),
    ])  # fmt: skip
    return (
        colours,
        strip(2, COLUMNS),
        {name: np.vstack([moved, moved]) for name, moved in edge.morphs.items()},
    )


def _wet_line(layers: Layers, edge: Edge) -> None:
    inner, outer = (
        edge.on_ball(edge.points, 1.075),
        edge.on_ball(edge.points + np.array([0, 0.013, 0]), 1.072),
    )
    colours = np.array([[0.80, 0.58, 0.54], [1, 0.93, 0.90]])
    layers.add(np.vstack([inner, outer]), *_band(edge, colours, 0.38 * edge.fade(5)))


def _liner(layers: Layers, edge: Edge, face: Face) -> None:
    inner = edge.points + edge.outwards * 0.004
    outer = edge.points + edge.outwards * 0.010 + edge.open_direction * (0.014 if edge.upper else 0.008)
    alpha = edge.fade(9, 0.15) * (0.55 + 0.45 * edge.outer)
    alpha = (0.35 + 0.5 * face.person.get("liner", 0.3)) * (1 if edge.upper else 0.35) * alpha
    layers.add(np.vstack([inner, outer]), *_band(edge, np.tile(_lash_colour(face), (2, 1)), alpha))


def _lashes(layers: Layers, edge: Edge, face: Face) -> None:
    """Three triangles a lash: root, middle, tip."""
    upper, amount = edge.upper, face.person.get("lashes", 0.8)
    count, width = (44, 0.0042) if upper else (24, 0.0028)
    rng = np.random.default_rng(3 if upper else 4)
    sideways = np.array([1.0 if edge.side == "Left" else -1.0, 0, 0])
    alpha = (0.90 if upper else 0.45) * min(1, amount + 0.25)
    colour = _lash_colour(face)
    vertices: list[Array] = []
    triangles: list[tuple[int, int, int]] = []
    morphs: dict[str, list[Array]] = {name: [] for name in edge.morphs}
    for j in range(count):
        u = (j + 0.5 + 0.5 * (rng.random() - 0.5)) / count
        outer = u if edge.side == "Left" else 1 - u
        a = min(int(u * (COLUMNS - 1)), COLUMNS - 2)
        w = u * (COLUMNS - 1) - a
        base = edge.points[a] * (1 - w) + edge.points[a + 1] * w
        out = edge.outwards[a] * (1 - w) + edge.outwards[a + 1] * w
        length = (0.052 if upper else 0.024) * (0.6 + 0.55 * outer) * (0.75 + 0.4 * rng.random())
        length = length * (0.5 + 0.5 * amount)
        growth = (
            out * 0.80 + edge.open_direction * (0.62 if upper else 0.45) + sideways * (0.75 * outer - 0.22)
        )
        growth /= np.linalg.norm(growth)
        middle = base + growth * length * 0.55 + out * 0.004
        tip = middle + (growth * 0.55 + edge.open_direction * 0.75) * length * 0.50
        across = edge.points[a + 1] - edge.points[a]
        across = across / np.linalg.norm(across) * width
        k = len(vertices)
        vertices += [base - across, base + across, middle - across * 0.7, middle + across * 0.7, tip]
        triangles += [(k, k + 2, k + 1), (k + 1, k + 2, k + 3), (k + 2, k + 4, k + 3)]
        for name, moved in edge.morphs.items():
            root = moved[a] * (1 - w) + moved[a + 1] * w
            droop = _droop(name, length) if upper else np.zeros(3)
            morphs[name] += [root, root, root + droop * 0.45, root + droop * 0.45, root + droop]
    colours = [np.r_[colour, value] for value in (alpha, alpha, alpha * 0.8, alpha * 0.8, 0.1)]
    layers.add(
        np.array(vertices),
        np.tile(colours, (count, 1)),
        triangles,
        {n: np.array(m) for n, m in morphs.items()},
    )


def _droop(name: str, length: float) -> Array:
    """Lashes turn down with the closing lid."""
    amount = 1.0 if name.startswith("eyeBlink") else 0.45 if name.startswith("eyeLookDown") else 0.0
    return np.array([0, -1.55, 0.12]) * length * amount


def _catch_lights(layers: Layers, face: Face, count: int = 12) -> None:
    """Reflections of the key light, nearly a window, and of a small fill light."""
    angle = np.arange(count) / count * 2 * np.pi
    square = 1 / np.maximum(np.abs(np.cos(angle)), np.abs(np.sin(angle))) ** 0.5
    after = [(j + 1) % count for j in range(count)]
    triangles = [(0, 1 + j, 1 + after[j]) for j in range(count)]
    for j in range(count):
        a, b = 1 + j, 1 + after[j]
        triangles += [(a, a + count, b), (b, a + count, b + count)]
    large = 0.036 if face.person.get("stylised") else 0.021
    for side in SIDES:
        for source, size, alpha in ((light.KEY, large, 0.95), (np.array([-0.55, -0.25, 0.8]), 0.012, 0.30)):
            half = unit(unit(source) + np.array([0, 0, 1]))
            middle = eyes.centre(face, side) + half * eyes.radius(face) * 1.085
            right = unit(np.cross([0, 1, 0], half))
            up = np.cross(half, right)
            shape = (np.cos(angle) * square)[:, None] * right * 0.85 + (np.sin(angle) * square)[:, None] * up
            vertices = np.vstack([middle[None], middle + shape * size * 0.62, middle + shape * size])
            colours = np.ones((1 + 2 * count, 4))
            colours[:, 3] = alpha
            colours[1 + count :, 3] = 0
            layers.add(vertices, colours, triangles, {})
