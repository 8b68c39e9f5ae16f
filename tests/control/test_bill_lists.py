"""Lists of bills and their totals: what matches, added up by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
from billing_desk import Desk, calls_world

from billing_world import at, id_of
from tallystick.control import bill_lists
from tallystick.control.bill_lists import BillState, BillsWanted, list_bills, totals
from tallystick.core.bill import approve, lock
from tallystick.ports import Page


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Bills of October and November of three accounts: a fee of 5.00 each and 0.10 for each of 10, 20 and 30 calls in
    November. Those of October are locked but for acme's, which is approved."""
    world = calls_world("acme", "bolt", "coal")
    world.config(bill_prefix="INV-")
    opened = Desk(tmp_path, world)
    for account, calls in (("acme", 10), ("bolt", 20), ("coal", 30)):
        opened.use(account, "2023-11-05", calls=calls)
    opened.run("2023-11-01T06:00:00Z", last_date_in_billing_period=date(2023, 10, 31))
    for record in opened.bill_records():
        bill = approve(record.bill, by="ada", at=at("2023-11-02"))
        done = bill if bill.account_code == "acme" else lock(bill, by="ada", at=at("2023-11-03"))
        opened.put(msgspec.structs.replace(record, bill=done))
    opened.run("2023-12-01T06:00:00Z", last_date_in_billing_period=date(2023, 11, 30))
    yield opened
    opened.close()


def shown(desk: Desk, size: int = 10, **wanted: Any) -> list[tuple[str, int, str]]:
    """(account, month, state) of the bills that match, read page by page."""
    found: list[tuple[str, int, str]] = []
    token: str | None = None
    while True:
        page = list_bills(desk.records, BillsWanted(**wanted), Page(size=size, token=token))
        found += [(each.account_code, each.start_date.month, each.state.value) for each in page.rows]
        token = page.next_token
        if token is None:
            return found


OCTOBER = [("acme", 10, "APPROVED"), ("bolt", 10, "LOCKED"), ("coal", 10, "LOCKED")]
NOVEMBER = [("acme", 11, "PENDING"), ("bolt", 11, "PENDING"), ("coal", 11, "PENDING")]


@pytest.mark.parametrize(
    ("wanted", "bills"),
    [
        ({}, OCTOBER + NOVEMBER),
        ({"state": BillState.PENDING}, NOVEMBER),
        ({"state": BillState.APPROVED}, OCTOBER[:1]),
        ({"state": BillState.LOCKED}, OCTOBER[1:]),
        ({"account": "OL"}, [OCTOBER[1], NOVEMBER[1]]),
        ({"account": "o", "state": BillState.LOCKED}, OCTOBER[1:]),
        ({"account": "nobody"}, []),
        ({"account_id": id_of("account", "coal")}, [OCTOBER[2], NOVEMBER[2]]),
        ({"month": "2023-11"}, NOVEMBER),
        ({"month": "2023-10"}, OCTOBER),
        ({"invoice_number": "INV-1"}, OCTOBER[:1]),
        ({"invoice_number": "INV-9"}, []),
    ],
)
def test_what_is_asked_for_is_found(desk: Desk, wanted: dict[str, Any], bills: list[tuple[str, int, str]]) -> None:
    assert sorted(shown(desk, **wanted)) == sorted(bills)
    assert shown(desk, size=2, **wanted) == shown(desk, **wanted)


def test_totals_are_by_currency_and_state(desk: Desk) -> None:
    """October: 5.00 approved, 10.00 locked. November: 6.00, 7.00 and 8.00."""

    def told(**wanted: Any) -> list[tuple[str, str, int, str]]:
        found = totals(desk.records, BillsWanted(**wanted)) or ()
        return [(each.currency, each.state.value, each.count, f"{each.total:.2f}") for each in found]

    assert told() == [("USD", "PENDING", 3, "21.00"), ("USD", "APPROVED", 1, "5.00"), ("USD", "LOCKED", 2, "10.00")]
    assert told(account="coal") == [("USD", "PENDING", 1, "8.00"), ("USD", "LOCKED", 1, "5.00")]
    assert told(account="nobody") == []
    (acme,) = [each for each in desk.bill_records() if each.bill.status == "APPROVED" and not each.bill.locked]
    desk.put(msgspec.structs.replace(acme, bill=lock(acme.bill, by="ada", at=at("2023-11-03"))))
    assert told(month="2023-10") == [("USD", "LOCKED", 3, "15.00")]
    assert told()[1:] == [("USD", "LOCKED", 3, "15.00")]  # what is remembered is forgotten when a bill is written


def test_too_many_are_not_added_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bill_lists, "MOST_ADDED", 5)
    assert totals(desk.records, BillsWanted()) is None
    assert totals(desk.records, BillsWanted(state=BillState.PENDING)) is not None
