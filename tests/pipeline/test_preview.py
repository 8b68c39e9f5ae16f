"""Previews: the bill that a run would make, made without a run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from billing_desk import ADA, NOVEMBER, Desk, calls_world

from billing_world import World, at, id_of
from tallystick.core.bill import BillRecord
from tallystick.core.bill_job import BillJobRequest
from tallystick.core.organization import CurrencyConversion
from tallystick.core.period import Frequency
from tallystick.errors import Refusal
from tallystick.pipeline.preview import preview_bill

Opener = Callable[[World], Desk]
ACME = (id_of("account", "acme"),)


def preview(desk: Desk, now: str = "2023-11-20T06:00:00Z", up_to: int | None = None, **request: Any) -> BillRecord:
    request = {"account_ids": ACME} | request
    upto = desk.usage_store.mark if up_to is None else up_to
    return preview_bill(desk.records, desk.usage, BillJobRequest(**request), actor=ADA, now=at(now), up_to=upto)


def test_a_preview_without_a_date_is_of_the_open_period(open_desk: Opener) -> None:
    desk = open_desk(calls_world())
    desk.use("acme", "2023-11-05", calls=100)
    found = preview(desk).bill
    assert (found.start_date, found.end_date) == (date(2023, 11, 1), date(2023, 12, 1))
    assert str(found.bill_total) == "15.00"  # 5.00 and 100 calls at 0.10
    assert desk.bodies() == {}, "nothing is stored"


@pytest.mark.parametrize(
    ("asked", "start"),
    [
        ({"last_date_in_billing_period": date(2023, 10, 31)}, date(2023, 10, 1)),
        ({"last_date_in_billing_period": date(2023, 12, 31)}, date(2023, 12, 1)),
        ({"bill_date": date(2023, 11, 15)}, date(2023, 10, 1)),
        ({"bill_date": date(2023, 12, 1)}, date(2023, 11, 1)),
    ],
)
def test_a_date_names_the_period_as_for_a_run(open_desk: Opener, asked: dict[str, Any], start: date) -> None:
    assert preview(open_desk(calls_world()), **asked).bill.start_date == start


def test_the_bill_that_a_run_then_makes_has_the_digest_of_the_preview(open_desk: Opener) -> None:
    desk = open_desk(calls_world())
    desk.use("acme", "2023-11-05", calls=7)
    seen = preview(desk, **NOVEMBER)
    desk.run(**NOVEMBER)
    (made,) = desk.bill_records()
    assert made.evidence.digest == seen.evidence.digest
    assert made.bill.id == seen.bill.id


def test_a_preview_speaks_up_to_its_position(open_desk: Opener) -> None:
    desk = open_desk(calls_world())
    desk.use("acme", "2023-11-05", calls=100)
    before = desk.usage_store.mark
    desk.use("acme", "2023-11-06", calls=100)
    assert str(preview(desk, up_to=before).bill.bill_total) == "15.00"
    assert str(preview(desk).bill.bill_total) == "25.00"


def test_a_stored_bill_stays_as_it_is(open_desk: Opener) -> None:
    desk = open_desk(calls_world())
    desk.run(**NOVEMBER)
    before = desk.bodies()
    desk.use("acme", "2023-11-05", calls=100)
    assert str(preview(desk, **NOVEMBER).bill.bill_total) == "15.00"
    assert desk.bodies() == before


@pytest.mark.parametrize(
    ("request_", "code", "said"),
    [
        ({"account_ids": None}, "invalid_request", "accountIds: a preview is of exactly one account, got 0"),
        ({"account_ids": (*ACME, id_of("account", "other"))}, "invalid_request", "exactly one account, got 2"),
        ({"account_ids": (id_of("account", "nobody"),)}, "unknown_reference", "accountIds: there is no account"),
        ({"last_date_in_billing_period": date(2023, 11, 29)}, "no_billing_period", "no plan in force"),
        ({"billing_frequency": Frequency.DAILY}, "no_billing_period", "no plan in force"),
        ({"target_currency": "EUR"}, "missing_conversion_rate", "no conversion rate from 'USD' to 'EUR'"),
    ],
)
def test_what_cannot_be_previewed_is_refused(open_desk: Opener, request_: dict[str, Any], code: str, said: str) -> None:
    with pytest.raises(Refusal) as refused:
        preview(open_desk(calls_world()), **request_)
    assert refused.value.code.name == code
    assert said in refused.value.message


def test_an_account_with_several_bills_is_asked_which(open_desk: Opener) -> None:
    world = calls_world()
    daily = world.template("daily", bill_frequency=Frequency.DAILY)
    world.account_plan(world.plan("daily", daily))
    desk = open_desk(world)
    with pytest.raises(Refusal, match=r"several bills, name one of: DAILY every 1 from .*, MONTHLY every 1 from"):
        preview(desk)
    assert preview(desk, billing_frequency=Frequency.DAILY).bill.end_date == date(2023, 11, 21)


def test_a_rate_is_shown_as_it_was_asked_for_also_after_a_look_with_an_equal_one(open_desk: Opener) -> None:
    desk = open_desk(calls_world())
    for text in ("1.10", "1.1"):
        rate = CurrencyConversion(from_="USD", to="EUR", multiplier=Decimal(text))
        seen = preview(desk, target_currency="EUR", currency_conversions=(rate,))
        assert [str(each.multiplier) for each in seen.bill.currency_conversions] == [text]
