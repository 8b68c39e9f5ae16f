"""Late usage over HTTP: what came after the periods of bills and where it was billed, and the policies on it."""

from __future__ import annotations

from tallystick.api.crud import IDS, PAGING, Crud, where_of
from tallystick.api.routing import Call, Paged, Route, struct_page
from tallystick.control.bills import BillFilter, get_bill, list_records
from tallystick.control.late_policies import LATE_POLICIES
from tallystick.core.late_policy import LateUsageEntry
from tallystick.pipeline.late_report import late_usage_of
from tallystick.ports import Where

BILLS = 100  # that are looked at for a page


def late_usage(call: Call) -> dict[str, object]:
    """A page of late usage: of so many bills, latest period first. Bills without any have no row."""
    query = call.query
    account = query.text("accountId")
    wanted = BillFilter(
        account_ids=None if account is None else (account,),
        bill_dates=(query.day("billDateStart"), query.day("billDateEnd")),
    )
    found = list_records(call.records, wanted, query.page(highest=BILLS))
    return struct_page(late_usage_of(call.records, call.usage, found.rows), found.next_token)


def of_bill(call: Call) -> dict[str, object]:
    """The late usage of a bill, by meter."""
    record = get_bill(call.records, call.path["id"])
    return struct_page(late_usage_of(call.records, call.usage, [record]), None)


def _where(call: Call) -> Where:
    return where_of(call, id=call.query.texts("ids"), meter_id=call.query.text("meterId"))


_TAG = "Late usage"

ROUTES = (
    Route(
        method="GET",
        path="/lateusage",
        run=late_usage,
        summary="List what came after the periods of bills, and where it was billed",
        tag=_TAG,
        scope="config:retrieve",
        reply=Paged(LateUsageEntry),
        query={
            **PAGING,
            "pageSize": f"How many bills a page looks at, {BILLS} at most; bills without late usage have no row.",
            "accountId": "Only bills of this account.",
            "billDateStart": "Only bills of this day and later ones.",
            "billDateEnd": "Only bills of this day and earlier ones.",
        },
    ),
    Route(
        method="GET",
        path="/bills/{id}/lateusage",
        run=of_bill,
        summary="List what came after the period of a bill, by meter, and where it was billed",
        tag=_TAG,
        scope="config:retrieve",
        reply=Paged(LateUsageEntry),
        query=PAGING,
    ),
    *Crud(
        noun=LATE_POLICIES,
        path="/latepolicies",
        tag=_TAG,
        where=_where,
        filters={"ids": IDS, "meterId": "Only of this meter."},
    ).routes(),
)
