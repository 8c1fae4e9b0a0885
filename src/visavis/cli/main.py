"""The `visavis` command."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

import visavis
from visavis import logs
from visavis.cli import bench, config, conversations, models, simulate, stage
from visavis.configuration import load_settings
from visavis.console import readable_errors
from visavis.errors import VisavisError
from visavis.models import ModelStore
from visavis.needs import needed_models
from visavis.settings import Settings


class ServeByDefault(TyperGroup):
    """`visavis --port 9000` is `visavis serve --port 9000`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        of_the_group = {"--help", "--install-completion", "--show-completion"}
        if not args or (args[0].startswith("-") and args[0] not in of_the_group):
            args = ["serve", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=ServeByDefault, pretty_exceptions_enable=False, no_args_is_help=False)
app.add_typer(conversations.app, name="conversations")
app.add_typer(models.app, name="models")
app.add_typer(config.app, name="config")
app.add_typer(simulate.app, name="simulate")
app.add_typer(stage.app, name="stage")
app.add_typer(bench.app, name="bench")

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="A YAML file of settings instead of visavis.yaml.")
]
DebugOption = Annotated[
    bool | None, typer.Option("--debug/--no-debug", help="More logs, and tracebacks of errors.")
]
AvatarOption = Annotated[
    str | None, typer.Option("--avatar", help="Video: whose face it is, mia, daniel, ... or a .glb file.")
]
SizeOption = Annotated[str | None, typer.Option("--size", help="Video: width and height, such as 640x480.")]
BackgroundOption = Annotated[
    str | None,
    typer.Option("--background", help="Video: a colour such as #dfe5ea, two for a gradient, or an image."),
]
CaptionsOption = Annotated[
    Path | None, typer.Option(help="Write when each word is said as captions, too: a .vtt file.")
]
H264Option = Annotated[
    bool,
    typer.Option(
        "--h264", help="Video: an .mp4 for players that do not know VP9; its encoder, x264, is under the GPL."
    ),
]


@app.callback()
def main(context: typer.Context) -> None:
    """Give a conversational agent a face. Without a command: serve."""
    if context.invoked_subcommand in ("models", "conversations"):
        with readable_errors(debug=False):
            context.obj = _settings({}, None)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    open_browser: Annotated[
        bool | None, typer.Option("--open/--no-open", help="Open the page in a browser.")
    ] = None,
    config: ConfigOption = None,
    agent: Annotated[str | None, typer.Option(help="Who answers: embedded, scripted, ...")] = None,
    avatar: Annotated[str | None, typer.Option(help="Whose face it is.")] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Processes on this port; more than one needs a Redis.")
    ] = 1,
    ssl_certfile: Annotated[
        Path | None, typer.Option(help="Certificate chain (PEM): https and wss instead of http and ws.")
    ] = None,
    ssl_keyfile: Annotated[
        Path | None, typer.Option(help="Its key, when that is in a file of its own.")
    ] = None,
    debug: DebugOption = None,
) -> None:
    """Start the server (this is what `visavis` alone does)."""
    options = {
        "server.host": host,
        "server.port": port,
        "server.open_browser": open_browser,
        "server.ssl_certfile": ssl_certfile,
        "server.ssl_keyfile": ssl_keyfile,
        "agent": agent,
        "avatar": avatar,
        "debug": debug,
    }
    with readable_errors(debug=bool(debug)):
        settings = _settings(options, config)
        from visavis.server import run  # here, so that the other commands do not wait for its imports
        from visavis.server import workers as crews

        crews.check(settings, workers)
        run.preflight(settings)
        with closing(run.bind(settings.server.host, settings.server.port)) as sock:
            models.pull_shown(ModelStore(settings.models), needed_models(settings))
            if workers > 1:
                crews.Crew(settings, sock).serve(workers)
            else:
                run.run(settings, sock)


@app.command()
def say(
    text: Annotated[str, typer.Argument(help="What to say.")],
    out: Annotated[
        Path,
        typer.Argument(
            help="A WAV file, with the face track beside it as .json; or a video: .mp4, .webm, .gif."
        ),
    ],
    language: Annotated[str | None, typer.Option(help="The language of TEXT: en, pl, ...")] = None,
    speed: Annotated[float | None, typer.Option(help="Speed of the voice, 0.5 to 2.")] = None,
    engine: Annotated[
        str | None, typer.Option(help="A face engine that works from the sound: net, energy, ...")
    ] = None,
    avatar: AvatarOption = None,
    fps: Annotated[int | None, typer.Option(help="Video: frames a second, 1 to 60 (30).")] = None,
    size: SizeOption = None,
    background: BackgroundOption = None,
    h264: H264Option = False,
    captions: CaptionsOption = None,
    config: ConfigOption = None,
    debug: DebugOption = None,
) -> None:
    """Speak TEXT into a WAV file, with the face that goes with it, or into a video of the avatar."""
    with readable_errors(debug=bool(debug)):
        options = {"voice.speed": speed, "face.engine": engine, "avatar": avatar, "debug": debug}
        settings = _settings(options | {"assistant.language": language}, config)
        from visavis.cli import captions as cli_captions
        from visavis.cli import video as cli_video
        from visavis.say import check, speak, write

        if captions is not None:
            cli_captions.check(captions)
        by_ear = engine is not None
        if cli_video.is_video(out, avatar=avatar, fps=fps, size=size, background=background, h264=h264):
            look = cli_video.Look(30 if fps is None else fps, size, background, h264)
            typer.echo(cli_video.say(text, out, settings, look, by_ear=by_ear, captions=captions))
            return
        check(out)
        spoken = speak(text, settings, by_ear=by_ear)
        track = write(spoken, out)
        if captions is not None:
            cli_captions.write(captions, spoken.words)
        seconds = len(spoken.weights) / spoken.media.fps
        typer.echo(f"{out}: {seconds:.2f} s; {track}: {len(spoken.weights)} frames")


@app.command()
def animate(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="An audio or video file of somebody speaking.")
    ],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="The face: .csv (Live Link Face), .json, .jsonl, .npz or .glb; "
            "or a video of the avatar: .mp4, .webm, .gif.",
        ),
    ],
    fps: Annotated[float, typer.Option(help="Frames a second, 1 to 120; 1 to 60 in a video.")] = 30,
    engine: Annotated[
        str | None, typer.Option(help="A face engine that works from the sound: net, energy, ...")
    ] = None,
    into: Annotated[
        Path | None, typer.Option(help="A .glb head with ARKit blendshapes to animate; OUT is then a .glb.")
    ] = None,
    life: Annotated[
        bool | None, typer.Option("--life/--no-life", help="Blinks, gaze, brows, breath.")
    ] = None,
    stats: Annotated[bool, typer.Option("--stats", help="Show what the face does, in numbers.")] = False,
    text: Annotated[
        str | None,
        typer.Option(
            help="What is said, word for word: the text, @FILE or FILE.txt. Lips then close exactly."
        ),
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="The language of the text, or of the captions: en, pl, ...")
    ] = None,
    avatar: AvatarOption = None,
    size: SizeOption = None,
    background: BackgroundOption = None,
    h264: H264Option = False,
    captions: CaptionsOption = None,
    config: ConfigOption = None,
    debug: DebugOption = None,
) -> None:
    """Animate a recording: the face of whoever speaks in IN, or a video of the avatar speaking it."""
    with readable_errors(debug=bool(debug)):
        if language is not None and text is None and captions is None:
            message = f"--language {language} needs --text or --captions: a face is moved in any language."
            raise VisavisError("BAD_OPTION", message)
        options = {"face.engine": engine, "face.life": life, "avatar": avatar, "debug": debug}
        if captions is not None and text is None:
            options["assistant.language"] = language
        settings = _settings(options, config)
        from visavis.cli import animate as cli_animate
        from visavis.cli import captions as cli_captions
        from visavis.cli import video as cli_video

        if captions is not None:
            cli_captions.check(captions)
        transcript = cli_animate.read_text(text, language or settings.assistant.language)
        if cli_video.is_video(out, into=into, avatar=avatar, size=size, background=background, h264=h264):
            look = cli_video.Look(fps, size, background, h264)
            save = cli_video.saver(source, out, settings, look)
        else:
            save = cli_animate.saver(source, out, into)
        if captions is not None:
            heard = cli_captions.hear(source, settings) if text is None else None
            save = cli_captions.beside(save, captions, heard)
        typer.echo(
            cli_animate.run(source, out, save, settings, fps=fps, show_stats=stats, transcript=transcript)
        )


@app.command()
def face(
    file: Annotated[
        Path | None, typer.Argument(help="An audio or video file of somebody speaking, to begin with.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    open_browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in a browser.")
    ] = True,
    engine: Annotated[
        str | None, typer.Option(help="A face engine that works from the sound: net, energy, ...")
    ] = None,
    config: ConfigOption = None,
    debug: DebugOption = None,
) -> None:
    """Watch a recording being spoken: a page to drop files on, with the curves of the face."""
    options = {
        "server.host": host,
        "server.port": port,
        "server.open_browser": open_browser,
        "face.engine": engine,
        "agent": "scripted",  # nobody is talked to: no models of speech and language
        "debug": debug,
    }
    with readable_errors(debug=bool(debug)):
        settings = _settings(options, config)
        from visavis.media_files import open_sound
        from visavis.server import run

        if file is not None:
            with open_sound(file):  # what is wrong with it is said before the server starts
                pass
        with closing(run.bind(settings.server.host, settings.server.port)) as sock:
            run.run(settings, sock, "face", file)


@app.command()
def doctor(config: ConfigOption = None, debug: DebugOption = None) -> None:
    """Check that everything works: configuration, models, port, and a sentence spoken and understood."""
    with readable_errors(debug=bool(debug)):
        settings = _settings({"debug": debug}, config)
        from visavis.doctor import examine, table

        checks = examine(settings)
        Console().print(table(checks))
    if any(check.required and not check.ok for check in checks):
        raise typer.Exit(1)


@app.command()
def top(
    urls: Annotated[
        list[str] | None,
        typer.Argument(help="The addresses of running servers; else the one in the settings."),
    ] = None,
    token: Annotated[
        str, typer.Option(envvar="AUTH_TOKEN", help="Of an administrator, when the server has `auth`.")
    ] = "",
    seconds: Annotated[float, typer.Option(min=0.2, max=60, help="Between two looks.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Look once, and print it.")] = False,
    config: ConfigOption = None,
) -> None:
    """Watch the conversations of running servers and their latencies."""
    with readable_errors(debug=False):
        from visavis.cli import top as cli_top

        if not urls:
            from visavis.server.run import page_url

            server = _settings({}, config).server
            urls = [page_url(server.host, server.port)]
        cli_top.show(urls, token, seconds, once=once)


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="A recording, from the folder in recording.folder.")],
    diff: Annotated[
        bool, typer.Option("--diff", help="Show what differs, message by message: - recorded, + replayed.")
    ] = False,
    recorded_faces: Annotated[
        bool,
        typer.Option("--recorded-faces", help="Take the faces from FILE instead of moving them again."),
    ] = False,
    config: ConfigOption = None,
    debug: DebugOption = None,
) -> None:
    """Run a recorded session again and compare what comes of it, byte by byte: 0 is identical, 1 is not."""
    with readable_errors(debug=bool(debug)):
        settings = _settings({"debug": debug}, config)
        from visavis.cli import replay as cli_replay

        said, same = cli_replay.run(file, settings, diff=diff, recorded_faces=recorded_faces)
        typer.echo(said)
    if not same:
        raise typer.Exit(1)


@app.command()
def password() -> None:
    """Ask for a password and show the hash that stands for it in `auth.users`."""
    from visavis.security.users import hashed

    typer.echo(hashed(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)))


@app.command()
def version() -> None:
    """Show the version."""
    typer.echo(visavis.__version__)


def _settings(options: dict[str, Any], config: Path | None) -> Settings:
    settings = load_settings(options, config, os.environ, Path.cwd())
    logs.set_up(settings.logs, debug=settings.debug)
    return settings
