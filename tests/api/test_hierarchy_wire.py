"""A parent and its children with the official client: one pooled bill, a line for each account."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
from m3ter import M3ter
from storefront import Storefront, read


def used(shop: Storefront, uid: str, account: str, amount: int) -> None:
    member = {"uid": uid, "meter": "traffic", "account": account, "ts": "2025-01-10T00:00:00Z"}
    more = {"measure": {"bytes": amount}, "where": {"region": "eu"}, "metadata": {"file": "a"}}
    shop.measure({**member, **more})


def run(client: M3ter) -> dict[str, Any]:
    """The bills of January 2025, by account code."""
    job = client.bill_jobs.create(last_date_in_billing_period="2025-01-31")
    while job.status not in {"COMPLETE", "CANCELLED"}:
        time.sleep(0.05)
        job = client.bill_jobs.retrieve(job.id)
    bills = [client.bills.retrieve(id_) for id_ in job.bill_ids or []]
    return {bill.account_code or "": bill for bill in bills}


@pytest.fixture
def family(client: M3ter, http: httpx.Client) -> Storefront:
    """`acme` with a plan (20.00 and 0.25 a byte) and children east and west without."""
    shop = Storefront(http)
    for code in ("east", "west"):
        parent = shop.ids["/accounts"]
        client.accounts.create(name=code, code=code, email_address="a@b.example", parent_account_id=parent)
    for uid, account, amount in (("u1", "acme", 4), ("u2", "east", 6), ("u3", "west", 10)):
        used(shop, uid, account, amount)
    return shop


def test_the_parents_bill_has_a_line_for_each_account(client: M3ter, http: httpx.Client, family: Storefront) -> None:
    assert [child.code for child in client.accounts.list_children(family.ids["/accounts"]).data] == ["west", "east"]
    bills = run(client)
    assert list(bills) == ["acme"]
    bill = bills["acme"]
    lines = [(line.child_account_code, line.subtotal) for line in bill.line_items]
    assert lines == [(None, 20), (None, 1), ("east", 1.5), ("west", 2.5)]
    assert bill.bill_total == 25
    assert read(http.get(f"/bills/{bill.id}/verification"))["verified"] is True
    sentences = [each["sentence"] for each in read(http.get(f"/bills/{bill.id}/explanation"))["lines"]]
    assert sentences[2].endswith("of which east has 6 of 20 units: 1.50")


@pytest.mark.parametrize(
    ("mode", "totals"),
    [("PARENT_SUMMARY", {"acme": 25}), ("CHILD", {"acme": 21, "east": 21.5, "west": 22.5})],
)
def test_the_account_plan_says_how_children_are_billed(
    client: M3ter, http: httpx.Client, family: Storefront, mode: Any, totals: dict[str, float]
) -> None:
    plan = client.account_plans.retrieve(family.ids["/accountplans"])
    assert plan.start_date is not None
    client.account_plans.update(
        plan.id,
        account_id=plan.account_id or "",
        plan_id=plan.plan_id or "",
        start_date=plan.start_date,
        child_billing_mode=mode,
        version=plan.version or 0,
    )
    bills = run(client)
    assert {code: bill.bill_total for code, bill in bills.items()} == totals
    for bill in bills.values():
        assert len([line for line in bill.line_items if line.line_item_type == "USAGE"]) == 1
        assert read(http.get(f"/bills/{bill.id}/verification"))["verified"] is True


@pytest.mark.parametrize(
    ("order", "drawn"),
    [
        ("CHILD_FIRST", [("east wallet Consumed", -10), ("acme wallet Consumed", -11.5)]),
        ("PARENT_FIRST", [("acme wallet Consumed", -21.5)]),
    ],
)
def test_the_account_plan_says_whose_wallet_pays_first(
    client: M3ter, http: httpx.Client, family: Storefront, order: str, drawn: list[tuple[str, float]]
) -> None:
    """East is billed by itself, by the contract of its parent: 20.00 and 6 bytes at 0.25. Its own wallet has 10, and is
    for that contract only; its parent's has 100."""
    acme = family.ids["/accounts"]
    (east,) = [each.id for each in client.accounts.list_children(acme).data if each.code == "east"]
    year = {"start_date": "2025-01-01", "end_date": "2026-01-01"}
    contract = client.contracts.create(account_id=acme, name="Year", **year).id
    plan = client.account_plans.retrieve(family.ids["/accountplans"])
    assert plan.start_date is not None
    client.account_plans.update(
        plan.id,
        account_id=acme,
        plan_id=plan.plan_id or "",
        start_date=plan.start_date,
        child_billing_mode="CHILD",
        contract_id=contract,
        version=plan.version or 0,
        extra_body={"childCreditOrder": order},
    )
    kept = client.account_plans.retrieve(plan.id).model_extra
    assert kept is not None
    assert kept["childCreditOrder"] == order
    kind = family.ids["/picklists/transactiontypes"]
    for account, code, amount, of in ((acme, "acme", 100, None), (east, "east", 10, contract)):
        linked = {"contract_id": of} if of else {}
        wallet = client.balances.create(
            account_id=account,
            code=code,
            name=f"{code} wallet",
            currency="USD",
            start_date="2025-01-01T00:00:00Z",
            end_date="2026-01-01T00:00:00Z",
            **linked,
        ).id
        client.balances.transactions.create(wallet, amount=amount, transaction_type_id=kind)
    bill = run(client)["east"]
    lines = [(line.description, line.subtotal) for line in bill.line_items if line.line_item_type == "BALANCE_CONSUMED"]
    assert (lines, bill.bill_total) == (drawn, 0)
    assert read(http.get(f"/bills/{bill.id}/verification"))["verified"] is True
