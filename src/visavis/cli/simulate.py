"""`visavis simulate`: servers that speak the protocols of the cloud agents, to develop without a key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, get_args

import typer
from rich.console import Console

from visavis.errors import ExtraMissing

app = typer.Typer(help="Serve the protocol of a cloud agent, without a key.", no_args_is_help=True)

Port = Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")]
Hears = Annotated[str, typer.Option(help="What it understands of any speech.")]
Answers = Annotated[str, typer.Option(help="Its reply; {} is what the user said.")]
Speed = Annotated[float, typer.Option(min=0.1, help="Times real time at which it sends its speech.")]
Delay = Annotated[float, typer.Option(min=0.0, help="Seconds before it answers.")]


class Protocol(StrEnum):
    ga = "ga"
    beta = "beta"


@app.command()
def openai(
    port: Port = 8765,
    protocol: Annotated[Protocol, typer.Option(help="The shape of the protocol.")] = Protocol.ga,
    hears: Hears = "Hello there.",
    answers: Answers = "You said: {}",
    speed: Speed = 4.0,
    delay: Delay = 0.3,
    chunk_ms: Annotated[
        int, typer.Option(min=0, help="Milliseconds of speech in a delta; 0: all at once.")
    ] = 100,
    key: Annotated[str, typer.Option(help="The only key that is accepted; empty: every one.")] = "",
    fault: Annotated[
        str, typer.Option(help="What goes wrong, and after which event: close@response.output_audio.delta")
    ] = "",
    faults: Annotated[int, typer.Option(min=1, help="How often it goes wrong.")] = 1,
) -> None:
    """OpenAI Realtime."""
    from visavis.simulators.openai import Fault, OpenAIBehaviour, OpenAISimulator
    from visavis.simulators.voice import SimulatedVoice

    kind, _, event = fault.partition("@")
    if fault and kind not in get_args(Fault):
        raise typer.BadParameter(f"{kind!r} is none of {', '.join(get_args(Fault))}")
    given: dict[str, Any] = {"fault": kind} if fault else {}
    behaviour = OpenAIBehaviour(
        protocol=protocol.value,
        key=key,
        hears=hears,
        answers=answers,
        speed=speed,
        delay=delay,
        chunk_ms=chunk_ms,
        fault_at=event or "response.output_audio.delta",
        faults=faults,
        **given,
    )
    simulator = OpenAISimulator(SimulatedVoice(), behaviour)
    switch = " OPENAI_PROTOCOL=beta" if protocol is Protocol.beta else ""
    serve(
        lambda: simulator.listening(port=port),
        "AGENT_TYPE=openai OPENAI_API_KEY=" + (key or "any") + " OPENAI_BASE_URL={}" + switch + " visavis",
    )


@app.command()
def remote(
    port: Port = 9000,
    hello: Annotated[bool, typer.Option(help="Off: an older agent, with text and base64 audio only.")] = True,
    hears: Hears = "Hello there.",
    answers: Answers = "You said: {}",
    speed: Speed = 4.0,
    delay: Delay = 0.3,
    chunk_ms: Annotated[int, typer.Option(min=10, help="Milliseconds of speech in a message.")] = 100,
    fault: Annotated[str, typer.Option(help="What goes wrong, and at which message: close@3")] = "",
    faults: Annotated[int, typer.Option(min=1, help="How often it goes wrong.")] = 1,
) -> None:
    """A remote agent: docs/agent-protocol.md."""
    from visavis.simulators.remote import Fault, RemoteBehaviour, RemoteSimulator
    from visavis.simulators.voice import SimulatedVoice

    behaviour = RemoteBehaviour(
        hello=hello,
        hears=hears,
        answers=answers,
        speed=speed,
        delay=delay,
        chunk_ms=chunk_ms,
        faults=faults,
        **_numbered(fault, get_args(Fault)),
    )
    simulator = RemoteSimulator(SimulatedVoice(), behaviour)
    serve(lambda: simulator.listening(port=port), "AGENT_TYPE=remote AGENT_URL={} visavis")


@app.command()
def gemini(
    port: Port = 8766,
    hears: Hears = "Hello there.",
    answers: Answers = "You said: {}",
    speed: Speed = 4.0,
    delay: Delay = 0.3,
    chunk_ms: Annotated[
        int, typer.Option(min=0, help="Milliseconds of speech in a message; 0: all at once.")
    ] = 100,
    key: Annotated[str, typer.Option(help="The only key that is accepted; empty: every one.")] = "",
    fault: Annotated[str, typer.Option(help="What goes wrong, and at which message: go_away@3")] = "",
    faults: Annotated[int, typer.Option(min=1, help="How often it goes wrong.")] = 1,
) -> None:
    """Gemini Live."""
    from visavis.simulators.voice import SimulatedVoice

    try:
        from visavis.simulators.gemini import Fault, GeminiBehaviour, GeminiSimulator
    except ModuleNotFoundError as missing:
        typer.echo(ExtraMissing("The simulator of Gemini Live needs Google's SDK", "gemini"), err=True)
        raise typer.Exit(2) from missing

    behaviour = GeminiBehaviour(
        key=key,
        hears=hears,
        answers=answers,
        speed=speed,
        delay=delay,
        chunk_ms=chunk_ms,
        faults=faults,
        **_numbered(fault, get_args(Fault)),
    )
    simulator = GeminiSimulator(SimulatedVoice(), behaviour)
    with TemporaryDirectory(prefix="visavis-") as folder:
        authority = Path(folder) / "ca.pem"
        simulator.trust(authority)
        command = f"SSL_CERT_FILE={authority} AGENT_TYPE=gemini GEMINI_API_KEY={key or 'any'}"
        serve(lambda: simulator.listening(port=port), command + " GEMINI_BASE_URL={} visavis")


def _numbered(fault: str, known: tuple[str, ...]) -> dict[str, Any]:
    """What `close@3` means, as the behaviour's settings."""
    kind, _, at = fault.partition("@")
    if not fault:
        return {}
    if kind not in known or not (at or "1").isdigit():
        raise typer.BadParameter(f"{fault!r} is no fault and number; faults: {', '.join(known)}")
    return {"fault": kind, "fault_at": int(at or "1")}


def serve(listening: Callable[[], AbstractAsyncContextManager[str]], command: str) -> None:
    """Run a simulator until Ctrl-C and say how it is used; {} in `command` is its address."""

    async def main() -> None:
        async with listening() as address:
            line = f"Listening at {address}; Ctrl-C stops it. Try: {command.format(address)}"
            Console(stderr=True, soft_wrap=True).print(line, highlight=False, markup=False)
            await asyncio.Event().wait()

    try:
        with suppress(KeyboardInterrupt):
            asyncio.run(main())
    except OSError as error:
        typer.echo(f"The simulator cannot listen: {error.strerror or error}. Try another --port.", err=True)
        raise typer.Exit(2) from error
