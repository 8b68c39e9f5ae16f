"""`tallystick correction`: withdraw or replace measurements, see what that does to the bills, then decide."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

import typer

from tallystick.cli.client import Client
from tallystick.cli.connection import Connection, connected
from tallystick.cli.failure import Failure
from tallystick.cli.printing import JsonOption, print_json, print_table, say
from tallystick.cli.rows import Cells, Row, format_of, open_rows
from tallystick.core.measurement import MAPS, NUMBER_MAPS
from tallystick.core.usage_correction import MOST_AT_ONCE

app = typer.Typer(help="Corrections of usage: draft, look, then apply or discard.", no_args_is_help=True)

CorrectionId = Annotated[str, typer.Argument(help="Id of a correction.", metavar="ID")]
MemoId = Annotated[str, typer.Argument(help="Id of a memo.", metavar="MEMO")]
PARTS = frozenset({"account", "meter", "ts", "ets"})


@app.command("draft")
@connected
def draft(
    connection: Connection,
    reason: Annotated[str, typer.Option(help="Why; it stands on the memos.")],
    uids: Annotated[list[str] | None, typer.Argument(help="Measurements to withdraw.", metavar="[UID]...")] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            help="CSV, NDJSON or Parquet with a column uid. Other columns (account, ts, measure.CODE, …) say what "
            "replaces the measurement."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Draft a correction and show what it does to the bills. Nothing is counted otherwise before it is applied."""
    changes: list[dict[str, Any]] = [{"uid": each} for each in uids or ()]
    if file is not None:
        changes += _changes_of(file)
    if not changes:
        raise Failure("name the measurements: uids, or --file with a column uid")
    first, rest = changes[:MOST_AT_ONCE], changes[MOST_AT_ONCE:]
    with connection.open() as client:
        body = {"reason": reason, "changes": first, "uploaded": file is not None}
        made = client.post("/corrections", body)
        for start in range(0, len(rest), MOST_AT_ONCE):
            part = {"changes": rest[start : start + MOST_AT_ONCE]}
            made = client.post(f"/corrections/{made['id']}/changes", part)
        _show(client, made, json=json)


@app.command("list")
@connected
def list_(
    connection: Connection,
    status: Annotated[str | None, typer.Option(help="Only DRAFT, APPLYING, APPLIED or DISCARDED ones.")] = None,
    limit: Annotated[int, typer.Option(help="How many to show at most.", min=1)] = 20,
    json: JsonOption = False,
) -> None:
    """List corrections, newest first."""
    with connection.open() as client:
        found = [one for one, _ in zip(client.every("/corrections", status=status), range(limit), strict=False)]
    if json:
        print_json(found)
    else:
        rows = [
            (each["id"], each["status"], each["withdrawals"], each["additions"], each["dtCreated"], each["reason"])
            for each in found
        ]
        print_table(("correction", "status", "out", "in", "created", "reason"), rows, right=("out", "in"))


@app.command("show")
@connected
def show(connection: Connection, correction: CorrectionId, json: JsonOption = False) -> None:
    """Show a correction with its effect in money per account and bill."""
    with connection.open() as client:
        _show(client, client.get(f"/corrections/{correction}"), json=json)


@app.command("entries")
@connected
def entries(connection: Connection, correction: CorrectionId, json: JsonOption = False) -> None:
    """List what a correction withdraws and adds, and what it had to leave out."""
    with connection.open() as client:
        found = list(client.every(f"/corrections/{correction}/entries"))
    if json:
        print_json(found)
    else:
        rows = [
            (
                each["kind"],
                each["uid"],
                each.get("accountCode", ""),
                each.get("meterCode", ""),
                each.get("ts", ""),
                _note(each),
            )
            for each in found
        ]
        print_table(("entry", "uid", "account", "meter", "time", ""), rows)


@app.command("apply")
@connected
def apply(connection: Connection, correction: CorrectionId, json: JsonOption = False) -> None:
    """Apply a draft: its measurements count otherwise from now on, and bills that stay get memos."""
    with connection.open() as client:
        _show(client, client.post(f"/corrections/{correction}/apply", {}), json=json)


@app.command("discard")
@connected
def discard(connection: Connection, correction: CorrectionId, json: JsonOption = False) -> None:
    """Discard a draft."""
    with connection.open() as client:
        _show(client, client.post(f"/corrections/{correction}/discard"), json=json)


@app.command("memos")
@connected
def memos(
    connection: Connection,
    correction: Annotated[str | None, typer.Option(help="Only memos of this correction.")] = None,
    status: Annotated[str | None, typer.Option(help="Only DRAFT, ISSUED or DISCARDED ones.")] = None,
    json: JsonOption = False,
) -> None:
    """List memos of corrections: what bills that stay should have come to."""
    with connection.open() as client:
        found = list(client.every("/correctionmemos", correctionId=correction, status=status))
    if json:
        print_json(found)
    else:
        _print_memos(found)


@app.command("issue")
@connected
def issue(
    connection: Connection,
    memo: MemoId,
    bill_date: Annotated[str | None, typer.Option(help="The day that decides its bill; today if absent.")] = None,
    json: JsonOption = False,
) -> None:
    """Issue a memo: its lines stand on the account's next bill that is open."""
    if bill_date is not None:
        try:
            date.fromisoformat(bill_date)
        except ValueError:
            raise Failure(f"--bill-date: must be a day such as 2025-04-30, got {bill_date!r}") from None
    with connection.open() as client:
        made = client.post(f"/correctionmemos/{memo}/issue", {"billDate": bill_date} if bill_date else {})
    print_json(made) if json else _print_memos([made])


@app.command("drop")
@connected
def drop(connection: Connection, memo: MemoId, json: JsonOption = False) -> None:
    """Discard a memo: the next bill takes its difference up as late usage."""
    with connection.open() as client:
        made = client.post(f"/correctionmemos/{memo}/discard")
    print_json(made) if json else _print_memos([made])


# ------------------------------------------------------------------------------------------------------ files


def _changes_of(path: Path) -> list[dict[str, Any]]:
    with open_rows(path, format_of(path)) as reader:
        rows = list(reader.rows())
    return [_change(row) for row in rows]


def _change(row: Row) -> dict[str, Any]:
    """What a row asks for. Empty cells leave the original as it is."""
    if row.problem is not None:
        raise Failure(f"row {row.number}: {row.problem}")
    given = {name: value for name, value in row.cells.items() if value not in {None, ""}}
    uid = given.pop("uid", None)
    measurement: dict[str, Any] = {}
    for name, value in _flat(given).items():
        kind, _, code = name.partition(".")
        if kind in MAPS and code:
            measurement.setdefault(kind, {})[code] = _number(value, row) if kind in NUMBER_MAPS else str(value)
        elif name in PARTS:
            measurement[name] = str(value)
        else:
            known = ", ".join(["uid", *sorted(PARTS), *(f"{each}.CODE" for each in MAPS)])
            raise Failure(f"row {row.number}: there is no part {name!r} of a measurement: use {known}")
    if uid is None and not measurement:
        raise Failure(f"row {row.number}: has no uid")
    return {**({} if uid is None else {"uid": str(uid)}), **({"measurement": measurement} if measurement else {})}


def _flat(cells: Cells) -> dict[str, object]:
    """Nested objects, as NDJSON has them, as columns with dots."""
    found: dict[str, object] = {}
    for name, value in cells.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{code}": each for code, each in value.items()}
        else:
            found[name] = value
    return found


def _number(value: object, row: Row) -> Decimal:
    try:
        return value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation:
        raise Failure(f"row {row.number}: must be a number, got {str(value)[:40]!r}") from None


# ------------------------------------------------------------------------------------------------------ showing


def _show(client: Client, made: dict[str, Any], *, json: bool) -> None:
    effects = list(client.every(f"/corrections/{made['id']}/effects"))
    if json:
        print_json({**made, "accounts": effects})
        return
    left_out = f", {made['problems']} left out" if made["problems"] else ""
    counts = f"{made['withdrawals']} withdrawn, {made['additions']} added{left_out}"
    say(f"correction {made['id']}: {made['status']}, {counts}")
    if made["status"] == "DRAFT" and not made["previewed"]:
        say("it is still being looked at: show it again in a moment")
        return
    rows = [
        (
            each["accountCode"],
            f"{each['startDateTimeUTC'][:10]} to {each['endDateTimeUTC'][:10]}",
            each.get("billId", "not made yet"),
            each["settlement"],
            each["before"],
            each["after"],
            _as_written(each["difference"], like=each["before"]),
            each["currency"],
        )
        for account in effects
        for each in account["bills"]
    ]
    if rows:
        names = ("account", "period", "bill", "how", "before", "after", "difference", "")
        print_table(names, rows, right=("before", "after", "difference"))
    for each in made["effects"]:
        say(f"{each['currency']}: open bills {each['rerated']}, memos {each['memos']}")


def _as_written(amount: Decimal | int, like: Decimal | int) -> Decimal:
    """An amount with the decimals of another of its currency."""
    return Decimal(amount).quantize(Decimal(like))


def _print_memos(found: list[dict[str, Any]]) -> None:
    rows = [
        (each["id"], each["status"], each["accountCode"], each["billId"], each["total"], each["correctedTotal"])
        for each in found
    ]
    names = ("memo", "status", "account", "bill", "total", "bill corrected")
    print_table(names, rows, right=("total", "bill corrected"))


def _note(entry: dict[str, Any]) -> str:
    if entry.get("problem"):
        return f"left out: {entry['problem']}"
    return f"replaces {entry['replaces']}" if entry.get("replaces") else ""
