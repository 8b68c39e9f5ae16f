"""How bills stand by what was told of their payment: the table of what may follow what, and that order is no matter."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tallystick.core import wire
from tallystick.core.paid_state import (
    EVENT_NAMES,
    FOLLOWS,
    PaidBill,
    PaidState,
    PaymentEntry,
    Told,
    asks_for,
    owed,
    payment_events,
    require_effect,
    tell,
)
from tallystick.core.period import Instant
from tallystick.errors import Refusal

BILL, ACCOUNT = "0b8b7a4c-9c1f-4a53-8d4c-2f5d6f0c8a11", "acme"
UNPAID, PART, PAID = PaidState.UNPAID, PaidState.PARTIALLY_PAID, PaidState.PAID
FAILED, LOST, VOID = PaidState.FAILED, PaidState.UNCOLLECTIBLE, PaidState.VOID


def bill(total: str = "100.00") -> PaidBill:
    return owed(bill_id=BILL, account_id=ACCOUNT, currency="USD", bill_total=Decimal(total), due_date=date(2025, 3, 31))


def entry(text: str) -> PaymentEntry:
    """`4 PAYMENT 60` on the 4th; `5 SETTLED 100 in_1` by an invoice; `6 REVERSED 4`: what was told of the 4th."""
    day, of_type, *more = text.split()
    reverses = more[0] if of_type == "REVERSED" else None
    return PaymentEntry(
        id=day,
        type=Told(of_type),
        at=Instant.parse(f"2025-03-{int(day):02}T12:00:00Z"),
        told=Instant.parse("2025-04-01T00:00:00Z"),
        by="ann",
        amount=Decimal(more[0]) if more and reverses is None else None,
        reference=more[1] if len(more) > 1 else None,
        reverses=reverses,
    )


def after(*texts: str, total: str = "100.00") -> PaidBill:
    standing = bill(total)
    for text in texts:
        standing = tell(standing, entry(text))
    return standing


@pytest.mark.parametrize(
    ("told", "state", "paid"),
    [
        ((), UNPAID, "0"),
        (("1 PAYMENT 40",), PART, "40"),
        (("1 PAYMENT 40", "2 PAYMENT 60"), PAID, "100"),
        (("1 PAYMENT 120",), PAID, "120"),
        (("1 FAILED",), FAILED, "0"),
        (("1 FAILED", "2 PAYMENT 100"), PAID, "100"),
        (("1 PAYMENT 100", "2 FAILED"), PAID, "100"),
        (("1 PAYMENT 100", "2 UNCOLLECTIBLE", "3 VOID"), PAID, "100"),
        (("1 PAYMENT 40", "2 FAILED"), FAILED, "40"),
        (("1 UNCOLLECTIBLE", "2 FAILED"), LOST, "0"),
        (("1 UNCOLLECTIBLE", "2 VOID"), VOID, "0"),
        (("1 UNCOLLECTIBLE", "2 PAYMENT 100"), PAID, "100"),
        (("1 VOID", "2 FAILED", "3 UNCOLLECTIBLE"), VOID, "0"),
        (("1 VOID", "2 SETTLED 100 in_2"), PAID, "100"),
        # an invoice tells totals: the highest counts, whatever was told in between
        (("1 PAID_SO_FAR 30 in_1", "2 PAID_SO_FAR 70 in_1"), PART, "70"),
        (("1 PAID_SO_FAR 70 in_1", "2 PAID_SO_FAR 30 in_1"), PART, "70"),
        (("1 PAID_SO_FAR 0 in_1",), UNPAID, "0"),
        (("1 PAID_SO_FAR 60 in_1", "2 PAYMENT 40"), PAID, "100"),
        (("1 PAID_SO_FAR 60 in_1", "2 PAID_SO_FAR 40 in_2"), PAID, "100"),
        (("1 SETTLED 80 in_1",), PAID, "80"),  # the rest was credited there
        # what is taken back was never told
        (("1 PAYMENT 100", "2 REVERSED 1"), UNPAID, "0"),
        (("1 FAILED", "2 PAYMENT 100", "3 REVERSED 2"), FAILED, "0"),
        (("1 VOID", "2 REVERSED 1"), UNPAID, "0"),
    ],
)
def test_what_follows_what(told: tuple[str, ...], state: PaidState, paid: str) -> None:
    standing = after(*told)
    assert (standing.state, standing.paid, standing.version) == (state, Decimal(paid), 1 + len(told))


@pytest.mark.parametrize(("told", "left"), [
    ((), "100"), (("1 PAYMENT 40",), "60"), (("1 PAYMENT 40", "2 FAILED"), "60"), (("1 PAYMENT 120",), "0"),
    (("1 PAID_SO_FAR 70 in_1",), "30"), (("1 PAYMENT 40", "2 UNCOLLECTIBLE"), "60"),
    (("1 SETTLED 80 in_1",), "0"), (("1 VOID",), "0"), (("1 PAYMENT 100", "2 REVERSED 1"), "100"),
])  # fmt: skip
def test_what_is_left_to_pay(told: tuple[str, ...], left: str) -> None:
    assert after(*told).left == Decimal(left)


def test_the_table_says_something_of_every_state() -> None:
    assert set(FOLLOWS) == set(EVENT_NAMES) == set(PaidState)
    assert all(PAID in following for following in FOLLOWS.values()), "money counts always"


def test_a_bill_that_asks_for_nothing_is_paid_and_one_that_is_made_anew_asks_again() -> None:
    assert after(total="0.00").state is PAID
    assert after(total="-5.00").state is PAID
    paid = after("1 PAYMENT 100")
    assert paid.dt_paid == Instant.parse("2025-03-01T12:00:00Z")
    more = asks_for(paid, currency="USD", bill_total=Decimal("130.00"), due_date=paid.due_date)
    assert (more.state, more.paid, more.dt_paid, more.version) == (PART, 100, None, 3)
    same = asks_for(paid, currency="USD", bill_total=paid.bill_total, due_date=paid.due_date)
    assert same is paid


@pytest.mark.parametrize(("state", "day", "late"), [
    (("1 FAILED",), 31, False), (("1 FAILED",), 32, True), ((), 32, True),
    (("1 PAYMENT 100",), 32, False), (("1 VOID",), 32, False),
])  # fmt: skip
def test_what_was_due_before_today_is_overdue(state: tuple[str, ...], day: int, late: bool) -> None:
    assert after(*state).overdue(date.fromordinal(date(2025, 2, 28).toordinal() + day)) is late


@pytest.mark.parametrize(
    ("before", "text", "code"),
    [
        ((), "1 PAYMENT 0", "rule_broken"),
        ((), "1 PAYMENT -4", "rule_broken"),
        ((), "1 PAYMENT", "rule_broken"),
        ((), "1 FAILED 4", "rule_broken"),
        ((), "1 SETTLED 4", "rule_broken"),  # by which invoice?
        ((), "1 REVERSED 7", "not_found"),
        (("1 PAYMENT 5", "2 REVERSED 1"), "3 REVERSED 1", "bill_state"),
        (("1 PAYMENT 5", "2 REVERSED 1"), "3 REVERSED 2", "not_found"),
        (("1 PAYMENT 5",), "1 PAYMENT 6", "rule_broken"),  # the same key, another payment
    ],
)
def test_what_cannot_be_told(before: tuple[str, ...], text: str, code: str) -> None:
    standing = after(*before)
    with pytest.raises(Refusal) as refused:
        tell(standing, entry(text))
    assert refused.value.code.name == code


def test_a_person_is_told_where_nothing_would_change() -> None:
    paid, void = after("1 PAYMENT 100"), entry("2 VOID")
    with pytest.raises(Refusal, match="is PAID: VOID cannot follow"):
        require_effect(paid, tell(paid, void), void)


def test_each_change_is_an_event_and_what_changes_nothing_is_none() -> None:
    unpaid = bill()
    part = tell(unpaid, entry("1 PAYMENT 40"))
    (event,) = payment_events(unpaid, part)
    assert event.event_name == "billing.bill.partiallypaid"
    told = {"paid": 40, "billTotal": 100, "currency": "USD", "paidState": "PARTIALLY_PAID", "dueDate": "2025-03-31"}
    assert told.items() <= event.m3ter_event.items()
    paid = tell(part, entry("2 SETTLED 60 in_1"))
    assert [each.event_name for each in payment_events(part, paid)] == ["billing.bill.paid"]
    assert payment_events(part, paid)[0].id != event.id
    late = tell(paid, entry("3 FAILED"))
    assert late.version > paid.version
    assert payment_events(paid, late) == []
    assert payment_events(None, unpaid) == []


STORIES = some.lists(
    some.tuples(
        some.integers(1, 28),
        some.sampled_from([
            "PAYMENT 40", "PAYMENT 60", "FAILED", "UNCOLLECTIBLE", "VOID",
            "PAID_SO_FAR 30 in_1", "PAID_SO_FAR 90 in_1", "SETTLED 100 in_1", "SETTLED 80 in_2",
        ]),
    ),
    max_size=8,
    unique_by=lambda each: each[0],
)  # fmt: skip


@given(story=STORIES, data=some.data())
def test_order_and_repetition_are_no_matter(story: list[tuple[int, str]], data: some.DataObject) -> None:
    texts = [f"{day} {what}" for day, what in story]
    again = data.draw(some.lists(some.sampled_from(texts), max_size=5)) if texts else []
    mixed = data.draw(some.permutations([*texts, *again]))
    one, other = after(*texts), after(*mixed)
    assert (one.state, one.paid, one.dt_paid) == (other.state, other.paid, other.dt_paid)
    assert len(other.entries) == len(texts), "what was told twice is kept once"
    assert wire.decode(PaidBill, wire.encode(other)) == other
