"""Bill jobs: what they cover, that they can be killed and run again, cancelled, and asked to calculate anew."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from billing_desk import ADA, NOVEMBER, Desk, calls_world

from billing_world import World, at, bands, id_of
from tallystick.core import wire
from tallystick.core.bill import approve, lock
from tallystick.core.bill_job import BillJobStatus
from tallystick.core.event import Event
from tallystick.core.organization import BillConfig, CurrencyConversion
from tallystick.core.period import Frequency
from tallystick.errors import Refusal
from tallystick.pipeline.bill import remove_bill
from tallystick.pipeline.bill_job import cancel_job, list_jobs, read_job, unfinished_jobs
from tallystick.ports import DocumentWhere, Page

Opener = Callable[[World], Desk]


class KilledError(Exception):
    """The process dies here."""


def test_job_makes_the_bills_of_the_period_that_ends_on_the_named_day(open_desk: Opener) -> None:
    desk = open_desk(calls_world("acme", "beta"))
    desk.use("acme", "2023-11-30T23:59:59Z", calls=100)
    desk.use("acme", "2023-12-01T00:00:00Z", calls=900)
    job = desk.run(**NOVEMBER)
    assert (job.status, job.total, job.pending, len(job.bill_ids)) == ("COMPLETE", 2, 0, 2)
    acme, beta = desk.bills()
    assert (acme.bill_total, beta.bill_total) == (Decimal("15.00"), Decimal("5.00"))
    assert (acme.start_date, acme.end_date, acme.bill_date) == (date(2023, 11, 1), date(2023, 12, 1), date(2023, 12, 1))
    assert acme.due_date == date(2023, 12, 31)
    assert set(job.bill_ids) == {acme.id, beta.id}


# ------------------------------------------------------------------------------------------------------ periods


def mixed_world() -> World:
    """A monthly plan, a weekly one, and a monthly one that is billed from the 15th."""
    world = World()
    product = world.product("API")
    for name, frequency in (("monthly", Frequency.MONTHLY), ("weekly", Frequency.WEEKLY)):
        template = world.template(name, product, bill_frequency=frequency, standing_charge=Decimal(7))
        world.plan(name, template)
    monthly, weekly = world.entities["plan", id_of("plan", "monthly")], world.entities["plan", id_of("plan", "weekly")]
    for account, plan in (("acme", monthly), ("acme", weekly), ("mid", monthly)):
        world.account(account, **({"bill_epoch": date(2023, 1, 15)} if account == "mid" else {}))
        world.account_plan(plan, account)
    return world


def made(desk: Desk) -> list[tuple[str, str, str, str]]:
    return [
        (bill.account_code, str(bill.billing_frequency), str(bill.start_date), str(bill.end_date))
        for bill in desk.bills()
    ]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (
            {"last_date_in_billing_period": date(2023, 11, 30)},
            [("acme", "MONTHLY", "2023-11-01", "2023-12-01")],
        ),
        ({"last_date_in_billing_period": date(2023, 11, 14)}, [("mid", "MONTHLY", "2023-10-15", "2023-11-15")]),
        ({"last_date_in_billing_period": date(2023, 11, 20)}, [("acme", "WEEKLY", "2023-11-14", "2023-11-21")]),
        ({"last_date_in_billing_period": date(2023, 11, 21)}, []),
        (
            {},  # what has ended by the moment of the job, 1 December 2023
            [
                ("acme", "MONTHLY", "2023-11-01", "2023-12-01"),
                ("acme", "WEEKLY", "2023-11-21", "2023-11-28"),
                ("mid", "MONTHLY", "2023-10-15", "2023-11-15"),
            ],
        ),
        (
            {"bill_date": date(2023, 11, 1), "billing_frequency": Frequency.MONTHLY},
            [("acme", "MONTHLY", "2023-10-01", "2023-11-01"), ("mid", "MONTHLY", "2023-09-15", "2023-10-15")],
        ),
        ({"billing_frequency": Frequency.WEEKLY}, [("acme", "WEEKLY", "2023-11-21", "2023-11-28")]),
        ({"billing_frequency": Frequency.MONTHLY, "bill_frequency_interval": 3}, []),
        ({"billing_frequency": Frequency.AD_HOC}, []),
        ({"account_ids": (id_of("account", "mid"),)}, [("mid", "MONTHLY", "2023-10-15", "2023-11-15")]),
    ],
)
def test_periods_that_a_job_covers(
    open_desk: Opener, request_: dict[str, object], expected: list[tuple[str, str, str, str]]
) -> None:
    desk = open_desk(mixed_world())
    job = desk.run(**request_)
    assert made(desk) == expected
    assert job.status is BillJobStatus.COMPLETE


def test_account_plans_of_one_frequency_share_a_bill_and_other_frequencies_have_their_own(open_desk: Opener) -> None:
    world = mixed_world()
    extra = world.plan("extra", world.template("extra", world.product("Books"), standing_charge=Decimal(3)))
    world.account_plan(extra, "acme")
    desk = open_desk(world)
    desk.run(last_date_in_billing_period=date(2023, 11, 30))
    (bill,) = desk.bills()
    assert [line.product_name for line in bill.line_items] == ["API", "Books"]


def test_account_named_in_vain_is_told(open_desk: Opener) -> None:
    desk = open_desk(mixed_world())
    account_id = id_of("account", "acme")
    job = desk.run(account_ids=(account_id,), last_date_in_billing_period=date(2023, 11, 29))
    (failure,) = job.failures
    assert (failure.code, failure.account_id) == ("no_billing_period", account_id)
    assert "ends on 2023-11-29" in failure.message


def test_job_for_an_unknown_account_is_refused(open_desk: Opener) -> None:
    with pytest.raises(Refusal, match="accountIds: there is no account"):
        open_desk(calls_world()).ask(account_ids=(id_of("account", "nobody"),))


def test_parameters_of_the_job_stand_on_the_bill(open_desk: Opener) -> None:
    desk = open_desk(calls_world())
    rate = CurrencyConversion(from_="USD", to="EUR", multiplier=Decimal(2))
    desk.run(
        **NOVEMBER,
        bill_date=date(2023, 12, 5),
        due_date=date(2024, 1, 1),
        external_invoice_date=date(2023, 11, 30),
        target_currency="EUR",
        currency_conversions=(rate,),
    )
    (bill,) = desk.bills()
    assert (bill.bill_date, bill.due_date, bill.external_invoice_date) == (
        date(2023, 12, 5),
        date(2024, 1, 1),
        date(2023, 11, 30),
    )
    assert (bill.currency, bill.currency_conversions, bill.bill_total) == ("EUR", (rate,), Decimal("10.00"))


# ------------------------------------------------------------------------------------------------------ again


def test_second_job_leaves_bills_byte_for_byte_as_they_are(open_desk: Opener) -> None:
    desk = open_desk(calls_world("acme", "beta"))
    desk.use("acme", "2023-11-05", calls=7)
    desk.run(**NOVEMBER)
    before = desk.bodies()
    desk.use("acme", "2023-12-05", calls=7)  # of no concern to November
    job = desk.run("2023-12-09", **NOVEMBER)
    assert desk.bodies() == before
    assert set(job.bill_ids) == set(before)


STEPS = (
    "initialising",
    "initialised, not committed",
    "initialised",
    "rated",
    "bills written, not committed",
    "progress written, not committed",
    "committed",
)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("time", [1, 2])
def test_job_killed_at_any_step_and_run_again_makes_the_same_bills(open_desk: Opener, step: str, time: int) -> None:
    """With invoice numbers, a failing account, and three chunks; the bills are those of a run without a crash."""

    def desk_with_usage() -> Desk:
        world = calls_world(*(f"account{number}" for number in range(7)))
        world.config(bill_prefix="INVOICE-", sequence_start_number=100)
        world.account("account3", currency="GBP")  # and no rate to it
        desk = open_desk(world)
        for number in range(7):
            desk.use(f"account{number}", "2023-11-05", calls=number)
        return desk

    undisturbed, killed = desk_with_usage(), desk_with_usage()
    whole = undisturbed.run(**NOVEMBER, chunk_size=3)
    job = killed.ask(**NOVEMBER)
    seen = 0

    def dies(at_step: str) -> None:
        nonlocal seen
        seen += at_step == step
        if at_step == step and seen == time:
            raise KilledError

    once = step.startswith("initialis") and time == 2
    if once:
        killed.go_on(job.id, failpoint=dies, chunk_size=3)  # this step comes only once
    else:
        with pytest.raises(KilledError):
            killed.go_on(job.id, failpoint=dies, chunk_size=3)
        assert unfinished_jobs(killed.records) == [job.id]
    again = killed.go_on(job.id, chunk_size=3)
    assert killed.bodies() == undisturbed.bodies()
    assert again == whole
    assert [bill.sequential_invoice_number for bill in killed.bills()] == [f"INVOICE-{101 + n}" for n in range(6)]
    assert len(events(killed)) == len(events(undisturbed)) == 1


def events(desk: Desk) -> list[Event]:
    found = desk.records.documents("event", DocumentWhere(equal={"event_name": ["billing.bill.failed"]}), Page()).rows
    return [wire.decode(Event, each.body) for each in found]


def test_size_of_chunks_and_order_of_usage_do_not_change_the_bills(open_desk: Opener) -> None:
    def bodies(chunk_size: int, order: int) -> dict[str, bytes]:
        desk = open_desk(calls_world(*(f"account{number}" for number in range(5))))
        used = [(f"account{number % 5}", f"2023-11-{1 + number:02}", number) for number in range(20)]
        for account, when, calls in used[::order]:
            desk.use(account, when, calls=calls)
        desk.run(**NOVEMBER, chunk_size=chunk_size)
        return desk.bodies()

    assert bodies(1, 1) == bodies(2, -1) == bodies(500, 1)


# ------------------------------------------------------------------------------------------------------ failures


def test_account_that_cannot_be_billed_is_named_and_the_others_go_on(open_desk: Opener) -> None:
    world = calls_world("acme", "beta", "gamma")
    world.account("beta", currency="GBP")
    desk = open_desk(world)
    job = desk.run(**NOVEMBER)
    assert [bill.account_code for bill in desk.bills()] == ["acme", "gamma"]
    (failure,) = job.failures
    assert (failure.code, failure.account_id) == ("missing_conversion_rate", id_of("account", "beta"))
    assert "from 'USD' to 'GBP'" in failure.message
    (event,) = events(desk)
    assert (event.m3ter_event["accountId"], event.m3ter_event["code"]) == (failure.account_id, failure.code)
    assert job.status is BillJobStatus.COMPLETE


# ------------------------------------------------------------------------------------------------------ states


def approved(desk: Desk, *, locked: bool = False) -> None:
    for record in desk.bill_records():
        bill = approve(record.bill, by="bob", at=at("2023-12-02"))
        bill = lock(bill, by="bob", at=at("2023-12-02")) if locked else bill
        desk.put(msgspec.structs.replace(record, bill=bill))


def test_late_usage_replaces_the_bill_and_takes_its_approval_back(open_desk: Opener) -> None:
    world = calls_world()
    world.config(bill_prefix="I-")
    desk = open_desk(world)
    desk.run(**NOVEMBER)
    approved(desk)
    desk.use("acme", "2023-11-05", calls=100)
    job = desk.run("2023-12-03", **NOVEMBER)
    (bill,) = desk.bills()
    assert (bill.status, bill.approved_by, bill.bill_total) == ("PENDING", None, Decimal("15.00"))
    assert (bill.version, bill.bill_job_id, bill.last_calculated_date) == (3, job.id, at("2023-12-03"))
    assert (bill.sequential_invoice_number, bill.created_date) == ("I-1", at("2023-12-01T06:00:00Z"))


def test_unchanged_approved_bill_stays_approved_in_a_run_and_is_reopened_by_a_recalculation(open_desk: Opener) -> None:
    desk = open_desk(calls_world())
    desk.run(**NOVEMBER)
    approved(desk)
    before = desk.bodies()
    desk.run("2023-12-03", **NOVEMBER)
    assert desk.bodies() == before
    job = desk.recalculate(before)
    (bill,) = desk.bills()
    assert (bill.status, bill.dt_approved, bill.bill_job_id) == ("PENDING", None, job.id)
    assert job.type == "RECALCULATE"
    assert job.bill_ids == tuple(before)


def test_recalculation_uses_present_prices_and_the_parameters_of_the_bill(open_desk: Opener) -> None:
    world = calls_world()
    desk = open_desk(world)
    desk.use("acme", "2023-11-05", calls=100)
    desk.run(**NOVEMBER, bill_date=date(2023, 12, 9))
    world.pricing("price", bands((0, "0.20")))
    desk.save()
    desk.recalculate(desk.bodies())
    (bill,) = desk.bills()
    assert (bill.bill_total, bill.bill_date) == (Decimal("25.00"), date(2023, 12, 9))


@pytest.mark.parametrize(
    "change", [{"timezone": "America/New_York"}, {"month_epoch": date(2022, 1, 2)}], ids=["zone", "epoch"]
)
def test_bill_of_a_period_that_the_settings_no_longer_have_is_not_emptied(
    open_desk: Opener, change: dict[str, object]
) -> None:
    world = calls_world()
    desk = open_desk(world)
    desk.run(**NOVEMBER)
    before = desk.bodies()
    world.config(**change)
    desk.save()
    job = desk.recalculate(before)
    assert desk.bodies() == before
    assert [failure.code for failure in job.failures] == ["no_billing_period"]
    assert "2023-11-01T00:00:00.000Z" in job.failures[0].message


def test_job_that_is_run_late_does_not_bring_back_what_a_later_one_has_replaced(open_desk: Opener) -> None:
    desk = open_desk(calls_world())
    first = desk.ask(**NOVEMBER)
    desk.use("acme", "2023-11-05", calls=100)
    second = desk.ask(**NOVEMBER)
    desk.go_on(second.id)
    before = desk.bodies()
    assert desk.go_on(first.id).bill_ids == tuple(before)
    assert desk.bodies() == before
    assert desk.bills()[0].bill_total == Decimal("15.00")


def test_locked_bills_are_passed_over_and_cannot_be_recalculated(open_desk: Opener) -> None:
    desk = open_desk(calls_world())
    desk.run(**NOVEMBER)
    approved(desk, locked=True)
    before = desk.bodies()
    desk.use("acme", "2023-11-05", calls=100)
    job = desk.run("2023-12-03", **NOVEMBER)
    assert desk.bodies() == before
    assert (job.status, job.bill_ids, job.failures) == ("COMPLETE", (), ())
    with pytest.raises(Refusal, match="is locked") as refused:
        desk.recalculate(before)
    assert refused.value.code.name == "bill_locked"
    with pytest.raises(Refusal, match="there is no bill"):
        desk.recalculate([id_of("bill", "none")])


@pytest.mark.parametrize(("lock_date", "count"), [(date(2023, 11, 29), 1), (date(2023, 11, 30), 0)])
def test_no_new_bill_in_the_time_that_the_lock_date_has_closed(open_desk: Opener, lock_date: date, count: int) -> None:
    world = calls_world()
    world.add(BillConfig(bill_lock_date=lock_date), "billconfig")
    job = open_desk(world).run(**NOVEMBER)
    assert len(job.bill_ids) == count
    assert [failure.code for failure in job.failures] == ["bill_locked"] * (1 - count)


@pytest.mark.parametrize(("suppressed", "count"), [(False, 1), (True, 0)])
def test_empty_bills_are_kept_unless_suppressed(open_desk: Opener, suppressed: bool, count: int) -> None:
    world = calls_world(fee="0")
    world.config(suppressed_empty_bills=suppressed)
    desk = open_desk(world)
    job = desk.run(**NOVEMBER)
    assert (len(desk.bills()), len(job.bill_ids), job.total) == (count, count, 1)


def test_invoice_numbers_follow_the_order_of_accounts_without_gaps(open_desk: Opener) -> None:
    world = calls_world("beta", "acme", "gamma")
    world.config(bill_prefix="INVOICE-", sequence_start_number=100)
    desk = open_desk(world)
    desk.run(last_date_in_billing_period=date(2023, 10, 31))
    desk.run(**NOVEMBER)
    numbers = {(bill.account_code, bill.start_date.month): bill.sequential_invoice_number for bill in desk.bills()}
    assert [numbers[code, 10] for code in ("acme", "beta", "gamma")] == ["INVOICE-101", "INVOICE-102", "INVOICE-103"]
    assert [numbers[code, 11] for code in ("acme", "beta", "gamma")] == ["INVOICE-104", "INVOICE-105", "INVOICE-106"]


def numbers_of(desk: Desk) -> list[str | None]:
    return [bill.sequential_invoice_number for bill in desk.bills()]


@pytest.mark.parametrize(
    ("later", "number"),
    [
        ({"bill_prefix": "A-", "sequence_start_number": 500}, "A-501"),  # raised: counts from now on
        ({"bill_prefix": "A-", "sequence_start_number": 7}, "A-102"),  # lowered: a number is never given twice
        ({"bill_prefix": "B-", "sequence_start_number": 0}, "B-1"),  # another prefix has numbers of its own
        ({}, None),
    ],
)
def test_settings_of_invoice_numbers_count_from_the_next_bill(
    open_desk: Opener, later: dict[str, Any], number: str | None
) -> None:
    world = calls_world("acme")
    world.config(bill_prefix="A-", sequence_start_number=100)
    desk = open_desk(world)
    desk.run(last_date_in_billing_period=date(2023, 10, 31))
    world.config(**later)
    desk.save()
    desk.run(**NOVEMBER)
    assert numbers_of(desk) == ["A-101", number]


def test_a_deleted_bill_that_is_made_again_has_its_number_again(open_desk: Opener) -> None:
    world = calls_world("acme", "beta")
    world.config(bill_prefix="A-")
    desk = open_desk(world)
    desk.run(**NOVEMBER)
    first = desk.bills()[0]
    for _ in range(2):
        remove_bill(desk.records, first.id, actor_id="ada", at=at("2023-12-02"))
        desk.run(**NOVEMBER)
        assert numbers_of(desk) == ["A-1", "A-2"]
    desk.run(last_date_in_billing_period=date(2023, 12, 31))
    assert numbers_of(desk) == ["A-1", "A-3", "A-2", "A-4"]


def test_account_decides_when_its_bill_is_due_and_the_organisation_when_it_is_invoiced(open_desk: Opener) -> None:
    world = calls_world()
    world.account(days_before_bill_due=14, purchase_order_number="PO-7")
    world.config(external_invoice_date="LAST_DAY_OF_ARREARS")
    desk = open_desk(world)
    desk.run(**NOVEMBER)
    (bill,) = desk.bills()
    assert bill.due_date - bill.bill_date == timedelta(days=14)
    assert (bill.external_invoice_date, bill.purchase_order_number) == (date(2023, 11, 30), "PO-7")


# ------------------------------------------------------------------------------------------------------ jobs


def test_cancelled_job_keeps_what_it_has_made_and_does_no_more(open_desk: Opener) -> None:
    desk = open_desk(calls_world("a", "b", "c"))
    job = desk.ask(**NOVEMBER)

    def cancels(step: str) -> None:
        if step == "committed":
            cancel_job(desk.records, job.id, actor=ADA, now=at("2023-12-01T07:00:00Z"))

    stopped = desk.go_on(job.id, failpoint=cancels, chunk_size=1)
    assert (stopped.status, stopped.total, stopped.pending, len(stopped.bill_ids)) == ("CANCELLED", 3, 2, 1)
    assert desk.go_on(job.id) == stopped
    assert len(desk.bills()) == 1


def test_a_job_that_is_to_stop_ends_after_the_chunk_at_hand_and_goes_on_later(open_desk: Opener) -> None:
    desk = open_desk(calls_world("a", "b", "c"))
    job = desk.ask(**NOVEMBER)
    steps: list[str] = []
    stopped = desk.go_on(job.id, failpoint=steps.append, stopping=lambda: steps.count("committed") == 2, chunk_size=1)
    assert (stopped.status, stopped.total, stopped.pending, len(stopped.bill_ids)) == ("RUNNING", 3, 1, 2)
    assert desk.go_on(job.id).status == "COMPLETE"
    assert len(desk.bills()) == 3


def test_jobs_are_listed_newest_first_and_by_status(open_desk: Opener) -> None:
    desk = open_desk(calls_world())
    first = desk.run("2023-12-01", **NOVEMBER)
    second = desk.ask("2023-12-02", **NOVEMBER)
    assert [job.id for job in list_jobs(desk.records, Page()).rows] == [second.id, first.id]
    assert [job.id for job in list_jobs(desk.records, Page(), active=True).rows] == [second.id]
    assert [job.id for job in list_jobs(desk.records, Page(), status=BillJobStatus.COMPLETE).rows] == [first.id]
    assert list_jobs(desk.records, Page(), status=BillJobStatus.COMPLETE).rows[0] == first
    with pytest.raises(Refusal, match="there is no bill job"):
        read_job(desk.records, "nothing")
