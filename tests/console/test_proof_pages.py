"""What a bill can be held against, on pages, over HTTP and on the command line alike."""

from __future__ import annotations

import html
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from storefront import read
from test_bill_pages import EXACT, Books, opened, own_books  # noqa: F401  # a fixture

from tallystick.cli.launch import Server
from tallystick.cli.main import run as run_command
from tallystick.core.user import Role
from tenant import Tenant, new_tenant

Run = Callable[..., str]


@pytest.fixture(scope="module")
def books(server: Server) -> Iterator[Books]:
    """January is 30.00, February 35.00: 20 more bytes at 0.25."""
    with opened(new_tenant(server)) as made:
        yield made


@pytest.fixture
def command(books: Books, command_of: Callable[[Tenant], Run]) -> Run:
    """Runs a command for the books; answers what it printed."""
    return command_of(books.tenant)


@pytest.fixture
def command_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[Tenant], Run]:
    """Runs commands for an organisation."""

    def call(*arguments: str, code: int = 0) -> str:
        answered = run_command(list(arguments))
        said = capsys.readouterr()
        assert answered == code, said.err
        return said.out + (said.err if code else "")

    def bound(tenant: Tenant) -> Run:
        for name, value in tenant.environment().items():
            monkeypatch.setenv(name, value)
        return call

    return bound


def test_the_bridge_from_january_to_february(books: Books, command: Run) -> None:
    found = read(books.http.get(f"/bills/{books.bills[2]}/bridge"))
    assert (found["totalBefore"], found["total"], found["difference"]) == (30, 35, 5)
    amounts = {step["cause"]: step["amount"] for step in found["steps"]}
    assert amounts == {"VOLUME": 5, "PRICE": 0, "MIX": 0, "CREDITS": 0, "CORRECTIONS": 0}
    page = books.page(f"/bills/{books.bills[2]}/bridge")
    assert "Volume +5.00 USD." in html.unescape(page)
    assert {"30", "35", "5"} <= set(EXACT.findall(page))
    assert f"/bills/{books.bills[2]}/bridge" in books.page(f"/bills/{books.bills[2]}")
    assert "There is no bill before this one." in books.page(f"/bills/{books.bills[1]}/bridge")
    assert json.loads(command("bill", "bridge", books.bills[2], "--json"))["difference"] == 5
    told = command("bill", "bridge", "acme")
    assert told.startswith("Volume +5.00 USD.\n")
    assert "Corrections" in told


def test_a_measurement_leads_to_the_line_that_it_is_on(books: Books, command: Run) -> None:
    found = read(books.http.get("/measurements/lines", params={"uid": "b"}))
    (line,) = found["lines"]
    assert (line["billId"], line["adjusts"], found["others"]) == (books.bills[2], False, [])
    page = books.page("/explorer/measurement?uid=b")
    assert f'/bills/{books.bills[2]}/lines/{line["sequenceNumber"]}"' in page
    told = command("measurement", "b")
    assert books.bills[2] in told
    uids = read(books.http.get(f"/bills/{books.bills[2]}/lineitems/{line['lineItemId']}/measurements"))["data"]
    assert "b" in {each["uid"] for each in uids}, "and the line leads back to it"


def test_a_measurement_that_is_on_no_line_says_why(
    books: Books, command: Run, new_organization: Callable[[], Tenant]
) -> None:
    march = {"uid": "m", "meter": "traffic", "account": "acme", "ts": "2025-03-10", "measure": {"bytes": 1}}
    books.shop.measure(march | {"where": {"region": "eu"}, "metadata": {"file": "f"}})
    found = read(books.http.get("/measurements/lines", params={"uid": "m"}))
    assert found["lines"] == []
    assert {each["reason"] for each in found["others"]} <= {"NOT_YET_BILLED", "NOT_COUNTED_YET"}
    assert "the measurement m is on no line" in command("measurement", "m")
    assert books.http.get("/measurements/lines", params={"uid": "never"}).status_code == 404
    assert books.http.get("/measurements/lines").status_code == 400
    with new_organization().http() as other:
        assert other.get("/measurements/lines", params={"uid": "b"}).status_code == 404, "it is not theirs"
    books.http.post("/measurements", json={"measurements": [{"uid": "x", "meter": "nothing", "account": "acme"}]})
    (other,) = read(books.http.get("/measurements/lines", params={"uid": "x"}))["others"]
    assert other["reason"] == "REJECTED"


def test_all_bills_are_verified_by_page_command_and_api(books: Books, command: Run) -> None:
    told = command("bill", "verify", "--all")
    assert told.startswith("2 of 2 bills stand up")
    jobs = read(books.http.get("/billverifications"))["data"]
    assert (jobs[0]["status"], jobs[0]["verified"], jobs[0]["failures"]) == ("COMPLETE", 2, [])
    assert read(books.http.get(f"/billverifications/{jobs[0]['id']}")) == jobs[0]
    assert read(books.http.post(f"/billverifications/{jobs[0]['id']}/cancel")) == jobs[0]
    desk = books.people[Role.BILLING]
    desk.get("/verifications")
    assert "All bills are being verified." in desk.post("/verifications")
    assert command("bill", "verify", "acme").startswith("1 of 1 bills stand up")
    assert "name bills, or say --all" in command("bill", "verify", code=1)


def test_an_approved_bill_is_sealed(own_books: Books) -> None:  # noqa: F811  # the fixture of that name
    books = own_books
    id_ = books.bills[1]
    assert read(books.http.get(f"/bills/{id_}/verification"))["sealed"] is False
    desk = books.people[Role.BILLING]
    desk.get(f"/bills/{id_}")
    desk.post(f"/bills/{id_}/approve")
    deadline = time.monotonic() + 30
    while not (found := read(books.http.get(f"/bills/{id_}/verification")))["sealed"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert found["verified"] is True


def test_a_proof_is_written_and_checked_without_the_server(
    books: Books, command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "proof.jsonl"
    command("bill", "proof", "acme", "-o", str(file))
    assert "Proof, to check elsewhere" in books.page(f"/bills/{books.bills[2]}")
    page = books.people[Role.BILLING].http.get(f"/bills/{books.bills[2]}/proof")
    assert page.headers["content-disposition"].endswith("proof-acme-2025-02-01.jsonl")
    for name in books.tenant.environment():
        monkeypatch.delenv(name)
    told = command("proof", "verify", str(file))
    assert told.startswith(f"the bill {books.bills[2]} of acme, 35.00 USD, is what its 2 measurements and ")
    key = json.loads(file.read_text().splitlines()[0])["content"]["publicKey"]
    assert key in command("proof", "verify", str(file), "--public-key", key)
    file.write_bytes(file.read_bytes().replace(b'"billTotal":35.00', b'"billTotal":34.00'))
    said = command("proof", "verify", str(file), code=1)
    assert f"bill {books.bills[2]}: line 2 is not as it was written" in said
    assert json.loads(command("proof", "verify", str(file), "--json", code=1).splitlines()[0])["verified"] is False
    assert "cannot read" in command("proof", "verify", str(tmp_path / "none"), code=1)


def test_what_was_known_at_a_moment(own_books: Books, command_of: Callable[[Tenant], Run]) -> None:  # noqa: F811  # the fixture
    """February was 60 bytes, 35.00; 8 more came since: 37.00."""
    books = own_books
    february = {"uid": "d", "meter": "traffic", "account": "acme", "ts": "2025-02-12", "measure": {"bytes": 8}}
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    time.sleep(0.01)
    books.shop.measure(february | {"where": {"region": "eu"}, "metadata": {"file": "f"}})
    account = books.shop.ids["/accounts"]
    asked = {"knownAt": moment, "lastDateInBillingPeriod": "2025-02-28"}
    found = read(books.http.get(f"/accounts/{account}/known", params=asked))
    assert (found["then"]["bill"]["billTotal"], found["now"]["bill"]["billTotal"]) == (35, 37)
    assert (found["difference"], found["usage"][0]["totalThen"], found["usage"][0]["totalNow"]) == (2, 60, 68)
    assert found["stored"] == found["stored"] | {"billId": books.bills[2], "asThen": True}
    page = books.page(f"/accounts/{account}/known?at={moment}&until=2025-02-28")
    assert {"35", "37", "2", "60", "68"} <= set(EXACT.findall(page))
    told = command_of(books.tenant)("account", "known", "acme", "--at", moment, "--until", "2025-02-28")
    assert "SUM of bytes: 60 then, 68 now" in told
    for wrong in ({"knownAt": "2999-01-01"}, {"knownAt": "soon"}):
        assert books.http.get(f"/accounts/{account}/known", params=wrong).status_code == 400
