"""Late usage: what came after the periods of bills and where it was billed, and the policies on it."""

from __future__ import annotations

from tallystick.console.page import Html, Page, Redirect, Visit
from tallystick.control.bills import BillFilter, list_records
from tallystick.control.late_policies import LATE_POLICIES, policy_of, read_late_policies
from tallystick.core import wire
from tallystick.core.late_policy import LateOutcome, LatePolicy, OnClosedBill
from tallystick.core.meter import Meter
from tallystick.core.user import May
from tallystick.pipeline.late_report import late_usage_of
from tallystick.ports import Page as Part
from tallystick.ports import Where

BILLS = 50  # that a page looks at
METERS = 200  # that a form offers
OUTCOMES = {
    LateOutcome.ON_THE_BILL: "on the bill",
    LateOutcome.ADJUSTED: "on a later bill",
    LateOutcome.NEXT_CALCULATION: "on the bill, when it is made again",
    LateOutcome.NEXT_BILL: "on the next bill",
    LateOutcome.REPORTED: "not billed, by policy",
}


def _late(visit: Visit) -> Html:
    query = visit.query
    account = query.text("accountId")
    wanted = BillFilter(
        account_ids=None if account is None else (account,), bill_dates=(query.day("from"), query.day("to"))
    )
    found = list_records(visit.records, wanted, query.page(highest=BILLS))
    rows = late_usage_of(visit.records, visit.usage, found.rows)
    meters = visit.records.get_many(Meter, {each.meter_id for each in rows})
    return Html(
        "late.html",
        {
            "rows": rows,
            "next_token": found.next_token,
            "meters": {id_: each.value.name for id_, each in meters.items()},
            "currencies": {each.bill.id: each.bill.currency for each in found.rows},
            "outcomes": OUTCOMES,
            "looked_at": len(found.rows),
        },
    )


def _settings(visit: Visit) -> Html:
    meter_id = visit.query.text("meterId")
    meters = visit.records.find(Meter, Where(), Part(size=METERS)).rows
    policies = read_late_policies(visit.records)
    return Html(
        "late_policy.html",
        {
            "meter": visit.records.get(Meter, meter_id) if meter_id else None,
            "own": policy_of(visit.records, meter_id),
            "policy": policies.of(meter_id),
            "meters": [(each.id, each.value.name, each.id in policies.meters) for each in meters],
            "treatments": [
                (OnClosedBill.ADJUST_NEXT_BILL.value, "A line for the difference on the next bill"),
                (OnClosedBill.REPORT.value, "Not billed, named in the report"),
            ],
        },
    )


def _save(visit: Visit) -> Redirect:
    form = visit.form
    meter_id = form.text("meterId")
    given = {
        "meterId": meter_id,
        "graceHours": form.number("graceHours", lowest=0, highest=8_784),
        "allowanceMinutes": form.number("allowanceMinutes", lowest=0, highest=44_640),
        "onClosedBill": form.choice("onClosedBill", OnClosedBill),
    }
    value = wire.decode(LatePolicy, wire.encode({name: each for name, each in given.items() if each is not None}))
    own = policy_of(visit.records, meter_id)
    if own is None:
        LATE_POLICIES.create(visit.desk, value)
    else:
        LATE_POLICIES.update(visit.desk, own.id, value, form.number("version", lowest=1, highest=2**31))
    return Redirect(_path(meter_id), notice="The policy is saved.")


def _remove(visit: Visit) -> Redirect:
    gone = LATE_POLICIES.delete(visit.desk, visit.path["id"])
    return Redirect(_path(gone.value.meter_id), notice="The policy is taken out of use.")


def _path(meter_id: str | None) -> str:
    return "/settings/late" + (f"?meterId={meter_id}" if meter_id else "")


PAGES = (
    Page(method="GET", path="/late", run=_late, title="Late usage, and where it was billed", section="bills"),
    Page(method="GET", path="/settings/late", run=_settings, title="What becomes of late usage", section="settings"),
    Page(
        method="POST",
        path="/settings/late",
        run=_save,
        title="Save the policy on late usage",
        may=May.ADMINISTER,
        section="settings",
        again=_settings,
    ),
    Page(
        method="POST",
        path="/latepolicies/{id}/delete",
        run=_remove,
        title="Take a late policy out of use",
        may=May.ADMINISTER,
        section="settings",
    ),
)
