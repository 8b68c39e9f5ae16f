"""What the open billing periods of an account will come to, over HTTP: an extension of ours. The method is named."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from tallystick.api.routing import Call, Route
from tallystick.control.accounts import ACCOUNTS
from tallystick.core.bill import BillRecord
from tallystick.core.bill_job import BillFailure
from tallystick.core.period import Frequency, Instant
from tallystick.core.spend_alert import charged
from tallystick.pipeline.forecast import PACE, forecast_bills
from tallystick.pipeline.spend import present_bills


class ForecastPeriod(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A billing period: what its bill charges so far and at its end, before credit pays its part, and what will be left
    to pay. `forecast` and `to_pay` are absent in the first hours of a period, whose pace says nothing."""

    billing_frequency: Frequency
    start_date: Instant
    end_date: Instant
    currency: str
    so_far: Decimal
    forecast: Decimal | None = None
    to_pay: Decimal | None = None


class Forecast(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the open billing periods come to by a method: PACE, what adds up goes on as it has since the period began.
    `problems` say of which nothing can be told, and why."""

    method: str
    as_of: Instant
    up_to: int
    periods: tuple[ForecastPeriod, ...]
    problems: tuple[str, ...]


def forecast(call: Call) -> Forecast:
    """The forecast of an account."""
    account_id = ACCOUNTS.retrieve(call.records, call.path["id"]).id
    up_to = call.app.usage.mark
    now = present_bills(call.records, call.usage, (account_id,), now=call.now, up_to=up_to)[account_id]
    later = forecast_bills(call.records, call.usage, account_id, now=call.now, up_to=up_to)
    ends = {each.bill.id: each for each in later if isinstance(each, BillRecord)}
    problems = [each.message for each in (*now, *later) if isinstance(each, BillFailure)]
    return Forecast(
        method=PACE,
        as_of=call.now,
        up_to=up_to,
        periods=tuple(_period(each, ends.get(each.bill.id)) for each in now if isinstance(each, BillRecord)),
        problems=tuple(dict.fromkeys(problems)),
    )


def _period(now: BillRecord, end: BillRecord | None) -> ForecastPeriod:
    bill = now.bill
    return ForecastPeriod(
        billing_frequency=bill.billing_frequency,
        start_date=bill.start_date_time_utc,
        end_date=bill.end_date_time_utc,
        currency=bill.currency,
        so_far=charged(bill),
        forecast=None if end is None else charged(end.bill),
        to_pay=None if end is None else end.bill.bill_total,
    )


ROUTES = (
    Route(
        method="GET",
        path="/accounts/{id}/forecast",
        run=forecast,
        summary="Forecast what the open billing periods of an account come to",
        tag="Bills",
        scope="config:retrieve",
        reply=Forecast,
    ),
)
