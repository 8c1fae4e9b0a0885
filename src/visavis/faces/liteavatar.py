"""The `liteavatar` engine: an avatar of LiteAvatar, a filmed person whose mouth is drawn.

The networks are the user's own: `docs/faces.md` says which files they are in.
"""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import soxr

from visavis.arkit import Weights, neutral
from visavis.audio import Media, to_float
from visavis.errors import ConfigurationError, ExtraMissing
from visavis.events import Drawing, Phoneme
from visavis.faces import FaceEngine
from visavis.faces.context import NATIVE
from visavis.faces.liteavatar_data import Avatar, describe, read_avatar, there
from visavis.faces.liteavatar_sound import (
    FAST,
    PARAMETERS,
    USUAL,
    Floats,
    Listen,
    Listener,
    Normalisation,
    ParameterStream,
    Plan,
    wrong,
)
from visavis.faces.retiming import Retiming
from visavis.plugins import load as load_plugin
from visavis.settings import Settings
from visavis.video import Picture

NEEDS = "The face engine liteavatar needs PyTorch"
NORMALISATION, RECOGNISER, MODEL = "am.mvn", "model.pb", "model_1.onnx"
"""The files that all avatars share."""
NETWORKS = ("net_encode.pt", "net_decode.pt")


class Painter(Protocol):
    """The two networks of an avatar; may be called from several threads."""

    def see(self, picture: Picture) -> Any:
        """uint8[384, 384, 3] -> what `paint` needs of that face."""
        ...

    def paint(self, seen: Any, parameters: Floats) -> Floats:
        """That face with the mouth of float32[32]: float32[h, w, 3] in -1..1, RGB."""
        ...


class LiteAvatarStream:
    """The face of one turn: parameters in order, each a drawing that is made when somebody looks."""

    def __init__(self, engine: LiteAvatar, media: Media, seed: int) -> None:
        self._engine = engine
        self._resample = (
            None if media.rate == NATIVE.rate else soxr.ResampleStream(media.rate, NATIVE.rate, 1)
        )
        self._move = ParameterStream(engine.listen, engine.avatar.rest, engine.plan)
        self._retime = Retiming(NATIVE.fps, media, PARAMETERS)
        self._face = engine.face.open(media, seed)
        self._parameters, self._weights = np.zeros((0, PARAMETERS), np.float32), neutral(0)
        self._drawings: tuple[Drawing, ...] = ()

    def feed(self, pcm: bytes, phonemes: tuple[Phoneme, ...] | None, last: bool) -> Weights:
        samples = to_float(pcm)
        native = samples if self._resample is None else self._resample.resample_chunk(samples, last=last)
        new = self._retime(self._move(native, last), len(samples), last)
        self._parameters = np.concatenate([self._parameters, new])
        self._weights = np.concatenate([self._weights, self._face.feed(pcm, phonemes, last)])
        count = min(len(self._parameters), len(self._weights))
        self._drawings = tuple(partial(self._engine.draw, row.copy()) for row in self._parameters[:count])
        weights, self._weights = self._weights[:count], self._weights[count:]
        self._parameters = self._parameters[count:]
        return weights

    def drawings(self) -> tuple[Drawing, ...]:
        return self._drawings


class LiteAvatar:
    """One avatar; its weights, for clients that draw a face of their own, are those of the engine `face`."""

    name = "liteavatar"

    def __init__(
        self, avatar: Avatar, painter: Painter, listen: Listen, face: FaceEngine, plan: Plan
    ) -> None:
        self.avatar, self.listen, self.face, self.plan = avatar, listen, face, plan
        self._painter = painter
        self._seen = [painter.see(picture) for picture in avatar.references()]
        shape = painter.paint(self._seen[0], avatar.rest).shape
        if len(shape) != 3 or shape[2] != 3 or not min(shape):
            raise wrong(
                avatar.folder / "net_decode.pt", f"it draws arrays of shape {list(shape)}, not [h, w, 3]"
            )

    def open(self, media: Media, seed: int) -> LiteAvatarStream:
        return LiteAvatarStream(self, media, seed)

    def idle(self, seconds: float) -> Picture:
        """The video as it is."""
        picture: Picture = self.avatar.frames[self.avatar.place(seconds)].copy()
        return picture

    def draw(self, parameters: Floats, seconds: float) -> Picture:
        """The video with the mouth of float32[32]."""
        number = self.avatar.place(seconds)
        return self.avatar.with_face(number, self._painter.paint(self._seen[number], parameters))


def check(settings: Settings) -> None:
    """Raises `ConfigurationError` when PyTorch or a file is missing."""
    data, weights = _folders(settings)
    for name in (NORMALISATION, RECOGNISER, MODEL):
        find(weights, name)
    describe(data)
    if find_spec("torch") is None:
        raise ExtraMissing(NEEDS, "liteavatar")
    there(data, *NETWORKS)


def load(settings: Settings) -> LiteAvatar:
    """Raises as `check` does, and when a file is not what it should be."""
    check(settings)
    options = settings.liteavatar
    data, weights = _folders(settings)
    normalise = Normalisation(find(weights, NORMALISATION))
    avatar = read_avatar(data, (settings.video.width, settings.video.height))
    from visavis.faces.liteavatar_torch import Encoder, TorchPainter  # only this engine needs PyTorch

    hear = Encoder(find(weights, RECOGNISER), options.gpu, options.threads)
    painter = TorchPainter(data, options.gpu)
    listener = Listener(find(weights, MODEL), normalise, hear)
    face: FaceEngine = load_plugin("faces", "net", settings)
    return LiteAvatar(avatar, painter, listener, face, FAST if options.fast else USUAL)


def _folders(settings: Settings) -> tuple[Path, Path]:
    """Of the avatar, and of what all avatars share."""
    options, own = settings.liteavatar, settings.models.own
    if options.data is None:
        raise ConfigurationError(
            "The face engine liteavatar needs an avatar: set liteavatar.data to the folder with its "
            "net_encode.pt, net_decode.pt, bg_video.mp4 and ref_frames."
        )
    return own(options.data).absolute(), own(options.weights).absolute()


def find(weights: Path, name: str) -> Path:
    """A file of the networks that all avatars share, in the folder or in that of the recogniser inside it.

    Raises `ConfigurationError`.
    """
    if not weights.is_dir():
        raise wrong(weights, "there is no such folder; set liteavatar.weights to it")
    places = [weights / name, *sorted(weights.glob(f"speech_paraformer*/{name}"))]
    found = next((file for file in places if file.is_file()), None)
    if found is None:
        raise wrong(weights / name, "there is no such file, nor in a folder speech_paraformer... beside it")
    return found
