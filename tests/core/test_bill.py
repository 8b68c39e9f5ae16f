"""A bill's identity, its states, and what its digest covers."""

from __future__ import annotations

from decimal import Decimal
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from billing_world import at
from tallystick.core import wire
from tallystick.core.bill import (
    Bill,
    BillRecord,
    BillStatus,
    LineItemType,
    approve,
    bill_id,
    digest_of,
    document_keys,
    line_id,
    lock,
    period_key,
    reopen,
)
from tallystick.core.bill_job import BillJobRequest, BillRecalculateRequest
from tallystick.core.period import Frequency, Period
from tallystick.errors import Refusal

NOVEMBER = Period(at("2023-11-01"), at("2023-12-01"))
ACCOUNT = "5f7f4a0e-2e9f-4c5e-9d55-9f9f5a2b1c11"
KEY = period_key(ACCOUNT, Frequency.MONTHLY, 1, NOVEMBER)


def a_bill(**changes: Any) -> Bill:
    now = at("2023-12-01")
    made = Bill(
        id=bill_id("org", KEY),
        version=1,
        account_id=ACCOUNT,
        account_code="acme",
        status=BillStatus.PENDING,
        locked=False,
        start_date=NOVEMBER.start.date(),
        end_date=NOVEMBER.end.date(),
        start_date_time_utc=NOVEMBER.start,
        end_date_time_utc=NOVEMBER.end,
        bill_date=NOVEMBER.end.date(),
        due_date=at("2023-12-31").date(),
        external_invoice_date=NOVEMBER.end.date(),
        billing_frequency=Frequency.MONTHLY,
        bill_frequency_interval=1,
        timezone="UTC",
        currency="USD",
        currency_conversions=(),
        bill_total=Decimal("73.84"),
        line_items=(),
        bill_job_id="job",
        json_statement_generated=False,
        csv_statement_generated=False,
        statement_stale=False,
        created_date=now,
        last_calculated_date=now,
        dt_created=now,
        dt_last_modified=now,
        created_by="ada",
        last_modified_by="ada",
    )
    return msgspec.structs.replace(made, **changes)


def test_ids_come_from_what_they_name() -> None:
    assert bill_id("org", KEY) == bill_id("org", KEY)
    others = {
        bill_id("other", KEY),
        bill_id("org", period_key(ACCOUNT, Frequency.WEEKLY, 1, NOVEMBER)),
        bill_id("org", period_key(ACCOUNT, Frequency.MONTHLY, 2, NOVEMBER)),
        bill_id("org", period_key(ACCOUNT, Frequency.MONTHLY, 1, Period(NOVEMBER.start, at("2023-12-02")))),
    }
    assert len(others | {bill_id("org", KEY)}) == 5
    assert line_id(bill_id("org", KEY), "a") != line_id(bill_id("org", KEY), "b")


def test_states_go_from_pending_to_approved_to_locked() -> None:
    pending = a_bill()
    approved = approve(pending, by="bob", at=at("2023-12-02"))
    assert (approved.status, approved.approved_by, approved.dt_approved) == ("APPROVED", "bob", at("2023-12-02"))
    assert approve(approved, by="eve", at=at("2023-12-03")) is approved
    locked = lock(approved, by="cyd", at=at("2023-12-04"))
    assert (locked.locked, locked.locked_by, locked.dt_locked, locked.version) == (True, "cyd", at("2023-12-04"), 3)
    assert lock(locked, by="eve", at=at("2023-12-05")) is locked


def test_approval_can_be_taken_back_until_the_bill_is_locked() -> None:
    approved = approve(a_bill(), by="bob", at=at("2023-12-02"))
    again = reopen(approved, by="cyd", at=at("2023-12-03"))
    assert (again.status, again.approved_by, again.dt_approved) == ("PENDING", None, None)
    assert reopen(again, by="cyd", at=at("2023-12-03")) is again


def test_only_an_approved_bill_can_be_locked_and_a_locked_one_is_final() -> None:
    with pytest.raises(Refusal, match="PENDING") as refused:
        lock(a_bill(), by="bob", at=at("2023-12-02"))
    assert refused.value.code.name == "bill_state"
    locked = lock(approve(a_bill(), by="b", at=at("2023-12-02")), by="b", at=at("2023-12-02"))
    for act in (approve, reopen):
        with pytest.raises(Refusal, match="locked") as refused:
            act(locked, by="bob", at=at("2023-12-05"))
        assert refused.value.code.name == "bill_locked"


def test_digest_covers_what_was_calculated_and_no_state() -> None:
    bill = a_bill()
    digest = digest_of(bill, {})
    locked = lock(approve(bill, by="b", at=at("2023-12-02")), by="b", at=at("2023-12-02"))
    numbered = msgspec.structs.replace(locked, sequential_invoice_number="INV-1", bill_job_id="another")
    assert digest_of(numbered, {}) == digest
    for change in (
        {"bill_total": Decimal("73.85")},
        {"currency": "EUR"},
        {"due_date": at("2024-01-01").date()},
        {"purchase_order_number": "PO"},
    ):
        assert digest_of(msgspec.structs.replace(bill, **change), {}) != digest


def test_digest_is_of_the_stored_json() -> None:
    """Of the calculated fields but the lines, as an array; then the lines; then the workings, however long they are."""
    bill = a_bill(purchase_order_number="é" * 3000)
    calculated = (
        f'["{bill.id}","{ACCOUNT}","acme","2023-11-01","2023-12-01","2023-11-01T00:00:00.000Z",'
        '"2023-12-01T00:00:00.000Z","2023-12-01","2023-12-31","2023-12-01","MONTHLY",1,"UTC","USD",[],73.84,'
        f'"{bill.purchase_order_number}"]'
    )
    assert digest_of(bill, {"line": ()}) == sha256(f'{calculated}[]{{"line":[]}}'.encode()).hexdigest()


def test_bill_on_the_wire() -> None:
    sent = wire.encode(a_bill())
    assert b'"startDateTimeUTC":"2023-11-01T00:00:00.000Z"' in sent
    assert b'"billTotal":73.84' in sent
    assert b"sequentialInvoiceNumber" not in sent  # what is absent is left out
    assert wire.decode(Bill, sent) == a_bill()


def test_document_keys_are_texts_that_sort_as_they_should() -> None:
    keys = document_keys(a_bill(), "")
    assert keys["period_key"] == KEY
    assert (keys["status"], keys["locked"], keys["end_date"]) == ("PENDING", "false", "2023-12-01")


def test_all_line_item_types_of_the_wire_are_known() -> None:
    assert len(LineItemType) == 19
    assert "working" not in BillRecord.__struct_encode_fields__  # it is `workings`, by line


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"accountIds": []}', "accountIds"),
        ('{"billingFrequency": "MIXED"}', "billingFrequency: give DAILY"),
        ('{"timezone": "Mars/Olympus"}', "timezone: unknown time zone"),
        ('{"targetCurrency": "EURO"}', "targetCurrency"),
        ('{"billFrequencyInterval": 0}', "billFrequencyInterval"),
        ('{"lastDateInBillingPeriod": "2023-13-01"}', "lastDateInBillingPeriod"),
        ('{"lastDateInBillingPeriod": "9999-12-31"}', "lastDateInBillingPeriod: must be a day of the years 1970"),
        ('{"monthEpoch": "0001-01-01"}', "monthEpoch: must be a day of the years 1970"),
        ('{"currencyConversions": [{"from": "USD", "to": "EUR", "multiplier": 0}]}', "multiplier: must be above 0"),
    ],
)
def test_bill_job_request_is_refused_with_the_field(body: str, message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        wire.decode(BillJobRequest, body)


def test_recalculation_names_its_bills() -> None:
    with pytest.raises(msgspec.ValidationError, match="billIds"):
        wire.decode(BillRecalculateRequest, '{"billIds": []}')
