"""`tallystick usage`: how much an account has used, day by day, with a line to see it by."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any

import typer

from tallystick.cli.bill import account_id, plain
from tallystick.cli.client import Client
from tallystick.cli.connection import Connection, connected
from tallystick.cli.failure import Failure
from tallystick.cli.printing import JsonOption, print_json, print_table, say

NUMERIC = {"MEASURE", "INCOME", "COST"}
HEIGHTS = "▁▂▃▄▅▆▇█"
MAX_FIELDS = 30  # what one usage query may ask


@connected
def usage(
    connection: Connection,
    account: Annotated[
        str | None, typer.Argument(help="Code of an account; all together if absent.", metavar="ACCOUNT")
    ] = None,
    meter: Annotated[str | None, typer.Option(help="Code of a meter; every meter if absent.")] = None,
    days: Annotated[int, typer.Option(help="How many days, up to and with today (UTC).", min=1, max=400)] = 30,
    json: JsonOption = False,
) -> None:
    """Show usage by day: for every number field of the meters its sum, its days as a line, and the last day."""
    first = datetime.now(UTC).date() - timedelta(days=days - 1)
    daily: dict[Field, list[Decimal | None]] = {}
    with connection.open() as client:
        only = None if account is None else account_id(client, account)
        for each in _meters(client, meter):
            daily |= _daily(client, only, each, first, days)
    if json:
        print_json([_row(each, first, values) for each, values in daily.items()])
        return
    shown = [(each, values) for each, values in daily.items() if any(value is not None for value in values)]
    if not shown:
        say(f"nothing was used since {first}")
        return
    print_table(
        ("meter", "field", "sum", f"{first} to today", "today", "unit"),
        [
            (
                meter_code,
                field,
                plain(sum((value or Decimal(0) for value in values), Decimal(0))),
                sparkline(values),
                plain(values[-1] or Decimal(0)),
                unit,
            )
            for (meter_code, field, unit), values in shown
        ],
        right=("sum", "today"),
    )


def sparkline(values: Sequence[Decimal | None]) -> str:
    """A character a value, as high as its share of the largest; a dot where nothing was measured."""
    largest = max((value for value in values if value is not None), default=Decimal(0))
    top = len(HEIGHTS) - 1
    return "".join(
        "·"
        if value is None
        else HEIGHTS[0]
        if largest <= 0 or value <= 0
        else HEIGHTS[min(top, int(value * len(HEIGHTS) / largest))]
        for value in values
    )


Field = tuple[str, str, str]  # codes of meter and field, and its unit


def _meters(client: Client, only: str | None) -> list[dict[str, Any]]:
    meters = [row for row in client.every("/meters") if only in (None, row["code"])]
    if only is not None and not meters:
        raise Failure(f"there is no meter with the code {only!r}")
    return sorted(meters, key=lambda row: str(row["code"]))


def _daily(
    client: Client, account: str | None, meter: dict[str, Any], first: date, days: int
) -> dict[Field, list[Decimal | None]]:
    """The sum of each number field of a meter on each day, None where nothing was measured."""
    declared = (*meter["dataFields"], *meter.get("derivedFields", ()))
    fields = [each for each in declared if each["category"] in NUMERIC]
    made: dict[Field, list[Decimal | None]] = {}
    for start in range(0, len(fields), MAX_FIELDS):
        asked = fields[start : start + MAX_FIELDS]
        body: dict[str, Any] = {
            "startDate": f"{first}T00:00:00Z",
            "endDate": f"{first + timedelta(days=days)}T00:00:00Z",
            "aggregations": [
                {"meterId": meter["id"], "fieldCode": each["code"], "fieldType": "MEASURE", "function": "SUM"}
                for each in asked
            ],
            "groups": [{"groupType": "TIME", "frequency": "DAY"}],
        }
        if account is not None:
            body["accountIds"] = [account]
        rows = {row["startDate"][:10]: row for row in client.post("/usage/query", body)["data"]}
        for each in asked:
            made[meter["code"], each["code"], each.get("unit", "")] = [
                rows.get((first + timedelta(days=day)).isoformat(), {}).get(f"{each['code']}.SUM")
                for day in range(days)
            ]
    return made


def _row(field: Field, first: date, values: Sequence[Decimal | None]) -> dict[str, object]:
    meter, code, unit = field
    return {
        "meter": meter,
        "field": code,
        "unit": unit,
        "sum": sum((value or Decimal(0) for value in values), Decimal(0)),
        "days": [
            {"date": (first + timedelta(days=day)).isoformat(), "value": value} for day, value in enumerate(values)
        ],
    }
