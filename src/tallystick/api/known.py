"""What was believed about a period at a moment, over HTTP. An extension of ours."""

from __future__ import annotations

from tallystick.api.bill_preview import WAIT, counted_up_to
from tallystick.api.routing import Call, Route
from tallystick.core.bill_job import BillJobRequest
from tallystick.core.known import Knowledge
from tallystick.core.period import Frequency
from tallystick.errors import Refusal
from tallystick.pipeline.known import known, position_at


def find(call: Call) -> Knowledge:
    """What was believed, what is known now, and what changed."""
    query = call.query
    moment = query.instant("knownAt") or call.now
    if moment > call.now:
        raise Refusal("invalid_request", "knownAt: is yet to come", field="knownAt")
    frequency = query.text("billingFrequency")
    if frequency is not None and frequency not in Frequency.__members__:
        message = f"billingFrequency: must be one of {', '.join(Frequency)}, got {frequency[:40]!r}"
        raise Refusal("invalid_request", message, field="billingFrequency")
    request = BillJobRequest(
        account_ids=(call.path["id"],),
        last_date_in_billing_period=query.day("lastDateInBillingPeriod"),
        billing_frequency=None if frequency is None else Frequency(frequency),
    )
    position = position_at(call.app.journal, call.app.usage, moment)
    now = (call.now, counted_up_to(call, call.app.journal.last))
    try:
        return known(call.records, call.usage, request, at=(moment, position), now=now, actor=call.actor)
    except Refusal as refusal:
        if refusal.code.name == "no_billing_period" and "there is no account" in refusal.message:
            raise Refusal("not_found", f"id: there is no account {call.path['id'][:40]!r}", field="id") from None
        raise


ROUTES = (
    Route(
        method="GET",
        path="/accounts/{id}/known",
        run=find,
        summary="Read what was known at a moment about a billing period of an account, and what changed since",
        tag="Bills",
        scope="config:retrieve",
        reply=Knowledge,
        query={
            "knownAt": "The moment, such as 2025-02-03T12:00:00Z; now if absent.",
            "lastDateInBillingPeriod": "The last day of the period; without it the period that was open then, and now.",
            "billingFrequency": "Of which frequency, where the account has bills of several.",
            "wait": WAIT,
        },
    ),
)
