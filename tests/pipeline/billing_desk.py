"""Bills on real records, with usage in the reference store: what the tests of billing work with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

from billing_world import CREATED, World, at, bands, id_of
from records_file import new_records
from tallystick.core import wire
from tallystick.core.bill import Bill, BillRecord
from tallystick.core.bill_job import BillJob, BillJobRequest, BillRecalculateRequest
from tallystick.pipeline.bill_job import create_job, create_recalculation
from tallystick.pipeline.bill_run import Failpoint, Foundry, run_job
from tallystick.ports import (
    Actor,
    DocumentWhere,
    Organization,
    OrganizationRecords,
    OrganizationUsage,
    Page,
    UsageRow,
    UsageStore,
)
from tallystick.stores.memory import MemoryUsage
from tallystick.stores.records_sql import SqlRecords

ADA = Actor("ada", "SERVICE_USER")


@dataclass
class Desk:
    """An organisation with its records and usage; `now` and ids are given by counting."""

    directory: Path
    world: World
    store: SqlRecords = field(init=False)
    usage_store: UsageStore = field(default_factory=MemoryUsage)
    stored: int = 0
    numbers: Any = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        self.store = new_records(self.directory / "records.db")
        self.store.add_organization(Organization(id=self.world.organization_id, name="Test", created=CREATED))
        self.save()

    def close(self) -> None:
        self.store.close()

    @property
    def records(self) -> OrganizationRecords:
        return self.store.organization(self.world.organization_id)

    @property
    def usage(self) -> OrganizationUsage:
        return self.usage_store.organization(self.world.organization_id)

    def save(self) -> None:
        """Write what was added to the world since."""
        self.stored = self.world.store(self.records, after=self.stored)

    def use(
        self, account: str, when: str, meter: str = "requests", texts: dict[str, str] | None = None, **numbers: object
    ) -> None:
        """One accepted measurement; keywords are the fields' values."""
        position = self.usage_store.mark + 1
        row = UsageRow(
            position=position,
            organization_id=self.world.organization_id,
            meter_id=id_of("meter", meter),
            account_id=id_of("account", account),
            uid=str(position),
            ts=at(when),
            ets=None,
            received=at(when),
            numbers={name: Decimal(str(value)) for name, value in numbers.items()},
            texts=texts or {},
        )
        self.usage_store.add([row], position)

    def ask(self, now: str = "2023-12-01T06:00:00Z", **request: Any) -> BillJob:
        """A new job, not run yet."""
        id_ = id_of("job", str(next(self.numbers)))
        up_to = self.usage_store.mark
        return create_job(self.records, BillJobRequest(**request), id=id_, actor=ADA, now=at(now), up_to=up_to)

    def run(
        self,
        now: str = "2023-12-01T06:00:00Z",
        *,
        chunk_size: int = 500,
        foundry: Foundry | None = None,
        **request: Any,
    ) -> BillJob:
        """A new job, run to its end."""
        return self.go_on(self.ask(now, **request).id, chunk_size=chunk_size, foundry=foundry)

    def go_on(
        self,
        job_id: str,
        *,
        failpoint: Failpoint = lambda _: None,
        stopping: Callable[[], bool] = lambda: False,
        chunk_size: int = 500,
        foundry: Foundry | None = None,
    ) -> BillJob:
        return run_job(
            self.records,
            self.usage,
            job_id,
            failpoint=failpoint,
            stopping=stopping,
            chunk_size=chunk_size,
            foundry=foundry,
        )

    @property
    def url(self) -> str:
        """Where the records are."""
        return f"sqlite:///{self.directory / 'records.db'}"

    def recalculate(self, ids: Iterable[str], now: str = "2023-12-05T06:00:00Z") -> BillJob:
        request = BillRecalculateRequest(bill_ids=tuple(ids))
        id_ = id_of("job", str(next(self.numbers)))
        up_to = self.usage_store.mark
        job = create_recalculation(self.records, request, id=id_, actor=ADA, now=at(now), up_to=up_to)
        return self.go_on(job.id)

    def bodies(self) -> dict[str, bytes]:
        """Every stored bill as its bytes."""
        found = self.records.documents("bill", DocumentWhere(), Page(size=10_000)).rows
        return {each.id: each.body for each in found}

    def bill_records(self) -> list[BillRecord]:
        """Every stored bill, by account and start."""
        found = [wire.decode(BillRecord, body) for body in self.bodies().values()]
        return sorted(found, key=lambda each: (each.bill.account_code, each.bill.start_date_time_utc, each.bill.id))

    def bills(self) -> list[Bill]:
        return [each.bill for each in self.bill_records()]

    def put(self, record: BillRecord) -> None:
        """Overwrite a stored bill, as the desk does when someone approves or locks it."""
        from tallystick.core.revisit import once_final
        from tallystick.pipeline.bill import document_of
        from tallystick.pipeline.lookback import revisit_document

        final = once_final(record)
        with self.records.transaction() as write:
            write.put_documents("bill", [document_of(record)])
            write.put_documents("billrevisit", [revisit_document(final)] if final else [])


def calls_world(*accounts: str, start: str = "2023-01-01", price: str = "0.10", fee: str = "5.00") -> World:
    """One plan: a fee and a price per call; every account has it."""
    world = World()
    world.template(standing_charge=Decimal(fee))
    world.aggregation("calls")
    world.plan()
    world.pricing("price", bands((0, price)))
    for account in accounts or ("acme",):
        world.account(account)
        world.account_plan(account=account, start=start)
    return world


NOVEMBER = {"last_date_in_billing_period": date(2023, 11, 30)}
