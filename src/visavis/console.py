"""How the commands tell a person what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape

from visavis.errors import VisavisError

FAILED = 2
"""Exit status after an error that a person can mend."""


@contextmanager
def readable_errors(*, debug: bool) -> Iterator[None]:
    """An error that a person can mend is its sentence, in red, without a traceback unless debugging."""
    try:
        yield
    except VisavisError as error:
        if debug:
            Console(stderr=True).print_exception()
        Console(stderr=True, soft_wrap=True).print(f"[red]{escape(str(error))}[/red]", highlight=False)
        raise typer.Exit(FAILED) from error
