"""`tallystick import`: a file of usage becomes measurements, in batches over HTTP; running it again adds nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from tallystick.cli.client import Client
from tallystick.cli.connection import Connection, connected
from tallystick.cli.failure import Failure
from tallystick.cli.mapping import read_map
from tallystick.cli.printing import JsonOption, print_json, progress, remark, say
from tallystick.cli.rows import FORMATS, Reader, Row, format_of, open_rows
from tallystick.core import wire
from tallystick.core.row_mapping import ColumnMap, TimeUnit, measurement
from tallystick.occurrences import Occurrences

BATCH_MEASUREMENTS = 1_000
BATCH_BYTES = 500_000  # the server takes 512,000
REASONS_SHOWN = 5
VERDICTS = ("accepted", "duplicate", "conflict", "rejected")


@dataclass(slots=True)
class Summary:
    """What became of the rows: how many of each verdict, and the first reasons."""

    counts: Counter[str] = field(default_factory=Counter)
    reasons: list[str] = field(default_factory=list)

    def add(self, row: int, verdict: str, reason: str | None) -> None:
        """Count one row; keep the reason when it is among the first."""
        self.counts[verdict] += 1
        if verdict in {"conflict", "rejected"} and len(self.reasons) < REASONS_SHOWN:
            self.reasons.append(f"row {row}: {verdict}: {reason}" if reason else f"row {row}: {verdict}")

    @property
    def failed(self) -> bool:
        """Whether any row was not counted although it should have been."""
        return self.counts["rejected"] + self.counts["conflict"] > 0


@dataclass(slots=True)
class Batch:
    """Measurements on their way: encoded, with the rows they came from."""

    rows: list[int] = field(default_factory=list)
    parts: list[bytes] = field(default_factory=list)
    size: int = 0

    def fits(self, part: bytes) -> bool:
        """Whether one more measurement may travel along."""
        return len(self.rows) < BATCH_MEASUREMENTS and self.size + len(part) < BATCH_BYTES

    def add(self, row: int, part: bytes) -> None:
        """Take one more measurement."""
        self.rows.append(row)
        self.parts.append(part)
        self.size += len(part) + 1

    def body(self) -> bytes:
        """The request that submits it."""
        return b'{"measurements":[' + b",".join(self.parts) + b"]}"


@connected
def import_(
    connection: Connection,
    file: Annotated[Path, typer.Argument(help="CSV, NDJSON or Parquet file; text also gzipped.", metavar="FILE")],
    map: Annotated[
        list[str],
        typer.Option(
            "--map",
            metavar="PART=COLUMN",
            help="Which column holds which part: ts, ets, uid, account, meter, or a field such as measure.tokens, "
            "what.model, metadata.request. Once for each part.",
        ),
    ],
    meter: Annotated[str | None, typer.Option(help="Code of the meter of every row.")] = None,
    account: Annotated[str | None, typer.Option(help="Code of the account of every row.")] = None,
    format: Annotated[str | None, typer.Option(help="csv, ndjson or parquet; told by the name if absent.")] = None,
    time: Annotated[TimeUnit, typer.Option(help="What the time column holds.", case_sensitive=False)] = TimeUnit.ISO,
    source: Annotated[
        str,
        typer.Option(help="Name of this stream of rows: equal rows of two sources count as two measurements."),
    ] = "",
    json: JsonOption = False,
) -> None:
    """Import usage from a file. Safe to run again: what was counted before is a duplicate and adds nothing.

    Where no column is mapped to uid, each row gets one made from its content, the meter and the account; equal rows
    in one file count separately. Exits with 1 when a row was rejected or conflicts with what was counted before.
    """
    columns = read_map(map, meter=meter, account=account, time_unit=time, source=source)
    kind = format or format_of(file)
    if kind not in FORMATS:
        raise Failure(f"--format {kind}: must be csv, ndjson or parquet")
    summary = Summary()
    with connection.open() as client, open_rows(file, kind) as reader, progress() as bar:
        task = bar.add_task(f"importing {file.name}", total=reader.total)
        for _ in send_rows(client, reader, columns, summary, named=kind != "ndjson"):
            bar.update(task, completed=reader.done())
    report(summary, as_json=json)
    if summary.failed:
        raise typer.Exit(1)


def send_rows(
    client: Client, reader: Reader, columns: ColumnMap, summary: Summary, *, named: bool = True
) -> Iterator[None]:
    """Send every row in batches and count the verdicts; yields after each batch. `named`: each row has every
    column, so that a mapped one that is missing is a wrong map."""
    batch = Batch()
    with closing(Occurrences()) as met:
        for row in reader.rows():
            if row.problem is not None:
                summary.add(row.number, "rejected", row.problem)
                continue
            if named and row.number == 1:
                _require_columns(row, columns)
            part = wire.encode(measurement(row.cells, columns, met))
            if not batch.fits(part):
                _submit(client, batch, summary)
                yield
                batch = Batch()
            batch.add(row.number, part)
        if batch.rows:
            _submit(client, batch, summary)
        yield


def _require_columns(row: Row, columns: ColumnMap) -> None:
    missing = sorted(columns.columns - set(row.cells))
    if missing:
        known = ", ".join(row.cells)
        raise Failure(f"--map names the column {missing[0]!r}, which the file does not have; it has {known}")


def _submit(client: Client, batch: Batch, summary: Summary) -> None:
    reply: dict[str, Any] = client.submit(batch.body())
    verdicts = reply["measurements"]
    assert len(verdicts) == len(batch.rows), "the server answers one verdict per measurement"
    for row, verdict in zip(batch.rows, verdicts, strict=True):
        summary.add(row, verdict["verdict"], verdict.get("reason"))


def report(summary: Summary, *, as_json: bool) -> None:
    """Print the counts, and the first reasons beside them."""
    counts = {verdict: summary.counts[verdict] for verdict in VERDICTS}
    if as_json:
        print_json({**counts, "reasons": summary.reasons})
        return
    say(", ".join(f"{count:,} {verdict}" for verdict, count in counts.items()))
    for reason in summary.reasons:
        remark(reason)
