"""`tallystick rebuild`, `backup` and `restore`: the upkeep of a data directory while no server runs on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from tallystick.cli.address import running
from tallystick.cli.failure import Failure
from tallystick.cli.printing import JsonOption, print_json, progress, say
from tallystick.settings import Settings, read_settings

T = TypeVar("T")

DataOption = Annotated[
    Path | None, typer.Option("--data", help="Data directory (TALLYSTICK_DATA). No server may run on it meanwhile.")
]


def rebuild(
    data: DataOption = None,
    uids: Annotated[bool, typer.Option("--uids", help="Make the uid index again too.")] = False,
    json: JsonOption = False,
) -> None:
    """Make the usage store again from the journal, and compare it with what was there.

    Nothing that is known is needed for it: the journal and the records are the truth. Stopped in between, the next
    server goes on where this stopped.
    """
    from tallystick import upkeep  # here: it loads every engine, which other commands do not need

    rebuilt = _with_progress(data, "rebuilding", lambda settings, told: upkeep.rebuild(settings, told, uids=uids))
    if json:
        print_json(rebuilt)
        return
    same = {None: "it was incomplete before", rebuilt.after: "the same as before"}
    say(f"usage holds the journal up to position {rebuilt.last}")
    say(f"digest {rebuilt.after}, {same.get(rebuilt.before, f'other than before: {rebuilt.before}')}")


def backup(
    target: Annotated[Path, typer.Argument(help="New directory for the backup.", metavar="TO")],
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Copy journal, records and keys into a new directory, and check the copy: every frame, every record.

    The usage store and the uid index are not copied; a restore makes them again. Records in PostgreSQL are not copied
    either: back them up with its own tools, after this.
    """
    from tallystick import upkeep

    made = _with_progress(data, "backing up", lambda settings, told: upkeep.back_up(settings, target.absolute(), told))
    if json:
        print_json(made)
        return
    say(f"{len(made.files)} files, journal up to position {made.last}, in {target}")
    if upkeep.RECORDS not in made.files:
        say("the records are in PostgreSQL and not part of it: back them up with pg_dump")


def restore(
    source: Annotated[Path, typer.Argument(help="Directory of the backup.", metavar="FROM")],
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Make a data directory of a backup: checked, copied, and usage store and uid index made again from the journal.

    The data directory must not exist or be empty. Ends with an error when anything differs from what was backed up.
    """
    from tallystick import upkeep

    rebuilt = _with_progress(
        data, "restoring", lambda settings, told: upkeep.restore(settings, source.absolute(), told)
    )
    if json:
        print_json(rebuilt)
        return
    say(f"journal, records and keys are what was backed up; the journal ends at position {rebuilt.last}")
    say(f"uid index and usage store were made again; digest {rebuilt.after}")


def _with_progress(data: Path | None, title: str, act: Callable[[Settings, Callable[[int, int], None]], T]) -> T:
    try:
        settings = read_settings(data=None if data is None else str(data))
    except ValueError as problem:
        raise Failure(str(problem)) from None
    other = running(settings.directory)
    if other is not None:
        raise Failure(f"a server runs on {settings.directory}: {other}; stop it first")
    with progress() as bar:
        task = bar.add_task(title, total=None)
        try:
            return act(settings, lambda done, total: bar.update(task, completed=done, total=total))
        except Exception as problem:  # whatever a store says when it is in use, damaged or not ours to read
            raise Failure(str(problem)) from problem
