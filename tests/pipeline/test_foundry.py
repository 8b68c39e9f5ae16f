"""Bills that a second process casts ahead are, byte for byte, those of a run without it, whatever becomes of it."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

import mixed_world
import msgspec
import pytest
from billing_desk import ADA, NOVEMBER, Desk, calls_world
from cast_ahead import cast_ahead
from ledger_desk import top_up
from test_moulds import Opener, documents

from billing_world import at, bands, id_of
from credit_world import balance
from tallystick import foundry
from tallystick.app import build
from tallystick.core import wire
from tallystick.core.account import Account
from tallystick.core.aggregation import Measured, Question
from tallystick.core.anomaly import EVERY_KIND, AnomalyPolicy
from tallystick.core.bill_job import BillJob, BillRecalculateRequest
from tallystick.core.cast import Cast
from tallystick.core.catalog import Pricing
from tallystick.core.period import Frequency, Instant
from tallystick.foundry import Foundry, start_process
from tallystick.pipeline import casting
from tallystick.pipeline.bill import Run
from tallystick.pipeline.bill_job import JobChunk, create_recalculation
from tallystick.ports import DocumentWhere, Page, Transaction
from tallystick.ports.founded import config_of
from tallystick.ports.usage import Measuring
from tallystick.settings import Settings
from tallystick.stores.records_sql import open_reading

CODES = [f"a{number:02}" for number in range(24)]
SIX = 6  # bills in a chunk
Start = Callable[[], tuple[Connection, Callable[[], None]]]


def start_thread() -> tuple[Connection, Callable[[], None]]:
    """The other side in a thread of this process: all the same, without the second that a process takes to start."""
    ours, theirs = socket.socketpair()
    connection = Connection(os.dup(theirs.fileno()))

    def serve() -> None:
        with suppress(EOFError, OSError), connection:
            foundry.serve(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()

    def end() -> None:
        theirs.shutdown(socket.SHUT_RDWR)
        theirs.close()
        thread.join(10)
        assert not thread.is_alive(), "with nobody to work for, it ends"

    return Connection(ours.detach()), end


class Noted:
    """A foundry that notes how many bills it gave for each chunk, and has something done before it is asked for one."""

    fewest = 0

    def __init__(self, own: Foundry, before: Callable[[int], None]) -> None:
        self.own, self.before = own, before
        self.given: dict[int, int] = {}

    def order(self, job_id: str, number: int, run: Run, edition: object) -> None:
        self.own.order(job_id, number, run, edition)  # starts it
        self.own.ready.wait(60)
        self.own.order(job_id, number, run, edition)

    def take(self, chunk: JobChunk, edition: Callable[[], object]) -> Mapping[int, Cast]:
        self.before(chunk.number)
        found = self.own.take(chunk, edition)
        self.given[chunk.number] = len(found)
        return found


def run(
    desk: Desk,
    job_id: str | None = None,
    *,
    chunk_size: int = SIX,
    start: Start = start_thread,
    usage: Measuring | None = None,
    before: Callable[[int], None] = lambda _: None,
) -> tuple[BillJob, dict[int, int]]:
    """Run a job of November with a foundry; gives it, and how many bills were cast ahead of each chunk."""
    job_id = job_id or desk.ask(**NOVEMBER).id
    with Foundry(desk.url, desk.world.organization_id, usage or desk.usage, start=start) as own:
        noted = Noted(own, before)
        job = desk.go_on(job_id, chunk_size=chunk_size, foundry=noted)
    return job, noted.given


def calls_desk(open_desk: Opener, *codes: str) -> Desk:
    """Accounts that made 100 calls each."""
    desk = open_desk(calls_world(*codes))
    for code in codes:
        desk.use(code, "2023-11-02T00:00:00Z", calls=100)
    return desk


def everything(desk: Desk) -> dict[str, list[tuple[str, dict[str, str], bytes]]]:
    """All that runs write of bills."""
    kinds = ("bill", "ledgerentry", "billadjustment", "billrevisit", "emptybill", "billedcharge", "invoicenumber")
    found = {kind: desk.records.documents(kind, DocumentWhere(), Page(size=10_000)).rows for kind in kinds}
    return {kind: sorted((each.id, dict(each.keys), each.body) for each in rows) for kind, rows in found.items()}


@pytest.mark.parametrize("seed", range(5))
def test_made_ahead_or_not_a_bill_is_the_same(seed: int, open_desk: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two months of accounts that have some of everything, credit of their own and of others among it."""
    monkeypatch.setattr(casting, "FEWEST", 1)
    monkeypatch.setattr(mixed_world, "CODES", [f"a{number:02}" for number in range(24)])
    world, chance = mixed_world.mixed_world(Random(seed)), Random(seed)
    desks = [open_desk(world), open_desk(world)]
    for desk in desks:
        mixed_world.filled_up(desk, Random(seed))
    for month, now in ((10, "2023-11-06T06:00:00Z"), (11, "2023-12-04T06:00:00Z")):
        for account, when, amount, region in mixed_world.used(chance, month):
            for desk in desks:
                desk.use(account, when, texts={"region": region}, calls=amount, hours=Decimal(2))
        job, given = run(desks[0], desks[0].ask(now).id, chunk_size=9)
        assert sum(given.values()) > 0
        assert job == desks[1].run(now, chunk_size=9)
        assert everything(desks[0]) == everything(desks[1])


def test_credit_that_changes_meanwhile_is_drawn_as_it_then_is(open_desk: Opener) -> None:
    """Each account made calls for 10 dollars, has a fee of 5 and a wallet with 12; one is filled up, one is emptied."""
    world = calls_world(*CODES)
    wallets = {code: balance(world, f"wallet {code}", account_id=id_of("account", code)).id for code in CODES}
    desk = open_desk(world)
    for code in CODES:
        desk.use(code, "2023-11-02T00:00:00Z", calls=100)
        top_up(desk, 12, "2023-11-01", wallets[code], code)

    def meanwhile(number: int) -> None:
        if number == 2:
            top_up(desk, 100, "2023-11-02", wallets["a13"], "a13")
        if number == 3:
            top_up(desk, -12, "2023-11-02", wallets["a20"], "a20")

    job, given = run(desk, before=meanwhile)
    assert (job.status, list(given.items())) == ("COMPLETE", [(0, 0), (1, SIX), (2, 0), (3, 0)])
    totals = {"a13": Decimal("0.00"), "a20": Decimal("15.00")}
    assert {bill.account_code: bill.bill_total for bill in desk.bills()} == dict.fromkeys(
        CODES, Decimal("3.00")
    ) | totals
    assert {bill.version for bill in desk.bills()} == {1}


@pytest.mark.parametrize("kills", [False, True])
def test_a_process_that_is_killed_changes_nothing(open_desk: Opener, kills: bool) -> None:
    ends: list[Callable[[], None]] = []

    def start() -> tuple[Connection, Callable[[], None]]:
        connection, end = start_process()
        ends.append(end)
        return connection, end

    def kill(number: int) -> None:
        if kills and number == 1:
            ends[0]()

    desk, alone = calls_desk(open_desk, *CODES), calls_desk(open_desk, *CODES)
    job, given = run(desk, start=start, before=kill)
    assert job == alone.run(chunk_size=SIX, **NOVEMBER)
    # What it had poured by then is there all the same; the last chunk is ordered later.
    assert (given[0], given[3]) == ((0, 0) if kills else (0, SIX))
    assert kills or (given[1], given[2]) == (SIX, SIX)
    assert len(ends) == 1
    assert documents(desk) == documents(alone)


class Failing:
    """A usage store that cannot be asked."""

    def measure(self, question: Question) -> list[Measured]:
        raise OSError("no answer")

    def measure_many(self, questions: Sequence[Question]) -> list[Iterable[Measured]]:
        raise OSError("no answer")

    def late_accounts(self, accounts: Sequence[str], *, before: Instant, after: int, up_to: int) -> dict[str, Instant]:
        raise RuntimeError("no answer")


def test_a_question_without_an_answer_leaves_the_run_to_itself(open_desk: Opener) -> None:
    desk = calls_desk(open_desk, *CODES)
    job, given = run(desk, usage=Failing())
    assert (job.status, len(job.bill_ids), set(given.values())) == ("COMPLETE", len(CODES), {0})
    assert {bill.bill_total for bill in desk.bills()} == {Decimal("15.00")}


def test_a_bill_waits_for_the_one_before_of_its_account(open_desk: Opener) -> None:
    """Each account has a bill for the last day and one for the month. The last of a chunk of 13 is the first of an
    account whose second comes in the next chunk, and may have to see what the first one says."""
    world = calls_world(*CODES)
    daily = world.template("Daily", bill_frequency=Frequency.DAILY, standing_charge=Decimal(1))
    plan = world.plan("Daily", template=daily)
    for code in CODES:
        world.account_plan(plan, code)
    job, given = run(open_desk(world), chunk_size=13)
    assert len(job.bill_ids) == 2 * len(CODES)
    # That of the last chunk is cast where the first one is settled by then.
    assert list(given.values()) in ([0, 12, 13, 8], [0, 12, 13, 9])


def test_the_bills_of_another_run_stay(open_desk: Opener) -> None:
    desk = calls_desk(open_desk, *CODES)
    one, other = desk.ask(**NOVEMBER), desk.ask(**NOVEMBER)

    def meanwhile(number: int) -> None:
        if number == 2:
            desk.go_on(other.id)

    job, _ = run(desk, one.id, before=meanwhile)
    assert (job.status, len(job.bill_ids)) == ("COMPLETE", len(CODES))
    assert [bill.bill_job_id for bill in desk.bills()] == [one.id] * 12 + [other.id] * 12
    assert {bill.bill_total for bill in desk.bills()} == {Decimal("15.00")}


def dearer(write: Transaction) -> None:
    """A call costs 20 cents instead of 10."""
    (price,) = write.every(Pricing)
    bands_ = bands((0, "0.2"))
    write.replace(replace(price, version=2, value=msgspec.structs.replace(price.value, pricing_bands=bands_)))


def later_due(write: Transaction) -> None:
    """Bills are due after ten days more."""
    config = config_of(write)
    days = config.value.days_before_bill_due + 10
    write.replace(
        replace(
            config,
            version=config.version + 1,
            value=msgspec.structs.replace(config.value, days_before_bill_due=days),
        )
    )


def another_name(write: Transaction) -> None:
    """An account is called otherwise: that says nothing of the bills of all others."""
    account = write.by_code(Account, "a23")
    assert account is not None
    write.replace(replace(account, version=2, value=msgspec.structs.replace(account.value, name="Other")))


@pytest.mark.parametrize(
    ("change", "cast_ahead", "totals", "days"),
    [
        # What was cast before, two chunks at most, is cast anew: it is on no bill that is kept later.
        (dearer, [0, 0, 0, 4, 4, 4], ("15.00", "25.00"), 0),
        (later_due, [0, 0, 0, 4, 4, 4], ("15.00", "15.00"), 10),
        (another_name, [0, 4, 4, 4, 4, 4], ("15.00", "15.00"), 0),
    ],
)
def test_what_changes_for_all_meanwhile_holds_for_what_is_kept_later(
    open_desk: Opener,
    change: Callable[[Transaction], None],
    cast_ahead: list[int],
    totals: tuple[str, str],
    days: int,
) -> None:
    """Each account made calls for 10 dollars and has a fee of 5; the change is made after the first of six chunks."""
    desk = calls_desk(open_desk, *CODES)

    def meanwhile(number: int) -> None:
        if number == 1:
            with desk.records.transaction() as write:
                change(write)

    _, given = run(desk, before=meanwhile, chunk_size=4)
    assert list(given.values()) == cast_ahead
    before, after = (
        [each for each in desk.bills() if (each.account_code in CODES[:4]) is first] for first in (True, False)
    )
    assert [len(before), len(after)] == [4, 20]
    assert [{each.bill_total for each in some} for some in (before, after)] == [{Decimal(each)} for each in totals]
    (due_before,), (due_after,) = ({each.due_date for each in some} for some in (before, after))
    assert due_after - due_before == timedelta(days=days)


def start_one_that_hangs() -> tuple[Connection, Callable[[], None]]:
    """The other side of one that is ready, takes an order and is not heard of again."""
    ours, theirs = socket.socketpair()
    connection = Connection(theirs.detach())
    connection.send_bytes(wire.encode(foundry.Ready()))
    return Connection(ours.detach()), connection.close


def test_one_that_hangs_is_waited_for_once_and_no_more(open_desk: Opener) -> None:
    desk, alone = calls_desk(open_desk, *CODES), calls_desk(open_desk, *CODES)
    start, job_id = start_one_that_hangs, desk.ask(**NOVEMBER).id
    with Foundry(desk.url, desk.world.organization_id, desk.usage, start=start, answer_seconds=0.05) as own:
        noted = Noted(own, lambda _: None)
        job = desk.go_on(job_id, chunk_size=SIX, foundry=noted)
        assert own.take(JobChunk(job_id=job_id, number=9, periods=()), object) == {}
    assert job == alone.run(chunk_size=SIX, **NOVEMBER)
    assert noted.given == {0: 0, 1: 0, 2: 0, 3: 0}
    assert documents(desk) == documents(alone)


def test_chunks_that_were_made_without_it_are_passed_over(open_desk: Opener) -> None:
    """Another run of the job has settled both chunks that were cast; the one after them is cast, too."""
    desk = calls_desk(open_desk, *CODES)
    job_id = desk.ask(**NOVEMBER).id

    def meanwhile(number: int) -> None:
        if number == 1 and not desk.bills()[6:]:
            stops = iter([False, False, True])
            desk.go_on(job_id, chunk_size=SIX, stopping=lambda: next(stops))

    job, given = run(desk, job_id, before=meanwhile)
    assert (job.status, len(job.bill_ids)) == ("COMPLETE", len(CODES))
    assert given == {0: 0, 1: SIX, 3: SIX}
    assert {bill.bill_total for bill in desk.bills()} == {Decimal("15.00")}


def test_what_must_be_looked_at_here_is_not_cast_ahead(open_desk: Opener) -> None:
    """Bills of an organisation that holds some, and bills that are made again."""
    desk = calls_desk(open_desk, *CODES)
    desk.world.add(AnomalyPolicy(hold_for=EVERY_KIND), "policy")
    desk.save()
    job, given = run(desk)
    assert (len(job.bill_ids), given) == (len(CODES), {})
    again = BillRecalculateRequest(bill_ids=job.bill_ids)
    create_recalculation(desk.records, again, id=id_of("job", "again"), actor=ADA, now=at("2023-12-05"), up_to=24)
    job, given = run(desk, id_of("job", "again"))
    assert (len(job.bill_ids), given) == (len(CODES), {})


def test_records_that_were_opened_to_read_cannot_be_written(open_desk: Opener) -> None:
    desk = open_desk(calls_world("acme"))
    records = open_reading(desk.url)
    try:
        assert records.organization(desk.world.organization_id).by_code(Account, "acme") is not None
        with pytest.raises(AssertionError, match="to read"), records.organization("x").transaction():
            pass
    finally:
        records.close()


def test_the_server_has_large_runs_cast_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = build(Settings(data=str(tmp_path), bill_chunk=SIX, foundry_bills=len(CODES)))
    assert cast_ahead(app, CODES, monkeypatch) == [0, SIX, SIX, SIX]
