"""Scheduled events: each date is told once, when it has come, whatever happens in between."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import msgspec
import pytest
from shop import Shop

from stripe_world import bill
from tallystick.control.accounts import ACCOUNTS
from tallystick.control.contracts import CONTRACTS
from tallystick.control.desk import Desk
from tallystick.control.scheduled_events import SCHEDULED_EVENTS, tell_due
from tallystick.core import wire
from tallystick.core.contract import Contract
from tallystick.core.organization import OrganizationConfig
from tallystick.core.period import Instant
from tallystick.core.scheduled_event import ScheduledEventConfiguration, due_of
from tallystick.outbox import EVENT
from tallystick.ports import Document, DocumentWhere, Page

NAME = "scheduled.contract.endsSoon"


@pytest.fixture
def later(desk: Desk) -> Desk:
    """The same desk on the day that the stories begin: 2026-06-01."""
    return replace(desk, now=Instant.parse("2026-06-01T00:00:00Z"))


def schedule(desk: Desk, offset: int) -> None:
    config = ScheduledEventConfiguration(name=NAME, entity="Contract", field="endDate", offset=offset)
    SCHEDULED_EVENTS.create(desk, config)


def contract(desk: Desk, shop: Shop, code: str, ends: str) -> str:
    body = {"accountId": shop.account, "name": code, "code": code, "startDate": "2025-01-01", "endDate": ends}
    return shop.make(CONTRACTS, **body)


def told(desk: Desk) -> list[str]:
    """When each event was due, earliest first."""
    where = DocumentWhere(equal={"event_name": (NAME,)})
    return [each.sort[:10] for each in desk.records.documents(EVENT, where, Page(oldest_first=True)).rows]


def on(desk: Desk, day: str) -> int:
    return tell_due(desk.records, Instant.parse(f"{day}T00:00:00Z"))


def test_a_date_is_told_once_when_it_has_come_also_after_a_standstill(desk: Desk, shop: Shop) -> None:
    contract(desk, shop, "a", "2090-07-10")
    contract(desk, shop, "b", "2090-08-10")
    schedule(desk, -30)
    assert [on(desk, "2090-06-09"), told(desk)] == [0, []]
    assert [on(desk, "2090-06-10"), told(desk)] == [1, ["2090-06-10"]]
    assert [on(desk, "2090-06-11"), told(desk)] == [0, ["2090-06-10"]]
    assert [on(desk, "2091-01-01"), told(desk)] == [1, ["2090-06-10", "2090-07-11"]]


def test_a_date_that_is_moved_is_told_again(desk: Desk, shop: Shop) -> None:
    id_ = contract(desk, shop, "a", "2090-07-10")
    schedule(desk, 1)
    assert on(desk, "2090-07-11") == 1
    before = desk.records.get(Contract, id_)
    assert before is not None
    moved = {name: getattr(before.value, name) for name in Contract.__struct_fields__}
    CONTRACTS.update(desk, id_, Contract(**{**moved, "end_date": before.value.end_date + timedelta(days=5)}), None)
    assert on(desk, "2090-07-20") == 1
    assert told(desk) == ["2090-07-11", "2090-07-16"]


def test_what_was_past_when_the_event_was_configured_is_not_told_but_what_is_written_later_is(
    desk: Desk, later: Desk, shop: Shop
) -> None:
    contract(desk, shop, "a", "2025-02-10")
    schedule(later, 0)
    assert on(later, "2026-06-02") == 0
    shop.desk = later
    contract(later, shop, "b", "2025-03-10")
    assert on(later, "2026-06-02") == 1
    assert told(later) == ["2025-03-10"]


def move_to(desk: Desk, zone: str) -> None:
    """The organisation has its days in this time zone."""
    with desk.records.transaction() as write:
        before = write.get(OrganizationConfig, write.organization_id)
        assert before is not None
        value = msgspec.structs.replace(before.value, timezone=zone)
        write.replace(replace(before, version=before.version + 1, value=value))


@pytest.mark.parametrize(
    ("ends", "begins"), [("2090-07-10", "2090-07-10T04:00:00Z"), ("2090-12-10", "2090-12-10T05:00:00Z")]
)
def test_a_day_begins_at_midnight_in_the_organisations_time_zone(
    desk: Desk, shop: Shop, ends: str, begins: str
) -> None:
    """As bills and what is overdue have it: in summer and in winter."""
    move_to(desk, "America/New_York")
    contract(desk, shop, "a", ends)
    schedule(desk, 0)
    moment = Instant.parse(begins)
    assert tell_due(desk.records, Instant.of(moment - timedelta(seconds=1))) == 0
    assert tell_due(desk.records, moment) == 1
    move_to(desk, "Europe/Berlin")
    assert tell_due(desk.records, Instant.of(moment + timedelta(days=9))) == 0, "it was told"


@pytest.mark.parametrize(
    ("moment", "days", "due"),
    [
        ("2026-03-07T15:00:00Z", 1, "2026-03-08T14:00:00Z"),  # at 10:00 in New York, on the day of the change too
        ("2026-03-08T14:00:00Z", -1, "2026-03-07T15:00:00Z"),
        ("2026-10-31T14:00:00Z", 1, "2026-11-01T15:00:00Z"),
        ("2026-06-01T14:00:00Z", 30, "2026-07-01T14:00:00Z"),
    ],
)
def test_days_after_a_moment_are_days_on_the_clock(moment: str, days: int, due: str) -> None:
    assert due_of(Instant.parse(moment), days, "America/New_York") == Instant.parse(due)
    assert due_of(date.max, 1, "America/New_York") is None


def test_a_bill_that_is_due_long_after_its_date_is_told_of(desk: Desk, shop: Shop) -> None:
    """Its account has 200 days to pay."""
    config = ScheduledEventConfiguration(name="scheduled.bill.due", entity="Bill", field="dueDate", offset=0)
    SCHEDULED_EVENTS.create(desk, config)
    account = ACCOUNTS.retrieve(desk.records, shop.account)
    ACCOUNTS.update(desk, account.id, msgspec.structs.replace(account.value, days_before_bill_due=200), None)
    dated = Instant.parse("2090-01-01T00:00:00Z")
    late = msgspec.structs.replace(
        bill("late"), bill_date=dated.date(), due_date=dated.date() + timedelta(days=200), dt_last_modified=dated
    )
    with desk.records.transaction() as write:
        keys = {"bill_date": late.bill_date.isoformat(), "period_key": late.id}
        write.put_documents("bill", [Document(id=late.id, sort="1", keys=keys, body=wire.encode({"bill": late}))])
    assert tell_due(desk.records, Instant.of(dated + timedelta(days=199))) == 0
    assert tell_due(desk.records, Instant.of(dated + timedelta(days=200))) == 1
