"""A full disk under the journal, the uid index, the usage store, the records, or everything.

What cannot be kept is refused with a time to come back, nothing is acknowledged that is not kept, and all is well again
once there is room, without a restart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from typing import Any

import httpx
import pytest
from m3ter import M3ter
from small_disk import MIB, Disk, LimitedFiles, SmallDisk, mounted
from token_shop import Event, expected_total, join, open_shop

from tallystick.cli.launch import Server, free_port, launched
from tenant import Tenant, new_tenant

WAIT_SECONDS = 60
SIZE = 200  # measurements in a batch: more bytes than the last pages of the files have room for
SIZES = {"journal": 8 * MIB, "uids": 128 * MIB, "usage": 128 * MIB, "records": 32 * MIB}
EVERYTHING = "everything"
STAY_SECONDS = 1.5  # longer than the pause after which the worker tries again
LARGE_PRODUCT = {"name": "New", "code": "new", "customFields": {f"f{number}": "x" * 200 for number in range(50)}}

# What is full → the answers to good measurements and to a new product meanwhile.
FULL = {"journal": (503, 200), "uids": (503, 200), "usage": (200, 200), "records": (200, 503), EVERYTHING: (503, 503)}


class Machine:
    """A server whose disks can be filled. Where mounting is refused they are all one: `together`."""

    def __init__(self, server: Server, disks: dict[str, Disk], *, together: bool) -> None:
        self.server = server
        self.disks = disks
        self.together = together

    def free(self) -> None:
        for disk in self.disks.values():
            disk.free()


@pytest.fixture
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Made anew for each test: how much a file may grow depends on what was written to it before."""
    data = tmp_path_factory.mktemp("disks")
    with ExitStack() as stack:
        apart = [stack.enter_context(mounted(data / name, size)) for name, size in SIZES.items()]
        settings = {"TALLYSTICK_RECORDS_URL": f"sqlite:///{data}/records/records.sqlite", "TALLYSTICK_BILL_CHUNK": "1"}
        settings["TALLYSTICK_GATHERED_UIDS"] = "1"
        server = stack.enter_context(launched(data, free_port(), settings))
        disks: dict[str, Disk] = {
            name: SmallDisk(data / name) if all(apart) else LimitedFiles(server, data / name) for name in SIZES
        }
        disks[EVERYTHING] = LimitedFiles(server, data / "records")
        yield Machine(server, disks, together=not all(apart))


@pytest.fixture
def tenant(machine: Machine) -> Iterator[Tenant]:
    """An organisation of one's own; every disk has room again afterwards."""
    try:
        yield new_tenant(machine.server)
    finally:
        machine.free()


def until(true: Callable[[], Any]) -> Any:
    """What a question answers once that is true."""
    end = time.monotonic() + WAIT_SECONDS
    while not (answer := true()):
        assert time.monotonic() < end, f"not so after {WAIT_SECONDS} s"
        time.sleep(0.05)
    return answer


def batch(number: int, size: int = SIZE) -> list[dict[str, Any]]:
    return [Event(f"{number}/{each}", 1, "eu", 1).measurement("acme") for each in range(size)]


def send(http: httpx.Client, members: list[dict[str, Any]]) -> httpx.Response:
    return told(http.post("/measurements", json={"measurements": members}))


def told(reply: httpx.Response) -> httpx.Response:
    """An answer that is either a success, or says when to come back."""
    assert reply.status_code in {200, 503}, reply.text
    if reply.status_code == 503:
        assert reply.json()["code"] == "busy"
        assert int(reply.headers["retry-after"]) > 0
    return reply


def verdicts(reply: httpx.Response) -> list[str]:
    return [each["verdict"] for each in reply.json()["measurements"]]


def counted(http: httpx.Client) -> Decimal:
    """Tokens that the usage query sees."""
    meter = http.get("/meters").json()["data"][0]["id"]
    tokens = {"meterId": meter, "fieldCode": "tokens", "fieldType": "MEASURE", "function": "SUM"}
    march = {"startDate": "2025-03-01T00:00:00Z", "endDate": "2025-04-01T00:00:00Z"}
    reply = http.post("/usage/query", json={**march, "meterIds": [meter], "aggregations": [tokens]})
    assert reply.status_code == 200, reply.text
    return sum((Decimal(str(row["tokens.SUM"])) for row in reply.json()["data"]), Decimal(0))


@pytest.mark.parametrize("full", FULL)
def test_what_cannot_be_kept_is_not_acknowledged(machine: Machine, tenant: Tenant, full: str) -> None:
    with tenant.sdk() as client, tenant.http() as http:
        open_shop(client)
        assert verdicts(send(http, batch(0))) == ["accepted"] * SIZE
        until(lambda: counted(http) == SIZE)

        machine.disks[full].fill()
        measured, configured = FULL[EVERYTHING if machine.together else full]
        bad = {**batch(9)[0], "meter": "none"}
        sent = [batch(1), batch(2), [*batch(3), bad]]
        answers = [send(http, each) for each in sent]
        # The index is written after the journal and the answer: that it cannot be is known from the next request on.
        first = 200 if full == "uids" and not machine.together else measured
        assert [each.status_code for each in answers[:2]] == [first, measured]
        assert answers[2].status_code == max(measured, configured), "what failed must be recorded too"
        product = {"name": "New", "code": "new"}
        assert told(http.post("/products", json=product)).status_code == configured
        assert counted(http) >= SIZE, "there are still answers to questions"
        acknowledged = [answer.status_code == 200 for answer in answers]

        machine.disks[full].free()
        for members, kept in zip(sent, acknowledged, strict=True):
            again = until(lambda members=members: (reply := send(http, members)).status_code == 200 and reply)
            known = verdicts(again)[:SIZE]
            assert set(known) <= {"duplicate"} if kept else {"duplicate", "accepted"}
        if configured == 503:
            assert told(http.post("/products", json=product)).status_code == 200
        assert [each["code"] for each in http.get("/products").json()["data"]].count("new") == 1
        until(lambda: counted(http) == 4 * SIZE)
        assert verdicts(send(http, [each for members in sent for each in members[:SIZE]])) == ["duplicate"] * (3 * SIZE)


@pytest.mark.parametrize("full", ["records", EVERYTHING])
def test_a_bill_run_that_fills_the_disk_goes_on_when_there_is_room(machine: Machine, tenant: Tenant, full: str) -> None:
    with tenant.sdk() as client, tenant.http() as http:
        plan = open_shop(client)
        used = {f"customer{number}": [Event(f"u{number}", 1, "eu", 90 + number)] for number in range(30)}
        accounts = {join(client, plan, code): events for code, events in used.items()}
        send(http, [event.measurement(code) for code, events in used.items() for event in events])

        machine.disks[full].fill(leave=MIB)
        job = client.bill_jobs.create(account_ids=list(accounts), last_date_in_billing_period="2025-03-31")
        before = until(lambda: stuck(client, job.id))
        assert 0 < before.pending < 30, "it was filled in the middle of the run"
        assert told(http.post("/products", json=LARGE_PRODUCT)).status_code == 503
        assert len(list(client.bills.list())) == 30 - before.pending, "what is done is there"

        machine.disks[full].free()
        done = until(lambda: (now := client.bill_jobs.retrieve(job.id)).status == "COMPLETE" and now)
        assert done.pending == 0
        bills = list(client.bills.list())
        owed = {str(bill.account_id): Decimal(str(bill.bill_total)) for bill in bills}
        assert len(bills) == 30
        assert owed == {account: expected_total(events) for account, events in accounts.items()}


def test_a_bill_run_waits_for_usage_that_there_was_no_room_for(machine: Machine, tenant: Tenant) -> None:
    """What was acknowledged and cannot be projected is on no bill yet: no bill is made without it."""
    with tenant.sdk() as client, tenant.http() as http:
        plan = open_shop(client)
        used = [Event(f"u{number}", 1, "eu", 90 + number) for number in range(30)]
        account = join(client, plan, "customer")
        members = [event.measurement("customer") for event in used]
        march: dict[str, Any] = {"account_ids": [account], "last_date_in_billing_period": "2025-03-31"}

        machine.disks["usage"].fill()
        kept = send(http, members).status_code == 200
        assert kept != machine.together
        if kept:
            job = client.bill_jobs.create(**march)
            time.sleep(STAY_SECONDS)
            assert client.bill_jobs.retrieve(job.id).status == "PENDING"
            assert list(client.bills.list()) == []

        machine.disks["usage"].free()
        until(lambda: send(http, members).status_code == 200)
        job = job if kept else client.bill_jobs.create(**march)
        until(lambda: client.bill_jobs.retrieve(job.id).status == "COMPLETE")
        (bill,) = client.bills.list()
        assert Decimal(str(bill.bill_total)) == expected_total(used)


def stuck(client: M3ter, id: str) -> Any:
    """The bill job, if it does not get on although the worker has tried again."""
    before = client.bill_jobs.retrieve(id)
    time.sleep(STAY_SECONDS)
    after = client.bill_jobs.retrieve(id)
    return after if after.pending == before.pending and after.status == "RUNNING" else None
