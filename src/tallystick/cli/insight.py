"""`tallystick insight`: what precedes expansion, who would be better served by a commitment, margins."""

from __future__ import annotations

from typing import Annotated

import typer

from tallystick.cli.bill import money
from tallystick.cli.connection import Connection, connected
from tallystick.cli.printing import JsonOption, print_json, print_table, say

app = typer.Typer(help="What bills and usage tell together: expansion, commitments, margins.", no_args_is_help=True)
Until = Annotated[str | None, typer.Option(help="Day by which billing periods ended; today if absent.")]
Months = Annotated[int | None, typer.Option(help="How many months before it they may have ended.", min=1, max=36)]


@app.command("expansion")
@connected
def expansion(connection: Connection, until: Until = None, months: Months = None, json: JsonOption = False) -> None:
    """Which metrics grow before bills do: the rank correlation of the growth of each aggregation from one period to the
    next with that of the bill one period later."""
    with connection.open() as client:
        rows = list(client.every("/insights/expansion", until=until, months=months))
    if json:
        print_json(rows)
        return
    print_table(
        ("metric", "correlation", "pairs", "accounts", "grew", "then expanded", "others", "then expanded"),
        [
            (
                each["name"],
                each.get("correlation"),
                each["pairs"],
                each["accounts"],
                each["grew"],
                each["grewThenExpanded"],
                each["others"],
                each["othersThenExpanded"],
            )
            for each in rows
        ],
        right=("correlation", "pairs", "accounts", "grew", "then expanded", "others"),
    )


@app.command("commitments")
@connected
def commitments(
    connection: Connection,
    until: Until = None,
    months: Months = None,
    discount: Annotated[
        str | None, typer.Option(help="Percent off under a commitment that is fitted to each account; 10 if absent.")
    ] = None,
    offer: Annotated[
        list[str] | None, typer.Option(help="A commitment on offer, as yearly amount:percent off, such as 12000:10.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show the arithmetic.")] = False,
    json: JsonOption = False,
) -> None:
    """Which accounts a commitment would have served better, and at what level."""
    asked = {"until": until, "months": months, "discountPercent": discount, "offers": ",".join(offer or ()) or None}
    with connection.open() as client:
        rows = list(client.every("/insights/commitments", **asked))
    if json:
        print_json(rows)
        return
    columns = ("account", "currency", "periods", "paid", "a year", "off", "would have paid", "saving", "below it")
    told = [
        (
            each["accountCode"],
            each["currency"],
            each["periods"],
            money(each["paid"]),
            money(each["level"]),
            f"{each['discountPercent']}%",
            money(each["wouldHavePaid"]),
            money(each["saving"]),
            each["atRisk"],
        )
        for each in rows
    ]
    print_table(columns, told, right=columns[2:])
    for each in rows if explain else ():
        say(f"\n{each['accountCode']}")
        for step in each["arithmetic"]:
            say(f"  {step}")


@app.command("margins")
@connected
def margins(
    connection: Connection,
    by: Annotated[str, typer.Option(help="account or product.")] = "account",
    until: Until = None,
    months: Months = None,
    json: JsonOption = False,
) -> None:
    """Margins by account or product, the least first."""
    with connection.open() as client:
        rows = list(client.every("/insights/margins", by=by, until=until, months=months))
    if json:
        print_json(rows)
        return
    columns = (by, "currency", "bills", "revenue", "income", "cost", "margin", "percent")
    told = [
        (
            each["code"],
            each["currency"],
            each["bills"],
            *(money(each[name]) if each.get(name) is not None else "" for name in ("revenue", "income", "cost")),
            money(each["margin"]) if each.get("margin") is not None else "",
            f"{each['percent']}%" if each.get("percent") is not None else "",
        )
        for each in rows
    ]
    print_table(columns, told, right=columns[2:])
