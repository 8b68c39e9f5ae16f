"""From one bill to the next by volume, price, mix, credits and corrections: steps that add up."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from test_comparison import FEE, GPT, D, line, lines, record, usage

from effort import drawing
from tallystick.core.bill import LineItem, LineItemType
from tallystick.core.bridge import Cause, bridge_between
from tallystick.core.entity import Used
from tallystick.errors import Refusal

SMALL = {"model": "small"}


def steps(before: list[LineItem], now: list[LineItem], version: int = 1) -> dict[str, str]:
    found = bridge_between(record("October", *before), record("November", *now, version=version))
    return {step.cause.lower(): str(step.amount) for step in found.steps if step.amount}


CASES = [
    # 100 at 1.00 and 100 at 0.10; then 150 and 50: as many together, but more of the dear ones.
    (
        [usage("100.00", "100", segment=GPT), usage("10.00", "100", segment=SMALL)],
        [usage("150.00", "150", segment=GPT), usage("5.00", "50", segment=SMALL)],
        {"mix": "45.00"},
    ),
    # The same shift and 100 more of the small: 300 instead of 200 at 0.55 on average are 55.00 more volume. 165 - 110
    # = 55.00 is all of the difference, so that nothing is left for mix ...
    (
        [usage("100.00", "100", segment=GPT), usage("10.00", "100", segment=SMALL)],
        [usage("150.00", "150", segment=GPT), usage("15.00", "150", segment=SMALL)],
        {"volume": "55.00"},
    ),
    # ... and of 100 more of the small alone, at 0.10: 55.00 volume, and 45.00 less since they are cheaper.
    (
        [usage("100.00", "100", segment=GPT), usage("10.00", "100", segment=SMALL)],
        [usage("100.00", "100", segment=GPT), usage("20.00", "200", segment=SMALL)],
        {"volume": "55.00", "mix": "-45.00"},
    ),
    # One thing alone has no mix: 30 for 10.00, then 40 for 16.00 of another list (see the comparison).
    ([usage("10.00", "30")], [usage("16.00", "40", pricing="q")], {"volume": "3.33", "price": "2.67"}),
    # A segment that is new: 10 for 10.00 became 10 of each, the new at 3.00. Volume 10 x 1.00, mix the other 20.00.
    (
        [usage("10.00", "10", segment=GPT)],
        [usage("10.00", "10", segment=GPT), usage("30.00", "10", segment=SMALL)],
        {"volume": "10.00", "mix": "20.00"},
    ),
    ([], [usage("8.00", "4"), line(FEE, "2.00")], {"volume": "10.00"}),
    ([usage("8.00", "4", segment=GPT), usage("2.00", "1", segment=SMALL)], [], {"volume": "-10.00"}),
    (
        [usage("80.00", "8"), line(LineItemType.BALANCE_CONSUMED, "-50.00", balance_id="b")],
        [
            usage("80.00", "8"),
            line(LineItemType.BALANCE_CONSUMED, "-20.00", balance_id="b"),
            line(LineItemType.CREDIT_MEMO, "-10.00", description="Sorry"),
        ],
        {"credits": "30.00", "corrections": "-10.00"},
    ),
    ([line(FEE, "5.00")], [line(FEE, "7.50")], {"volume": "2.50"}),  # the same plan: more of the period
    ([line(FEE, "5.00")], [line(FEE, "5.00")], {}),
]


@pytest.mark.parametrize(("before", "now", "expected"), CASES)
def test_steps(before: list[LineItem], now: list[LineItem], expected: dict[str, str]) -> None:
    assert steps(before, now) == expected


def test_another_price_of_segments_is_price_before_it_is_mix() -> None:
    """The list was edited: 100 of each cost 120.00 and 12.00 instead of 100.00 and 10.00."""
    before = [usage("100.00", "100", segment=GPT), usage("10.00", "100", segment=SMALL)]
    now = [usage("120.00", "100", segment=GPT), usage("12.00", "100", segment=SMALL)]
    assert steps(before, now, version=2) == {"price": "22.00"}


def test_a_fee_of_other_terms_is_price() -> None:
    """The plan was edited: 7.50 instead of 5.00 for the month."""
    before, now = (
        msgspec.structs.replace(
            each, evidence=msgspec.structs.replace(each.evidence, uses=(Used("plan", "p", number),))
        )
        for number, each in ((1, record("October", line(FEE, "5.00"))), (2, record("November", line(FEE, "7.50"))))
    )
    assert {step.cause: str(step.amount) for step in bridge_between(before, now).steps if step.amount} == {
        Cause.PRICE: "2.50"
    }


def test_without_a_bill_before_there_is_no_step() -> None:
    found = bridge_between(None, record("October", line(FEE, "5.00")))
    assert (found.steps, found.difference, found.sentence) == ((), None, "There is no bill before it.")


def test_bills_in_two_currencies_are_no_steps_apart() -> None:
    with pytest.raises(Refusal, match="is in EUR and this one in USD"):
        bridge_between(record("October", currency="EUR"), record("November"))


@settings(**drawing(60))
@given(before=lines, now=lines)
def test_the_steps_always_add_up(before: list[LineItem], now: list[LineItem]) -> None:
    was = sum((each.converted_subtotal for each in before), Decimal(0))
    due = sum((each.converted_subtotal for each in now), Decimal(0))
    found = bridge_between(record("October", *before), record("November", *now))
    assert [step.cause for step in found.steps] == list(Cause)
    at = was
    for step in found.steps:
        assert step.amount == sum((part.amount for part in step.parts), Decimal(0))
        at += step.amount
        assert step.after == at
        assert all(-part.amount.as_tuple().exponent <= 2 for part in step.parts)  # type: ignore[operator]  # a finite number's is an int
    assert at == due
    assert found.difference == due - was
    assert D(0) == sum((step.amount for step in found.steps), Decimal(0)) - (due - was)
