"""What commands print: tables and sentences for people, JSON for programs; progress only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from tallystick.core import wire

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def out() -> Console:
    """Where results go. Made per use, so that a redirected stdout is respected; never wraps when it is no terminal."""
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    if not console.is_terminal:
        console.width = 200
    return console


def aside() -> Console:
    """Where progress and remarks go, so that stdout holds results alone."""
    return Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """One line of result, as it is."""
    out().print(Text(text))


def remark(text: str) -> None:
    """One line beside the result."""
    aside().print(Text(text))


def print_json(value: object) -> None:
    """One JSON value on one line, numbers exact."""
    sys.stdout.write(wire.encode(value).decode() + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> None:
    """A table; the columns named in `right` are aligned to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    out().print(table)


def progress(*, of: str = "") -> Progress:
    """A progress bar on stderr; silent when stderr is no terminal."""
    console = aside()
    count = [MofNCompleteColumn(), TextColumn(of)] if of else [TaskProgressColumn()]
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *count,
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
