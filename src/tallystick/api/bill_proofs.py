"""Why a bill says what it says, and proof that it still does."""

from __future__ import annotations

import msgspec

from tallystick.api.routing import Call, Raw, Route
from tallystick.control import bills
from tallystick.control.audit_proof import checkpoint
from tallystick.control.bill_comparison import bridge_to_bill, compare_bill
from tallystick.core.bridge import Bridge
from tallystick.core.comparison import Comparison
from tallystick.core.explain import Explanation, explain_bill, explain_line
from tallystick.pipeline.proof import proof_of
from tallystick.pipeline.verify import Verification, verify_bill

TAG = "Bills"
PROOF = "application/x-ndjson"


class BillExplanation(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Every line of a bill, each as a sentence and as steps, in the bill's order."""

    bill_id: str
    lines: tuple[Explanation, ...]


def explain(call: Call) -> BillExplanation:
    """All lines explained."""
    record = bills.get_bill(call.records, call.path["id"])
    return BillExplanation(bill_id=record.bill.id, lines=explain_bill(record))


def explain_one(call: Call) -> Explanation:
    """One line explained; it is named by its id or its sequence number."""
    record = bills.get_bill(call.records, call.path["billId"])
    line = bills.get_line_item(record, call.path["id"])
    return explain_line(line, record.working(line.id))


def verify(call: Call) -> Verification:
    """Calculate the bill again from what it recorded, and compare digests. Nothing is changed."""
    return verify_bill(call.records, call.usage, bills.get_bill(call.records, call.path["id"]))


def comparison(call: Call) -> Comparison:
    """What makes the difference to the bill before."""
    return compare_bill(call.records, call.path["id"])


def bridge(call: Call) -> Bridge:
    """From the total of the bill before to that of this one."""
    return bridge_to_bill(call.records, call.path["id"])


def proof(call: Call) -> Raw:
    """The proof of a bill as a file."""
    record = bills.get_bill(call.records, call.path["id"])
    signer = call.app.signer
    made = checkpoint(call.records, signer, call.now)
    file = proof_of(call.records, call.usage, record, checkpoint=made, signer=signer, now=call.now)
    return Raw(file, PROOF, f"proof-{record.bill.account_code}-{record.bill.start_date}.jsonl")


ROUTES = (
    Route(
        method="GET",
        path="/bills/{id}/explanation",
        run=explain,
        summary="Explain a bill line by line",
        tag=TAG,
        scope="config:retrieve",
        reply=BillExplanation,
    ),
    Route(
        method="GET",
        path="/bills/{billId}/lineitems/{id}/explanation",
        run=explain_one,
        summary="Explain a line of a bill",
        tag=TAG,
        scope="config:retrieve",
        reply=Explanation,
    ),
    Route(
        method="GET",
        path="/bills/{id}/verification",
        run=verify,
        summary="Calculate a bill again and compare it with what is stored",
        tag=TAG,
        scope="config:retrieve",
        reply=Verification,
    ),
    Route(
        method="GET",
        path="/bills/{id}/comparison",
        run=comparison,
        summary="Compare a bill with the one before it",
        tag=TAG,
        scope="config:retrieve",
        reply=Comparison,
    ),
    Route(
        method="GET",
        path="/bills/{id}/bridge",
        run=bridge,
        summary="Read the steps from the bill before to this one: volume, price, mix, credits, corrections",
        tag=TAG,
        scope="config:retrieve",
        reply=Bridge,
    ),
    Route(
        method="GET",
        path="/bills/{id}/proof",
        run=proof,
        summary="The proof of a bill as a file, which is checked without the server",
        tag=TAG,
        scope="config:retrieve",
    ),
)
