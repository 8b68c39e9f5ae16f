"""A bill against the one before: parts that add up, and one sentence that names the greatest."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_bill import a_bill

from billing_world import at
from effort import drawing
from tallystick.core.bill import BillParameters, BillRecord, Evidence, LineItem, LineItemType, digest_of
from tallystick.core.comparison import Comparison, compare, short
from tallystick.core.entity import Used
from tallystick.core.money import RoundingMode
from tallystick.core.quantity import total
from tallystick.core.working import Rounded
from tallystick.errors import Refusal

D = Decimal
MONTHS = {"October": (date(2023, 10, 1), date(2023, 11, 1)), "November": (date(2023, 11, 1), date(2023, 12, 1))}


def usage(amount: str, units: str, pricing: str = "p", of: str = "tokens", **more: Any) -> LineItem:
    segment = more.pop("segment", None)
    described = f"{of.title()} ({', '.join(segment.values())})" if segment else of.title()
    values = {"pricing_id": pricing, "aggregation_id": of, "unit": of, "description": described, "segment": segment}
    return line(LineItemType.USAGE, amount, units=D(units), quantity=D(units), **values | more)


def line(type_: LineItemType, amount: str, **more: Any) -> LineItem:
    values: dict[str, Any] = {
        "line_item_type": type_,
        "description": type_.value.replace("_", " ").title(),
        "quantity": D(1),
        "units": D(1),
        "unit": "",
        "subtotal": D(amount),
        "average_unit_price": D(0),
        "currency": "USD",
        "conversion_rate": D(1),
        "converted_subtotal": D(amount),
        "sequence_number": 1,
        "product_id": "product",
    }
    return LineItem(id=str(sorted((values | more).items(), key=str)), **values | more)


FEE = LineItemType.STANDING_CHARGE


def record(month: str, *lines: LineItem, version: int = 1, **more: Any) -> BillRecord:
    start, end = MONTHS[month]
    amount = total(each.converted_subtotal for each in lines)
    bill = a_bill(id=month, start_date=start, end_date=end, line_items=lines, bill_total=amount, **more)
    step = Rounded(exact=D(0), currency="USD", mode=RoundingMode.HALF_UP, decimals=2, amount=D(0))
    workings = {each.id: (step,) for each in lines}
    evidence = Evidence(
        engine_version="1",
        up_to=1,
        as_of=at("2023-12-01"),
        uses=tuple(Used("pricing", id_, version) for id_ in sorted({each.pricing_id or "" for each in lines})),
        parameters=BillParameters(),
        answers=(),
        digest=digest_of(bill, workings),
    )
    return BillRecord(bill=bill, workings=workings, evidence=evidence)


def compared(before: list[LineItem], now: list[LineItem], version: int = 1) -> Comparison:
    return compare(record("October", *before), record("November", *now, version=version))


def told(found: Comparison) -> list[tuple[str, str]]:
    return [(str(part.kind), str(part.amount)) for part in found.parts]


GPT = {"model": "gpt-x"}

CASES = [
    (  # 10.00 for 1,000,000; then 5,200,000 at the very same list: 42.00 more is 4.2 million more tokens
        [line(FEE, "100.00"), usage("10.00", "1000000", segment=GPT)],
        [line(FEE, "100.00"), usage("52.00", "5200000", segment=GPT)],
        [("VOLUME", "42.00")],
        "Up 38% (+42.00 USD) against 2023-10-01 to 2023-10-31: 4.2 M more tokens on model gpt-x (+42.00 USD).",
    ),
    (
        [usage("30.00", "3", of="million tokens", description="Tokens")],
        [usage("10.00", "1", of="million tokens", description="Tokens")],
        [("VOLUME", "-20.00")],
        "Down 67% (-20.00 USD) against 2023-10-01 to 2023-10-31: 2 million fewer tokens (-20.00 USD).",
    ),
    (  # 30 units for 10.00; then 40 for 16.00 of another list: 10 more at a third each are 3.33, 2.67 is the price
        [usage("10.00", "30")],
        [usage("16.00", "40", pricing="q")],
        [("VOLUME", "3.33"), ("PRICE", "2.67")],
        "Up 60% (+6.00 USD) against 2023-10-01 to 2023-10-31: 10 more tokens (+3.33 USD).",
    ),
    (  # the list was raised in the middle of the month: two lines in November are as much as the one in October
        [usage("10.00", "100")],
        [usage("5.00", "50"), usage("10.00", "50", pricing="q")],
        [("PRICE", "5.00")],
        "Up 50% (+5.00 USD) against 2023-10-01 to 2023-10-31: a higher price of Tokens (+5.00 USD).",
    ),
    (
        [usage("20.00", "10", of="calls"), line(FEE, "5.00")],
        [usage("8.00", "4", of="tokens"), line(FEE, "7.00")],
        [("GONE", "-20.00"), ("NEW", "8.00"), ("FIXED", "2.00")],
        "Down 40% (-10.00 USD) against 2023-10-01 to 2023-10-31: no Calls any more (-20.00 USD).",
    ),
    (  # credit that paid 50.00 paid 20.00: 30.00 more to pay, less a memo of 10.00
        [usage("80.00", "8"), line(LineItemType.BALANCE_CONSUMED, "-50.00", balance_id="b", description="Wallet")],
        [
            usage("80.00", "8"),
            line(LineItemType.BALANCE_CONSUMED, "-20.00", balance_id="b", description="Wallet"),
            line(LineItemType.CREDIT_MEMO, "-10.00", description="Sorry"),
        ],
        [("CREDIT", "30.00"), ("CORRECTION", "-10.00")],
        "Up 67% (+20.00 USD) against 2023-10-01 to 2023-10-31: less taken off by Wallet (+30.00 USD).",
    ),
    (
        [usage("80.00", "8"), usage("5.00", "1", of="calls")],
        [usage("75.00", "7.5"), usage("10.00", "2", of="calls")],
        [("VOLUME", "5.00"), ("VOLUME", "-5.00")],
        "As much as 2023-10-01 to 2023-10-31, 85.00 USD, with 1 more calls (+5.00 USD).",
    ),
    ([line(FEE, "5.00")], [line(FEE, "5.00")], [], "The same as 2023-10-01 to 2023-10-31: 5.00 USD."),
    (  # of nothing there is no share
        [],
        [usage("0.50", "0.25", child_account_id="e", child_account_code="east")],
        [("NEW", "0.50")],
        "Up (+0.50 USD) against 2023-10-01 to 2023-10-31: Tokens of east, which is new (+0.50 USD).",
    ),
]


@pytest.mark.parametrize(("before", "now", "parts", "sentence"), CASES)
def test_what_makes_the_difference(
    before: list[LineItem], now: list[LineItem], parts: list[tuple[str, str]], sentence: str
) -> None:
    found = compared(before, now)
    assert told(found) == parts
    assert found.sentence == sentence


def test_another_version_of_a_price_list_is_another_price() -> None:
    """8 for 80.00, then 8 for 88.00 of the same list, edited: all of it is price."""
    assert told(compared([usage("80.00", "8")], [usage("88.00", "8")], version=2)) == [("PRICE", "8.00")]


def test_another_rate_of_conversion_is_another_price() -> None:
    before, now = usage("80.00", "8"), usage("88.00", "8", conversion_rate=D("1.1"))
    assert told(compared([before], [now])) == [("PRICE", "8.00")]


def test_the_first_bill_has_nothing_before_it() -> None:
    found = compare(None, record("October", line(FEE, "5.00")))
    assert (found.sentence, found.difference, found.parts) == ("5.00 USD: there is no bill before it.", None, ())


def test_bills_in_two_currencies_have_no_difference() -> None:
    with pytest.raises(Refusal, match="is in EUR and this one in USD"):
        compare(record("October", currency="EUR"), record("November"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("4200000", "4.2 M"),
        ("31000.4", "31,000"),
        ("0.5", "0.5"),
        ("12.345", "12.34"),
        ("0.0001", "0.0001"),
        ("1999999999", "2 B"),
        ("999999.6", "1,000,000"),
        ("7", "7"),
    ],
)
def test_numbers_at_a_glance(value: str, text: str) -> None:
    assert short(D(value)) == text


cents = st.integers(-100_000, 100_000).map(lambda each: str(D(each) / 100))
lines = st.lists(
    st.one_of(
        st.builds(
            usage,
            cents,
            st.integers(0, 1000).map(str),
            pricing=st.sampled_from("pq"),
            of=st.sampled_from(["tokens", "calls"]),
            segment=st.sampled_from([None, GPT, {"model": "small"}]),
        ),
        st.builds(line, st.sampled_from(LineItemType), cents),
    ),
    max_size=8,
)


@settings(**drawing(60))
@given(before=lines, now=lines)
def test_the_parts_always_add_up(before: list[LineItem], now: list[LineItem]) -> None:
    found = compared(before, now)
    due = total(each.converted_subtotal for each in now) - total(each.converted_subtotal for each in before)
    assert found.difference == due == total(part.amount for part in found.parts)
    for part in found.parts:
        assert -part.amount.as_tuple().exponent <= 2  # type: ignore[operator]  # a finite number's is an int
