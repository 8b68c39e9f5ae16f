"""Make a catalogue of another: all changes in one transaction, each by the rules of its own kind.

The rules decide in which order changes can be made: what is refused is tried again after the others, until nothing more
can be. So a plan can move to a new template while the old one goes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tallystick.control import custom_fields
from tallystick.control.aggregations import AGGREGATIONS
from tallystick.control.anomalies import ANOMALY_POLICIES
from tallystick.control.catalog_stock import Stock
from tallystick.control.compound_aggregations import COMPOUND_AGGREGATIONS
from tallystick.control.counter_pricings import COUNTER_PRICINGS
from tallystick.control.counters import COUNTERS
from tallystick.control.currencies import CURRENCIES
from tallystick.control.desk import Desk, Noun
from tallystick.control.late_policies import LATE_POLICIES
from tallystick.control.lookup_tables import LOOKUP_TABLES
from tallystick.control.meters import METERS
from tallystick.control.organization_config import CONFIG
from tallystick.control.plan_group_links import PLAN_GROUP_LINKS
from tallystick.control.plan_groups import PLAN_GROUPS
from tallystick.control.plan_templates import PLAN_TEMPLATES
from tallystick.control.plans import PLANS
from tallystick.control.pricings import PRICINGS
from tallystick.control.products import PRODUCTS
from tallystick.core.account import Account
from tallystick.core.catalog_parts import ACCOUNTS, LINKS, NESTED, PARTS, SINGLE, Entries, Key, value_of
from tallystick.core.catalog_written import written
from tallystick.core.entity import Entity
from tallystick.core.organization import OrganizationCustomFields
from tallystick.errors import Refusal
from tallystick.ports import Transaction

NOUNS: Mapping[str, Noun[Any]] = {
    noun.of.kind: noun
    for noun in (
        CURRENCIES,
        custom_fields.CUSTOM_FIELDS,
        LOOKUP_TABLES,
        PRODUCTS,
        METERS,
        AGGREGATIONS,
        COMPOUND_AGGREGATIONS,
        COUNTERS,
        PLAN_TEMPLATES,
        PLANS,
        PLAN_GROUPS,
        PLAN_GROUP_LINKS,
        PRICINGS,
        COUNTER_PRICINGS,
        LATE_POLICIES,
        ANOMALY_POLICIES,
        CONFIG,
    )
}
_LEAVES = (*NESTED, LINKS)  # which nothing refers to


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What became of one entry: the entity that is kept, or None for what was taken away."""

    section: str
    id: str
    entity: Entity[Any] | None


Place = Callable[[Key], str]  # where in what was sent an entry stands
Step = tuple[Callable[[Key], Made], Key]


def apply_entries(desk: Desk, write: Transaction, stock: Stock, target: Entries, place: Place) -> list[Made]:
    """Make the changes that lead from the stock to the target, which speaks of every section.

    Refusals: those of each change by itself, with its place; then nothing may be kept.
    """
    ids = {(key.section, key.name[0]): each.id for key, each in stock.entities.items() if key.name}
    act = _Acts(desk, write, stock, target, ids)
    changed = [key for key in target if key not in stock.entries or written(stock.entries[key]) != written(target[key])]
    gone = [key for key in stock.entries if key not in target]
    order = list(PARTS)
    steps: list[Step] = [(act.remove, key) for key in gone if key.section in _LEAVES]
    for section in order:
        of_section = [key for key in changed if key.section == section]
        steps += [(act.keep, key) for key in sorted(of_section, key=lambda key: (key not in stock.entries, key))]
    rest = [key for key in gone if key.section not in _LEAVES]
    steps += [(act.remove, key) for key in sorted(rest, key=lambda key: -order.index(key.section))]
    return _in_some_order(steps, place)


def _in_some_order(steps: list[Step], place: Place) -> list[Made]:
    made: list[Made] = []
    while steps:
        refused: list[Step] = []
        first: Refusal | None = None
        for step, key in steps:
            try:
                made.append(step(key))
            except Refusal as problem:
                refused.append((step, key))
                first = first or _placed(problem, key, place)
        if first is not None and len(refused) == len(steps):
            raise first
        steps = refused
    return made


def _placed(problem: Refusal, key: Key, place: Place) -> Refusal:
    where = place(key)
    field = f"{where}.{problem.field}" if problem.field and problem.field != "id" else where
    return Refusal(problem.code.name, f"{where} ({key}): {problem.message}", field=field)


@dataclass(frozen=True, slots=True)
class _Acts:
    """The acts of one change, with the ids of what there is and of what is made on the way."""

    desk: Desk
    write: Transaction
    stock: Stock
    target: Entries
    ids: dict[tuple[str, str], str]

    def keep(self, key: Key) -> Made:
        part = PARTS[key.section]
        noun = NOUNS[part.of.kind]
        before = self.stock.entities.get(key)
        try:
            value = value_of(part, key, self.target[key], self.id_of, None if before is None else before.value)
        except ValueError as problem:
            raise Refusal("invalid_request", str(problem), field=str(problem).partition(":")[0]) from None
        if isinstance(value, OrganizationCustomFields):
            custom_fields.require_those_in_use(self.write, value)
        if before is not None:
            kept = noun.update_within(self.desk, self.write, before, value, None)
        else:
            new_id = self.write.organization_id if key.section in SINGLE else self.desk.new_id()
            kept = noun.create_within(self.desk, self.write, value, new_id)
            if key.name:
                self.ids[key.section, key.name[0]] = kept.id
        return Made(section=key.section, id=kept.id, entity=kept)

    def remove(self, key: Key) -> Made:
        entity = self.stock.entities[key]
        NOUNS[PARTS[key.section].of.kind].delete_within(self.desk, self.write, entity)
        return Made(section=key.section, id=entity.id, entity=None)

    def id_of(self, section: str, code: str) -> str:
        if section == ACCOUNTS:
            account = self.write.by_code(Account, code)
            if account is not None:
                return account.id
        elif (section, code) in self.ids:
            return self.ids[section, code]
        message = f"{code!r} is the code of none of the {section}"
        raise Refusal("unknown_reference", message)
