"""Entities and documents for the tests of the records."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tallystick.core.account import Account, AccountPlan
from tallystick.core.catalog import Product
from tallystick.core.entity import Entity, Value
from tallystick.core.period import Instant
from tallystick.ports import Document
from tallystick.stores.records_sql.view import SqlOrganization

EPOCH = datetime(2023, 11, 1, tzinfo=UTC)


def new_id() -> str:
    return str(uuid.uuid4())


def entity(value: Value, *, id: str | None = None) -> Entity[Any]:
    return Entity(
        id=id or new_id(),
        version=1,
        value=value,
        created=Instant.of(EPOCH),
        created_by="ada",
        modified=Instant.of(EPOCH),
        modified_by="ada",
    )


def changed(old: Entity[Any], value: Value, *, by: str = "bob") -> Entity[Any]:
    """The next version of an entity."""
    modified = Instant.of(old.modified + timedelta(hours=1))
    return replace(old, version=old.version + 1, value=value, modified=modified, modified_by=by)


def keep(organization: SqlOrganization, *values: Value) -> list[Entity[Any]]:
    """The values as new entities, in one transaction."""
    new = [entity(value) for value in values]
    with organization.transaction() as write:
        for each in new:
            write.insert(each)
    return new


def product(code: str, name: str = "Widgets") -> Product:
    return Product(name=name, code=code)


def account(code: str, parent: str | None = None) -> Account:
    return Account(name="Ada", code=code, email_address="ada@example.com", parent_account_id=parent)


def account_plan(account_id: str, start: str, end: str | None = None, plan_id: str | None = None) -> AccountPlan:
    return AccountPlan(
        account_id=account_id,
        plan_id=plan_id or new_id(),
        start_date=Instant.parse(start),
        end_date=None if end is None else Instant.parse(end),
    )


def bill(id: str, sort: str = "2023-12-01", body: bytes = b"{}", **keys: str) -> Document:
    return Document(id=id, sort=sort, keys=keys, body=body)
