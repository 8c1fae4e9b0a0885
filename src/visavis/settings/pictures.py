"""The face, and the ways in which it is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from visavis.settings.values import HomePath, Section, listed, socket_address, web_address


class FaceSettings(Section):
    engine: str = "net"
    """Moves the face for audio without phoneme times; speech with them is drawn exactly."""
    process: bool = True
    """`net`: in a process of its own, beside the server's."""
    life: bool = True
    """Blinks, gaze, brows and breathing on top of every engine."""
    model_path: HomePath | None = None
    """The user's own model: `.onnx` for the engine `wav2arkit`, the checkpoint for `lam`."""
    mode: Literal["context", "reference"] = "context"
    """How those two stream: a rolling window without seams, or half-second pieces heard alone."""
    polish: bool = True
    """In context mode: neutral in silence, smooth and symmetric."""
    identity: int = Field(10, ge=0, le=11)
    """`lam`: whose style of speaking."""
    gpu: bool = True
    """`lam`: use a GPU when there is one."""


class LiteAvatarSettings(Section):
    """The face engine `liteavatar` (docs/faces.md): a filmed person whose mouth is drawn."""

    data: HomePath | None = None
    """The folder of the avatar, with its networks, video and pictures."""
    weights: HomePath = Path("lite_avatar_weights")
    """The folder with the networks that all avatars share: model_1.onnx, model.pb, am.mvn."""
    fast: bool = False
    """The first pictures after 0.4 s of sound instead of 1 s, for twice the work on the sound."""
    gpu: bool = True
    """Use a GPU when there is one."""
    threads: int = Field(1, ge=1, le=64)
    """Of PyTorch, without a GPU."""


class VideoSettings(Section):
    """Pictures of the avatar, drawn by the server."""

    fps: int = Field(25, ge=5, le=60)
    """Frames a second of the sessions of `/api/v1` and of all video; `/ws` and `/` have their own."""
    width: int = Field(640, ge=64, le=1920, multiple_of=2)
    height: int = Field(480, ge=64, le=1920, multiple_of=2)
    background: str = ""
    """`#dfe5ea` is a colour, `#dfe5ea #8c99a6` a gradient, anything else an image file; empty is the
    avatar's own."""
    renderer: str = "software"
    """Who draws: a plug-in of `visavis.renderers`, or `module:attr`."""


class IceServerSettings(Section):
    """A server that helps peers to find a way to each other."""

    url: str = Field(
        pattern=r"^(stun:[^\s/?:]+(:\d{1,5})?|turns?:[^\s/?:]+(:\d{1,5})?(\?transport=(udp|tcp))?)$"
    )
    """`stun:host:port`, `turn:host:port`, `turn:host?transport=tcp`, or `turns:host`."""
    username: str = ""
    credential: SecretStr = SecretStr("")

    def __str__(self) -> str:
        return self.url


def _one_of_each(servers: tuple[IceServerSettings, ...]) -> tuple[IceServerSettings, ...]:
    for kind in ("stun", "turn"):
        if sum(server.url.startswith(kind) for server in servers) > 1:
            raise ValueError(f"must have at most one {kind} server")
    return servers


IceServers = Annotated[tuple[IceServerSettings, ...], BeforeValidator(listed), AfterValidator(_one_of_each)]


class WebRtcSettings(Section):
    """Sessions over WebRTC."""

    ice_servers: IceServers = ()
    """At most one for STUN and one for TURN; without any, peers must reach the server's own addresses."""


class MuseSettings(Section):
    """Video for the calls of the page, `/api/muse/...`: ours, or that of another service."""

    mode: Literal["mse", "file"] = "mse"
    """A stream for MediaSource, or a file of the whole reply."""
    stream_url: Annotated[str, AfterValidator(socket_address)] = ""
    """A WebSocket whose binary messages are the video; it is asked with `sessionId`, `avatarId`, `text`."""
    file_url: Annotated[str, AfterValidator(web_address)] = ""
    """A video file, asked for in the same way."""
    file_minutes: float = Field(10.0, gt=0, le=1440)
    """How long a file is kept."""
