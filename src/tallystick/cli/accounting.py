"""`tallystick accounting`: journal entries, trial balances, revenue by month, and the chart of accounts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tallystick.cli.connection import Connection, connected
from tallystick.cli.failure import Failure
from tallystick.cli.printing import JsonOption, print_json, print_table, remark, say

app = typer.Typer(help="Journal entries of bills and credit, for the ledger.", no_args_is_help=True)
From = Annotated[str | None, typer.Option("--from", help="First month, such as 2024-03.")]
Until = Annotated[str | None, typer.Option("--until", help="Last month, such as 2024-12.")]


@app.command("post")
@connected
def post(connection: Connection, json: JsonOption = False) -> None:
    """Post journal entries of all that is due, at once; the server does so by itself within seconds."""
    with connection.open() as client:
        made = client.post("/accounting/post")
    if json:
        print_json(made)
    else:
        say(f"{made['entries']} journal entries were posted")


@app.command("entries")
@connected
def entries(
    connection: Connection,
    start: Annotated[str | None, typer.Option("--from", help="First day of the books.")] = None,
    end: Annotated[str | None, typer.Option("--until", help="Last day of the books.")] = None,
    source: Annotated[str | None, typer.Option(help="Only of this bill, transaction or commitment, by id.")] = None,
    json: JsonOption = False,
) -> None:
    """List journal entries, line by line, the latest day first."""
    with connection.open() as client:
        found = list(client.every("/accounting/journalentries", startDate=start, endDate=end, sourceId=source))
    if json:
        print_json(found)
        return
    rows = [
        (
            each["number"],
            each["date"],
            each["description"] if number == 0 else "",
            line["accountCode"],
            line["accountName"],
            line["debit"] or "",
            line["credit"] or "",
            each["currency"],
        )
        for each in found
        for number, line in enumerate(each["lines"])
    ]
    heads = ("number", "date", "entry", "account", "name", "debit", "credit", "currency")
    print_table(heads, rows, right=("debit", "credit"))


@app.command("export")
@connected
def export(
    connection: Connection,
    to: Annotated[Path, typer.Argument(help="The file to write; Xero's may be several.", metavar="FILE")],
    form: Annotated[str, typer.Option("--for", help="csv, netsuite, xero or quickbooks.")] = "csv",
    start: Annotated[str | None, typer.Option("--from", help="First day of the books.")] = None,
    end: Annotated[str | None, typer.Option("--until", help="Last day of the books.")] = None,
    currency: Annotated[str | None, typer.Option(help="Only entries in this currency.")] = None,
    after: Annotated[int | None, typer.Option(help="Only entries with a higher number.")] = None,
    through: Annotated[int | None, typer.Option(help="Only entries with this number or a lower one.")] = None,
) -> None:
    """Write journal entries into a file that a ledger imports."""
    query: dict[str, Any] = {
        "format": form.upper(),
        "startDate": start,
        "endDate": end,
        "currency": currency,
        "afterNumber": after,
        "throughNumber": through,
    }
    with connection.open() as client:
        parts, number = 1, 1
        while number <= parts:
            answer = client.file("/accounting/journalfile", **query, part=number)
            warning = answer.headers.get("tallystick-warning", "")
            parts = int(warning.split(":")[0].rpartition(" ")[2]) if warning.startswith("part ") else 1
            path = to if parts == 1 else to.with_name(f"{to.stem}-{number}{to.suffix}")
            _write(path, answer.content)
            number += 1


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as problem:
        raise Failure(f"cannot write {path}: {problem.strerror}") from None
    remark(f"wrote {path}")


@app.command("trial-balance")
@connected
def trial_balance(connection: Connection, start: From = None, until: Until = None, json: JsonOption = False) -> None:
    """Show what happened on each ledger account; the closing amounts add up to zero."""
    with connection.open() as client:
        rows = list(client.every("/accounting/trialbalance", startMonth=start, endMonth=until))
    if json:
        print_json(rows)
        return
    heads = ("currency", "accountCode", "accountName", "opening", "debit", "credit", "closing")
    shown = ("currency", "account", "name", "opening", "debit", "credit", "closing")
    print_table(shown, [tuple(each[name] for name in heads) for each in rows], right=shown[3:])


@app.command("revenue")
@connected
def revenue(connection: Connection, start: From = None, until: Until = None, json: JsonOption = False) -> None:
    """Show revenue by month and accounting product, with what stands against it."""
    with connection.open() as client:
        rows = list(client.every("/accounting/revenue", startMonth=start, endMonth=until))
    if json:
        print_json(rows)
        return
    print_table(
        ("month", "currency", "account", "name", "product", "amount"),
        [
            (
                each["month"],
                each["currency"],
                each["accountCode"],
                each["accountName"],
                each.get("product", {}).get("name", ""),
                each["amount"],
            )
            for each in rows
        ],
        right=("amount",),
    )


@app.command("schedule")
@connected
def schedule(
    connection: Connection,
    to: Annotated[Path, typer.Argument(help="The file to write.", metavar="FILE")],
    start: Annotated[str | None, typer.Option("--from", help="Only bills whose last day is this or later.")] = None,
    end: Annotated[str | None, typer.Option("--until", help="Only bills whose last day is this or earlier.")] = None,
) -> None:
    """Write the revenue schedule as CSV: each line of a bill in each of its months."""
    with connection.open() as client:
        answer = client.file("/accounting/revenueschedulefile", startDate=start, endDate=end)
    _write(to, answer.content)


@app.command("roll-forward")
@connected
def roll_forward(connection: Connection, start: From = None, until: Until = None, json: JsonOption = False) -> None:
    """Show what is deferred, prepaid and unbilled, month by month."""
    with connection.open() as client:
        rows = list(client.every("/accounting/rollforward", startMonth=start, endMonth=until))
    if json:
        print_json(rows)
        return
    heads = ("month", "currency", "role", "opening", "added", "released", "closing")
    print_table(heads, [tuple(each[name] for name in heads) for each in rows], right=heads[3:])
