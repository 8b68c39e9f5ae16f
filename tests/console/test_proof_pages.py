"""What a bill can be held against, on pages, over HTTP and on the command line alike."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterator

import pytest
from storefront import read
from test_bill_pages import EXACT, Books, opened

from tallystick.cli.launch import Server
from tallystick.cli.main import run as run_command
from tenant import new_tenant

Run = Callable[..., str]


@pytest.fixture(scope="module")
def books(server: Server) -> Iterator[Books]:
    """January is 30.00, February 35.00: 20 more bytes at 0.25."""
    with opened(new_tenant(server)) as made:
        yield made


@pytest.fixture
def command(books: Books, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command for the books; answers what it printed."""
    for name, value in books.tenant.environment().items():
        monkeypatch.setenv(name, value)

    def call(*arguments: str, code: int = 0) -> str:
        answered = run_command(list(arguments))
        said = capsys.readouterr()
        assert answered == code, said.err
        return said.out + (said.err if code else "")

    return call


def test_the_bridge_from_january_to_february(books: Books, command: Run) -> None:
    found = read(books.http.get(f"/bills/{books.bills[2]}/bridge"))
    assert (found["totalBefore"], found["total"], found["difference"]) == (30, 35, 5)
    amounts = {step["cause"]: step["amount"] for step in found["steps"]}
    assert amounts == {"VOLUME": 5, "PRICE": 0, "MIX": 0, "CREDITS": 0, "CORRECTIONS": 0}
    page = books.page(f"/bills/{books.bills[2]}/bridge")
    assert "Volume +5.00 USD." in html.unescape(page)
    assert {"30.00", "35.00", "5.00"} <= set(EXACT.findall(page))
    assert f"/bills/{books.bills[2]}/bridge" in books.page(f"/bills/{books.bills[2]}")
    assert "There is no bill before this one." in books.page(f"/bills/{books.bills[1]}/bridge")
    assert json.loads(command("bill", "bridge", books.bills[2], "--json"))["difference"] == 5
    told = command("bill", "bridge", "acme")
    assert told.startswith("Volume +5.00 USD.\n")
    assert "Corrections" in told
