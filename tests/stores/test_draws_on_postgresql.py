"""Sixteen processes run the same and overlapping bill jobs on one PostgreSQL, and some die: each draw happens once."""

from __future__ import annotations

import os
import subprocess
import sys
from calendar import monthrange
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from drawing_process import ACCOUNTS, DIED, MONTHS, shop, usage

from billing_world import CREATED, at, id_of
from conftest import Server
from tallystick.core import wire
from tallystick.core.bill import BillRecord
from tallystick.core.bill_job import BillJobRequest, BillJobStatus
from tallystick.core.ledger import LedgerCause, LedgerEntry
from tallystick.core.quantity import negate, total
from tallystick.pipeline.bill_job import create_job, read_job
from tallystick.pipeline.ledger import document_of
from tallystick.pipeline.verify import verify_bill
from tallystick.ports import Actor, DocumentWhere, Organization, OrganizationRecords, Page
from tallystick.stores.records_sql import open_records

PROCESSES = 16
ADA = Actor("ada", "SERVICE_USER")
TESTS = Path(__file__).parent.parent


@pytest.fixture
def database(postgresql_server: Server, migrated_postgresql: str) -> Iterator[str]:
    name = postgresql_server.create(migrated_postgresql)
    yield postgresql_server.url(name)
    postgresql_server.run(f"DROP DATABASE {name} WITH (FORCE)")


def last_day(month: int) -> date:
    return date(2023, month, monthrange(2023, month)[1])


def prepare(records: OrganizationRecords) -> tuple[list[str], list[str]]:
    """The shop, 500 in each wallet, and the jobs: one per month for all accounts, and one per process for some."""
    shop().store(records)
    entries = [
        LedgerEntry(
            id=id_of("entry", account),
            credit_kind="BALANCE",  # type: ignore[arg-type]  # a StrEnum's own text
            credit_id=id_of("balance", f"wallet of {account}"),
            account_id=id_of("account", account),
            amount=Decimal(500),
            currency="USD",
            applied_date=at("2023-01-01"),
            transaction_date=at("2023-01-01"),
            entity_type=LedgerCause.SERVICE_USER,
            entity_id="ada",
            created=at("2023-01-01"),
            created_by="ada",
        )
        for account in ACCOUNTS
    ]
    with records.transaction() as write:
        write.put_documents("ledgerentry", [document_of(each) for each in entries])
    up_to, _ = usage()

    def job(name: str, month: int, **request: object) -> str:
        asked = BillJobRequest(last_date_in_billing_period=last_day(month), **request)  # type: ignore[arg-type]  # given by name
        return create_job(records, asked, id=id_of("job", name), actor=ADA, now=at("2023-06-01"), up_to=up_to).id

    shared = [job(f"all of {month}", month) for month in MONTHS]
    own = [
        job(
            f"some by {number}",
            MONTHS[number % 3],
            account_ids=tuple(id_of("account", ACCOUNTS[(number + step) % 6]) for step in range(3)),
        )
        for number in range(PROCESSES)
    ]
    return shared, own


def run(url: str, jobs: list[list[str]], seed: int) -> list[int]:
    """Start a process for each list of jobs; how they ended."""
    places = (TESTS, TESTS / "core", TESTS / "pipeline", TESTS / "stores")
    paths = os.pathsep.join([*map(str, places), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, str(TESTS / "stores" / "drawing_process.py"), url, *map(",".join, jobs)]
    environment = os.environ | {"PYTHONPATH": paths, "SEED": str(seed)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    codes = [int(code) for code in ended.stdout.split()]
    assert len(codes) == len(jobs), ended.stderr[-2000:]
    assert set(codes) <= {0, DIED}, ended.stderr[-2000:]
    return codes


def test_each_draw_happens_once(database: str) -> None:
    store = open_records(database)
    world = shop()
    store.add_organization(Organization(id=world.organization_id, name="Test", created=CREATED))
    records = store.organization(world.organization_id)
    shared, own = prepare(records)
    assert DIED in run(database, [[*shared, each] for each in own], seed=0), "some processes die half way"
    # Whoever comes after finishes what the dead have left.
    assert run(database, [[*shared, *own]], seed=2 * PROCESSES) == [0]

    assert {read_job(records, each).status for each in (*shared, *own)} == {BillJobStatus.COMPLETE}
    found = records.documents("bill", DocumentWhere(), Page(size=1_000)).rows
    every = sorted((wire.decode(BillRecord, each.body) for each in found), key=lambda each: each.bill.start_date)
    bills = [each for each in every if each.bill.account_code in ACCOUNTS]
    assert len(bills) == len(ACCOUNTS) * len(MONTHS)
    for number, account in enumerate(ACCOUNTS):
        totals = [f"{each.bill.bill_total:.2f}" for each in bills if each.bill.account_code == account]
        # 600 of usage; 500 in the wallet, and 150 more where there is a commitment.
        assert totals == (["0.00", "0.00", "0.00"] if number % 2 else ["0.00", "0.00", "100.00"])
    rows = records.documents("ledgerentry", DocumentWhere(), Page(size=1_000)).rows
    drawn = [each for row in rows if (each := wire.decode(LedgerEntry, row.body)).entity_type is LedgerCause.BILL]
    lines = {
        (each.bill.id, line.commitment_id or line.balance_id): negate(line.subtotal)
        for each in bills
        for line in each.bill.line_items
        if line.line_item_type.endswith("_CONSUMED")
    }
    assert {(each.entity_id, each.credit_id): negate(each.amount) for each in drawn} == lines
    assert len(drawn) == len(lines)
    assert total(each.amount for each in drawn) == -(6 * 500 + 3 * 100)
    for each in bills:
        verification = verify_bill(records, usage()[1], each)
        assert verification.verified, verification.difference
    store.close()
