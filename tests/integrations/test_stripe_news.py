"""What Stripe tells of invoices: signed notifications and its list of events say the same, and count once."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stripe_world import SECRET, Stripe, World, bill, line, stripe_running
from tallystick.control.desk import Desk
from tallystick.control.paid_states import get_paid
from tallystick.control.payment_news import STRIPE, ask_for_news, mark_of, take_news
from tallystick.core.bill import Bill
from tallystick.core.integration import Destination
from tallystick.core.organization import OrganizationConfig
from tallystick.core.paid_state import PaidState
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.integrations.stripe_news import StripeService


@pytest.fixture(scope="module")
def stripe() -> Iterator[Stripe]:
    with stripe_running() as running:
        yield running


@pytest.fixture
def world(tmp_path: Path, stripe: Stripe) -> Iterator[World]:
    opened = World(tmp_path, stripe)
    opened.now = Instant.parse(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    opened.add(OrganizationConfig(), opened.organization_id)
    yield opened
    opened.store.close()


CALLS = bill("news", line("Calls", "70.15"), line("Fee", "29.90"))  # 100.05


def service(world: World) -> StripeService:
    return StripeService(world.vault, world.stripe.url, 10.0)


def signed(body: bytes, at: float | None = None, secret: str = SECRET) -> str:
    """The header, made as Stripe's documents say: HMAC-SHA256 of time, a dot, and the body."""
    moment = int(time.time() if at is None else at)
    return f"t={moment},v1={hmac.new(secret.encode(), f'{moment}.'.encode() + body, sha256).hexdigest()}"


def notice(world: World, of_type: str, of: Bill = CALLS, at: int = 0, **invoice: Any) -> bytes:
    note = {"tallystick_bill": of.id, "tallystick_organization": world.organization_id}
    about = {"id": "in_1", "currency": "usd", "metadata": note, "amount_paid": 0, "attempt_count": 1, **invoice}
    created = int(time.time()) + at
    return json.dumps({"id": "evt_1", "type": of_type, "created": created, "data": {"object": about}}).encode()


def tell(world: World, body: bytes) -> None:
    news = service(world).told(world.records, world.config, body, signed(body), world.now)
    take_news(Desk(records=world.records, actor=STRIPE, now=world.now), world.config, news)


def stands(world: World, of: Bill = CALLS) -> tuple[PaidState, str]:
    paid = get_paid(world.records, of.id)
    return paid.state, str(paid.paid)


PAID = ("invoice.paid", {"status": "paid", "amount_paid": 10005})
PART = ("invoice.updated", {"status": "open", "amount_paid": 4000})
FAILED = ("invoice.payment_failed", {"status": "open"})
VOID = ("invoice.voided", {"status": "void"})
LOST = ("invoice.marked_uncollectible", {"status": "uncollectible"})


@pytest.mark.parametrize(
    ("story", "state", "paid"),
    [
        ([PAID], PaidState.PAID, "100.05"),
        ([PART, PAID], PaidState.PAID, "100.05"),
        ([PART], PaidState.PARTIALLY_PAID, "40.00"),
        ([FAILED], PaidState.FAILED, "0"),
        ([FAILED, PAID], PaidState.PAID, "100.05"),
        ([VOID], PaidState.VOID, "0"),
        ([LOST], PaidState.UNCOLLECTIBLE, "0"),
        ([LOST, PAID], PaidState.PAID, "100.05"),
        ([("invoice.updated", {"status": "open"})], PaidState.UNPAID, "0"),
        ([("invoice.created", {"status": "paid", "amount_paid": 5})], PaidState.UNPAID, "0"),  # no event of concern
        ([("invoice.paid", {"status": "paid", "amount_paid": 5, "metadata": {}})], PaidState.UNPAID, "0"),
        ([("invoice.paid", {"status": "paid", "amount_paid": 9005})], PaidState.PAID, "90.05"),  # 10.00 were credited
    ],
)
def test_notices_in_any_order_and_number(
    world: World, story: list[tuple[str, dict[str, Any]]], state: PaidState, paid: str
) -> None:
    world.put(CALLS)
    told = [notice(world, of_type, at=at, **invoice) for at, (of_type, invoice) in enumerate(story)]
    for body in (*reversed(told), *told, *told):
        tell(world, body)
    assert stands(world) == (state, paid)
    assert len(get_paid(world.records, CALLS.id).entries) <= len(story)


def test_only_what_is_signed_now_and_of_ours_is_taken(world: World) -> None:
    world.put(CALLS)
    body = notice(world, *PAID[:1], **PAID[1])
    wrong = [
        ("", body),
        ("t=1,v1=00", body),
        ("nonsense", body),
        (signed(body, secret="whsec_other"), body),
        (signed(body, at=time.time() - 301), body),
        (signed(body), body + b" "),
        (signed(b"[]"), b"[]"),
        (signed(b"\xff"), b"\xff"),
    ]
    for signature, sent in wrong:
        with pytest.raises(Refusal) as refused:
            service(world).told(world.records, world.config, sent, signature, world.now)
        assert refused.value.code.name == "forbidden", signature
    for note in (
        {"tallystick_bill": CALLS.id, "tallystick_organization": "another"},
        {"tallystick_bill": "gone", "tallystick_organization": world.organization_id},
        {"tallystick_bill": 7, "tallystick_organization": world.organization_id},
    ):
        tell(world, notice(world, PAID[0], **{**PAID[1], "metadata": note}))
    tell(world, notice(world, PAID[0], **{**PAID[1], "currency": "nothing"}))
    assert stands(world) == (PaidState.UNPAID, "0")


def test_money_for_an_invoice_that_was_being_put_away_counts(world: World) -> None:
    """Its customer paid it between the note that another takes its place and the voiding, which then failed."""
    world.put(CALLS)
    note = {"tallystick_bill": CALLS.id, "tallystick_organization": world.organization_id, "tallystick_superseded": "x"}
    for of_type, invoice in (VOID, FAILED, LOST):
        tell(world, notice(world, of_type, **invoice, metadata=note))
    assert stands(world) == (PaidState.UNPAID, "0")
    tell(world, notice(world, PAID[0], **PAID[1], metadata=note))
    assert stands(world) == (PaidState.PAID, "100.05")


def test_money_in_another_currency_than_the_bill_pays_nothing_of_it(world: World) -> None:
    """The account's currency was changed, and the bill made anew, while its invoice was being paid: 10,005 yen are not
    10,005 dollars."""
    world.put(CALLS)
    tell(world, notice(world, PAID[0], **PAID[1], currency="jpy"))
    assert stands(world) == (PaidState.UNPAID, "0")
    (entry,) = get_paid(world.records, CALLS.id).entries
    assert (entry.amount, entry.currency) == (Decimal(10005), "JPY"), "it is kept, for people to see"
    world.put(bill("news", line("Calls", "9000"), currency="JPY"))
    assert stands(world) == (PaidState.PAID, "10005"), "in the currency of the invoice it counts"


def test_an_invoice_that_is_settled_settles_no_more_than_it_asked_for(world: World) -> None:
    world.put(CALLS)
    tell(world, notice(world, PAID[0], status="paid", amount_paid=9005, total=10005))
    assert stands(world) == (PaidState.PAID, "90.05"), "the rest came from the customer's balance"
    world.put(bill("news", line("Calls", "80.15"), line("Fee", "29.90")))  # 110.05
    assert stands(world) == (PaidState.PARTIALLY_PAID, "90.05")


def test_a_payment_is_of_the_moment_that_stripe_says_whatever_told_of_it_first(world: World) -> None:
    paid_at = int(time.time()) - 86_400
    of_paid = {**PAID[1], "status_transitions": {"paid_at": paid_at, "voided_at": None}}
    world.put(CALLS)
    tell(world, notice(world, "invoice.updated", **of_paid))
    paid = get_paid(world.records, CALLS.id)
    assert paid.dt_paid is not None
    assert int(paid.dt_paid.timestamp()) == paid_at


def test_news_of_one_bill_that_cannot_be_kept_do_not_hold_up_those_of_others(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tallystick.core.paid_state.MOST_ENTRIES", 1)
    full, other = bill("full", line("Calls", "70.15")), bill("other", line("Calls", "20.00"))
    for each in (full, other):
        world.put(each)
    tell(world, notice(world, *FAILED[:1], full, **FAILED[1]))
    news = [
        each
        for body in (notice(world, PAID[0], full, **PAID[1]), notice(world, PAID[0], other, **PAID[1]))
        for each in service(world).told(world.records, world.config, body, signed(body), world.now)
    ]
    assert take_news(Desk(records=world.records, actor=STRIPE, now=world.now), world.config, news) == 1
    assert stands(world, other)[0] is PaidState.PAID
    assert full.id in caplog.text


def test_a_payment_in_test_mode_pays_no_bill_that_is_also_charged_for_real(world: World) -> None:
    world.put(CALLS)
    value = world.config.value
    live = msgspec.structs.replace(value, destination=Destination.STRIPE)
    world.add(live, "00000000-0000-4000-8000-0000000000f1")
    tell(world, notice(world, PAID[0], **PAID[1]))
    assert stands(world) == (PaidState.UNPAID, "0")


def test_asking_stripe_says_what_its_notifications_say(world: World, stripe: Stripe) -> None:
    """Handed over, declined, paid in part, paid: as its list of events has it."""
    sent = world.send(CALLS)
    refused = stripe.http.post(f"/v1/invoices/{sent.external_id}/pay")
    assert refused.status_code == 402
    ask_for_news(service(world), world.records, world.config, world.now, 60)
    assert stands(world) == (PaidState.FAILED, "0")
    stripe.post(f"/v1/invoices/{sent.external_id}/take_in", amount="4000")
    ask_for_news(service(world), world.records, world.config, world.now, 60)
    assert stands(world) == (PaidState.FAILED, "0"), "it is not time to ask again"
    world.now = Instant.of(world.now + timedelta(seconds=60))
    ask_for_news(service(world), world.records, world.config, world.now, 60)
    assert stands(world) == (PaidState.PARTIALLY_PAID, "40.00")
    stripe.post(f"/v1/invoices/{sent.external_id}/pay", paid_out_of_band="true")
    world.now = Instant.of(world.now + timedelta(seconds=60))
    ask_for_news(service(world), world.records, world.config, world.now, 60)
    assert stands(world) == (PaidState.PAID, "100.05")
    by = {(each.system, each.by, each.reference) for each in get_paid(world.records, CALLS.id).entries}
    assert by == {("STRIPE", "STRIPE", sent.external_id)}


def test_an_invoice_that_another_took_the_place_of_voids_no_bill(world: World, stripe: Stripe) -> None:
    world.send(CALLS)
    again = world.send(bill("news", line("Calls", "80.15")))
    ask_for_news(service(world), world.records, world.config, world.now, 60)
    assert stands(world)[0] is PaidState.UNPAID
    stripe.post(f"/v1/invoices/{again.external_id}/void")
    world.now = Instant.of(world.now + timedelta(seconds=60))
    ask_for_news(service(world), world.records, world.config, world.now, 60)
    assert stands(world)[0] is PaidState.VOID


def test_stripe_that_does_not_answer_is_asked_again_later(world: World, stripe: Stripe) -> None:
    stripe.fail(status=500)
    ask_for_news(service(world), world.records, world.config, world.now, 60)
    mark = mark_of(world.records, world.config.id)
    assert mark is not None
    assert (mark.problem, mark.due - world.now) == ("Stripe: as asked", timedelta(minutes=15))


def test_the_key_is_checked_and_customers_are_found_by_address(world: World, stripe: Stripe) -> None:
    assert "the key works" in service(world).check(world.records, world.config)
    stripe.customer(name="Bolt", email=f"{world.organization_id}@bolt.example")
    (found,) = service(world).customers(world.records, world.config, f"{world.organization_id}@bolt.example")
    assert (found.name, found.id[:4]) == ("Bolt", "cus_")
    stripe.fail(status=401, type="authentication_error", message="Invalid API Key provided: sk_test_****")
    with pytest.raises(Refusal, match="Stripe: Invalid API Key provided:"):
        service(world).check(world.records, world.config)
    world.configure("sk_live_x")
    with pytest.raises(Refusal, match="needs a secret key"):
        service(world).check(world.records, world.config)
