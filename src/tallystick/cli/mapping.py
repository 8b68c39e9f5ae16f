"""The map that `--map PART=COLUMN` says: which column of a file is which part of a measurement."""

from __future__ import annotations

from collections.abc import Iterable

from tallystick.cli.failure import Failure
from tallystick.core.row_mapping import BadPart, ColumnMap, TimeUnit, columns_of


def read_map(
    entries: Iterable[str],
    *,
    meter: str | None = None,
    account: str | None = None,
    time_unit: TimeUnit = TimeUnit.ISO,
    source: str = "",
) -> ColumnMap:
    """The map that `PART=COLUMN` entries say; Failure naming the entry that is wrong or the part that is missing."""
    parts: list[tuple[str, str]] = []
    for entry in entries:
        part, equals, column = entry.partition("=")
        if not equals or not column:
            raise Failure(f"--map {entry}: write PART=COLUMN, such as ts=Time or measure.tokens=Tokens")
        parts.append((part, column))
    try:
        columns = columns_of(parts, meter=meter, account=account, time_unit=time_unit, source=source)
    except BadPart as problem:
        column = [column for part, column in parts if part == problem.part][-1]
        raise Failure(f"--map {problem.part}={column}: {problem}") from None
    for name, constant in (("meter", meter), ("account", account)):
        if (constant is None) == (name not in columns.plain):
            raise Failure(f"give the {name} once: --{name} CODE, or --map {name}=COLUMN when it stands in a column")
    if "ts" not in columns.plain:
        raise Failure("say where the time stands: --map ts=COLUMN")
    return columns
