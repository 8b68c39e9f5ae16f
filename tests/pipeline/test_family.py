"""The relatives of accounts: each account's family is made of its own, however many others are read with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tallystick.core.account import Account, AccountPlan
from tallystick.core.entity import Entity, Value
from tallystick.core.period import Instant
from tallystick.pipeline.family import read_relatives

START = Instant.parse("2025-01-01T00:00:00Z")


def entity(id_: str, value: Value) -> Entity[Any]:
    return Entity(
        id=id_, version=1, value=value, created=START, created_by="", modified=START, modified_by=""
    )  # fmt: skip


def account(code: str, parent: str | None = None) -> Entity[Account]:
    value = Account(name=code, code=code, email_address=f"{code}@example.com", parent_account_id=parent)
    return entity(code, value)


class Shelf:
    """Records that hold a family of many children, each with a plan of its own."""

    def __init__(self, children: int) -> None:
        self.parent = account("parent")
        self.children = [account(f"child-{number}", "parent") for number in range(children)]
        everyone = [self.parent, *self.children]
        self.plans = [
            entity(f"plan-{each.id}", AccountPlan(account_id=each.id, plan_id="p", start_date=START))
            for each in everyone
        ]

    def every(self, of: type[Value], where: object) -> Iterator[Entity[Any]]:
        return iter(self.children if of is Account else self.plans)


def test_a_child_is_shown_its_parent_and_no_sibling() -> None:
    shelf = Shelf(50)
    relatives = read_relatives(shelf, [shelf.parent, *shelf.children])  # type: ignore[arg-type]  # reading is enough
    child = shelf.children[7]
    family = relatives.family(child, ())
    assert family.children == ()
    assert set(family.account_plans) == {"parent", "child-7"}
    whole = relatives.family(shelf.parent, ())
    assert [each.id for each in whole.children] == sorted(each.id for each in shelf.children)
    assert len(whole.account_plans) == 51
