"""A bill keeps the hash of the measurements behind it, and they are held against it, whatever the sums say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest
from billing_desk import ADA, NOVEMBER, Desk, calls_world

from billing_world import World, at
from tallystick.control.bills import BillFilter, approve_bills, set_status
from tallystick.control.desk import Desk as ActDesk
from tallystick.control.seals import seal_document
from tallystick.core.bill import BillRecord, BillStatus
from tallystick.core.seal import KIND, BillSeal
from tallystick.pipeline.seal import read_seal, seal_pending
from tallystick.pipeline.verify import verify_bill
from tallystick.pipeline.verify_job import CHUNK, cancel_job, create_job, list_jobs, read_job, run_chunk
from tallystick.ports import DocumentWhere, Page

Opener = Callable[[World], Desk]
NOW = at("2023-12-02")


def desk_of(desk: Desk) -> ActDesk:
    return ActDesk(records=desk.records, actor=ADA, now=NOW)


def sealed(desk: Desk) -> BillRecord:
    """November of three measurements, approved and sealed."""
    for number, calls in enumerate((10, 20, 30), start=1):
        desk.use("acme", f"2023-11-{number:02}", calls=calls)
    desk.run(**NOVEMBER)
    (record,) = desk.bill_records()
    set_status(desk_of(desk), record.bill.id, BillStatus.APPROVED)
    assert read_seal(desk.records, record) is None, "ordered, and not made yet"
    assert seal_pending(desk.records, desk.usage, 0, NOW) == (1, False), "the usage store must have what the bill read"
    assert seal_pending(desk.records, desk.usage, desk.usage_store.mark, NOW) == (0, True)
    return record


def test_an_approved_bill_is_sealed_and_stands_up(open_desk: Opener) -> None:
    desk = open_desk(calls_world())
    record = sealed(desk)
    seal = read_seal(desk.records, record)
    assert seal is not None
    assert [each.measurements for each in seal.sets] == [3]
    found = verify_bill(desk.records, desk.usage, record)
    assert (found.verified, found.sealed) == (True, True)
    desk.use("acme", "2023-11-05", calls=1000)
    assert verify_bill(desk.records, desk.usage, record).verified, "what comes later is none of its business"


@pytest.mark.parametrize(
    "changes", [{"uid": "another"}, {"ts": at("2023-11-09")}], ids=["another measurement", "another time"]
)
def test_measurements_that_add_up_and_are_others_are_found(open_desk: Opener, changes: dict[str, object]) -> None:
    """Somebody exchanged a measurement in the usage store for another of the same quantity: sum and count agree."""
    desk = open_desk(calls_world())
    record = sealed(desk)
    rows = desk.usage_store._rows  # type: ignore[attr-defined]  # of the store of quick tests, behind its back
    rows[2] = replace(rows[2], **changes)
    found = verify_bill(desk.records, desk.usage, record)
    assert not found.verified
    assert found.difference is not None
    assert found.difference.startswith("the measurements behind the SUM of calls from 2023-11-01")
    assert found.difference.endswith("as many as were sealed, but not the same")


def test_a_seal_is_kept_while_the_bill_is_the_same_and_made_anew_for_another(open_desk: Opener) -> None:
    desk = open_desk(calls_world())
    record = sealed(desk)
    before = read_seal(desk.records, record)
    for status in (BillStatus.PENDING, BillStatus.APPROVED):
        set_status(desk_of(desk), record.bill.id, status)
    assert read_seal(desk.records, record) == before
    set_status(desk_of(desk), record.bill.id, BillStatus.PENDING)
    desk.use("acme", "2023-11-06", calls=5)
    desk.recalculate([record.bill.id])
    (record,) = desk.bill_records()
    assert read_seal(desk.records, record) is None, "it is of the calculation before"
    approve_bills(desk_of(desk), BillFilter(ids=(record.bill.id,)))
    assert seal_pending(desk.records, desk.usage, desk.usage_store.mark, NOW) == (0, True)
    after = read_seal(desk.records, record)
    assert after is not None
    assert [each.measurements for each in after.sets] == [4]


def test_a_bill_that_is_gone_is_not_sealed(open_desk: Opener) -> None:
    desk = open_desk(calls_world())
    with desk.records.transaction() as write:
        write.put_documents(KIND, [seal_document(BillSeal(bill_id="gone", digest=""))])
    assert seal_pending(desk.records, desk.usage, 0, NOW) == (0, True)
    assert desk.records.documents(KIND, DocumentWhere(), Page()).rows == ()


# ------------------------------------------------------------------------------------------------------ all bills


def test_all_bills_are_verified_in_chunks_and_those_that_fail_are_named(open_desk: Opener) -> None:
    accounts = [f"a{number:03}" for number in range(CHUNK + 3)]
    desk = open_desk(calls_world(*accounts))
    desk.use("a000", "2023-11-05", calls=7)
    desk.run(**NOVEMBER)
    first = desk.bill_records()[0]
    bill = msgspec.structs.replace(first.bill, bill_total=first.bill.bill_total + 1)
    desk.put(msgspec.structs.replace(first, bill=bill))
    job = create_job(desk.records, id="11111111-1111-4111-8111-111111111111", actor=ADA, now=NOW)
    job = run_chunk(desk.records, desk.usage, job.id, mark=desk.usage_store.mark, now=NOW)
    assert (job.status, job.done) == ("RUNNING", CHUNK)
    job = run_chunk(desk.records, desk.usage, job.id, mark=desk.usage_store.mark, now=NOW)
    assert (job.status, job.done, job.verified, job.failed) == ("COMPLETE", CHUNK + 3, CHUNK + 2, 1)
    (failure,) = job.failures
    assert (failure.bill_id, failure.account_code) == (first.bill.id, "a000")
    assert "changed after calculation" in failure.difference
    assert run_chunk(desk.records, desk.usage, job.id, mark=0, now=NOW) == job, "a finished one stays as it is"
    assert list_jobs(desk.records, Page(), active=True).rows == ()


def test_a_verification_that_was_stopped_stays_so(open_desk: Opener) -> None:
    desk = open_desk(calls_world())
    job = create_job(desk.records, id="11111111-1111-4111-8111-111111111111", actor=ADA, now=NOW)
    assert cancel_job(desk.records, job.id, now=NOW).status == "CANCELLED"
    assert run_chunk(desk.records, desk.usage, job.id, mark=0, now=NOW).status == "CANCELLED"
    assert read_job(desk.records, job.id).done == 0
