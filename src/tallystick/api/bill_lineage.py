"""From a bill line to the usage behind it over HTTP: by day, and the very measurements."""

from __future__ import annotations

from tallystick.api.crud import PAGING
from tallystick.api.routing import Call, Paged, Route, struct_page
from tallystick.control import bills
from tallystick.core.bill import BillRecord, LineItem
from tallystick.pipeline.lineage import LineUsage, MeasurementBehind, Which, line_measurements, line_usage

TAG = "Bills"


def days(call: Call) -> LineUsage:
    """What a line was made of, day by day, as its bill read it."""
    return line_usage(call.records, call.usage, *_line(call))


def measurements(call: Call) -> dict[str, object]:
    """A page of the measurements behind a line, the latest first."""
    which = Which(
        input=call.query.number("input", lowest=1, highest=100) or 1,
        day=call.query.day("day"),
        account_id=call.query.text("accountId"),
        deciding=call.query.flag("deciding") is True,
    )
    found = line_measurements(call.records, call.usage, *_line(call), which, call.query.page())
    return struct_page(found.rows, found.next_token)


def _line(call: Call) -> tuple[BillRecord, LineItem]:
    record = bills.get_bill(call.records, call.path["billId"])
    return record, bills.get_line_item(record, call.path["id"])


ROUTES = (
    Route(
        method="GET",
        path="/bills/{billId}/lineitems/{id}/days",
        run=days,
        summary="Read the usage behind a line of a bill, day by day",
        tag=TAG,
        scope="config:retrieve",
        reply=LineUsage,
    ),
    Route(
        method="GET",
        path="/bills/{billId}/lineitems/{id}/measurements",
        run=measurements,
        summary="List the measurements behind a line of a bill",
        tag=TAG,
        scope="config:retrieve",
        reply=Paged(MeasurementBehind),
        query={
            "input": "Of which number that the line was made of, from 1; the first if not given.",
            "day": "Only of this day in the time zone of the bill, such as 2025-01-31.",
            "accountId": "Only of this account of the family.",
            "deciding": "true: only those that have the value that was picked (of MAX, MIN and percentiles).",
            **PAGING,
        },
    ),
)
