"""`visavis config`: what the settings are, and who gave them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from visavis.configuration import Setting, explain, load_settings
from visavis.console import readable_errors

app = typer.Typer(help="Show and check the configuration.", no_args_is_help=True)

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="A YAML file of settings instead of visavis.yaml.")
]


@app.command()
def show(
    config: ConfigOption = None,
    changed: Annotated[bool, typer.Option("--changed", help="Only what is not a default.")] = False,
) -> None:
    """Show every setting, its value and where it comes from; secrets are masked."""
    settings = _explained(config)
    table = Table("setting", "value", "from", box=None, pad_edge=False)
    for setting in settings:
        if setting.given or not changed:
            table.add_row(
                setting.key, setting.shown, setting.source, style="bold" if setting.given else "dim"
            )
    Console().print(table)


@app.command()
def check(config: ConfigOption = None) -> None:
    """Check the configuration without starting anything; exit 2 when it cannot work."""
    from visavis.server import run  # which takes a second

    explained = _explained(config)
    with readable_errors(debug=False):
        settings = load_settings({}, config, os.environ, Path.cwd())
        run.check(settings)
    given = [setting for setting in explained if setting.given]
    typer.echo(f"The configuration is sound: {_count(given)} of {len(explained)} settings given.")


def _explained(config: Path | None) -> list[Setting]:
    with readable_errors(debug=False):
        return explain({}, config, os.environ, Path.cwd())


def _count(given: list[Setting]) -> str:
    return str(len(given)) if given else "none"
