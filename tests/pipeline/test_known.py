"""What was believed about a period at a moment, and what changed since: usage, prices and plans as they were known."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from billing_desk import ADA, NOVEMBER, Desk, calls_world

from billing_world import CREATED, World, at, bands, id_of
from tallystick.core.bill_job import BillJobRequest
from tallystick.core.catalog import Pricing
from tallystick.core.entity import Entity
from tallystick.core.known import Knowledge
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.pipeline.known import known

Opener = Callable[[World], Desk]
THEN, NOW = at("2030-12-10"), at("2030-12-20")


def asked(desk: Desk, position: int, moment: Instant = THEN, **more: Any) -> Knowledge:
    request = BillJobRequest(account_ids=(id_of("account", "acme"),), **NOVEMBER | more)
    return known(
        desk.records,
        desk.usage,
        request,
        at=(moment, position),
        now=(NOW, desk.usage_store.mark),
        actor=ADA,
    )


def repriced(desk: Desk, price: str, moment: Instant) -> None:
    """The price list is edited at a moment."""
    before = desk.records.get(Pricing, id_of("pricing", "price"))
    assert before is not None
    value = Pricing(
        **{name: getattr(before.value, name) for name in Pricing.__struct_fields__}
        | {"pricing_bands": bands((0, price))}
    )
    with desk.records.transaction() as write:
        write.replace(
            Entity(
                id=before.id,
                version=before.version + 1,
                value=value,
                created=before.created,
                created_by=before.created_by,
                modified=moment,
                modified_by="eve",
            )
        )


def test_usage_and_prices_as_they_were_known(open_desk: Opener) -> None:
    """On 10 December: 100 calls at 0.10 and a fee of 5.00, 15.00. Since then 20 more came and the price was put up to
    0.20: 29.00. Of the 14.00 more, 2.00 are volume at the price then, and 12.00 price."""
    desk = open_desk(calls_world())
    desk.use("acme", "2023-11-05", calls=100)
    desk.use("acme", "2023-11-06", calls=20)
    repriced(desk, "0.20", at("2030-12-15"))
    found = asked(desk, position=1)
    assert found.then.bill is not None
    assert found.now.bill is not None
    assert (found.then.bill.bill_total, found.now.bill.bill_total) == (Decimal("15.00"), Decimal("29.00"))
    assert found.difference == Decimal("14.00")
    assert found.bridge is not None
    assert {step.cause: step.amount for step in found.bridge.steps if step.amount} == {
        "VOLUME": Decimal("2.00"),
        "PRICE": Decimal("12.00"),
    }
    (usage,) = found.usage
    assert (usage.total_then, usage.total_now, usage.measurements_then, usage.measurements_now) == (100, 120, 1, 2)
    (configured,) = found.configuration
    assert (configured.kind, configured.version_then, configured.version_now) == ("pricing", 1, 2)
    assert found.stored is None


def test_when_nothing_changed_both_are_the_same(open_desk: Opener) -> None:
    desk = open_desk(calls_world())
    desk.use("acme", "2023-11-05", calls=100)
    found = asked(desk, position=1)
    assert (found.difference, found.usage, found.configuration) == (0, (), ())


def test_the_stored_bill_says_whether_it_was_there_then(open_desk: Opener) -> None:
    desk = open_desk(calls_world())
    desk.use("acme", "2023-11-05", calls=100)
    desk.run(now="2030-12-05T00:00:00Z", **NOVEMBER)
    stored = asked(desk, position=1).stored
    assert stored is not None
    assert (stored.bill_total, stored.as_then) == (Decimal("15.00"), True)
    stored = asked(desk, position=1, moment=at("2030-12-01")).stored
    assert stored is not None
    assert not stored.as_then


def test_what_was_removed_since_stood_then(open_desk: Opener) -> None:
    desk = open_desk(calls_world())
    desk.use("acme", "2023-11-05", calls=100)
    price = desk.records.get(Pricing, id_of("pricing", "price"))
    assert price is not None
    with desk.records.transaction() as write:
        write.remove(price, at=at("2030-12-15"), by="eve")
    found = asked(desk, position=1)
    assert found.then.bill is not None
    assert found.then.bill.bill_total == Decimal("15.00")
    assert found.now.bill is not None
    assert found.now.bill.bill_total == Decimal("5.00")


def test_before_there_was_a_plan_there_was_no_bill(open_desk: Opener) -> None:
    desk = open_desk(calls_world())
    before = Instant.of(CREATED.replace(year=CREATED.year - 1))
    found = asked(desk, position=0, moment=before)
    assert found.then.bill is None
    assert "there is no account" in found.then.problem
    assert found.now.bill is not None
    with pytest.raises(Refusal, match="there is no account"):
        known(
            desk.records,
            desk.usage,
            BillJobRequest(account_ids=(id_of("account", "nobody"),), **NOVEMBER),
            at=(THEN, 0),
            now=(NOW, 0),
            actor=ADA,
        )
