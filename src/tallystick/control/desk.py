"""The acts that every noun shares: create, retrieve, update, list, delete. Each is one transaction.

A noun says what is special about it in three functions: `check` (rules that look at other entities, before a write),
`check_removal` (rules before a delete) and its type. Rules within one value live in `core`, on the value itself.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tallystick.core.account import Account
from tallystick.core.aggregation import Aggregation
from tallystick.core.catalog import Plan, PlanTemplate, Product
from tallystick.core.compound import CompoundAggregation
from tallystick.core.contract import Contract
from tallystick.core.counter_types import Counter
from tallystick.core.credit_types import Balance, Commitment
from tallystick.core.entitlement import Feature
from tallystick.core.entity import Entity, Value, wire_name
from tallystick.core.export_types import ExportDestination
from tallystick.core.lookup_types import LookupTable
from tallystick.core.meter import Meter
from tallystick.core.period import Instant
from tallystick.core.picklists import BillGroupingKey, CreditReason, DebitReason, TransactionType
from tallystick.core.plan_group import PlanGroup
from tallystick.core.reconciliation import Reconciliation
from tallystick.core.statement_types import StatementDefinition
from tallystick.errors import Refusal
from tallystick.ports import Actor, Found, OrganizationRecords, Page, Transaction, Where

V = TypeVar("V", bound=Value)

ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

# What each reference names. None: entities of that kind do not exist in this product, so no id of one is known.
REFERENCED: Mapping[str, type[Value] | None] = {
    "product_id": Product,
    "accounting_product_id": Product,
    "standing_charge_accounting_product_id": Product,
    "minimum_spend_accounting_product_id": Product,
    "meter_id": Meter,
    "aggregation_id": Aggregation,
    "plan_template_id": PlanTemplate,
    "plan_id": Plan,
    "account_id": Account,
    "parent_account_id": Account,
    "compound_aggregation_id": CompoundAggregation,
    "counter_id": Counter,
    "plan_group_id": PlanGroup,
    "contract_id": Contract,
    "bill_grouping_key_id": BillGroupingKey,
    "lookup_table_id": LookupTable,
    "credit_reason_id": CreditReason,
    "debit_reason_id": DebitReason,
    "transaction_type_id": TransactionType,
    "statement_definition_id": StatementDefinition,
    "meter_ids": Meter,
    "billing_plan_id": Plan,
    "product_ids": Product,
    "aggregation_ids": Aggregation,
    "fees_accounting_product_id": Product,
    "drawdowns_accounting_product_id": Product,
    "consumptions_accounting_product_id": Product,
    "balance_id": Balance,
    "commitment_id": Commitment,
    "entity_id": Balance,
    "top_up_transaction_type_id": TransactionType,
    "required_reconciliation_id": Reconciliation,
    "shadow_plan_id": Plan,
    "from_plan_id": Plan,
    "to_plan_id": Plan,
    "plan_ids": Plan,
    "revenue_product_ids": Product,
    "funding_type_ids": TransactionType,
    "destination_ids": ExportDestination,
    "feature_id": Feature,
}

# What else a reference may name.
OR_ELSE: Mapping[str, type[Value]] = {"aggregation_ids": CompoundAggregation}

# References that are properties of a value: where on the wire they are.
NESTED: Mapping[str, str] = {
    "top_up_transaction_type_id": "topUp.transactionTypeId",
    "meter_ids": "meterId",
    "required_reconciliation_id": "billRequires.reconciliationId",
    "plan_ids": "variants",
    "revenue_product_ids": "revenueAccounts",
    "funding_type_ids": "fundingAccounts",
}

# How messages call the kinds.
LABELS: Mapping[str, str] = {
    "product": "product",
    "meter": "meter",
    "aggregation": "aggregation",
    "plantemplate": "plan template",
    "plan": "plan",
    "pricing": "pricing",
    "account": "account",
    "accountplan": "account plan",
    "compoundaggregation": "compound aggregation",
    "counter": "counter",
    "counterpricing": "counter pricing",
    "counteradjustment": "counter adjustment",
    "plangroup": "plan group",
    "plangrouplink": "plan group link",
    "contract": "contract",
    "billgroupingkey": "bill grouping key",
    "creditreason": "credit reason",
    "debitreason": "debit reason",
    "transactiontype": "transaction type",
    "charge": "charge",
    "discount": "discount",
    "shadowplan": "shadow plan",
    "experiment": "experiment",
    "planmigration": "plan migration",
    "billmemo": "credit or debit line item",
    "currency": "currency",
    "organizationconfig": "organisation configuration",
    "customfields": "custom fields",
    "billconfig": "bill settings",
    "invoiceconfig": "invoice settings",
    "commitment": "commitment",
    "balance": "balance",
    "transactionschedule": "transaction schedule",
    "chargeschedule": "charge schedule",
    "statementdefinition": "statement definition",
    "lookuptable": "lookup table",
    "lookuptablerevision": "lookup table revision",
    "user": "user",
    "lookupdata": "rows of a lookup table revision",
    "portalsettings": "portal settings",
    "portallogo": "logo",
    "spendalert": "spend alert",
    "anomalypolicy": "anomaly policy",
    "latepolicy": "late policy",
    "dispute": "dispute",
    "bespokenote": "note on a bespoke term",
    "approvedterms": "approved terms",
    "catalogsettings": "settings of the catalogue as code",
    "reconciliation": "reconciliation",
    "webhook": "webhook",
    "integrationconfig": "integration configuration",
    "externalmapping": "external mapping",
    "usagesource": "source of usage",
    "accountingconfig": "chart of accounts",
    "identity": "identity",
    "eventmapping": "event mapping",
    "eventsource": "event source",
    "exportdestination": "export destination",
    "exportschedule": "export schedule",
    "feature": "feature",
    "entitlement": "entitlement",
    "emailsettings": "e-mail settings",
    "emailtemplate": "e-mail template",
    "emailoptout": "e-mail opt-out",
    "notificationconfiguration": "notification rule",
    "scheduledeventconfiguration": "scheduled event",
}


def new_id() -> str:
    """A random UUID, as every id on the wire is one."""
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Where somebody changes something: the organisation's records, who it is, when, and where ids come from."""

    records: OrganizationRecords
    actor: Actor
    now: Instant
    new_id: Callable[[], str] = new_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft(Generic[V]):
    """A value about to be kept, inside the transaction that will keep it. `before` is None on create."""

    desk: Desk
    read: Transaction
    id: str
    value: V
    before: Entity[V] | None


def as_it_is(draft: Draft[V]) -> V:
    """The rule of a noun that has none beyond its references."""
    return draft.value


def removable(_: Transaction, __: Entity[Any]) -> None:
    """The removal rule of a noun that has none beyond being unused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noun(Generic[V]):
    """One kind of thing that people configure, with its acts.

    `check` raises a Refusal, or returns the value to keep (completed where the server has something to add).
    """

    of: type[V]
    check: Callable[[Draft[V]], V] = as_it_is
    check_removal: Callable[[Transaction, Entity[V]], None] = removable

    @property
    def label(self) -> str:
        """How messages call it."""
        return LABELS[self.of.kind]

    def create(self, desk: Desk, value: V) -> Entity[V]:
        """Keep a new entity at version 1. Refusals: `unknown_reference`, `code_in_use`, and those of `check`."""
        with desk.records.transaction() as write:
            return self.create_within(desk, write, value, desk.new_id())

    def create_within(self, desk: Desk, write: Transaction, value: V, id: str) -> Entity[V]:
        """The same as part of a larger transaction, with an id that is already chosen."""
        require_references(write, value)
        kept = self.check(Draft(desk=desk, read=write, id=id, value=value, before=None))
        entity = Entity(
            id=id,
            version=1,
            value=kept,
            created=desk.now,
            created_by=desk.actor.id,
            modified=desk.now,
            modified_by=desk.actor.id,
        )
        write.insert(entity)
        return entity

    def retrieve(self, records: OrganizationRecords, id: str) -> Entity[V]:
        """The entity with this id; Refusal `not_found` for any other."""
        entity = records.get(self.of, id) if ID.fullmatch(id) else None
        if entity is None:
            raise Refusal("not_found", f"id: there is no {self.label} {id[:40]!r} in this organisation", field="id")
        return entity

    def find(self, records: OrganizationRecords, where: Where, page: Page) -> Found[Entity[V]]:
        """One page, newest first."""
        return records.find(self.of, where, page)

    def update(self, desk: Desk, id: str, value: V, version: int | None) -> Entity[V]:
        """Replace the whole value. `version`, when given, must be the stored one: Refusal `version_mismatch`.

        Without a version the last write wins (docs/decisions/0061-updates-without-a-version.md).
        """
        with desk.records.transaction() as write:
            return self.update_within(desk, write, self.retrieve(write, id), value, version)

    def update_within(
        self, desk: Desk, write: Transaction, before: Entity[V], value: V, version: int | None
    ) -> Entity[V]:
        """The same as part of a larger transaction, from the entity as it stands in it."""
        if version is not None and version != before.version:
            message = f"version: the {self.label} is at version {before.version}, the request names {version}"
            raise Refusal("version_mismatch", message, field="version")
        require_references(write, value)
        kept = self.check(Draft(desk=desk, read=write, id=before.id, value=value, before=before))
        entity = Entity(
            id=before.id,
            version=before.version + 1,
            value=kept,
            created=before.created,
            created_by=before.created_by,
            modified=desk.now,
            modified_by=desk.actor.id,
        )
        write.replace(entity)
        return entity

    def delete(self, desk: Desk, id: str) -> Entity[V]:
        """Take it out of use and return it as it was. Refusal `in_use` while anything refers to it."""
        with desk.records.transaction() as write:
            entity = self.retrieve(write, id)
            self.delete_within(desk, write, entity)
            return entity

    def delete_within(self, desk: Desk, write: Transaction, entity: Entity[V]) -> None:
        """The same as part of a larger transaction, of the entity as it stands in it."""
        users = write.users_of(entity.id)
        if users:
            raise in_use(self.label, entity.id, users)
        self.check_removal(write, entity)
        write.remove(entity, at=desk.now, by=desk.actor.id)


def require_references(read: OrganizationRecords, value: Value) -> None:
    """Refuse a value that names an entity which does not exist in this organisation."""
    for field in value.references:
        named = getattr(value, field)
        if named is not None:
            wire = NESTED.get(field) or wire_name(type(value), field)
            for each in named if isinstance(named, tuple) else (named,):
                other = OR_ELSE.get(field)
                if other is None or not ID.fullmatch(each) or read.get(other, each) is None:
                    require_reference(read, REFERENCED[field], each, wire)


def require_reference(read: OrganizationRecords, of: type[Value] | None, id: str, field: str) -> None:
    """Refuse an id that names no entity of the type."""
    if of is None or not ID.fullmatch(id) or read.get(of, id) is None:
        what = LABELS[of.kind] if of is not None else "such entity"
        raise Refusal("unknown_reference", f"{field}: there is no {what} {id[:40]!r} in this organisation", field=field)


def in_use(label: str, id: str, users: Collection[tuple[str, str]], *, field: str = "id") -> Refusal:
    """What a delete (or a change of `field` that would pull the ground from under others) is refused with."""
    named = ", ".join(f"{LABELS.get(kind, kind)} {user}" for kind, user in users)
    return Refusal("in_use", f"{field}: the {label} {id} is used by {named}", field=field)


def the(read: OrganizationRecords, of: type[V], id: str) -> V:
    """The value that a kept reference names; it exists, because what is referred to cannot be deleted."""
    entity = read.get(of, id)
    assert entity is not None, f"a kept reference names the {of.kind} {id}, which does not exist"
    return entity.value


def rule_broken(field: str, what: str) -> Refusal:
    """A request that breaks a rule between entities; `what` says the rule and what to do."""
    return Refusal("rule_broken", f"{field}: {what}", field=field.split("[", maxsplit=1)[0].split(".", maxsplit=1)[0])
