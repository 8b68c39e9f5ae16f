"""Scheduled events: each date is told once, when it has come, whatever happens in between."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from shop import Shop

from tallystick.control.contracts import CONTRACTS
from tallystick.control.desk import Desk
from tallystick.control.scheduled_events import SCHEDULED_EVENTS, tell_due
from tallystick.core.contract import Contract
from tallystick.core.period import Instant
from tallystick.core.scheduled_event import ScheduledEventConfiguration
from tallystick.outbox import EVENT
from tallystick.ports import DocumentWhere, Page

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
