"""Currencies: the units of money of an organisation. USD is there from the start and stays (source: reference 2.9)."""

from __future__ import annotations

from typing import Any

from tallystick.control.desk import Draft, Noun, in_use, rule_broken
from tallystick.core.account import Account
from tallystick.core.catalog import PlanTemplate
from tallystick.core.charge import Charge
from tallystick.core.credit_types import Balance, Commitment
from tallystick.core.entity import Entity
from tallystick.core.money import RoundingMode
from tallystick.core.organization import Currency, OrganizationConfig
from tallystick.core.plan_group import PlanGroup
from tallystick.core.schedule_types import ChargeSchedule
from tallystick.errors import Refusal
from tallystick.ports import OrganizationRecords, Page, Transaction, Where

PERMANENT = "USD"

# Decimals of the currencies that have not two of them (source: ISO 4217, minor units).
_DECIMALS = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI"), 0),
    **dict.fromkeys(("VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}


def preset(code: str) -> Currency:
    """A currency as a new organisation gets it: its ISO decimals, rounded half up."""
    name = "US Dollar" if code == PERMANENT else code
    return Currency(name=name, code=code, max_decimal_places=_DECIMALS.get(code, 2), rounding_mode=RoundingMode.HALF_UP)


def has_currency(read: OrganizationRecords, code: str) -> bool:
    """Whether the organisation has a currency with exactly this code."""
    return "\x00" not in code and read.by_code(Currency, code) is not None


def require_currency(read: OrganizationRecords, code: str | None) -> None:
    """Refuse a currency code that the organisation does not have; absent is allowed."""
    if code is not None and not has_currency(read, code):
        message = f"currency: there is no currency {code[:40]!r}; create it under picklists/currency first"
        raise Refusal("unknown_reference", message, field="currency")


def _check(draft: Draft[Currency]) -> Currency:
    if draft.before is not None and draft.before.value.code != draft.value.code:
        _require_unused(draft.read, draft.before, "code")
    return draft.value


def _require_unused(read: Transaction, entity: Entity[Currency], field: str) -> None:
    code = entity.value.code
    if code == PERMANENT:
        raise rule_broken(field, f"every organisation has {PERMANENT}: it cannot be deleted or given another code")
    users: list[tuple[str, str]] = []
    kinds: tuple[type[Any], ...] = (PlanTemplate, Account, PlanGroup, Charge, Commitment, Balance, ChargeSchedule)
    for of in kinds:
        found = read.find(of, Where(equal={"currency": (code,)}), Page(size=10 - len(users)))
        users += [(of.kind, user.id) for user in found.rows]
        if len(users) >= 10:
            break
    config = read.get(OrganizationConfig, read.organization_id)
    if config is not None and config.value.currency == code:
        users.append((OrganizationConfig.kind, config.id))
    if users:
        raise in_use(f"currency {code}", entity.id, users)


def _check_removal(read: Transaction, entity: Entity[Currency]) -> None:
    _require_unused(read, entity, "id")


CURRENCIES = Noun(of=Currency, check=_check, check_removal=_check_removal)
