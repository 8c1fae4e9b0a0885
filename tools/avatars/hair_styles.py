"""The four ways in which hair grows: lob, short, curly, bun."""

from __future__ import annotations

import numpy as np

from avatars.geometry import Array
from avatars.hair import Flow, Head, Ribbons, from_angles


def grow(head: Head) -> Ribbons:
    {"lob": lob, "short": short, "curly": curly, "bun": bun}[head.style["style"]](head)
    return head.grown()


def lob(head: Head) -> None:
    """Long hair to the shoulders with a parting."""
    rng, part = head.rng, head.style.get("part", 0.2)
    wave, bottom = head.style.get("wave", 0.03), head.centre[1] - head.style.get("length", 1.25)

    def lock(direction: Array, layer: float, width: float, side: int = 0) -> None:
        way = float(side or (1 if direction[0] > part * 0.6 else -1))
        if not side and direction[1] < 0.5 and abs(direction[0]) > 0.2:
            way = float(np.sign(direction[0]))

        def fall(p: Array, n: Array, _: float) -> Array:
            if p[1] < head.centre[1] - 0.45:
                inwards = -0.30 * np.sign(p[0]) * min(1, max(0, abs(p[0]) - 0.45) * 3)
                return np.array([inwards, -1.0, 0.18])
            if n[1] > 0.45:
                return np.array([way, -0.35, 0.10 if n[2] > 0.2 else -0.55 if n[2] < -0.2 else -0.25])
            if n[2] > 0.15:
                return np.array([way * 0.35, -1.0, -0.28])
            return np.array([way * 0.10, -1.0, -0.05])

        length = (head.root(direction)[1] - bottom) * 1.02 + 0.18 * (1 - abs(direction[1]))
        length = np.clip(length + 0.30 * max(direction[1], 0) + 0.06 * rng.normal(), 0.45, 2.6)
        lift = (0.045 + 0.05 * layer, 0.075 + 0.10 * layer)
        points = head.flow(direction, length, 11, lift, fall, stiff=0.5)
        x, phase = np.linspace(0, 1, 12), rng.random() * 6.28
        away = points - head.centre
        sideways = np.cross(np.gradient(points, axis=0), away)
        sideways /= np.linalg.norm(sideways, axis=1, keepdims=True) + 1e-9
        away /= np.linalg.norm(away, axis=1, keepdims=True)
        swing = sideways * np.sin(x * 9 + phase)[:, None] + 0.6 * away * np.cos(x * 8 + phase)[:, None]
        amount = wave * np.clip(x * 1.6 - 0.35, 0, 1) * (0.6 + 0.4 * layer)
        head.ribbon(points + swing * amount[:, None], width, taper=(0.7, 1, 1, 0.6))

    for layer, count, width in ((0, 64, 0.21), (0.5, 84, 0.16), (1.0, 112, 0.12)):
        for direction in head.scatter(count):
            lock(direction, layer, width * (0.8 + 0.4 * rng.random()))
    for azimuth in np.linspace(-80, 80, 60):  # thin and lifted along the hairline
        direction = head.near_hairline(azimuth, 0.6 + 1.6 * rng.random())
        lock(direction, 0.25 + 0.6 * rng.random(), 0.075 + 0.04 * rng.random())
    for z in np.linspace(0, 1, 34):  # both sides of the parting
        for side in (-1, 1):
            a = np.radians(head.hairline(0) + 2 + 100 * z)
            direction = np.array([part * 0.75 - side * 0.012, np.sin(a), np.cos(a)])
            lock(direction / np.linalg.norm(direction), 0.60 + 0.25 * rng.random(), 0.10, side)
    for side in (-1, 1):  # around the face
        for k in range(14):
            direction = from_angles(
                side * (12 + 4.6 * k), head.hairline(12 + 4.6 * k) + 1.5 + 2 * rng.random()
            )
            lock(direction, 1.0 + 0.35 * rng.random(), 0.06, side)


def short(head: Head) -> None:
    """Short sides, and a top that `quiff` combs up."""
    rng, quiff, top = head.rng, head.style.get("quiff", 1.0), head.style.get("length", 0.6)
    front = min(float(head.hairline(0)), 30)

    def comb(p: Array, n: Array, _: float) -> Array:
        if n[1] > np.sin(np.radians(front - 1)):
            if n[2] < 0.62:
                return np.array([0.35 + 0.5 * n[0], 0.0, 0.75 * quiff if n[2] > 0.35 else 0.85])
            return np.array([0.75 + n[0] * 0.3, 0.55 * quiff, -0.10])
        if n[2] > 0.25:
            return np.array([0.12 * np.sign(p[0]), -0.8, -0.55])
        return np.array([0.0, -1.0, -0.18])

    def tuft(direction: Array, length: float, lift: float, width: float, stand: float) -> None:
        points = head.flow(direction, length, 5, (0.02, lift), comb, stiff=0.35)
        away = (points - head.centre) / np.linalg.norm(points - head.centre, axis=1, keepdims=True)
        x = np.linspace(0, 1, 6)[:, None]
        points = points + away * stand * np.sin(x * 2.0) + rng.normal(size=3) * 0.018 * x
        head.ribbon(points, width, taper=(0.9, 1, 0.8, 0.4))

    for direction in head.scatter(400, 6, 1, lambda azimuth, elevation: elevation > front):
        ahead = max(0, direction[2])
        length = top * (0.62 + 0.25 * rng.random()) * (0.75 + 0.25 * ahead)
        lift, width = 0.075 + 0.045 * rng.random(), 0.105 * (0.7 + 0.5 * rng.random())
        tuft(direction, length, lift, width, 0.035 + 0.07 * quiff * ahead * ahead + 0.03 * rng.random())
    for direction in head.scatter(410, 6, 1.2, lambda azimuth, elevation: elevation <= 36 and azimuth > 40):
        azimuth = np.degrees(np.arctan2(abs(direction[0]), direction[2]))
        elevation = np.degrees(np.arcsin(np.clip(direction[1], -1, 1)))
        high = np.clip((elevation - head.hairline(azimuth)) / 30, 0, 1)
        tuft(
            direction,
            0.13 + 0.20 * high,
            0.012 + 0.035 * high,
            0.06 + 0.035 * rng.random(),
            0.006 + 0.02 * high,
        )
    for azimuth in np.linspace(58, 86, 28):  # sideburns
        for side in (-1, 1):
            direction = head.near_hairline(side * azimuth, 0.5 + 16 * rng.random())
            tuft(direction, 0.12, 0.012, 0.045 + 0.02 * rng.random(), 0.004)
    for azimuth in np.linspace(-50, 50, 64):  # the front, swept up
        direction = head.near_hairline(azimuth, 0.3 + 2.2 * rng.random())
        length, lift = top * (0.55 + 0.2 * rng.random()), 0.07 + 0.05 * rng.random()
        tuft(direction, length, lift, 0.055, 0.05 + 0.05 * quiff * rng.random())


def curly(head: Head) -> None:
    """Helices that stand away from the head and sink a little."""
    rng, length = head.rng, head.style.get("length", 0.6)

    def curl(
        direction: Array, length: float, radius: float, turns: float, width: float, segments: int
    ) -> None:
        position = head.centre + direction * (head.radius(direction) + 0.01)
        velocity = direction + np.array([0.55 * direction[0], -0.05, 0.05 * direction[2]])
        velocity /= np.linalg.norm(velocity)
        points = [position]
        for i in range(segments):
            velocity = velocity + np.array([0, -0.085, 0])
            velocity /= np.linalg.norm(velocity)
            position = position + velocity * length / segments
            away = position - head.centre
            distance = np.linalg.norm(away)
            least = head.radius(away / distance) + 0.05 + 0.10 * min(1, i / 5)
            if distance < least:
                position = head.centre + away / distance * least
            points.append(position)
        axis, x = np.array(points), np.linspace(0, 1, segments + 1)
        tangents = np.gradient(axis, axis=0)
        tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
        a = np.cross(tangents, np.array([0.3, 0.2, 0.9]))
        a /= np.linalg.norm(a, axis=1, keepdims=True)
        b, phase = np.cross(tangents, a), rng.random() * 6.28
        angle = phase + rng.choice([-1, 1]) * turns * 6.283 * x
        wide = radius * np.clip(x * 5, 0, 1) * (1 + 0.15 * np.sin(5 * x + phase))
        circle = a * np.cos(angle)[:, None] + b * np.sin(angle)[:, None]
        away = (axis - head.centre) / np.linalg.norm(axis - head.centre, axis=1, keepdims=True)
        head.ribbon(
            axis + circle * wide[:, None], width, taper=(0.7, 1, 1, 0.06), outwards=circle + 0.35 * away
        )

    for direction in head.scatter(390, 7, 0):
        size, radius = length * (0.70 + 0.42 * rng.random()), 0.042 + 0.016 * rng.random()
        curl(direction, size, radius, 1.9 + 1.1 * rng.random(), 0.060 + 0.018 * rng.random(), 11)
    for azimuth in np.linspace(-74, 74, 44):
        direction = head.near_hairline(azimuth, 0.5 + 2 * rng.random())
        size, radius = length * (0.36 + 0.3 * rng.random()), 0.034 + 0.012 * rng.random()
        curl(direction, size, radius, 1.8 + rng.random(), 0.042, 10)


def bun(head: Head) -> None:
    """Hair combed back into a knot, with loose strands at the temples."""
    rng, back = head.rng, from_angles(180, 66)
    knot = head.centre + back * (head.radius(back) + 0.16)

    def strand(direction: Array, layer: float, width: float) -> None:
        def to_knot(p: Array, _: Array, share: float) -> Array:
            away = knot - p
            return np.asarray(away / np.linalg.norm(away) + np.array([0, 0.25 * (1 - share), 0]))

        length = float(np.linalg.norm(knot - head.root(direction))) * 1.22
        lift = (0.028 + 0.022 * layer, 0.04 + 0.03 * layer)
        head.ribbon(
            head.flow(direction, length, 8, lift, to_knot, stiff=0.35), width, taper=(0.75, 1, 0.9, 0.5)
        )

    for layer, count, width in ((0, 100, 0.17), (0.6, 130, 0.12), (1.0, 120, 0.085)):
        for direction in head.scatter(count, 8):
            strand(direction, layer, width * (0.8 + 0.4 * rng.random()))
    for azimuth in np.linspace(-104, 104, 96):
        strand(head.near_hairline(azimuth, 0.2 + 1.5 * rng.random()), 0.1 + 0.7 * rng.random(), 0.055)
    _wraps(head, knot)
    for side in (-1, 1):
        for k in range(4):
            direction = from_angles(side * (60 + 4 * k), head.hairline(60 + 4 * k) + 1)
            points = head.flow(
                direction, 0.62 + 0.16 * rng.random(), 9, (0.03, 0.07 + 0.02 * k), _hang(side), 0.5
            )
            x = np.linspace(0, 1, 10)[:, None]
            points = points + np.array([side * 0.03, 0, 0.03]) * np.sin(x * 6 + k * 0.4) * x
            head.ribbon(points, 0.035, taper=(0.8, 1, 0.8, 0.2))


def _hang(side: int) -> Flow:
    return lambda p, n, share: np.array([side * 0.20, -1.0, -0.02 + 0.25 * share])


def _wraps(head: Head, knot: Array) -> None:
    """The knot: strands wound around a ball."""
    rng, axis, right = head.rng, np.array([0, 0.55, -0.84]), np.array([1.0, 0, 0])
    axis /= np.linalg.norm(axis)
    up, centre = np.cross(axis, right), knot + axis * 0.10
    for _ in range(130):
        start, tilt, x = rng.random() * 6.283, rng.normal() * 0.55, np.linspace(0, 1, 9)
        angle = start + x * (1.7 + 0.8 * rng.random())
        radius = 0.27 * (0.92 + 0.13 * rng.random())
        circle = np.cos(angle)[:, None] * right + np.sin(angle)[:, None] * up
        points = centre + radius * circle * np.cos(tilt)
        points = points + radius * 0.72 * np.sin(tilt + 0.3 * np.sin(x * 3))[:, None] * axis
        head.ribbon(points, 0.085, taper=(0.5, 1, 1, 0.5), outwards=points - centre)
