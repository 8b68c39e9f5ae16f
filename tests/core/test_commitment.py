"""The fees of commitments: spread over bills, or agreed for days."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_world import World, at, id_of
from credit_world import commitment, drawn, metered, terms_on
from tallystick.core.commitment import agreed_fees, fees_on, plan_fees
from tallystick.core.credit_types import Commitment, CommitmentFee
from tallystick.core.explain import explain_line
from tallystick.core.money import round_money
from tallystick.core.period import Frequency, Grid, Instant, Period
from tallystick.core.quantity import total

MONTHS = Grid(frequency=Frequency.MONTHLY, epoch=date(2022, 1, 1))
YEAR = Period(at("2023-01-01"), at("2024-01-01"))
NO_ONE = id_of("account", "acme")


def agreed(**given_: Any) -> Commitment:
    values: dict[str, Any] = {
        "account_id": NO_ONE,
        "amount": Decimal(15_000),
        "currency": "USD",
        "start_date": date(2023, 1, 1),
        "end_date": date(2024, 1, 1),
        "billing_plan_id": None if "fee_dates" in given_ else id_of("plan", "plan"),
    }
    return Commitment(**(values | given_))


def amounts(value: Commitment, term: Period = YEAR, grid: Grid = MONTHS) -> list[str]:
    return [str(fee.exact) for fee in plan_fees(value, term, grid, round_money)]


@pytest.mark.parametrize(
    ("given_", "fees"),
    [
        ({}, ["1250.00"] * 12),
        ({"amount_pre_paid": Decimal(3_000)}, ["1000.00"] * 12),
        ({"amount_first_bill": Decimal(4_000)}, ["4000", *["1000.00"] * 11]),
        ({"billing_interval": 3}, ["3750.00"] * 4),
        ({"billing_interval": 3, "billing_offset": 2}, ["3750.00"] * 4),
        ({"billing_interval": 6, "billing_offset": 7}, ["15000"]),
        ({"billing_offset": 40}, ["15000"]),
        ({"amount": Decimal(100), "billing_interval": 4}, ["33.33", "33.34", "33.33"]),
        ({"amount": Decimal("0.07")}, ["0.01"] * 7),  # what is due so far: 0.5833, 1.1667, 1.75 ... 7 cents
        ({"amount": Decimal(100), "amount_pre_paid": Decimal(100)}, []),
        ({"amount": Decimal(100), "amount_first_bill": Decimal(0), "billing_interval": 6}, ["100.00"]),
    ],
)
def test_fees_of_a_year_billed_monthly(given_: dict[str, Any], fees: list[str]) -> None:
    found = amounts(agreed(**given_))
    assert [Decimal(each) for each in found] == [Decimal(each) for each in fees]


def test_only_bills_that_close_within_the_term_have_fees() -> None:
    """From 15 January for a year the monthly bills close twelve times, on 1 February for the first."""
    term = Period(at("2023-01-15"), at("2024-01-15"))
    fees = plan_fees(agreed(), term, MONTHS, round_money)
    assert len(fees) == 12
    assert fees[0].service == Period(at("2023-01-15"), at("2023-02-01"))
    assert fees[-1].service == Period(at("2023-12-01"), at("2024-01-15"))


def test_a_term_shorter_than_a_billing_period_has_one_fee() -> None:
    term = Period(at("2023-01-10"), at("2023-01-20"))
    (fee,) = plan_fees(agreed(), term, MONTHS, round_money)
    assert fee.service == term


@pytest.mark.parametrize(
    ("month", "in_advance", "numbers"),
    [(1, False, [1]), (2, False, [2]), (12, False, [12]), (1, True, [1, 2]), (2, True, [3]), (12, True, [])],
)
def test_which_bill_a_fee_stands_on(month: int, in_advance: bool, numbers: list[int]) -> None:
    fees = plan_fees(agreed(), YEAR, MONTHS, round_money)
    period = MONTHS.period_of_day(date(2023, month, 5))
    assert [fee.number for fee in fees_on(fees, period, YEAR, MONTHS, in_advance=in_advance)] == numbers


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 300) | st.integers(1, 10_000_000),
    st.integers(0, 100),
    st.integers(0, 100),
    st.integers(1, 15),
    st.integers(0, 15),
    st.integers(0, 400),
    st.integers(1, 900),
    st.booleans(),
)
def test_every_fee_is_billed_once_and_all_add_up(
    cents: int, prepaid: int, first: int, interval: int, offset: int, start: int, days: int, in_advance: bool
) -> None:
    """Whatever the term and the interval, the bills of the plan come to the amount less what was paid beforehand."""
    amount = Decimal(cents) / 100
    paid = (amount * prepaid / 100).quantize(Decimal("0.01"))
    head = ((amount - paid) * first / 100).quantize(Decimal("0.01"))
    value = agreed(
        amount=amount,
        amount_pre_paid=min(paid, amount),
        amount_first_bill=min(head, amount - min(paid, amount)) if first else None,
        billing_interval=interval,
        billing_offset=offset,
    )
    day = date.fromordinal(date(2022, 6, 1).toordinal() + start)
    term = Period(Instant.midnight(day), Instant.midnight(date.fromordinal(day.toordinal() + days)))
    fees = plan_fees(value, term, MONTHS, round_money)
    assert total(fee.exact for fee in fees) == amount - min(paid, amount)
    assert all(fee.exact > 0 for fee in fees)
    billed = [
        fee.number
        for period in MONTHS.between(at("2022-01-01"), at("2027-01-01"))
        for fee in fees_on(fees, period, term, MONTHS, in_advance=in_advance)
    ]
    assert sorted(billed) == [fee.number for fee in fees]


def test_agreed_fees_keep_their_days_and_services() -> None:
    fee = CommitmentFee(
        date=date(2023, 3, 1),
        amount=Decimal(5_000),
        service_period_start_date=at("2023-01-01"),
        service_period_end_date=at("2023-04-01"),
    )
    ((found, made),) = agreed_fees(agreed(fee_dates=(fee,)))
    assert found is fee
    assert (made.exact, made.service) == (5_000, Period(at("2023-01-01"), at("2023-04-01")))


def _plan_of(world: World) -> str:
    return next(id_ for kind, id_ in world.entities if kind == "plan")


@pytest.mark.parametrize(
    ("config", "own", "fees"),
    [({}, None, 1), ({"commitment_fee_bill_in_advance": True}, None, 2), ({}, True, 2)],
)
def test_in_advance_by_its_own_setting_or_the_organisations(
    config: dict[str, bool], own: bool | None, fees: int
) -> None:
    world = metered()
    world.config(**config)
    commitment(world, billing_plan_id=_plan_of(world), commitment_fee_bill_in_advance=own)
    outcome = drawn(terms_on(world, "2023-01-10"))
    assert [str(line.item.line_item_type) for line in outcome.lines] == ["COMMITMENT_FEE"] * fees


def test_a_fee_is_told_in_words() -> None:
    world = metered()
    commitment(world, billing_plan_id=_plan_of(world), amount_pre_paid=Decimal(3_000))
    (line,) = drawn(terms_on(world, "2023-02-10")).lines
    told = explain_line(line.item, line.working)
    assert told.sentence == (
        "Commitment Fee: fee 2 of 12 for 15,000.00 less 3,000.00 paid beforehand: 1,000.00, which is 1,000.00 USD"
    )


def test_fees_are_never_drawn_from_credit() -> None:
    world = metered()
    commitment(world, billing_plan_id=_plan_of(world))
    assert drawn(terms_on(world, "2023-01-10"), commitment=15_000).draws == ()
