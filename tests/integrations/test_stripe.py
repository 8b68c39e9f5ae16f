"""Bills at Stripe: one invoice each, exactly, whatever is calculated anew, paid, refused or killed in between.

Stripe is `localstripe` with what it lacks (`stripe_stand_in`), spoken to by the official library; every request is held
against the form that Stripe documents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import stripe as library

from stripe_world import KEY, World, bill, credit, line, stripe_running
from stripe_world import Stripe as Outside
from tallystick import failpoints
from tallystick.core.bill import BillStatus
from tallystick.core.external_mapping import ExternalMapping
from tallystick.core.integration import Destination, RunStatus
from tallystick.core.period import Instant
from tallystick.integrations.stripe_account import API_VERSION
from tallystick.ports.handover import HandOver, Problem


@pytest.fixture(scope="module")
def stripe() -> Iterator[Outside]:
    with stripe_running() as running:
        yield running


@pytest.fixture
def world(tmp_path: Path, stripe: Outside) -> Iterator[World]:
    opened = World(tmp_path, stripe)
    yield opened
    opened.store.close()


CALLS = bill("a", line("Calls", "70.15"), line("Fee", "29.90", unit=""))  # 100.05


def pending(of: Any) -> Any:
    return msgspec.structs.replace(of, status=BillStatus.PENDING)


def test_the_version_of_the_api_is_that_of_the_library() -> None:
    """A newer library speaks a newer version: taking it over is a decision, made here."""
    assert library._api_version._ApiVersion.CURRENT == API_VERSION


def test_an_approved_bill_becomes_one_invoice(world: World, stripe: Outside) -> None:
    done = world.send(CALLS)
    assert (done.status, done.error) == (RunStatus.COMPLETE, None)
    assert world.invoices(CALLS) == [("open", 10005)]
    (invoice,) = stripe.invoices(world.customer)
    assert done.external_id == invoice["id"]
    assert done.url == invoice["hosted_invoice_url"]
    assert (invoice["collection_method"], invoice["auto_advance"], invoice["currency"]) == (
        "send_invoice",
        False,
        "usd",
    )
    assert invoice["due_date"] == invoice["created"] + 28 * 86_400, "from the 3rd of February to the 3rd of March"
    lines = stripe.lines(invoice["id"])
    assert [(each["description"], each["amount"]) for each in lines] == [("Calls (7 call)", 7015), ("Fee", 2990)]
    assert lines[0]["period"] == {"start": 1735689600, "end": 1738367999}
    assert [each["metadata"]["tallystick_line"] for each in lines] == [each.id for each in CALLS.line_items]
    mapped = [each.value.external_id for each in world.records.every(ExternalMapping)]
    assert mapped == [world.customer, invoice["id"]]


def test_each_further_event_of_the_same_bill_changes_nothing(world: World, stripe: Outside) -> None:
    world.send(CALLS)
    stripe.forget()
    for locked in (False, True):
        again = world.send(msgspec.structs.replace(CALLS, locked=locked, version=2))
        assert again.status is RunStatus.COMPLETE
    assert world.perform(world.what(CALLS, "billing.bill.paid")).status is RunStatus.COMPLETE
    assert world.invoices(CALLS) == [("open", 10005)]
    assert world.amounts(CALLS) == [7015, 2990]


def test_a_pending_bill_is_a_draft_that_follows_each_calculation(world: World, stripe: Outside) -> None:
    world.send(pending(CALLS))
    assert world.invoices(CALLS) == [("draft", 10005)]
    more = bill("a", line("Calls", "80.15"), line("Fee", "29.90"))
    world.send(pending(more))
    assert world.invoices(CALLS) == [("draft", 11005)]
    world.send(more)
    assert world.invoices(CALLS) == [("open", 11005)]
    assert world.amounts(CALLS) == [8015, 2990]
    left_over = stripe.get("/v1/invoiceitems", customer=world.customer, limit="100")["data"]
    assert left_over == [], "no item waits for the customer's next invoice"


@pytest.mark.parametrize(
    ("data", "state", "expected"),
    [
        ({"sendOnApprovalOnly": True}, BillStatus.PENDING, []),
        ({"sendOnApprovalOnly": True}, BillStatus.APPROVED, [("open", 10005)]),
        ({"finalize": False}, BillStatus.APPROVED, [("draft", 10005)]),
    ],
)
def test_what_is_sent_when(
    world: World, data: dict[str, object], state: BillStatus, expected: list[tuple[str, int]]
) -> None:
    world.configure(**data)
    assert world.send(msgspec.structs.replace(CALLS, status=state)).status is RunStatus.COMPLETE
    assert world.invoices(CALLS) == expected


def test_stripe_collects_by_itself_where_it_is_told_to(world: World, stripe: Outside) -> None:
    world.configure(autoAdvance=True, collectionMethod="charge_automatically")
    world.send(CALLS)
    (invoice,) = stripe.invoices(world.customer)
    assert (invoice["auto_advance"], invoice["collection_method"]) == (True, "charge_automatically")
    assert invoice["due_date"] is None


def test_a_bill_made_anew_voids_its_open_invoice_and_makes_another(world: World, stripe: Outside) -> None:
    world.send(CALLS)
    more = bill("a", line("Calls", "80.15"), line("Fee", "29.90"))
    assert world.send(more).status is RunStatus.COMPLETE
    assert world.invoices(CALLS) == [("void", 10005), ("open", 11005)]
    assert "tallystick_superseded" in stripe.invoices(world.customer)[0]["metadata"]
    assert world.send(CALLS).status is RunStatus.COMPLETE, "and back to what it was"
    assert [status for status, _ in world.invoices(CALLS)] == ["void", "void", "open"]


def test_a_bill_in_another_currency_is_another_invoice(world: World, stripe: Outside) -> None:
    """The account's currency was wrong, and its numbers were right."""
    world.send(CALLS)
    assert world.send(bill("a", *CALLS.line_items, currency="EUR")).status is RunStatus.COMPLETE
    found = [(each["currency"], each["status"]) for each in stripe.invoices(world.customer)]
    assert found == [("usd", "void"), ("eur", "open")]


@pytest.mark.parametrize("approved", [True, False])
def test_an_account_that_becomes_another_customer_has_one_invoice_there(
    world: World, stripe: Outside, approved: bool
) -> None:
    """It was mapped wrongly, and is set right before the bill is locked or calculated again."""
    of = CALLS if approved else pending(CALLS)
    world.send(of)
    right = stripe.customer(name="Acme Ltd", email="billing@acme.example")
    world.forget_customer(world.customer)
    world.map_customer(right)
    for _ in range(2):
        assert world.send(of).status is RunStatus.COMPLETE
    assert [each["status"] for each in stripe.invoices(world.customer)] == (["void"] if approved else [])
    assert [each["status"] for each in stripe.invoices(right)] == ["open" if approved else "draft"]


def test_what_the_former_customer_has_paid_stays_theirs(world: World, stripe: Outside) -> None:
    sent = world.send(CALLS)
    stripe.post(f"/v1/invoices/{sent.external_id}/pay", paid_out_of_band="true")
    right = stripe.customer(name="Acme Ltd", email="billing@acme.example")
    world.forget_customer(world.customer)
    world.map_customer(right)
    again = world.send(CALLS)
    assert (again.status, again.external_id) == (RunStatus.COMPLETE, sent.external_id)
    assert stripe.invoices(right) == []


def test_an_invoice_that_is_paid_stays(world: World, stripe: Outside) -> None:
    sent = world.send(CALLS)
    stripe.post(f"/v1/invoices/{sent.external_id}/pay", paid_out_of_band="true")
    again = world.send(CALLS)
    assert (again.status, again.external_id) == (RunStatus.COMPLETE, sent.external_id)
    refused = world.send(bill("a", line("Calls", "80.15"), line("Fee", "29.90")))
    assert refused.status is RunStatus.INVOICE_ALREADY_PAID
    assert "now comes to 110.05 USD" in (refused.error or "")
    assert world.invoices(CALLS) == [("paid", 10005)]


@pytest.mark.parametrize(
    ("paid", "expected"),
    [
        ("", ("open", 9505, 500, None)),  # 100.05 less 5.00: that much less is due
        ("100", ("open", 9505, 500, None)),  # 1.00 came in, 99.05 were left: more than is credited
        ("10005", ("paid", 10005, 0, 500)),  # all came in: 5.00 go to the customer's balance
        ("9805", ("paid", 9805, 200, 300)),  # 2.00 were left: 3.00 go to the customer's balance
    ],
)
def test_a_credit_after_the_invoice_is_final_becomes_a_credit_note(
    world: World, stripe: Outside, paid: str, expected: tuple[str, int, int, int | None]
) -> None:
    sent = world.send(CALLS)
    if paid:
        stripe.post(f"/v1/invoices/{sent.external_id}/take_in", amount=paid)
    less = bill("a", *CALLS.line_items, credit("Sorry", "5.00"))
    assert world.send(less).status is RunStatus.COMPLETE
    stripe.forget()
    assert world.send(less).status is RunStatus.COMPLETE
    (note,) = stripe.notes(str(sent.external_id))
    (invoice,) = stripe.invoices(world.customer)
    assert (invoice["status"], invoice["amount_due"], note["pre_payment_amount"]) == expected[:3]
    assert (note["total"], note["post_payment_amount"] or None) == (500, expected[3])
    more = bill("a", *less.line_items, credit("Sorry again", "1.00"))
    assert world.send(more).status is RunStatus.COMPLETE
    assert sorted(each["total"] for each in stripe.notes(str(sent.external_id))) == [100, 500]


def test_a_credit_that_is_more_than_the_charges_is_an_invoice_below_zero(world: World) -> None:
    """Stripe settles it by the customer's balance."""
    less = bill("a", line("Calls", "3.00"), credit("Sorry", "5.00"))
    assert world.send(less).status is RunStatus.COMPLETE
    assert world.invoices(less) == [("paid", -200)]


def test_a_bill_with_many_lines_has_them_all(world: World, stripe: Outside) -> None:
    """230 lines of 1.01: 232.30, in three requests."""
    many = bill("a", *(line(f"Line {number}", "1.01") for number in range(230)))
    assert world.send(many).status is RunStatus.COMPLETE
    assert world.invoices(many) == [("open", 23230)]
    assert len(world.amounts(many)) == 230


def test_a_deleted_bill_takes_its_invoice_along(world: World) -> None:
    world.send(CALLS)
    world.delete(CALLS)
    assert world.perform(world.what(CALLS, "billing.bill.deleted")).status is RunStatus.COMPLETE
    assert world.invoices(CALLS) == [("void", 10005)]


# -------------------------------------------------------------------------------------------------------- customers


def test_an_account_without_a_customer_is_told_of(world: World) -> None:
    world.forget_customer()
    refused = world.send(CALLS)
    assert (refused.status, refused.problem) == (RunStatus.ERROR, Problem.MISSING_ACCOUNT_MAPPING)
    assert "the account acme is mapped to no customer" in (refused.error or "")


@pytest.mark.parametrize("email", ["billing@acme.example", ""])
def test_a_customer_is_made_once_and_found_by_our_note(world: World, stripe: Outside, email: str) -> None:
    world.forget_customer()
    account = world.account()
    world.change_account(msgspec.structs.replace(account, email_address=email, name=f"Acme {email} {world.directory}"))
    world.configure(createCustomers=True)
    done = world.send(CALLS)
    assert done.status is RunStatus.COMPLETE
    made = next(each for each in done.mappings if each.external_table == "customer").external_id
    assert made != world.customer, "a customer with the same address, but not with our note"
    world.forget_customer()
    stripe.forget()
    assert [each.external_id for each in world.send(CALLS).mappings if each.external_table == "customer"] == [made]


# --------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("fault", "status", "said"),
    [
        ({"status": 429, "type": "rate_limit_error"}, RunStatus.RATE_LIMIT_RETRY, "too many requests"),
        ({"status": 401, "type": "authentication_error"}, RunStatus.AUTH_FAILED, "does not take the key"),
        ({"status": 403, "type": "invalid_request_error"}, RunStatus.AUTH_FAILED, "does not take the key"),
        ({"status": 500}, RunStatus.AWAITING_RETRY, "cannot be reached, or failed"),
        ({"status": 503}, RunStatus.AWAITING_RETRY, "cannot be reached, or failed"),
        ({"status": 400, "type": "invalid_request_error", "message": f"No such key {KEY}"}, RunStatus.ERROR, "[key]"),
    ],
)
def test_what_stripe_answers_decides_how_it_goes_on(
    world: World, stripe: Outside, fault: dict[str, Any], status: RunStatus, said: str
) -> None:
    world.put(CALLS)
    what = world.what(CALLS)
    stripe.fail(**fault)
    first = world.perform(what)
    assert first.status is status
    assert said in (first.error or "")
    assert KEY not in repr(first)
    assert world.perform(what).status is RunStatus.COMPLETE
    assert world.invoices(CALLS) == [("open", 10005)]


def test_stripe_says_when_it_wants_to_be_asked_again(world: World, stripe: Outside) -> None:
    for said, pause in (("30", timedelta(seconds=30)), ("soon", None)):
        stripe.fail(status=429, type="rate_limit_error", headers={"Retry-After": said})
        later = world.send(CALLS).not_before
        assert (later - world.now if later else None) == pause


def test_stripe_that_is_away_is_asked_again_later(world: World) -> None:
    world.performer = type(world.performer)(world.vault, "http://127.0.0.1:9", 1.0)
    assert world.send(CALLS).status is RunStatus.AWAITING_RETRY


@pytest.mark.parametrize(
    ("key", "destination"),
    [("sk_live_1", Destination.STRIPE_TEST), (KEY, Destination.STRIPE), ("", Destination.STRIPE_TEST)],
)
def test_a_key_of_the_other_mode_is_not_used(world: World, key: str, destination: Destination) -> None:
    world.configure(key, destination)
    refused = world.send(CALLS)
    assert refused.status is RunStatus.AUTH_FAILED
    assert "needs a secret key that begins with" in (refused.error or "")


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (bill("b", line("Calls", "0.005"), line("Fee", "0.005"), total="0.01"), "multiples of 0.01 USD"),
        (bill("b", line("Calls", "5"), currency="TOKENS"), "no currency that Stripe has"),
    ],
)
def test_what_cannot_be_expressed_is_an_error_and_leaves_nothing(world: World, broken: Any, why: str) -> None:
    refused = world.send(broken)
    assert (refused.status, refused.problem) == (RunStatus.ERROR, Problem.VALIDATION)
    assert why in (refused.error or "")
    assert world.invoices(broken) == []


def test_an_invoice_that_comes_to_something_else_stays_a_draft(world: World, stripe: Outside) -> None:
    """A line that was added to the draft in Stripe."""
    sent = world.send(pending(CALLS))
    strange = {"lines[0][amount]": "5", "lines[0][description]": "Postage"}
    stripe.post(f"/v1/invoices/{sent.external_id}/add_lines", **strange)
    refused = world.send(CALLS)
    assert refused.status is RunStatus.ERROR
    assert "comes to 100.1 at Stripe and the bill to 100.05" in (refused.error or "")
    assert world.invoices(CALLS) == [("draft", 10010)]


# ----------------------------------------------------------------------------------------------------------- meters


KEYS = {Destination.STRIPE_TEST: KEY, Destination.STRIPE: "sk_live_12345"}
AGGREGATION = "00000000-0000-4000-8000-00000000a001"


def test_usage_becomes_meter_events_once(world: World, stripe: Outside) -> None:
    world.configure(usageAs="METER_EVENTS", meterEvents={AGGREGATION: "api_calls"})
    metered = bill("m", line("Calls", "70.15", aggregation_id=AGGREGATION), line("Fee", "29.90"))
    assert world.send(pending(metered)).status is RunStatus.COMPLETE
    for _ in range(2):
        assert world.send(metered).status is RunStatus.COMPLETE
    events = stripe.get("/v1/billing/meter_events", limit="100")["data"]
    mine = [each for each in events if each["payload"]["stripe_customer_id"] == world.customer]
    assert [(each["event_name"], each["payload"]["value"], each["identifier"]) for each in mine] == [
        ("api_calls", "7", metered.line_items[0].id)
    ]
    assert mine[0]["timestamp"] == 1738367999
    assert world.invoices(metered) == []
    more = bill("m", line("Calls", "80.15", aggregation_id=AGGREGATION, quantity=Decimal(8)))
    refused = world.send(more)
    assert "was reported to Stripe as 7 and is 8 now" in (refused.error or "")


def metered(*quantities: str) -> Any:
    """A bill with lines of usage that Stripe is to price."""
    lines = [
        line(f"Calls {number} of {quantities}", "10.00", aggregation_id=AGGREGATION, quantity=Decimal(text))
        for number, text in enumerate(quantities)
    ]
    return bill(f"metered {quantities}", *lines)


def reported(stripe: Outside) -> int:
    return stripe.seen().get("POST /v1/billing/meter_events", 0)


def test_usage_that_was_reported_is_not_reported_again_because_a_later_line_failed(
    world: World, stripe: Outside
) -> None:
    """Stripe knows the identifier of an event for a day; what is tried again after that would be charged twice."""
    world.configure(usageAs="METER_EVENTS", meterEvents={AGGREGATION: "api_calls"})
    usage = metered("7", "8", "9")
    world.put(usage)
    what, before = world.what(usage), reported(stripe)
    stripe.fail(status=500, after=2)
    assert world.perform(what).status is RunStatus.AWAITING_RETRY
    assert reported(stripe) - before == 3, "two were taken, the third was not"
    stripe.forget()
    assert world.perform(what).status is RunStatus.COMPLETE
    assert reported(stripe) - before == 4


@pytest.mark.parametrize(("mode", "again"), [(Destination.STRIPE_TEST, 0), (Destination.STRIPE, 1)])
def test_usage_is_not_reported_again_by_an_integration_that_was_made_anew(
    world: World, stripe: Outside, mode: Destination, again: int
) -> None:
    """Nothing of the former one is there but what it reported, in its mode: what was a trial is charged for real."""
    world.configure(usageAs="METER_EVENTS", meterEvents={AGGREGATION: "api_calls"}, destination=mode, key=KEYS[mode])
    usage = metered("7.5" if again else "7.25")
    assert world.send(usage).status is RunStatus.COMPLETE
    world.delete_config()
    world.configure(
        usageAs="METER_EVENTS",
        meterEvents={AGGREGATION: "api_calls"},
        id="00000000-0000-4000-8000-0000000000c2",
    )
    before = reported(stripe)
    world.send(usage)
    assert reported(stripe) - before == again


def test_usage_of_which_a_line_cannot_be_reported_is_not_begun(world: World, stripe: Outside) -> None:
    world.configure(usageAs="METER_EVENTS", meterEvents={AGGREGATION: "api_calls"})
    before = reported(stripe)
    refused = world.send(metered("7", "-1"))
    assert (refused.status, refused.problem) == (RunStatus.ERROR, Problem.VALIDATION)
    assert reported(stripe) == before


def test_usage_that_is_too_old_for_stripe_is_told_of(world: World) -> None:
    world.configure(usageAs="METER_EVENTS", meterEvents={AGGREGATION: "api_calls"})
    world.now = Instant.parse("2025-03-09T00:00:00Z")
    refused = world.send(bill("old", line("Calls", "70.15", aggregation_id=AGGREGATION)))
    assert "takes none older than 35 days" in (refused.error or "")


# ----------------------------------------------------------------------------------------------------------- crashes


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def kill(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    def die(*_: object) -> None:
        raise Killed

    monkeypatch.setattr("tallystick.failpoints.os.kill", die)
    yield lambda place: failpoints.arm({failpoints.VARIABLE: place})
    failpoints.arm({})


def killed_and_again(world: World, stripe: Outside, what: HandOver, kill: Callable[[str], None], place: str) -> None:
    """The server is killed at a place; the run is performed again, the last time with all keys forgotten."""
    kill(place)
    with pytest.raises(Killed):
        world.perform(what)
    kill("")
    stripe.forget()
    assert world.perform(what).status is RunStatus.COMPLETE


@pytest.mark.parametrize("place", ["stripe.created", "stripe.lines", "stripe.lines=2", "stripe.finalized"])
def test_killed_while_an_invoice_is_made(
    world: World, stripe: Outside, kill: Callable[[str], None], place: str
) -> None:
    many = bill("a", *(line(f"Line {number}", "1.01") for number in range(150)))  # 151.50, in two requests
    world.put(many)
    killed_and_again(world, stripe, world.what(many), kill, place)
    assert world.invoices(many) == [("open", 15150)]
    assert len(world.amounts(many)) == 150


@pytest.mark.parametrize("place", ["stripe.dropped", "stripe.created"])
def test_killed_while_a_draft_is_replaced(
    world: World, stripe: Outside, kill: Callable[[str], None], place: str
) -> None:
    world.send(pending(CALLS))
    more = bill("a", line("Calls", "80.15"))
    world.put(more)
    killed_and_again(world, stripe, world.what(more), kill, place)
    assert world.invoices(CALLS) == [("open", 8015)]


def test_killed_while_an_invoice_is_voided(world: World, stripe: Outside, kill: Callable[[str], None]) -> None:
    world.send(CALLS)
    more = bill("a", line("Calls", "80.15"))
    world.put(more)
    killed_and_again(world, stripe, world.what(more), kill, "stripe.voided")
    assert world.invoices(CALLS) == [("void", 10005), ("open", 8015)]


@pytest.mark.parametrize("place", ["stripe.noted", "stripe.credited"])
def test_killed_while_a_credit_note_is_made(
    world: World, stripe: Outside, kill: Callable[[str], None], place: str
) -> None:
    sent = world.send(CALLS)
    less = bill("a", *CALLS.line_items, credit("Sorry", "5.00"))
    world.put(less)
    killed_and_again(world, stripe, world.what(less), kill, place)
    assert [each["total"] for each in stripe.notes(str(sent.external_id))] == [500]


def test_killed_once_a_customer_is_there(world: World, stripe: Outside, kill: Callable[[str], None]) -> None:
    world.forget_customer()
    world.configure(createCustomers=True)
    name = f"Acme {world.directory}"
    world.change_account(msgspec.structs.replace(world.account(), name=name))
    world.put(CALLS)
    killed_and_again(world, stripe, world.what(CALLS), kill, "stripe.customer")
    found = stripe.get("/v1/customers", email="billing@acme.example", limit="100")["data"]
    assert [each["name"] for each in found].count(name) == 1


def test_every_place_of_the_hand_over_to_stripe_was_killed_at() -> None:
    text = Path(__file__).read_text()
    places = [name for name in failpoints.POINTS if name.startswith("stripe.") and name != "stripe.metered"]
    assert [name for name in places if f'"{name}"' not in text] == []
