"""Transactions: all or nothing, one writer at a time, and readers who are never in the way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from records_examples import EPOCH, account, bill, changed, entity, keep, product

from tallystick.core.account import Account
from tallystick.core.catalog import Product
from tallystick.errors import Refusal
from tallystick.ports import DocumentWhere, Page, Where
from tallystick.stores.records_sql import SqlRecords, open_records
from tallystick.stores.records_sql.view import SqlOrganization

THREADS = 8


class Mishap(Exception):
    """What goes wrong in these stories."""


def test_a_transaction_sees_its_writes_and_others_only_when_it_is_done(organization: SqlOrganization) -> None:
    (old,) = keep(organization, account("old"))
    new = entity(account("new", parent=old.id))
    renamed = changed(old, account("renamed"))
    with organization.transaction() as write:
        write.insert(new)
        write.replace(renamed)
        write.put_documents("bill", [bill("a")])
        assert write.organization_id == organization.organization_id
        assert write.get(Account, new.id) == new
        assert write.get_many(Account, [new.id, old.id]) == {new.id: new, old.id: renamed}
        assert write.by_code(Account, "renamed") == renamed
        assert write.at_version(Account, old.id, 2) == renamed
        assert write.find(Account, Where(), Page()).rows == (new, renamed)
        assert list(write.every(Account)) == [renamed, new]
        assert write.users_of(old.id) == [("account", new.id)]
        assert write.document("bill", "a") == bill("a")
        assert write.documents("bill", DocumentWhere(), Page()).rows == (bill("a"),)
        assert organization.get(Account, new.id) is None
        assert organization.by_code(Account, "old") == old
        assert organization.document("bill", "a") is None
    assert organization.get(Account, new.id) == new
    assert organization.by_code(Account, "old") is None
    assert organization.document("bill", "a") == bill("a")


def test_a_rollback_leaves_nothing(organization: SqlOrganization) -> None:
    (kept,) = keep(organization, product("kept"))
    ghost = entity(product("ghost"))
    with organization.transaction() as write:
        assert write.next_number("invoice", 1) == 1
    revision = organization.revision
    with suppress(Mishap), organization.transaction() as write:
        write.insert(ghost)
        write.replace(changed(kept, product("changed")))
        write.put_documents("bill", [bill("a")])
        assert write.next_number("invoice", 1) == 2
        raise Mishap
    assert organization.revision == revision
    assert organization.get(Product, ghost.id) is None
    assert organization.at_version(Product, ghost.id, 1) is None
    assert organization.at_version(Product, kept.id, 2) is None
    assert list(organization.every(Product)) == [kept]
    assert organization.document("bill", "a") is None
    with organization.transaction() as write:
        assert write.next_number("invoice", 1) == 2
        write.insert(ghost)


def test_after_a_refusal_the_next_transaction_works(organization: SqlOrganization) -> None:
    keep(organization, product("p"))
    with pytest.raises(Refusal), organization.transaction() as write:
        write.insert(entity(product("p")))
    keep(organization, product("q"))
    assert [each.value.code for each in organization.every(Product)] == ["p", "q"]


def test_the_revision_rises_with_entities_and_in_their_organization_only(
    records: SqlRecords, new_organization: Callable[[], SqlOrganization]
) -> None:
    ours, theirs = new_organization(), new_organization()
    again = records.organization(ours.organization_id)
    seen = [ours.revision]
    (kept,) = keep(ours, product("p"))
    seen.append(ours.revision)
    with ours.transaction() as write:
        write.replace(second := changed(kept, product("p")))
        assert ours.revision == seen[-1]
    seen.append(again.revision)
    with ours.transaction() as write:
        write.remove(second, at=EPOCH, by="bob")
    seen.append(ours.revision)
    assert seen == sorted(set(seen))
    with ours.transaction() as write:
        write.put_documents("bill", [bill("a")])
        write.next_number("invoice", 1)
    assert ours.revision == again.revision == seen[-1]
    assert theirs.revision == 0


def test_a_transaction_inside_a_transaction_is_a_bug(new_organization: Callable[[], SqlOrganization]) -> None:
    ours, theirs = new_organization(), new_organization()
    with ours.transaction() as write:
        for opening in (write.transaction, ours.transaction, theirs.transaction):
            with pytest.raises(AssertionError, match="transaction"), opening():
                raise Mishap
        write.insert(entity(product("p")))  # and the outer one is none the worse
    assert len(list(ours.every(Product))) == 1


def test_a_transaction_kept_beyond_its_block_is_a_bug(organization: SqlOrganization) -> None:
    with organization.transaction() as write:
        pass
    with pytest.raises(AssertionError, match="has ended"):
        write.next_number("invoice", 1)
    with pytest.raises(AssertionError, match="has ended"):
        write.get(Product, "p")


def test_numbers_start_where_they_are_told_and_are_apart_by_name_and_organization(
    new_organization: Callable[[], SqlOrganization],
) -> None:
    ours, theirs = new_organization(), new_organization()
    with ours.transaction() as write:
        assert [write.next_number("invoice", 1_000) for _ in range(3)] == [1_000, 1_001, 1_002]
        assert write.next_number("statement", 0) == 0
        assert write.next_number("invoice", 5) == 1_003  # it never goes back
        assert [write.next_number("invoice", 2_000) for _ in range(2)] == [2_000, 2_001]
    with theirs.transaction() as write:
        assert write.next_number("invoice", 1) == 1


def test_concurrent_writers_give_numbers_without_gap_or_repeat(organization: SqlOrganization) -> None:
    def take(worker: int) -> list[int]:
        taken = []
        for turn in range(25):
            with suppress(Mishap), organization.transaction() as write:
                number = write.next_number("invoice", 1)
                write.put_documents("bill", [bill(str(number))])
                if (worker + turn) % 5 == 0:
                    raise Mishap
                taken.append(number)
        return taken

    with ThreadPoolExecutor(THREADS) as pool:
        taken = sorted(number for numbers in pool.map(take, range(THREADS)) for number in numbers)
    assert taken == list(range(1, THREADS * 20 + 1))
    stored = organization.documents("bill", DocumentWhere(), Page(1_000)).rows
    assert sorted(int(each.id) for each in stored) == taken


def test_of_two_who_change_the_same_version_one_wins(organization: SqlOrganization) -> None:
    (first,) = keep(organization, product("p"))
    ready = threading.Barrier(THREADS)

    def change(worker: int) -> str:
        ready.wait()
        try:
            with organization.transaction() as write:
                write.replace(changed(first, product("p", name=f"Worker {worker}")))
        except Refusal as refusal:
            return refusal.code.name
        return f"Worker {worker}"

    with ThreadPoolExecutor(THREADS) as pool:
        outcomes = list(pool.map(change, range(THREADS)))
    won = [each for each in outcomes if each != "version_mismatch"]
    stored = organization.get(Product, first.id)
    assert stored is not None
    assert (len(won), stored.version, stored.value.name) == (1, 2, won[0])


def test_of_two_who_take_the_same_code_one_gets_it(organization: SqlOrganization) -> None:
    ready = threading.Barrier(THREADS)

    def take(_worker: int) -> str:
        ready.wait()
        try:
            keep(organization, product("wanted"))
        except Refusal as refusal:
            return refusal.code.name
        return "taken"

    with ThreadPoolExecutor(THREADS) as pool:
        assert sorted(pool.map(take, range(THREADS))) == ["code_in_use"] * (THREADS - 1) + ["taken"]


def test_readers_do_not_wait_for_a_writer_and_see_whole_transactions(organization: SqlOrganization) -> None:
    first, second = keep(organization, product("a", name="0"), product("b", name="0"))
    done = threading.Event()

    def read() -> int:
        reads = 0
        while not done.is_set() or reads == 0:
            found = organization.get_many(Product, [first.id, second.id])
            assert found[first.id].value.name == found[second.id].value.name
            reads += 1
        return reads

    with ThreadPoolExecutor(THREADS) as pool:
        readers = [pool.submit(read) for _ in range(4)]
        a, b = first, second
        for turn in range(30):
            with organization.transaction() as write:
                write.replace(a := changed(a, product("a", name=str(turn))))
                assert organization.get(Product, second.id) == b  # read beside the open transaction
                write.replace(b := changed(b, product("b", name=str(turn))))
        done.set()
        assert all(reader.result() > 0 for reader in readers)


def test_another_organization_writes_beside_on_postgresql(
    engine: str, new_organization: Callable[[], SqlOrganization]
) -> None:
    ours, theirs = new_organization(), new_organization()
    entered = threading.Event()

    def write_theirs() -> None:
        with theirs.transaction() as write:
            entered.set()
            write.next_number("invoice", 1)

    thread = threading.Thread(target=write_theirs)
    with ours.transaction() as write:
        thread.start()
        assert entered.wait(5 if engine == "postgresql" else 0.2) is (engine == "postgresql")
        write.next_number("invoice", 1)
    thread.join(10)
    assert entered.is_set()


@pytest.mark.parametrize("engine", ["postgresql"], indirect=False)
def test_two_processes_on_postgresql_write_one_after_the_other(records_url: str, organization: SqlOrganization) -> None:
    """Two openings share nothing in memory, as two processes do: the database keeps the numbers without gaps."""
    other = open_records(records_url)
    views = [organization, other.organization(organization.organization_id)]

    def take(worker: int) -> list[int]:
        taken = []
        for _ in range(20):
            with views[worker % 2].transaction() as write:
                seen = [int(each.id) for each in write.documents("bill", DocumentWhere(), Page(1_000)).rows]
                number = max(seen, default=0) + 1  # read, then write: only true while no one else writes
                write.put_documents("bill", [bill(str(number))])
                taken.append(number)
        return taken

    with ThreadPoolExecutor(4) as pool:
        taken = sorted(number for numbers in pool.map(take, range(4)) for number in numbers)
    other.close()
    assert taken == list(range(1, 81))


def test_what_is_held_still_is_as_it_was_and_keeps_nobody_from_writing(
    records: SqlRecords, organization: SqlOrganization
) -> None:
    (old,) = keep(organization, account("old"))
    with organization.transaction() as write:
        write.put_documents("bill", [bill("a")])
    with records.still(organization.organization_id) as held:
        with organization.transaction() as write:
            write.replace(changed(old, account("renamed")))
            write.insert(entity(account("new")))
            write.put_documents("bill", [bill("b")])
        assert list(held.every(Account)) == [old]
        assert held.by_code(Account, "new") is None
        assert held.documents("bill", DocumentWhere(), Page()).rows == (bill("a"),)
        assert held.remembered("accounts", lambda read: len(list(read.every(Account)))) == 1
        with pytest.raises(AssertionError, match="only read"):
            held.transaction()
    assert len(list(organization.every(Account))) == 2
    with records.still(organization.organization_id) as held:
        assert len(list(held.every(Account))) == 2, "what is held next is as it is then"
