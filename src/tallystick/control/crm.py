"""Pull accounts and contracts from rows of a CRM: each row by itself, found again by external mappings.

Doing it again makes nothing twice (docs/decisions/0502-rows-of-a-crm.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from tallystick.control.accounts import ACCOUNTS
from tallystick.control.bills import last_approved
from tallystick.control.contracts import CONTRACTS
from tallystick.control.crm_summaries import tell_again
from tallystick.control.desk import Desk, Noun
from tallystick.control.external_mappings import EXTERNAL_MAPPINGS
from tallystick.core import wire
from tallystick.core.account import Account
from tallystick.core.contract import Contract
from tallystick.core.crm import (
    ACCOUNTS_OF,
    CrmPull,
    CrmRecord,
    Outcome,
    Passed,
    Pulled,
    PulledRow,
    code_of,
    pulled,
    read_record,
)
from tallystick.core.entity import Entity, Value
from tallystick.core.event import Event
from tallystick.core.external_mapping import ExternalMapping
from tallystick.errors import Refusal
from tallystick.ports import OrganizationRecords, Transaction, Where

V = TypeVar("V", Account, Contract)


class _DryRun(Exception):
    """Takes back what a row did, once it is known."""


def pull(desk: Desk, wanted: CrmPull) -> Pulled:
    """Bring accounts or contracts to what rows say; a bad row is told of and harms no other. A dry run is the real run,
    row by row, taken back."""
    rows = [_row(desk, wanted, row, number) for number, row in enumerate(wanted.rows, 1)]
    return pulled(rows, dry_run=wanted.dry_run)


def tell_account(desk: Desk, account_id: str) -> Event:
    """Tell the CRM of an account's latest approved bill once more. Refusals `not_found`; `bill_state` where there is
    none."""
    with desk.records.transaction() as write:
        account = ACCOUNTS.retrieve(write, account_id)
        bill = last_approved(write, account.id)
        if bill is None:
            raise Refusal("bill_state", f"the account {account.value.code} has no approved bill to tell of")
        return tell_again(write, bill, desk.now)


def _row(desk: Desk, wanted: CrmPull, row: Mapping[str, Any], number: int) -> PulledRow:
    external_id: str | None = None
    try:
        record = read_record(row, wanted)
        external_id = record.external_id
        if isinstance(record, Passed):
            return PulledRow(row=number, outcome=Outcome.SKIPPED, external_id=external_id, reason=record.reason)
        return msgspec.structs.replace(_kept(desk, wanted, record), row=number)
    except Refusal as refusal:
        reason = refusal.message
    except (ValueError, msgspec.ValidationError) as problem:
        reason = str(problem)
    return PulledRow(row=number, outcome=Outcome.REFUSED, external_id=external_id, reason=reason)


def _kept(desk: Desk, wanted: CrmPull, record: CrmRecord) -> PulledRow:
    """Keep what a row says, in a transaction of its own."""
    found: list[PulledRow] = []
    with suppress(_DryRun), desk.records.transaction() as write:
        if wanted.is_account:
            found.append(_Row(desk, write, wanted, record, ACCOUNTS, "Account").account())
        else:
            found.append(_Row(desk, write, wanted, record, CONTRACTS, "Contract").contract())
        _keep_unless(wanted.dry_run)
    return found[0]


def _keep_unless(dry_run: bool) -> None:
    if dry_run:
        raise _DryRun


class _Row:
    """One row that becomes an entity of one noun."""

    def __init__(
        self, desk: Desk, write: Transaction, wanted: CrmPull, record: CrmRecord, noun: Noun[Any], entity: str
    ) -> None:
        self._desk, self._write, self._wanted, self._record = desk, write, wanted, record
        self._noun, self._entity = noun, entity

    def account(self) -> PulledRow:
        """The account of a row: that which is mapped, else that with the code, else a new one."""
        before, record = self._mapped(), self._record
        code = record.fresh.get("code") or code_of(record.fresh.get("name", ""), record.external_id)
        before = before or self._write.by_code(Account, code)
        fields = {"code": code, **record.fresh} if before is None else dict(record.fields)
        if record.parent_id is not None:
            fields["parentAccountId"] = self._account_id(record.parent_id, "parentId")
        if before is None and "emailAddress" not in fields:
            raise ValueError(
                "emailAddress: the row has none; name its column with columns.emailAddress, or a default for all"
            )
        return self._brought(before, fields)

    def contract(self) -> PulledRow:
        """The contract of a row, of the account that the row names."""
        before = self._mapped()
        fields = dict(self._record.fresh if before is None else self._record.fields)
        if self._record.account_id is not None:
            fields["accountId"] = self._account_id(self._record.account_id, "accountId")
        elif self._record.account_code is not None:
            fields["accountId"] = self._account_with(self._record.account_code)
        elif before is None:
            raise ValueError("accountId: the row names no account; name its column with columns.accountId")
        if before is None and "endDate" not in fields:
            raise ValueError(
                "lastDate: the row has neither a last day nor a term; name a column, or a default for termMonths"
            )
        return self._brought(before, fields)

    def _brought(self, before: Entity[Any] | None, fields: Mapping[str, Any]) -> PulledRow:
        """The entity with these fields, written where anything differs, and mapped."""
        if before is None:
            value = wire.convert(self._noun.of, dict(fields))
            kept = self._noun.create_within(self._desk, self._write, value, self._desk.new_id())
            self._map(kept.id)
            return self._told(kept, Outcome.CREATED, ())
        value = _merged(before.value, fields)
        changes = _changes(before.value, value)
        kept = before
        if changes:
            kept = self._noun.update_within(self._desk, self._write, before, value, None)
        if self._map(before.id):
            changes = (*changes, "externalMapping")
        return self._told(kept, Outcome.UPDATED if changes else Outcome.UNCHANGED, changes)

    def _told(self, kept: Entity[Any], outcome: Outcome, changes: tuple[str, ...]) -> PulledRow:
        return PulledRow(
            row=0,
            outcome=outcome,
            external_id=self._record.external_id,
            id=kept.id,
            code=kept.value.code,
            changes=changes,
        )

    def _mapped(self) -> Entity[Any] | None:
        """The entity that the row is mapped to. Refusal `not_found` where that is no more."""
        found = mapping_of(self._write, self._mapping(""))
        if found is None:
            return None
        entity: Entity[Any] | None = self._write.get(self._noun.of, found.value.m3ter_id)
        if entity is None:
            message = f"externalId: it is mapped to the {self._entity} {found.value.m3ter_id}, which is no more;"
            raise Refusal("not_found", f"{message} delete the mapping {found.id} to have it made anew")
        return entity

    def _map(self, id: str) -> bool:
        """Map the row to an entity; whether that was news."""
        mapping = self._mapping(id)
        if mapping_of(self._write, mapping) is not None:
            return False
        EXTERNAL_MAPPINGS.create_within(self._desk, self._write, mapping, self._desk.new_id())
        return True

    def _mapping(self, id: str) -> ExternalMapping:
        return ExternalMapping(
            m3ter_entity=self._entity,
            m3ter_id=id or self._desk.records.organization_id,
            external_system=self._wanted.system.value,
            external_table=self._wanted.table.value,
            external_id=self._record.external_id,
        )

    def _account_id(self, external_id: str, field: str) -> str:
        system = self._wanted.system
        mapping = ExternalMapping(
            m3ter_entity="Account",
            m3ter_id=self._desk.records.organization_id,
            external_system=system.value,
            external_table=ACCOUNTS_OF[system].value,
            external_id=external_id,
        )
        found = mapping_of(self._write, mapping)
        if found is None:
            raise ValueError(f"{field}: no account is mapped to {external_id[:40]!r}; pull {ACCOUNTS_OF[system]} first")
        return found.value.m3ter_id

    def _account_with(self, code: str) -> str:
        account = self._write.by_code(Account, code)
        if account is None:
            raise ValueError(f"accountCode: there is no account {code[:40]!r}")
        return account.id


def mapping_of(records: OrganizationRecords, like: ExternalMapping) -> Entity[ExternalMapping] | None:
    """The mapping at the same place as this one, whatever it is mapped to."""
    return next(iter(records.every(ExternalMapping, Where(equal=like.place))), None)


def _merged(before: V, fields: Mapping[str, Any]) -> V:
    """A value with some fields changed; of what has fields of its own, only those that are given."""
    plain: dict[str, Any] = wire.decode(dict[str, Any], wire.encode(before))
    for name, given in fields.items():
        there = plain.get(name)
        plain[name] = {**there, **given} if isinstance(given, dict) and isinstance(there, dict) else given
    return wire.decode(type(before), wire.encode({name: each for name, each in plain.items() if each is not None}))


def _changes(before: Value, after: Value) -> tuple[str, ...]:
    names = zip(before.__struct_fields__, before.__struct_encode_fields__, strict=True)
    return tuple(shown for name, shown in names if getattr(before, name) != getattr(after, name))
