"""What changes is told: every entity and bill that a transaction writes has its event, in that transaction."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from records_file import new_records
from tallystick.core import wire
from tallystick.core.account import Account
from tallystick.core.entity import Entity
from tallystick.core.event import Event
from tallystick.core.ids import named_id
from tallystick.core.integration import Destination, IntegrationConfig
from tallystick.core.logo import LogoType, PortalLogo
from tallystick.core.period import Instant
from tallystick.outbox import EVENT, OUTBOX
from tallystick.pipeline.telling import FEW, Telling
from tallystick.ports import Document, DocumentWhere, Organization, OrganizationRecords, Page

NORTH = "00000000-0000-4000-8000-000000000001"
SQUARE = b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>'
NOW = Instant.parse("2026-03-01T00:00:00Z")


@pytest.fixture
def records(tmp_path: Path) -> Iterator[OrganizationRecords]:
    store = new_records(tmp_path / "records.db", Telling())
    store.add_organization(Organization(id=NORTH, name="North", created=NOW))
    yield store.organization(NORTH)
    store.close()


def entity(value: Any, version: int = 1, name: str = "it") -> Entity[Any]:
    written: dict[str, Any] = {"created": NOW, "created_by": "ada", "modified": NOW, "modified_by": "bob"}
    return Entity(id=named_id(NORTH, name), version=version, value=value, **written)


def events(records: OrganizationRecords) -> list[Event]:
    """Oldest first."""
    found = records.documents(EVENT, DocumentWhere(), Page(size=500, oldest_first=True))
    return [wire.decode(Event, each.body) for each in found.rows]


def bill(number: int, status: str = "PENDING", version: int = 1, total: int = 10) -> Document:
    """The head of a bill as it is stored, and nothing else of it."""
    head = {
        "id": named_id(NORTH, f"bill {number}"),
        "version": version,
        "accountId": named_id(NORTH, "account"),
        "accountCode": "acme",
        "status": status,
        "locked": False,
        "startDate": "2026-02-01",
        "endDate": "2026-03-01",
        "billDate": "2026-03-01",
        "dueDate": "2026-03-01",
        "billingFrequency": "MONTHLY",
        "currency": "USD",
        "billTotal": total,
        "lineItems": [{"description": "not told"}],
        "billJobId": named_id(NORTH, "job"),
        "dtLastModified": "2026-03-01T00:00:00Z",
        "lastModifiedBy": "ada",
    }
    return Document(id=str(head["id"]), sort="1", keys={}, body=wire.encode({"bill": head}))


def put(records: OrganizationRecords, *bills: Document) -> None:
    with records.transaction() as write:
        write.put_documents("bill", bills)


def test_an_entity_is_told_of_with_what_it_is_and_what_it_was(records: OrganizationRecords) -> None:
    first, second = (
        Account(name="Acme", code="acme", email_address="ap@acme.example"),
        Account(name="Acme Ltd", code="acme", email_address="ap@acme.example"),
    )
    with records.transaction() as write:
        write.insert(entity(first))
    with records.transaction() as write:
        write.replace(entity(second, 2))
    with records.transaction() as write:
        write.remove(entity(second, 2), at=NOW, by="ada")
    told = [(each.event_name, each.m3ter_event) for each in events(records)]
    assert [name for name, _ in told] == [f"configuration.account.{done}" for done in ("created", "updated", "deleted")]
    sides = [
        {side: (said[side]["name"], said[side]["version"]) for side in ("new", "old") if side in said}
        for _, said in told
    ]
    assert sides == [
        {"new": ("Acme", 1)},
        {"new": ("Acme Ltd", 2), "old": ("Acme", 1)},
        {"old": ("Acme Ltd", 2)},
    ]
    assert told[0][1]["new"]["lastModifiedBy"] == "bob"
    where = DocumentWhere(equal={"account_id": (named_id(NORTH, "it"),)})
    assert len(records.documents(EVENT, where, Page()).rows) == 3


def test_what_is_rolled_back_was_not_told(records: OrganizationRecords) -> None:
    def written_and_failed() -> None:
        with records.transaction() as write:
            write.insert(entity(Account(name="Acme", code="acme", email_address="ap@acme.example")))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        written_and_failed()
    assert events(records) == []


def test_secrets_and_what_is_large_are_left_out(records: OrganizationRecords) -> None:
    config = IntegrationConfig(entity_type="Bill", destination=Destination.STRIPE, sealed_credentials="v1.secret")
    with records.transaction() as write:
        write.insert(entity(config))
        write.insert(entity(PortalLogo(media_type=LogoType.SVG, content=b64encode(SQUARE).decode()), name="logo"))
    text = wire.encode([each.m3ter_event for each in events(records)])
    assert b"v1.secret" not in text
    assert b64encode(SQUARE) not in text


def test_a_bill_is_told_of_by_its_head(records: OrganizationRecords) -> None:
    put(records, bill(1))
    put(records, bill(1, "APPROVED", 2))
    put(records, bill(1, "APPROVED", 2))  # nothing changed
    with records.transaction() as write:
        write.remove_documents("bill", [named_id(NORTH, "bill 1")])
    told = [each.m3ter_event for each in events(records)]
    assert [each["eventName"].removeprefix("billing.bill.") for each in told] == ["created", "updated", "deleted"]
    assert (told[1]["old"]["status"], told[1]["new"]["status"]) == ("PENDING", "APPROVED")
    assert told[2]["old"]["status"] == "APPROVED"
    assert b"not told" not in wire.encode(told)


@pytest.mark.parametrize(
    ("count", "listens", "told"), [(FEW, False, FEW), (FEW + 1, False, 0), (FEW + 1, True, FEW + 1)]
)
def test_of_many_bills_at_once_only_those_who_listen_are_told(
    records: OrganizationRecords, count: int, listens: bool, told: int
) -> None:
    if listens:
        with records.transaction() as write:
            write.insert(entity(IntegrationConfig(entity_type="Bill", destination=Destination.WEBHOOK)))
    put(records, *(bill(number) for number in range(count)))
    names = [each.event_name for each in events(records)]
    assert names.count("billing.bill.created") == told
    assert len(records.documents(OUTBOX, DocumentWhere(), Page(size=500)).rows) == (told if listens else 0)
