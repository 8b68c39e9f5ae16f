"""The audit trail and credentials, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from records_examples import EPOCH, bill, changed, entity

from tallystick.core.catalog import Product
from tallystick.core.entity import Entity
from tallystick.errors import Refusal
from tallystick.ports import Actor, AuditEntry, AuditWhere, Credential, Page
from tallystick.ports.audit import Origin, acting
from tallystick.stores.records_sql.view import SqlOrganization

ANN = Actor(id="ann", kind="USER")
EVERYTHING = AuditWhere()


def trail(organization: SqlOrganization, where: AuditWhere = EVERYTHING) -> list[AuditEntry]:
    """All entries, oldest first, read two by two."""
    found, token = [], None
    while True:
        page = organization.audit(where, Page(size=2, token=token))
        found += page.rows
        token = page.next_token
        if token is None:
            return found[::-1]


def insert_both(organization: SqlOrganization, *products: Entity[Product]) -> None:
    with organization.transaction() as write:
        for product in products:
            write.insert(product)


def told(entries: list[AuditEntry]) -> list[tuple[int, str, str, str, int | None]]:
    return [(each.number, each.actor_id, each.action, each.kind, each.version) for each in entries]


def test_every_write_of_an_entity_is_told_in_its_transaction(organization: SqlOrganization) -> None:
    first = entity(Product(name="Disk", code="disk"))
    second = changed(first, Product(name="Storage", code="disk"))
    with organization.transaction() as write:
        write.insert(first)
        write.replace(second)
    with acting(Origin(actor=ANN, at=EPOCH, request_id="r-1")), organization.transaction() as write:
        write.remove(second, at=EPOCH, by="ann")
    assert told(trail(organization)) == [
        (1, "ada", "CREATE", "product", 1),
        (2, "bob", "UPDATE", "product", 2),
        (3, "ann", "DELETE", "product", 3),
    ]
    assert organization.body("product", first.id, 1) == b'{"name":"Disk","code":"disk","customFields":null}'
    assert organization.body("product", first.id, 3) is None
    assert organization.body("pro\0duct", first.id, 1) is None


def test_what_is_rolled_back_is_not_told_and_leaves_no_gap(organization: SqlOrganization) -> None:
    one, other = entity(Product(name="A", code="a")), entity(Product(name="B", code="b"))
    with organization.transaction() as write:
        write.insert(one)
    with pytest.raises(Refusal):
        insert_both(organization, other, entity(Product(name="C", code="a")))
    with organization.transaction() as write:
        write.insert(other)
    assert [(each.number, each.id) for each in trail(organization)] == [(1, one.id), (2, other.id)]


def test_bills_of_people_are_told_one_by_one_and_those_of_the_server_together(organization: SqlOrganization) -> None:
    with organization.transaction() as write:
        write.put_documents("bill", [bill(each, body=b'{"status":"PENDING"}', job_id="j") for each in "abc"])
    with acting(Origin(actor=ANN, at=EPOCH, request_id="r-1")), organization.transaction() as write:
        write.put_documents("bill", [bill("b", body=b'{"status":"APPROVED"}', job_id="j")])
    run, approval = trail(organization)
    assert (run.action, run.id, run.count, run.actor_kind) == ("CALCULATE", "j", 3, "SERVER")
    assert (approval.action, approval.id, approval.actor_id, approval.request_id) == ("UPDATE", "b", "ann", "r-1")
    assert approval.change == b'[{"field":"status","before":"PENDING","after":"APPROVED"}]'


def test_of_large_batches_of_people_each_change_is_told(organization: SqlOrganization) -> None:
    """Also beyond what is read at once."""
    ids = [f"b{number:03}" for number in range(450)]
    with organization.transaction() as write:
        write.put_documents("bill", [bill(each, body=b'{"status":"PENDING"}') for each in ids[:300]])
    with acting(Origin(actor=ANN, at=EPOCH)), organization.transaction() as write:
        write.put_documents("bill", [bill(each, body=b'{"status":"APPROVED"}') for each in ids])
    rows = trail(organization, AuditWhere(actor_id="ann"))
    approved = b'{"field":"status","before":"PENDING","after":"APPROVED"}'
    new = b'{"field":"status","after":"APPROVED"}'
    assert [(each.id, each.action, each.change) for each in rows] == [
        *((id_, "UPDATE", b"[" + approved + b"]") for id_ in ids[:300]),
        *((id_, "CREATE", b"[" + new + b"]") for id_ in ids[300:]),
    ]


def test_filters(organization: SqlOrganization) -> None:
    products = [entity(Product(name=code, code=code)) for code in ("a", "b")]
    for product in products:
        with organization.transaction() as write:
            write.insert(product)
    with organization.transaction() as write:
        write.note("SIGN_IN", "user", "u", at=EPOCH + timedelta(days=1), by=ANN)
    day = timedelta(days=1)
    for where, numbers in [
        (AuditWhere(actor_id="ada"), [1, 2]),
        (AuditWhere(actor_id="ann", kind="user"), [3]),
        (AuditWhere(id=products[1].id), [2]),
        (AuditWhere(action="SIGN_IN"), [3]),
        (AuditWhere(since=EPOCH + day), [3]),
        (AuditWhere(until=EPOCH + day), [1, 2]),
        (AuditWhere(since=EPOCH, until=EPOCH), []),
        (AuditWhere(kind="\0"), []),
    ]:
        assert [each.number for each in trail(organization, where)] == numbers, where


def test_credentials_are_found_overwritten_and_removed(organization: SqlOrganization) -> None:
    key = f"jo-{organization.organization_id}"
    kept = Credential(
        purpose="SESSION", id=key, organization_id=organization.organization_id, user_id="u", created=EPOCH
    )
    with organization.transaction() as write:
        write.put_credential(kept)
        write.put_credential(replace(kept, secret="x", expires=EPOCH))
        write.put_credential(replace(kept, id=key + "2"))
        write.remove_expired_credentials(EPOCH - timedelta(seconds=1))
        write.remove_expired_credentials(EPOCH)
        write.remove_credential("SESSION", key + "3")
        write.put_credential(replace(kept, id=key + "4", user_id="v"))
        write.remove_credentials("u", ("SESSION", "LINK"))
        write.put_credential(replace(kept, id=key + "4", user_id="w"))
    assert trail(organization) == []
