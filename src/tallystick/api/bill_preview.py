"""Bill previews over HTTP: the bill of one account as a run would make it now, kept nowhere."""

from __future__ import annotations

import time

from tallystick.api.bills import without
from tallystick.api.routing import Call, Route
from tallystick.core.bill import Bill
from tallystick.core.bill_job import BillJobRequest
from tallystick.core.explain import explain_bill
from tallystick.pipeline.preview import preview_bill

WAIT_SECONDS = 5.0  # for usage that is in the journal and not counted yet
POLL_SECONDS = 0.02
WAIT = (
    "false answers at once, for the usage counted so far (`upTo`, `complete`); else what was just accepted counts too."
)


def preview(call: Call, body: BillJobRequest) -> dict[str, object]:
    """The bill, with the journal position that it speaks up to (`upTo`); `complete` says whether that was the end of
    the journal when it was asked for."""
    wanted = call.app.journal.last
    up_to = counted_up_to(call, wanted)
    record = preview_bill(call.records, call.usage, body, actor=call.actor, now=call.now, up_to=up_to)
    reply = without(record.bill, {"billJobId"}) | {"upTo": up_to, "complete": up_to == wanted}
    if call.query.flag("explain") is True:
        reply["explanation"] = explain_bill(record)
    return reply


def counted_up_to(call: Call, wanted: int) -> int:
    """The position that can be answered for: the wanted one, if usage is counted that far soon enough. Who does not
    want to `wait` is answered for what is counted."""
    if call.query.flag("wait") is False:
        return min(wanted, call.app.usage.mark)
    deadline = time.monotonic() + WAIT_SECONDS
    while call.app.usage.mark < wanted and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return min(wanted, call.app.usage.mark)


ROUTES = (
    Route(
        method="POST",
        path="/bills/preview",
        run=preview,
        summary="Preview a bill",
        tag="Bills",
        scope="config:retrieve",
        body=BillJobRequest,
        reply=Bill,
        query={
            "debug": "Accepted for m3ter's clients; changes nothing.",
            "wait": WAIT,
            "explain": "true adds `explanation`: each line as a sentence and as steps.",
        },
    ),
)
