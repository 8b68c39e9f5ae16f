"""The page of a bill: its lines and what they come from, what changed, and what can be done with it."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from functools import partial

import msgspec

from tallystick.app import JobToRun
from tallystick.console import bill_payments
from tallystick.console.chart_drawing import Chart, Frame
from tallystick.console.charts import horizontal_bars
from tallystick.console.holds import REASONS, hold, release
from tallystick.console.page import Html, Page, Redirect, Visit, act
from tallystick.control import bill_memos, bills
from tallystick.control.bill_comparison import bill_before
from tallystick.control.bill_holds import find_hold
from tallystick.control.bill_lists import BillState
from tallystick.control.desk import new_id, rule_broken
from tallystick.control.picklists import CREDIT_REASONS, DEBIT_REASONS
from tallystick.core import wire
from tallystick.core.account import Account
from tallystick.core.bill import Bill, BillRecord, BillStatus, LineItem, LineItemType
from tallystick.core.bill_job import BillRecalculateRequest
from tallystick.core.comparison import Comparison, compare
from tallystick.core.explain import Explanation, explain_line
from tallystick.core.memo import BillMemo, MemoType
from tallystick.core.quantity import total
from tallystick.core.user import May, User
from tallystick.core.wording import money
from tallystick.errors import Refusal
from tallystick.pipeline.bill_job import create_recalculation
from tallystick.pipeline.memo import apply_memos
from tallystick.pipeline.verify import verify_bill
from tallystick.ports import Page as ListPage
from tallystick.ports import Where

MOST_BARS, MOST_REASONS, MOST_USES = 8, 100, 500
PAID_BY_CREDIT = frozenset({LineItemType.COMMITMENT_CONSUMED, LineItemType.BALANCE_CONSUMED})
BY_PEOPLE = frozenset({LineItemType.CREDIT_MEMO, LineItemType.DEBIT_MEMO, LineItemType.MANUAL_ADJUSTMENT})


class ShownLine(msgspec.Struct, frozen=True):
    """A line with what explains it."""

    item: LineItem
    told: Explanation

    @property
    def how(self) -> str:
        """The sentence without what the line is for."""
        return self.told.sentence.partition(": ")[2] or self.told.sentence


class LineGroup(msgspec.Struct, frozen=True):
    """Lines of a kind under one title, and what they come to in the currency of the bill."""

    title: str
    lines: tuple[ShownLine, ...]
    amount: Decimal


def _bill(visit: Visit) -> Html:
    record = bills.get_bill(visit.records, visit.path["id"])
    bill = record.bill
    account = visit.records.get(Account, bill.account_id)
    comparison = compared(visit, record)
    verification = verify_bill(visit.records, visit.usage, record) if visit.query.flag("verify") else None
    return Html(
        "bill.html",
        {
            "bill": bill,
            "state": state_of(bill),
            "account": account.value.name if account else bill.account_code,
            "groups": groups_of(record),
            "comparison": comparison,
            "parts_of_it": [(each, _named(each.sentence)) for each in comparison.parts] if comparison else [],
            "chart": _chart(comparison),
            "evidence": record.evidence,
            "uses": record.evidence.uses[:MOST_USES],
            "verification": verification,
            "hold": find_hold(visit.records, bill.id),
            "who": lambda id_: who(visit, id_),
            "payment": bill_payments.payment_of(visit, bill.id),
            "release_reasons": REASONS,
            "history": history_of(visit, bill),
            "reasons": _reasons(visit) if visit.may(May.BILL) and not bill.locked else ((), ()),
        },
    )


def state_of(bill: Bill) -> BillState:
    """PENDING, APPROVED or LOCKED."""
    return BillState.LOCKED if bill.locked else BillState(bill.status)


def groups_of(record: BillRecord) -> tuple[LineGroup, ...]:
    """The lines of a bill under titles, in their order: charges, what people put there, what credit paid."""
    shown = [ShownLine(line, explain_line(line, record.working(line.id))) for line in record.bill.line_items]
    return tuple(
        LineGroup(title, tuple(lines), total(each.item.converted_subtotal for each in lines))
        for title, lines in (
            ("Charges", _of(shown, record, None)),
            ("Memos and adjustments", _of(shown, record, BY_PEOPLE)),
            ("Paid by credit", _of(shown, record, PAID_BY_CREDIT)),
        )
        if lines
    )


def _of(shown: Iterable[ShownLine], record: BillRecord, types: frozenset[LineItemType] | None) -> list[ShownLine]:
    special = PAID_BY_CREDIT | BY_PEOPLE
    return [
        each
        for each in shown
        if (each.item.line_item_type in types if types else each.item.line_item_type not in special)
    ]


def compared(visit: Visit, record: BillRecord) -> Comparison | None:
    """The bill against the one before; None where they cannot be held against each other."""
    try:
        return compare(bill_before(visit.records, record), record)
    except Refusal:
        return None


def _chart(comparison: Comparison | None) -> Chart | None:
    if comparison is None or len(comparison.parts) < 2:
        return None
    frame = Frame(
        key="parts", title="What makes the difference", unit=comparison.currency, across="Because of", show=money
    )
    return horizontal_bars(frame, [(_named(part.sentence), part.amount) for part in comparison.parts[:MOST_BARS]])


def _named(sentence: str) -> str:
    """What a part is due to, without its amount, which the chart shows."""
    return sentence.rpartition(" (")[0]


def history_of(visit: Visit, bill: Bill) -> list[tuple[str, object, str]]:
    """(what happened, when, who) of a bill, oldest first."""
    happened = [
        ("Made", bill.created_date, bill.created_by),
        ("Calculated last", bill.last_calculated_date, bill.last_modified_by if bill.dt_approved is None else ""),
        ("Approved", bill.dt_approved, bill.approved_by),
        ("Locked", bill.dt_locked, bill.locked_by),
    ]
    return [(what, at, who(visit, by)) for what, at, by in happened if at is not None]


def who(visit: Visit, id_: str | None) -> str:
    """The name of the one who did something: a user's, or what else the id says."""
    if not id_:
        return ""
    if id_ == bills.LOCKED_BY_DATE:
        return "the lock date"
    user = visit.records.get(User, id_)
    if user is not None:
        return user.value.name
    found = visit.app.records.service_user(id_)
    own = found is not None and found.organization_id == visit.organization.id
    return found.name if own and found is not None else id_


# ------------------------------------------------------------------------------------------------------ acts


def _to(visit: Visit, notice: str) -> Redirect:
    return Redirect(f"/bills/{visit.path['id']}", notice=notice)


def _approve(visit: Visit) -> Redirect:
    bills.set_status(visit.desk, visit.path["id"], BillStatus.APPROVED)
    return _to(visit, "The bill is approved.")


def _reopen(visit: Visit) -> Redirect:
    bills.set_status(visit.desk, visit.path["id"], BillStatus.PENDING)
    return _to(visit, "The bill is pending again.")


def _lock(visit: Visit) -> Redirect:
    bills.lock_bill(visit.desk, visit.path["id"])
    return _to(visit, "The bill is locked: it is final.")


def _recalculate(visit: Visit) -> Redirect:
    job = create_recalculation(
        visit.records,
        BillRecalculateRequest(bill_ids=(visit.path["id"],)),
        id=new_id(),
        actor=visit.actor,
        now=visit.now,
        up_to=visit.app.journal.last,
    )
    visit.app.jobs.put(JobToRun(visit.organization.id, job.id))
    return Redirect(f"/jobs/{job.id}", notice="The bill is being made again with the prices and the usage of now.")


def _memo(visit: Visit) -> Redirect:
    """Put a credit or a debit for one of the lines on the bill."""
    bill = bills.get_bill(visit.records, visit.path["id"]).bill
    form = visit.form
    of = form.choice("type", MemoType) or MemoType.CREDIT_MEMO
    line = next((each for each in bill.line_items if each.id == form.required("lineId")), None)
    if line is None:
        raise rule_broken("lineId", "the bill has no such line any more; choose again")
    product = line.accounting_product_id or line.product_id
    if product is None:
        raise rule_broken("lineId", "this line is of no product, and a memo needs one; choose another line")
    amount = form.decimal("amount")
    if amount is None:
        raise Refusal("invalid_request", "amount: is needed", field="amount")
    reason = form.text("creditReasonId" if of is MemoType.CREDIT_MEMO else "debitReasonId")
    memo = wire.convert(
        BillMemo,
        {
            "billId": bill.id,
            "lineItemType": of,
            "productId": line.product_id or product,
            "accountingProductId": product,
            "amount": amount,
            "description": form.required("description"),
            "referencedBillId": bill.id,
            "referencedLineItemId": line.id,
            "servicePeriodStartDate": line.service_period_start_date or bill.start_date_time_utc,
            "servicePeriodEndDate": line.service_period_end_date or bill.end_date_time_utc,
            "creditReasonId": reason if of is MemoType.CREDIT_MEMO else None,
            "debitReasonId": reason if of is MemoType.DEBIT_MEMO else None,
        },
    )
    bill_memos.create(visit.desk, memo)
    apply_memos(visit.records, bill.id, actor=visit.actor, now=visit.now)
    name = "credit" if of is MemoType.CREDIT_MEMO else "debit"
    return _to(visit, f"The {name} of {money(amount)} {bill.currency} is on the bill.")


def _reasons(visit: Visit) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    """(id, name) of the reasons for credits and for debits."""
    where, page = Where(equal={"archived": ("false",)}), ListPage(size=MOST_REASONS)
    credits_ = tuple((each.id, each.value.name) for each in CREDIT_REASONS.find(visit.records, where, page).rows)
    debits = tuple((each.id, each.value.name) for each in DEBIT_REASONS.find(visit.records, where, page).rows)
    return credits_, debits


_act = partial(act, may=May.BILL, section="bills", again=_bill)

PAGES = (
    Page(method="GET", path="/bills/{id}", run=_bill, title="A bill, and what changed", section="bills"),
    _act("/bills/{id}/approve", _approve, "Approve a bill"),
    _act("/bills/{id}/reopen", _reopen, "Take an approval back"),
    _act("/bills/{id}/lock", _lock, "Lock a bill for good"),
    _act("/bills/{id}/recalculate", _recalculate, "Make a bill again"),
    _act("/bills/{id}/hold", hold, "Hold a bill"),
    _act("/bills/{id}/release", release, "Release a held bill with a reason"),
    _act("/bills/{id}/memos", _memo, "Put a credit or a debit on a bill"),
    _act("/bills/{id}/payments", bill_payments.tell, "Record a payment of a bill"),
    _act("/bills/{id}/payments/{payment}/reverse", bill_payments.reverse, "Take back what was recorded of a payment"),
)
