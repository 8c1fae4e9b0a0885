"""`visavis bench`: what this machine can do."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from visavis.console import readable_errors
from visavis.errors import VisavisError

app = typer.Typer(help="Measure what this machine can do.", no_args_is_help=True)


@app.callback()
def main() -> None:
    """Measure what this machine can do."""


@app.command()
def capacity(
    step: Annotated[int, typer.Option(min=1, help="Talkers that come at a time.")] = 50,
    most: Annotated[int, typer.Option(min=1, help="Talkers after which it ends.")] = 600,
    seconds: Annotated[float, typer.Option(min=5, help="Seconds with each number of talkers.")] = 17.0,
    speed: Annotated[
        float, typer.Option(min=0.5, help="Times real time at which the agent sends its speech.")
    ] = 4.0,
    engine: Annotated[str, typer.Option(help="The face engine.")] = "net",
    workers: Annotated[
        int, typer.Option(min=1, help="As of `visavis serve`; with the same variables for them.")
    ] = 1,
) -> None:
    """How many conversations this machine carries without a stall, and what `server.max_sessions` should be.

    It starts a server of its own, whose agent speaks for 14 s whatever it is asked; so the models of the
    embedded agent are not in it. Let the machine do nothing else meanwhile.
    """
    console = Console(highlight=False, soft_wrap=True)
    with readable_errors(debug=False):
        if sys.platform != "linux":
            raise VisavisError("LINUX_ONLY", "What a server costs can be read on Linux only.")
        # Here, so that the other commands do not wait for these imports.
        from visavis.capacity.measure import HEAD, Step, climb, environment, suggestion
        from visavis.capacity.process import server
        from visavis.capacity.talkers import run

        def told(done: Step) -> None:
            console.print(done.line())

        with (
            tempfile.TemporaryDirectory() as folder,
            server("scripted", environment(speed, engine), Path(folder), workers) as ours,
        ):
            console.print(HEAD)
            steps = run(climb(ours, range(step, most + 1, step), seconds, told))
    good = suggestion(steps) // workers
    if good:
        console.print(f"\nVISAVIS_SERVER__MAX_SESSIONS={good}")
    else:
        console.print(f"\nNot even {step} talkers were without a stall; try --step {max(1, step // 5)}.")
