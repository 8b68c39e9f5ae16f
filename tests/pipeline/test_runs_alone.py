"""What a run bills, many at a time and from moulds, is what each account is billed alone, and what was shown before."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from pathlib import Path
from random import Random

import msgspec
import pytest
from billing_desk import Desk
from hypothesis import given, settings
from hypothesis import strategies as st
from mixed_world import CODES, filled_up, mixed_world, used

from billing_world import at, id_of
from effort import drawing
from tallystick.core import wire
from tallystick.core.bill import BillRecord, body_of, document_keys
from tallystick.core.bill_job import BillFailure
from tallystick.pipeline import casting
from tallystick.pipeline.bill import Run, preview
from tallystick.pipeline.periods import Also, account_periods, ended_by
from tallystick.pipeline.verify import verify_bill
from tallystick.ports import Document, DocumentWhere, Page
from tallystick.stores.memory import MemoryUsage
from tallystick.stores.records_sql.remembered import Memory
from tallystick.stores.running_usage import RunningUsage

NONE_WORTH_A_MOULD = 10**9


def stored(desk: Desk) -> dict[str, Document]:
    return {each.id: each for each in desk.records.documents("bill", DocumentWhere(), Page(size=1_000)).rows}


def of_no_run(document: Document) -> tuple[dict[str, str], bytes]:
    """A stored bill, but for the job that made it and how often it was drawn anew on the way."""
    record = wire.decode(BillRecord, document.body)
    assert document.body == body_of(record)
    assert document.keys == document_keys(record.bill, record.evidence.grouping)
    bill = msgspec.structs.replace(record.bill, version=1, bill_job_id="", created_by="", last_modified_by="")
    return {**document.keys, "job_id": ""}, body_of(msgspec.structs.replace(record, bill=bill))


def alone(desk: Desk, now: str) -> list[BillFailure]:
    """Every account by a job of its own, in the order of a run; nothing is remembered and nothing cast."""
    failures: list[BillFailure] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(casting, "FEWEST", NONE_WORTH_A_MOULD)
        for code in sorted(CODES):
            desk.store._memory = Memory(most=0)
            done = desk.run(now, account_ids=(id_of("account", code),))
            failures += [each for each in done.failures if each.code != "no_billing_period"]
    return failures


def run(desk: Desk, now: str, chunk: int) -> list[BillFailure]:
    """All accounts at once; whatever may be cast is, and there is no second chance."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(casting, "FEWEST", 1)
        patched.setattr(casting, "_proven", lambda moulds, *_: moulds)
        return list(desk.run(now, chunk_size=chunk).failures)


def shown(desk: Desk, now: str) -> dict[str, str]:
    """The digests of the bills as they are previewed, each by itself, by id."""
    run = Run(job_id="", as_of=at(now), up_to=desk.usage_store.mark, actor_id="ada")
    found: dict[str, str] = {}
    for of in account_periods(desk.records, ended_by(at(now)), also=Also.ENDED_PLANS | Also.EARLIER_DAYS):
        (made,) = preview(desk.records, desk.usage, [of], run)
        if isinstance(made, BillRecord):
            found[made.bill.id] = made.evidence.digest
    return found


def told(failures: list[BillFailure]) -> list[tuple[str, str, str]]:
    return sorted((each.account_id, each.code, each.message) for each in failures)


@settings(**drawing(3, shrink=False))
@given(seed=st.integers(0, 2**48), chunk=st.sampled_from([3, 500]))
def test_a_run_bills_what_each_account_is_billed_alone(seed: int, chunk: int) -> None:
    world, chance = mixed_world(Random(seed)), Random(seed)
    months = [used(chance, month) + (used(chance, 10) if month == 11 else []) for month in (10, 11)]
    with tempfile.TemporaryDirectory() as directory:
        desks = []
        for name in ("run", "alone"):
            (Path(directory) / name).mkdir()
            desks.append(Desk(Path(directory) / name, world, usage_store=RunningUsage(MemoryUsage())))
            filled_up(desks[-1], Random(seed))
        one, other = desks
        try:
            for now, measured in zip(("2023-11-06T06:00:00Z", "2023-12-04T06:00:00Z"), months, strict=True):
                for desk in desks:
                    for account, when, amount, region in measured:
                        desk.use(account, when, texts={"region": region}, calls=amount, hours=Decimal(2))
                before, there = shown(one, now), stored(one)
                failures = run(one, now, chunk)
                assert told(failures) == told(alone(other, now))
                agree(one, other)
                as_shown(one, before, there)
        finally:
            for desk in desks:
                desk.close()


def agree(one: Desk, other: Desk) -> None:
    """Both have the same bills, and each stands up to a replay."""
    found, wanted = stored(one), stored(other)
    assert found.keys() == wanted.keys()
    for id_, document in found.items():
        assert of_no_run(document) == of_no_run(wanted[id_])
        assert (checked := verify_bill(one.records, one.usage, wire.decode(BillRecord, document.body))).verified, (
            checked
        )


def as_shown(desk: Desk, before: dict[str, str], there: dict[str, Document]) -> None:
    """What was billed is what a preview had shown just before, unless a bill before it drew on the same credit."""
    for record in desk.bill_records():
        if record.bill.id not in there and not record.evidence.openings:
            assert before[record.bill.id] == record.evidence.digest, record.bill.account_code
