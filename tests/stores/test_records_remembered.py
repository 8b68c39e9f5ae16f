"""What is remembered of records is what reading them again would give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from records_examples import account, bill, changed, entity, keep, product

from tallystick.core.account import Account
from tallystick.core.catalog import Product
from tallystick.ports import AuditWhere, DocumentWhere, OrganizationRecords, Page, Transaction, Where
from tallystick.stores.records_sql import SqlRecords
from tallystick.stores.records_sql.remembered import Memory, Reading
from tallystick.stores.records_sql.view import SqlOrganization

Read = Callable[[OrganizationRecords], Any]
Write = Callable[[Transaction, Any], None]


def draw_number(write: Transaction) -> None:
    assert write.next_number("invoice", 1) == 1


READS: dict[str, Read] = {
    "get": lambda read: read.get(Account, "x"),
    "get many": lambda read: read.get_many(Account, ["x"]),
    "codes": lambda read: read.codes(Account, ["x"]),
    "at version": lambda read: read.at_version(Account, "x", 1),
    "versions": lambda read: read.versions(Account, "x"),
    "by code": lambda read: read.by_code(Account, "x"),
    "find": lambda read: read.find(Account, Where(), Page()),
    "every": lambda read: list(read.every(Account)),
    "users": lambda read: read.users_of("x"),
    "revision": lambda read: read.revision,
    "document": lambda read: read.document("bill", "x"),
    "keys of documents": lambda read: read.keys_of("bill", DocumentWhere(), ("account_id",), 9),
    "documents as they are kept": lambda read: read.kept("bill", DocumentWhere(), ("account_id",)),
    "documents": lambda read: read.documents("bill", DocumentWhere(), Page()),
}
OF_ACCOUNTS = {each for each in READS if "document" not in each}
OF_ENTITIES = {"users", "revision"}
OF_BILLS = READS.keys() - OF_ACCOUNTS
WRITES: dict[str, tuple[Write, set[str]]] = {
    "a new account": (lambda write, _: write.insert(entity(account("new"))), OF_ACCOUNTS),
    "a changed account": (lambda write, old: write.replace(changed(old, account("other"))), OF_ACCOUNTS),
    "no account": (lambda write, old: write.remove(old, at=old.modified, by="ada"), OF_ACCOUNTS),
    "a product": (lambda write, _: write.insert(entity(product("new"))), OF_ENTITIES),
    "a bill": (lambda write, _: write.put_documents("bill", [bill("a")]), OF_BILLS),
    "no bill": (lambda write, _: write.remove_document("bill", "a"), OF_BILLS),
    "no bills": (lambda write, _: write.remove_documents("bill", ["a"]), OF_BILLS),
    "a number": (lambda write, _: draw_number(write), set()),
}


def counting(made: list[int], read: Read) -> Read:
    """The same reading, which counts how often it is done."""

    def make(records: OrganizationRecords) -> Any:
        made.append(1)
        return read(records)

    return make


@pytest.mark.parametrize("written", WRITES)
def test_it_is_forgotten_when_a_kind_that_was_read_is_written(organization: SqlOrganization, written: str) -> None:
    write_it, forgotten = WRITES[written]
    (old,) = keep(organization, account("old"))
    made: dict[str, list[int]] = {name: [] for name in READS}
    for _ in range(2):
        for name, read in READS.items():
            organization.remembered(name, counting(made[name], read))
    assert set(map(len, made.values())) == {1}
    with organization.transaction() as write:
        write_it(write, old)
        for name, read in READS.items():  # others go on with what is committed
            organization.remembered(name, counting(made[name], read))
    assert set(map(len, made.values())) == {1}
    for name, read in READS.items():
        assert organization.remembered(name, counting(made[name], read)) == read(organization)
    assert {name for name, times in made.items() if len(times) == 2} == forgotten


def test_what_it_is_made_of_counts_too(organization: SqlOrganization) -> None:
    """Something remembered inside something remembered: also when the inner one was there before."""

    def inner(records: OrganizationRecords) -> list[str]:
        return [each.value.code for each in records.every(Product)]

    def outer(records: OrganizationRecords) -> tuple[list[str], list[str]]:
        return records.remembered("inner", inner), [each.value.code for each in records.every(Account)]

    organization.remembered("inner", inner)
    assert organization.remembered("outer", outer) == ([], [])
    keep(organization, product("a"))
    assert organization.remembered("outer", outer) == (["a"], [])
    keep(organization, account("b"))
    assert organization.remembered("outer", outer) == (["a"], ["b"])


def test_a_write_in_the_midst_of_reading_is_not_missed(organization: SqlOrganization) -> None:
    def read(records: OrganizationRecords) -> int:
        return len(list(records.every(Account)))

    def meanwhile(records: OrganizationRecords) -> int:
        before = read(records)
        keep(organization, account("new"))
        return before

    assert organization.remembered("accounts", meanwhile) == 0
    assert organization.remembered("accounts", read) == 1


def test_a_transaction_reads_anew(organization: SqlOrganization) -> None:
    def read(records: OrganizationRecords) -> int:
        return len(list(records.every(Account)))

    assert organization.remembered("accounts", read) == 0
    with organization.transaction() as write:
        write.insert(entity(account("new")))
        assert write.remembered("accounts", read) == 1
        assert organization.remembered("accounts", read) == 0
    assert organization.remembered("accounts", read) == 1


def test_it_is_of_one_organization_and_for_as_long_as_it_holds(
    records: SqlRecords, new_organization: Callable[[], SqlOrganization]
) -> None:
    one, other = new_organization(), new_organization()
    assert one.remembered("key", lambda _: "one") == "one"
    assert other.remembered("key", lambda _: "other") == "other"
    assert records.organization(one.organization_id).remembered("key", lambda _: "anew") == "one"
    assert one.remembered("key", lambda _: "anew", lambda value: value != "one") == "anew"


def test_what_was_not_asked_for_the_longest_goes_first() -> None:
    memory = Memory(most=2)

    def ask(key: str) -> bool:
        """Whether it was remembered."""
        made: list[Reading] = []
        memory.recall("o", key, made.append, lambda _: True, None)
        return not made

    assert [ask(key) for key in "abacab"] == [False, False, True, False, True, False]


def test_a_look_between_a_commit_and_its_end_does_not_keep_the_revision_before(
    organization: SqlOrganization, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, revision = Memory.forget, READS["revision"]

    def looked_at(memory: Memory, *what: Any) -> None:
        own(memory, *what)
        organization.remembered("revision", revision)

    monkeypatch.setattr(Memory, "forget", looked_at)
    for number in (1, 2):
        keep(organization, account(f"a{number}"))
        assert organization.remembered("revision", revision) == organization.revision


def test_nothing_is_remembered_of_the_audit(organization: SqlOrganization) -> None:
    for read in (lambda it: it.audit(AuditWhere(), Page()), lambda it: it.body("account", "x", 1)):
        read(organization)
        with pytest.raises(AssertionError, match="audit"):
            organization.remembered("audit", read)
