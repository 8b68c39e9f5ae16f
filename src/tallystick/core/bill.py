"""A bill: its lines, its totals, what it was computed from, and the states it goes through.

Source: reference 2.10, 3.11. The fields are the wire's. What we add (working, evidence, digest) is kept beside the
bill in `BillRecord`, never inside it.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from operator import attrgetter

import msgspec

from tallystick.core.aggregation import Measured, Question
from tallystick.core.entity import Used
from tallystick.core.ids import named_id
from tallystick.core.ledger import Opening
from tallystick.core.organization import CurrencyConversion
from tallystick.core.period import Frequency, Instant, Period
from tallystick.core.quantity import plain
from tallystick.core.wire import encode
from tallystick.core.working import Working
from tallystick.errors import Refusal

NAMESPACE = "0b1f4ad0-2a52-5e0a-9d0c-6f1b63a4b0a5"  # of all ids that are made from what they name


class BillStatus(StrEnum):
    PENDING = "PENDING"
    APPROVED = "APPROVED"


class LineItemType(StrEnum):
    STANDING_CHARGE = "STANDING_CHARGE"
    USAGE = "USAGE"
    USAGE_CREDIT = "USAGE_CREDIT"
    MINIMUM_SPEND = "MINIMUM_SPEND"
    MINIMUM_SPEND_REFUND = "MINIMUM_SPEND_REFUND"
    COMMITMENT_FEE = "COMMITMENT_FEE"
    COMMITMENT_CONSUMED = "COMMITMENT_CONSUMED"
    OVERAGE_SURCHARGE = "OVERAGE_SURCHARGE"
    OVERAGE_USAGE = "OVERAGE_USAGE"
    BALANCE_CONSUMED = "BALANCE_CONSUMED"
    BALANCE_FEE = "BALANCE_FEE"
    AD_HOC = "AD_HOC"
    COUNTER_RUNNING_TOTAL_CHARGE = "COUNTER_RUNNING_TOTAL_CHARGE"
    COUNTER_ADJUSTMENT_DEBIT = "COUNTER_ADJUSTMENT_DEBIT"
    COUNTER_ADJUSTMENT_CREDIT = "COUNTER_ADJUSTMENT_CREDIT"
    CREDIT_MEMO = "CREDIT_MEMO"
    DEBIT_MEMO = "DEBIT_MEMO"
    CREDIT_DEDUCTION = "CREDIT_DEDUCTION"
    MANUAL_ADJUSTMENT = "MANUAL_ADJUSTMENT"


class BandUsage(msgspec.Struct, frozen=True, gc=False, kw_only=True, rename="camel", omit_defaults=True):
    """What one price band contributed to a line. The band subtotals are exact; only the line is rounded."""

    pricing_band_id: str | None = None
    lower_limit: Decimal
    fixed_price: Decimal
    unit_price: Decimal
    band_quantity: Decimal
    band_units: Decimal
    unit_subtotal: Decimal
    band_subtotal: Decimal
    converted_band_subtotal: Decimal
    credit_type_id: str | None = None


class LineItem(msgspec.Struct, frozen=True, gc=False, kw_only=True, rename="camel", omit_defaults=True):
    """One line of a bill. `subtotal` is in `currency`, `converted_subtotal` in the currency of the bill.

    The service period is half open: its end does not belong to it.
    """

    id: str
    line_item_type: LineItemType
    description: str
    quantity: Decimal
    units: Decimal
    unit: str
    subtotal: Decimal
    average_unit_price: Decimal
    currency: str
    conversion_rate: Decimal
    converted_subtotal: Decimal
    sequence_number: int
    product_id: str | None = None
    product_name: str | None = None
    product_code: str | None = None
    accounting_product_id: str | None = None
    accounting_product_name: str | None = None
    accounting_product_code: str | None = None
    aggregation_id: str | None = None
    compound_aggregation_id: str | None = None
    counter_id: str | None = None
    meter_id: str | None = None
    plan_id: str | None = None
    plan_group_id: str | None = None
    pricing_id: str | None = None
    commitment_id: str | None = None
    balance_id: str | None = None
    charge_id: str | None = None
    contract_id: str | None = None
    credit_type_id: str | None = None
    segment: dict[str, str] | None = None
    group: dict[str, str] | None = None
    child_account_id: str | None = None
    child_account_code: str | None = None
    reason_id: str | None = None
    referenced_bill_id: str | None = None
    referenced_line_item_id: str | None = None
    service_period_start_date: Instant | None = None
    service_period_end_date: Instant | None = None
    usage_per_pricing_band: tuple[BandUsage, ...] | None = None
    additional: dict[str, str] | None = None


class Bill(msgspec.Struct, frozen=True, gc=False, kw_only=True, rename="camel", omit_defaults=True):
    """What one account owes for one period of one billing frequency. `end_date` is exclusive."""

    id: str
    version: int
    account_id: str
    account_code: str
    status: BillStatus
    locked: bool
    start_date: date
    end_date: date
    start_date_time_utc: Instant = msgspec.field(name="startDateTimeUTC")
    end_date_time_utc: Instant = msgspec.field(name="endDateTimeUTC")
    bill_date: date
    due_date: date
    external_invoice_date: date
    billing_frequency: Frequency
    bill_frequency_interval: int
    timezone: str
    currency: str
    currency_conversions: tuple[CurrencyConversion, ...]
    bill_total: Decimal
    line_items: tuple[LineItem, ...]
    bill_job_id: str
    json_statement_generated: bool
    csv_statement_generated: bool
    statement_stale: bool
    created_date: Instant
    last_calculated_date: Instant
    dt_created: Instant
    dt_last_modified: Instant
    created_by: str
    last_modified_by: str
    purchase_order_number: str | None = None
    sequential_invoice_number: str | None = None
    external_invoice_reference: str | None = None
    dt_approved: Instant | None = None
    approved_by: str | None = None
    dt_locked: Instant | None = None
    locked_by: str | None = None


class Answer(msgspec.Struct, frozen=True, gc=False, kw_only=True, rename="camel"):
    """A question that a bill asked of the usage store for its account, and the rows it got, in order of segment."""

    question: Question
    rows: tuple[Measured, ...]


class BillBefore(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A closed bill of the period before, which ended at `end`, and its lines that charge this period in advance: those
    of all plans, or (where bills are consolidated) of these plans and groups of plans, by id."""

    bill_id: str
    end: Instant
    lines: tuple[LineItem, ...]
    of: tuple[str, ...] | None = None


class BillParameters(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What a bill job asked for that changes the bills it makes; absent means what the organisation is set to."""

    bill_date: date | None = None
    due_date: date | None = None
    external_invoice_date: date | None = None
    target_currency: str | None = None
    currency_conversions: tuple[CurrencyConversion, ...] | None = None
    timezone: str | None = None
    day_epoch: date | None = None
    week_epoch: date | None = None
    month_epoch: date | None = None
    year_epoch: date | None = None


class EarlierBill(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A bill that stays and for which something came late: what it was computed from, what is measured `now` (up to the
    bill that adjusts it), and what others have adjusted, by line, in its currency. `levels` are other counter levels in
    force now, `ahead_until` the charges in advance that are compared, `reported` the meters that are not billed."""

    bill_id: str
    version: int
    currency: str
    billing_frequency: Frequency
    bill_frequency_interval: int
    period: Period
    uses: tuple[Used, ...]
    parameters: BillParameters
    up_to: int
    then: tuple[Answer, ...]
    now: tuple[Answer, ...]
    elsewhere: dict[str, Decimal] = {}
    grouping: str = ""
    before: tuple[BillBefore, ...] = ()
    levels: tuple[Used, ...] | None = None
    ahead_until: Instant | None = None
    reported: tuple[str, ...] = ()


class Evidence(msgspec.Struct, frozen=True, gc=False, kw_only=True, rename="camel"):
    """What a bill was computed from, complete enough to compute it again.

    `up_to` is the journal position read up to, `uses` every configured thing with its version, `digest` the SHA-256
    of the calculated content (see `digest_of`).
    """

    engine_version: str
    up_to: int
    as_of: Instant
    uses: tuple[Used, ...]
    parameters: BillParameters
    answers: tuple[Answer, ...]
    digest: str
    grouping: str = ""  # the contract or bill grouping key whose own bill it is
    before: tuple[BillBefore, ...] = ()  # what was charged in advance for this bill's period
    openings: tuple[Opening, ...] = ()  # what there was of each credit to draw
    earlier: tuple[EarlierBill, ...] = ()  # that this bill adjusts for usage that came late
    late_levels: str = ""  # the counter adjustments until its end that it reckons with (see core.late_levels)


class BillRecord(msgspec.Struct, frozen=True, gc=False, kw_only=True, rename="camel"):
    """A bill as it is stored: document kind `bill`, the body being this in JSON. `workings` is by line id."""

    bill: Bill
    workings: dict[str, Working]
    evidence: Evidence

    def working(self, line_id: str) -> Working:
        """The working of one of the bill's lines."""
        return self.workings[line_id]


# Fields that say in which state a bill is and who touched it when, not what was calculated.
_STATE_FIELDS = frozenset(
    {
        "version",
        "status",
        "locked",
        "bill_job_id",
        "json_statement_generated",
        "csv_statement_generated",
        "statement_stale",
        "created_date",
        "last_calculated_date",
        "dt_created",
        "dt_last_modified",
        "created_by",
        "last_modified_by",
        "sequential_invoice_number",
        "external_invoice_reference",
        "dt_approved",
        "approved_by",
        "dt_locked",
        "locked_by",
    }
)


def calculated_content(bill: Bill, workings: dict[str, Working]) -> dict[str, object]:
    """What was calculated, without state: two runs that agree here made the same bill."""
    names = zip(Bill.__struct_fields__, Bill.__struct_encode_fields__, strict=True)
    content: dict[str, object] = {wire: getattr(bill, name) for name, wire in names if name not in _STATE_FIELDS}
    content["workings"] = workings
    return content


class Written(msgspec.Struct, frozen=True):
    """The lines of a bill and their workings as JSON: most of it, written once for its digest and its stored form."""

    line_items: msgspec.Raw
    workings: msgspec.Raw


def written(bill: Bill, workings: dict[str, Working]) -> Written:
    """The lines and the workings of a bill as they are stored."""
    return Written(msgspec.Raw(encode(bill.line_items)), msgspec.Raw(encode(workings)))


# For more bytes than these hashlib gives the interpreter's lock away, and waits for it longer than a bill takes.
_AT_ONCE = 2_047

# What is calculated of a bill besides its lines, in the order of its fields.
calculated_fields = attrgetter(*(name for name in Bill.__struct_fields__ if name not in {*_STATE_FIELDS, "line_items"}))


def digest_of(bill: Bill, workings: dict[str, Working], as_written: Written | None = None) -> str:
    """SHA-256, in hexadecimal, of what was calculated: the other fields as a JSON array in their order, then the lines,
    then the workings, as they are stored (`as_written`, where they have been written already)."""
    parts = as_written or written(bill, workings)
    return digest_of_text(b"".join((encode(calculated_fields(bill)), parts.line_items, parts.workings)))


def digest_of_text(text: bytes) -> str:
    """The digest of what was calculated, written as `digest_of` says."""
    digest = sha256()
    for start in range(0, len(text), _AT_ONCE):
        digest.update(text[start : start + _AT_ONCE])
    return digest.hexdigest()


def body_of(record: BillRecord, as_written: Written | None = None) -> bytes:
    """A bill as it is stored: `BillRecord` in JSON."""
    parts = as_written or written(record.bill, record.workings)
    bill = msgspec.structs.replace(record.bill, line_items=parts.line_items)
    return encode(msgspec.structs.replace(record, bill=bill, workings=parts.workings))


def period_key(account_id: str, frequency: Frequency, interval: int, period: Period, grouping: str = "") -> str:
    """What makes a bill unique in its organisation: account, frequency, interval and period, and the contract or
    grouping key whose own bill it is."""
    start = period.end if frequency is Frequency.MIXED else period.start  # how long it reaches back is no identity
    parts = (account_id, frequency, str(interval), start.wire(), period.end.wire())
    return "/".join((*parts, grouping) if grouping else parts)


def bill_id(organization_id: str, key: str) -> str:
    """The id of the bill with this period key: the same for ever, so that running again finds the same bill."""
    return named_id(NAMESPACE, f"bill/{organization_id}/{key}")


def line_id(of_bill: str, key: str) -> str:
    """The id of a line of a bill, from what the line is for."""
    return named_id(of_bill, key)


def document_keys(bill: Bill, grouping: str) -> dict[str, str]:
    """The texts a stored bill can be looked up by. Dates are ISO 8601; instants sort as text."""
    period = Period(bill.start_date_time_utc, bill.end_date_time_utc)
    own = {} if (number := bill.sequential_invoice_number) is None else {"invoice_number": number}
    return own | {
        "account_id": bill.account_id,
        "status": bill.status.value,
        "locked": "true" if bill.locked else "false",
        "billing_frequency": bill.billing_frequency.value,
        "bill_date": bill.bill_date.isoformat(),
        "external_invoice_date": bill.external_invoice_date.isoformat(),
        "job_id": bill.bill_job_id,
        "start_date": bill.start_date.isoformat(),
        "end_date": bill.end_date.isoformat(),
        "end_month": (bill.end_date - timedelta(days=1)).isoformat()[:7],
        "currency": bill.currency,
        "total": plain(bill.bill_total),
        "period_key": period_key(
            bill.account_id, bill.billing_frequency, bill.bill_frequency_interval, period, grouping
        ),
    }


def approve(bill: Bill, *, by: str, at: datetime) -> Bill:
    """PENDING becomes APPROVED; an approved bill stays as it is. Refusal `bill_locked` for a locked one."""
    if bill.locked:
        raise Refusal("bill_locked", f"bill {bill.id} is locked and cannot be approved again")
    if bill.status is BillStatus.APPROVED:
        return bill
    now = Instant.of(at)
    return _touched(bill, by, now, status=BillStatus.APPROVED, dt_approved=now, approved_by=by)


def reopen(bill: Bill, *, by: str, at: datetime) -> Bill:
    """APPROVED goes back to PENDING. Refusal `bill_locked` for a locked bill."""
    if bill.locked:
        raise Refusal("bill_locked", f"bill {bill.id} is locked: its status is final")
    if bill.status is BillStatus.PENDING:
        return bill
    return _touched(bill, by, Instant.of(at), status=BillStatus.PENDING, dt_approved=None, approved_by=None)


def lock(bill: Bill, *, by: str, at: datetime) -> Bill:
    """An APPROVED bill becomes final. Refusal `bill_state` for a PENDING one; a locked one stays as it is."""
    if bill.locked:
        return bill
    if bill.status is not BillStatus.APPROVED:
        raise Refusal("bill_state", f"bill {bill.id} is {bill.status}; only an APPROVED bill can be locked")
    now = Instant.of(at)
    return _touched(bill, by, now, locked=True, dt_locked=now, locked_by=by)


def _touched(bill: Bill, by: str, now: Instant, **changes: object) -> Bill:
    return msgspec.structs.replace(bill, version=bill.version + 1, dt_last_modified=now, last_modified_by=by, **changes)
