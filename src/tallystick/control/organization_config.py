"""The settings of an organisation: there is one set, made with it; its id is the organisation's."""

from __future__ import annotations

from tallystick.control import accounting, invoices, portal_settings
from tallystick.control.currencies import CURRENCIES, PERMANENT, preset, require_currency
from tallystick.control.custom_fields import CUSTOM_FIELDS
from tallystick.control.desk import Desk, Draft, Noun, new_id, require_reference
from tallystick.core.entity import Entity
from tallystick.core.organization import OrganizationConfig, OrganizationCustomFields
from tallystick.core.period import Instant
from tallystick.core.statement_types import StatementDefinition
from tallystick.errors import Refusal
from tallystick.ports import Actor, OrganizationRecords
from tallystick.ports.founded import config_of

OPERATOR = Actor(id="operator", kind="OPERATOR", scopes=("all",))


def require_currency_code(code: str) -> None:
    """Refuse what cannot be the currency of a new organisation: three capital letters, as ISO 4217 has them."""
    if not (len(code) == 3 and code.isascii() and code.isalpha() and code.isupper()):
        message = f"currency: must be three capital letters such as USD, got {code[:40]!r}"
        raise Refusal("invalid_request", message, field="currency")


def initialise(records: OrganizationRecords, currency: str, now: Instant, *, actor: Actor = OPERATOR) -> None:
    """Give a new organisation its settings and its currencies: USD, and its own where that is another."""
    require_currency_code(currency)
    desk = Desk(records=records, actor=actor, now=now)
    with records.transaction() as write:
        for code in dict.fromkeys((PERMANENT, currency)):
            CURRENCIES.create_within(desk, write, preset(code), new_id())
        CONFIG.create_within(desk, write, OrganizationConfig(currency=currency), records.organization_id)
        CUSTOM_FIELDS.create_within(desk, write, OrganizationCustomFields(), records.organization_id)
        portal_settings.initialise(write, desk)
        invoices.initialise(write, desk)
        accounting.initialise(write, desk)


def update(desk: Desk, value: OrganizationConfig, version: int | None) -> Entity[OrganizationConfig]:
    """Replace the settings. Refusals: `version_mismatch`, `unknown_reference`."""
    with desk.records.transaction() as write:
        return CONFIG.update_within(desk, write, config_of(write), value, version)


def _check(draft: Draft[OrganizationConfig]) -> OrganizationConfig:
    require_currency(draft.read, draft.value.currency)
    statement = draft.value.default_statement_definition_id
    if statement is not None:
        require_reference(draft.read, StatementDefinition, statement, "defaultStatementDefinitionId")
    return draft.value


CONFIG = Noun(of=OrganizationConfig, check=_check)
