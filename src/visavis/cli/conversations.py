"""`visavis conversations`: what was written down."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from visavis.console import readable_errors
from visavis.conversations import Record
from visavis.conversations.database import opened, path_of
from visavis.conversations.exports import stamp, to_json, to_webvtt
from visavis.errors import VisavisError
from visavis.settings import Settings

app = typer.Typer(help="Conversations that were written down (conversations.store).", no_args_is_help=True)

Id = Annotated[str, typer.Argument(help="Its id, or the beginning of it.")]
FORMATS = {".json": to_json, ".vtt": to_webvtt}


@app.command("list")
def list_all(context: typer.Context) -> None:
    """The conversations, the latest first."""
    with readable_errors(debug=False):
        table = Table("id", "began", "minutes", "turns", "agent", box=None, pad_edge=False)
        for record in _all(context):
            minutes = f"{(record.ended - record.started) / 60:.1f}"
            table.add_row(record.id, stamp(record.started), minutes, str(record.turns), record.agent)
        Console(soft_wrap=True).print(table)


@app.command()
def show(context: typer.Context, id: Id) -> None:
    """What was said in one."""
    with readable_errors(debug=False):
        record = _one(context, id)
        for entry in record.entries:
            clock = datetime.fromtimestamp(entry.started, UTC).strftime("%H:%M:%S")
            who = "you" if entry.role == "user" else record.avatar
            typer.echo(_printable(f"{clock} {who}: {entry.text}{' –' if entry.interrupted else ''}"))
            for source in entry.sources:
                typer.echo(_printable(f"         from: {source.title} {source.url}".rstrip()))


@app.command()
def export(
    context: typer.Context,
    id: Id,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A .json file, or .vtt captions.")],
) -> None:
    """Write one to a file."""
    with readable_errors(debug=False):
        write = FORMATS.get(out.suffix.lower())
        if write is None:
            raise VisavisError("BAD_FORMAT", f"{out} must end in {' or '.join(FORMATS)}.")
        try:
            out.write_text(write(_one(context, id)), encoding="utf-8")
        except OSError as error:
            reason = error.strerror or error
            raise VisavisError("CANNOT_WRITE", f"{out} cannot be written: {reason}.") from error
        typer.echo(f"{out} is written.")


@app.command()
def delete(
    context: typer.Context,
    id: Annotated[str | None, typer.Argument(help="Its id, or the beginning of it.")] = None,
    older_than: Annotated[
        float | None, typer.Option(min=0, help="All that ended more than so many days ago.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All.")] = False,
) -> None:
    """Delete one, those that are older than some days, or all. What is deleted is gone."""
    with readable_errors(debug=False):
        if (id is not None) + (older_than is not None) + everything != 1:
            raise VisavisError("BAD_CHOICE", "Say what to delete: an id, --older-than DAYS, or --all.")
        full_id = None if id is None else _one(context, id).id
        before = None if older_than is None else datetime.now(UTC).timestamp() - older_than * 86_400
        path = _path(context)
        count = 0
        if path.exists():
            with opened(path) as database:
                count = database.delete(id=full_id, before=before)
        typer.echo(f"{count} {'conversation is' if count == 1 else 'conversations are'} deleted.")


def _printable(text: str) -> str:
    """Without what a terminal would take for a command."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _path(context: typer.Context) -> Path:
    settings: Settings = context.obj
    return path_of(settings.conversations)


def _all(context: typer.Context) -> list[Record]:
    path = _path(context)
    if not path.exists():
        return []
    with opened(path) as database:
        return database.list()


def _one(context: typer.Context, id: str) -> Record:
    path = _path(context)
    if id and path.exists():
        with opened(path) as database:
            record = database.get(id)
        if record is not None:
            return record
    raise VisavisError(
        "NO_CONVERSATION", f"There is no one conversation {id!r}. See them all: visavis conversations list"
    )
