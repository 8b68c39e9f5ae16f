"""The parts of a catalogue: what an entity says as an entry of a file and back, and what each entry is known by.

Nothing is known by an id. A part with a code is known by that; a price by what it is of: its plan or template, what it
prices, the segment, the type, its place among conditions and when it starts. There is at most one of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from tallystick.core import wire
from tallystick.core.aggregation import Aggregation
from tallystick.core.anomaly import AnomalyPolicy
from tallystick.core.catalog import Plan, PlanTemplate, Pricing, PricingBand, Product
from tallystick.core.catalog_entries import (
    AggregationEntry,
    AnomalyPolicyEntry,
    BandEntry,
    CatalogEntries,
    CompoundAggregationEntry,
    CounterEntry,
    CounterPricingEntry,
    LatePolicyEntry,
    MeterEntry,
    PlanEntry,
    PlanGroupEntry,
    PlanGroupLinkEntry,
    PlanTemplateEntry,
    PricingEntry,
)
from tallystick.core.catalog_written import moment_text, tidied
from tallystick.core.compound import CompoundAggregation
from tallystick.core.counter_types import Counter, CounterPricing
from tallystick.core.entity import Value, wire_name
from tallystick.core.late_policy import LatePolicy
from tallystick.core.lookup_types import LookupTable
from tallystick.core.meter import Meter
from tallystick.core.organization import Currency, OrganizationConfig, OrganizationCustomFields
from tallystick.core.plan_group import PlanGroup, PlanGroupLink
from tallystick.core.scope import WILDCARD

ACCOUNTS = "accounts"  # what a bespoke plan belongs to: named by the catalogue, no part of it
PRICINGS, COUNTER_PRICINGS, LINKS = "pricings", "counterPricings", "planGroupLinks"
PLANS, TEMPLATES, GROUPS = "plans", "planTemplates", "planGroups"


class Key(NamedTuple):
    """What an entry is known by: its section and its code; of prices and links, what they are of."""

    section: str
    name: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join((self.section, *filter(None, self.name)))


Entries = Mapping[Key, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A section: the entities of which kind it has, and as which entries. `references` are the fields of the value with
    ids, each with the entry's field that has the code instead, and the section that it is a code of. `kept` are fields
    that files do not speak of: they stay as they are. `named_by` is the field that an entry is known by."""

    section: str
    of: type[Value]
    entry: type[Value]
    references: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    kept: tuple[str, ...] = ()
    named_by: str = "code"


_PRODUCT = {"product_id": ("product", "products")}
_ACCOUNTING = {"accounting_product_id": ("accounting_product", "products")}
_CHARGES = {
    f"{each}_accounting_product_id": (f"{each}_accounting_product", "products")
    for each in ("standing_charge", "minimum_spend")
}
_HOME = {"plan_id": ("plan", PLANS), "plan_template_id": ("plan_template", TEMPLATES)}  # by where they stand

# In the order in which one may refer to another. Settings come last: what they name must be there.
PARTS: Mapping[str, Part] = {
    part.section: part
    for part in (
        Part(section="currencies", of=Currency, entry=Currency),
        Part(section="customFields", of=OrganizationCustomFields, entry=OrganizationCustomFields),
        Part(section="lookupTables", of=LookupTable, entry=LookupTable),
        Part(section="products", of=Product, entry=Product),
        Part(section="meters", of=Meter, entry=MeterEntry, references=_PRODUCT, kept=("group_id",)),
        Part(
            section="aggregations",
            of=Aggregation,
            entry=AggregationEntry,
            references={"meter_id": ("meter", "meters"), **_ACCOUNTING},
            kept=("custom_sql",),
        ),
        Part(
            section="compoundAggregations",
            of=CompoundAggregation,
            entry=CompoundAggregationEntry,
            references={**_PRODUCT, **_ACCOUNTING},
        ),
        Part(section="counters", of=Counter, entry=CounterEntry, references=_PRODUCT),
        Part(section=TEMPLATES, of=PlanTemplate, entry=PlanTemplateEntry, references=_PRODUCT),
        Part(
            section=PLANS,
            of=Plan,
            entry=PlanEntry,
            references={
                "plan_template_id": ("plan_template", TEMPLATES),
                "account_id": ("account", ACCOUNTS),
                **_CHARGES,
            },
        ),
        Part(
            section=GROUPS,
            of=PlanGroup,
            entry=PlanGroupEntry,
            references={"account_id": ("account", ACCOUNTS), **_CHARGES},
        ),
        Part(
            section=LINKS,
            of=PlanGroupLink,
            entry=PlanGroupLinkEntry,
            references={"plan_group_id": ("plan_group", GROUPS), "plan_id": ("plan", PLANS)},
        ),
        Part(
            section=PRICINGS,
            of=Pricing,
            entry=PricingEntry,
            references={
                "aggregation_id": ("aggregation", "aggregations"),
                "compound_aggregation_id": ("compound_aggregation", "compoundAggregations"),
                **_ACCOUNTING,
                **_HOME,
            },
        ),
        Part(
            section=COUNTER_PRICINGS,
            of=CounterPricing,
            entry=CounterPricingEntry,
            references={"counter_id": ("counter", "counters"), **_ACCOUNTING, **_HOME},
        ),
        Part(
            section="latePolicies",
            of=LatePolicy,
            entry=LatePolicyEntry,
            references={"meter_id": ("meter", "meters")},
            named_by="meter",
        ),
        Part(
            section="anomalyPolicies",
            of=AnomalyPolicy,
            entry=AnomalyPolicyEntry,
            references={"account_id": ("account", ACCOUNTS)},
            named_by="account",
        ),
        Part(
            section="settings",
            of=OrganizationConfig,
            entry=OrganizationConfig,
            kept=("default_statement_definition_id",),
        ),
    )
}
SINGLE = ("settings", "customFields")  # of which there is one, with the organisation's id
NESTED = {PRICINGS: "pricings", COUNTER_PRICINGS: "counter_pricings"}  # where they stand in a plan or a template

NameOf = Callable[[str, str], str]  # of a section: from id to code, or from code to id


# ------------------------------------------------------------------------------------------------------ one entry


def home_of(key: Key) -> str:
    """The section of the catalogue in which an entry stands."""
    if key.section == LINKS:
        return GROUPS
    return key.name[0] if key.section in NESTED else key.section


def entry_of(part: Part, value: Value, code_of: NameOf, code: str | None = None) -> Value:
    """An entity's value as an entry; `code` is what it is called where it has no code."""
    given: dict[str, Any] = {
        name: getattr(value, name)
        for name in part.entry.__struct_fields__
        if hasattr(value, name) and name not in part.kept
    }
    for name, (own, section) in part.references.items():
        id_ = getattr(value, name)
        if own in part.entry.__struct_fields__:
            given[own] = None if id_ is None else code_of(section, id_)
    for name in ("pricing_bands", "overage_pricing_bands"):
        if given.get(name) is not None:
            given[name] = tuple(_band_entry(each) for each in given[name])
    if code is not None and "code" in given and given["code"] is None:
        given["code"] = code
    return tidied(part.entry(**given))


def value_of(part: Part, key: Key, entry: Value, id_of: NameOf, before: Value | None = None) -> Value:
    """The value that an entry says, in the place of one that there was. What files do not speak of is as it was.

    Raises ValueError for what breaks the value's own rules, and what `id_of` raises for an unknown code.
    """
    given: dict[str, Any] = {
        name: getattr(entry, name)
        for name in part.of.__struct_fields__
        if hasattr(entry, name) and name not in part.references
    }
    for name, (own, section) in part.references.items():
        code = _home_code(key, section) if own not in part.entry.__struct_fields__ else getattr(entry, own)
        given[name] = None if code is None else id_of(section, code)
    for name in part.kept:
        given[name] = getattr(before, name, None)
    for name in ("pricing_bands", "overage_pricing_bands"):
        if given.get(name) is not None:
            credit = {each.lower_limit: each.credit_type_id for each in getattr(before, name, None) or ()}
            given[name] = tuple(_band(each, credit.get(each.lower_limit)) for each in given[name])
    return part.of(**given)


def _home_code(key: Key, section: str) -> str | None:
    return key.name[1] if key.name[0] == section else None


def _band_entry(band: PricingBand) -> BandEntry:
    return BandEntry(lower_limit=band.lower_limit, unit_price=band.unit_price, fixed_price=band.fixed_price)


def _band(entry: BandEntry, credit_type_id: str | None) -> PricingBand:
    return PricingBand(
        lower_limit=entry.lower_limit,
        unit_price=entry.unit_price,
        fixed_price=entry.fixed_price,
        credit_type_id=credit_type_id,
    )


def key_of(part: Part, entry: Value, home: tuple[str, str] | None = None) -> Key:
    """What an entry is known by; `home` is the section and the code of the plan or template that a price stands in."""
    if part.section in SINGLE:
        return Key(part.section)
    if isinstance(entry, PlanGroupLinkEntry):
        return Key(part.section, (entry.plan_group, entry.plan))
    if home is None:
        return Key(part.section, (getattr(entry, part.named_by) or "",))
    assert isinstance(entry, PricingEntry | CounterPricingEntry), "only prices stand in a plan or a template"
    return Key(part.section, (*home, *line_of(entry), moment_text(entry.start_date)))


def line_of(entry: Value) -> tuple[str, ...]:
    """Which usage, or counter, a price is of: prices of a plan with the same line follow one another in time."""
    if isinstance(entry, CounterPricingEntry):
        return (entry.counter,)
    assert isinstance(entry, PricingEntry), "only prices have a line"
    segment = entry.segment or {}
    return (
        f"aggregation.{entry.aggregation}"
        if entry.aggregation
        else f"compoundAggregation.{entry.compound_aggregation}",
        _segment_text({name: segment[name] for name in sorted(segment) if segment[name] != WILDCARD}),
        "" if entry.type == "DEBIT" else entry.type.value,
        "" if entry.condition is None else f"condition {entry.condition_order}",
    )


def _segment_text(segment: Mapping[str, str]) -> str:
    return wire.encode(segment).decode() if segment else ""


# ------------------------------------------------------------------------------------------------------ all of them


class Placed(NamedTuple):
    """An entry by itself: what it is known by, and where in the catalogue it stands."""

    key: Key
    entry: Value
    place: str


def taken_apart(catalog: CatalogEntries) -> Iterator[Placed]:
    """Every entry of a catalogue by itself, prices and plans of groups too."""
    for part in PARTS.values():
        name = next((each for each in CatalogEntries.__struct_fields__ if _wire(each) == part.section), None)
        given = None if name is None else getattr(catalog, name)
        for number, entry in enumerate(given if isinstance(given, tuple) else () if given is None else (given,)):
            place = part.section if part.section in SINGLE else f"{part.section}[{number}]"
            key = key_of(part, entry)
            yield Placed(key, _alone(entry), place)
            for section, inner in NESTED.items():
                for index, price in enumerate(getattr(entry, inner, ())):
                    own = key_of(PARTS[section], price, (part.section, key.name[0]))
                    yield Placed(own, price, f"{place}.{section}[{index}]")
            for index, plan in enumerate(entry.plans if isinstance(entry, PlanGroupEntry) else ()):
                link = PlanGroupLinkEntry(plan_group=key.name[0], plan=plan)
                yield Placed(key_of(PARTS[LINKS], link), link, f"{place}.plans[{index}]")


def put_together(entries: Entries) -> CatalogEntries:
    """The whole catalogue of these entries, in the order of codes; prices in the order of what they are known by."""
    given: dict[str, Any] = {}
    nested: dict[tuple[str, str], dict[str, list[Any]]] = {}
    for key in sorted(entries):
        if key.section in NESTED:
            home = nested.setdefault((key.name[0], key.name[1]), {})
            home.setdefault(NESTED[key.section], []).append(entries[key])
        elif key.section == LINKS:
            nested.setdefault((GROUPS, key.name[0]), {}).setdefault("plans", []).append(key.name[1])
    for name in CatalogEntries.__struct_fields__:
        section = _wire(name)
        own = [key for key in sorted(entries) if key.section == section]
        if section in SINGLE:
            given[name] = entries[own[0]] if own else None
            continue
        given[name] = tuple(
            msgspec.structs.replace(
                entries[key], **{inner: tuple(of) for inner, of in nested.get((section, key.name[0]), {}).items()}
            )
            for key in own
        )
    return CatalogEntries(**given)


def spoken_of(catalog: CatalogEntries) -> frozenset[str]:
    """The sections that a catalogue has anything to say of."""
    return frozenset(_wire(name) for name in CatalogEntries.__struct_fields__ if getattr(catalog, name) is not None)


def _alone(entry: Value) -> Value:
    inner = {name: () for name in ("pricings", "counter_pricings") if hasattr(entry, name)}
    if isinstance(entry, PlanGroupEntry):
        inner["plans"] = ()
    return msgspec.structs.replace(entry, **inner) if inner else entry


def _wire(name: str) -> str:
    return wire_name(CatalogEntries, name)
