"""What the forms of an account's agreements share: whose it is, what there is to choose from, and a changed value."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, TypeVar

from tallystick.console.page import Page, Visit
from tallystick.control.accounts import ACCOUNTS
from tallystick.core import wire
from tallystick.core.account import Account
from tallystick.core.contract import Contract
from tallystick.core.entity import Entity, Value
from tallystick.core.organization import Currency
from tallystick.core.period import Instant, local_day
from tallystick.core.user import May
from tallystick.ports import Page as ListPage
from tallystick.ports import Where

V = TypeVar("V", bound=Value)
Choices = list[tuple[str, str]]
MOST_CHOICES = 200


def new(of: type[V], typed: Mapping[str, object]) -> V:
    """A value of what was typed, by names of the wire."""
    return wire.decode(of, wire.encode(typed))


def changed(value: V, typed: Mapping[str, object]) -> V:
    """A value with what was typed in place of what it had."""
    return new(type(value), {**wire.decode(dict[str, Any], wire.encode(value)), **typed})


def version(visit: Visit) -> int | None:
    """The version that a form was filled in for."""
    return visit.form.number("version", lowest=1, highest=10**9)


def account_of(visit: Visit, account_id: str | None = None) -> Entity[Account]:
    """The account that the path names, or the one with this id."""
    return ACCOUNTS.retrieve(visit.records, account_id or visit.path["id"])


def currencies(visit: Visit) -> Choices:
    """Every currency of the organisation."""
    return [(each.value.code, each.value.code) for each in visit.records.every(Currency)]


def contracts(visit: Visit, account: Entity[Account]) -> Choices:
    """No contract, or one of the account's own or its parent's."""
    owners = [each for each in (account.id, account.value.parent_account_id) if each is not None]
    found = visit.records.find(Contract, Where(equal={"account_id": owners}), ListPage(size=MOST_CHOICES)).rows
    return [("", "None"), *((each.id, each.value.name) for each in found)]


def today(visit: Visit) -> date:
    """The present day in the organisation's time zone."""
    return local_day(visit.now, visit.config.timezone)


def state(visit: Visit, start: Instant | date, end: Instant | date | None) -> str:
    """FUTURE, ACTIVE or ENDED: how a stretch of time, half open, stands to now."""
    now = visit.now if isinstance(start, Instant) else today(visit)
    if start > now:
        return "FUTURE"
    return "ENDED" if end is not None and end <= now else "ACTIVE"


def shown(path: str, run: Any, title: str) -> Page:
    """A page of an account's agreements that everybody sees."""
    return Page(method="GET", path=path, run=run, title=title, section="accounts")


def form(path: str, run: Any, title: str) -> Page:
    """A page with a form that changes agreements."""
    return Page(method="GET", path=path, run=run, title=title, may=May.CONFIGURE, section="accounts")


def act(path: str, run: Any, title: str, again: Any) -> Page:
    """What such a form does; refused, `again` is shown with the reason."""
    return Page(method="POST", path=path, run=run, title=title, may=May.CONFIGURE, section="accounts", again=again)
