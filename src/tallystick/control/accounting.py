"""The chart of accounts of an organisation: one for each, made with it."""

from __future__ import annotations

from tallystick.control.desk import Desk, Noun
from tallystick.core.accounting import AccountingConfig
from tallystick.core.entity import Entity
from tallystick.ports import OrganizationRecords, Transaction

ACCOUNTING_CONFIG = Noun(of=AccountingConfig)


def initialise(write: Transaction, desk: Desk) -> None:
    """Give a new organisation its chart of accounts."""
    ACCOUNTING_CONFIG.create_within(desk, write, AccountingConfig(), write.organization_id)


def current(records: OrganizationRecords) -> Entity[AccountingConfig]:
    """The chart in force."""
    return ACCOUNTING_CONFIG.retrieve(records, records.organization_id)


def update(desk: Desk, value: AccountingConfig, version: int | None) -> Entity[AccountingConfig]:
    """Set the chart; entries that are posted keep the accounts that they have. Refusals: `version_mismatch`,
    `unknown_reference`."""
    return ACCOUNTING_CONFIG.update(desk, desk.records.organization_id, value, version)
