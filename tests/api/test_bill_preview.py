"""A preview through the official client's transport: strict about what a bill looks like."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from m3ter import M3ter
from m3ter.types import BillResponse
from storefront import Storefront, read, refused, send

from tallystick.api.bill_preview import counted_up_to
from tallystick.cli.main import run
from tenant import Tenant

PATH = "/bills/preview"


def used(shop: Storefront, uid: str, amount: int) -> None:
    moment = datetime.now(UTC) - timedelta(seconds=1)
    shop.measure(
        {
            "uid": uid,
            "meter": "traffic",
            "account": "acme",
            "ts": moment.isoformat(),
            "measure": {"bytes": amount},
            "where": {"region": "eu"},
            "metadata": {"file": "a"},
        }
    )


def preview(client: M3ter, organization: Tenant, body: dict[str, Any], **query: str) -> BillResponse:
    """The answer as the client's own type of a bill, checked strictly."""
    path = f"/organizations/{organization.id}{PATH}"
    return client.post(path, cast_to=BillResponse, body=body, options={"params": query})


def test_a_preview_shows_the_usage_of_this_very_second(client: M3ter, organization: Tenant, http: httpx.Client) -> None:
    """The open month: a standing charge of 20.00 and each byte at 0.25, as soon as it is acknowledged."""
    shop = Storefront(http)
    asked = {"accountIds": [shop.ids["/accounts"]], "billingFrequency": "MONTHLY", "billFrequencyInterval": 1}
    for number, total in ((1, 30), (2, 40), (3, 50)):
        used(shop, f"u{number}", 40)
        found = preview(client, organization, asked)
        assert found.bill_total == total
        assert found.status == "PENDING"
        assert found.to_dict()["complete"] is True
    assert [line.line_item_type for line in found.line_items or ()] == ["STANDING_CHARGE", "USAGE"]
    assert client.bills.list().data == []
    assert client.bill_jobs.list().data == []


def test_a_preview_explains_its_lines(http: httpx.Client) -> None:
    shop = Storefront(http)
    used(shop, "u1", 40)
    found = read(send(http, "POST", PATH + "?explain=true", {"accountIds": [shop.ids["/accounts"]]}))
    assert "billJobId" not in found
    assert found["explanation"][1]["sentence"] == ("40 units of Bytes stored: 40 × 0.25 = 10.00, which is 10.00 USD")


@pytest.mark.parametrize("accounts", [None, [], ["nobody"]])
def test_a_preview_wants_one_account(http: httpx.Client, accounts: list[str] | None) -> None:
    body = {} if accounts is None else {"accountIds": accounts}
    assert "accountIds" in refused(send(http, "POST", PATH, body))["message"]


def test_the_command_shows_the_open_bill(
    organization: Tenant, http: httpx.Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in organization.environment().items():
        monkeypatch.setenv(name, value)
    shop = Storefront(http)
    used(shop, "u1", 40)
    assert run(["bill", "preview", "acme", "--explain"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Preview of bill ")
    assert "30.00" in said
    assert "40 × 0.25 = 10.00" in said
    assert run(["bill", "preview", "acme", "--until", "yesterday"]) == 1


@pytest.mark.parametrize(("accepted", "counted", "answered"), [(9, 7, 7), (7, 9, 7)])
def test_who_does_not_want_to_wait_is_answered_for_what_is_counted(accepted: int, counted: int, answered: int) -> None:
    call: Any = SimpleNamespace(
        app=SimpleNamespace(usage=SimpleNamespace(mark=counted)), query=SimpleNamespace(flag={"wait": False}.get)
    )
    assert counted_up_to(call, accepted) == answered
