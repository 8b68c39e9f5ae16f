"""A small catalogue and its customers, for tests of rating and billing: entities with ids made from their names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from tallystick.core.account import Account, AccountPlan
from tallystick.core.aggregation import Aggregation, Measured, Method, Question, UnitRounding
from tallystick.core.agreements import agreements_of
from tallystick.core.bill import BillParameters
from tallystick.core.catalog import Plan, PlanTemplate, Pricing, PricingBand, Product
from tallystick.core.charge import Charge, ChargeEntityType, ChargeLineItemType
from tallystick.core.compound import CompoundAggregation
from tallystick.core.contract import Contract
from tallystick.core.counter_types import Counter, CounterAdjustment, CounterPricing
from tallystick.core.discount import Discount, DiscountType
from tallystick.core.entity import Entity
from tallystick.core.family import family_of
from tallystick.core.meter import Category, DataField, Meter
from tallystick.core.organization import BillConfig, Currency, OrganizationConfig, OrganizationCustomFields
from tallystick.core.period import Frequency, Instant
from tallystick.core.picklists import BillGroupingKey
from tallystick.core.plan_group import PlanGroup, PlanGroupLink
from tallystick.core.plan_terms import catalogue_of, plan_terms
from tallystick.core.rating import RatedLine, questions, rate
from tallystick.core.terms import AccountPeriod, Setting, Terms, grid_of, terms_of
from tallystick.ports import OrganizationRecords

CREATED = datetime(2020, 1, 1, tzinfo=UTC)
ACCOUNT = "acme"
NOTHING_ASKED = BillParameters()


@cache
def id_of(kind: str, name: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"{kind}/{name}"))


def at(text: str) -> Instant:
    return Instant.parse(text)


def number(value: object) -> Decimal:
    return Decimal(str(value))


def bands(*rows: tuple[object, object] | tuple[object, object, object]) -> tuple[PricingBand, ...]:
    """(lower limit, unit price) or (lower limit, unit price, fixed price)."""
    return tuple(
        PricingBand(
            id=id_of("band", str(row)),
            lower_limit=number(row[0]),
            unit_price=number(row[1]),
            fixed_price=number(row[2] if len(row) == 3 else 0),
        )
        for row in rows
    )


@dataclass
class World:
    """Everything configured, by kind and id. Methods add an entity (or its next version) and return it."""

    organization_id: str = "0b8b7a4c-9c1f-4a53-8d4c-2f5d6f0c8a11"
    entities: dict[tuple[str, str], Entity[Any]] = field(default_factory=dict)
    order: list[Entity[Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.config()
        self.currency("USD", 2)

    def add(self, value: Any, name: str) -> Entity[Any]:
        single = isinstance(value, BillConfig | OrganizationConfig | OrganizationCustomFields)
        own_id = self.organization_id if single else id_of(value.kind, name)
        before = self.entities.get((value.kind, own_id))
        entity = Entity(
            id=own_id,
            version=before.version + 1 if before else 1,
            value=value,
            created=CREATED,
            created_by="tests",
            modified=CREATED,
            modified_by="tests",
        )
        self.entities[value.kind, own_id] = entity
        self.order.append(entity)
        return entity

    def store(self, records: OrganizationRecords, *, after: int = 0) -> int:
        """Write the entities added since a mark; returns the new mark."""
        with records.transaction() as write:
            for entity in self.order[after:]:
                (write.insert if entity.version == 1 else write.replace)(entity)
        return len(self.order)

    def of(self, kind: type[Any]) -> dict[str, Entity[Any]]:
        return {entity.id: entity for (name, _), entity in self.entities.items() if name == kind.kind}

    # ------------------------------------------------------------------------------------------- things

    def config(self, **given: Any) -> Entity[OrganizationConfig]:
        return self.add(OrganizationConfig(**given), "config")

    def currency(self, code: str, decimals: int | None = None, mode: Any = None) -> Entity[Currency]:
        return self.add(Currency(name=code, code=code, max_decimal_places=decimals, rounding_mode=mode), code)

    def product(self, name: str = "API") -> Entity[Product]:
        return self.add(Product(name=name, code=name.lower()), name)

    def meter(
        self, name: str = "requests", fields: Iterable[str] = ("calls",), texts: Iterable[str] = ()
    ) -> Entity[Meter]:
        numeric = [DataField(code=each, name=each, category=Category.MEASURE, unit=each) for each in fields]
        words = [DataField(code=each, name=each, category=Category.WHAT) for each in texts]
        return self.add(Meter(name=name, code=name, data_fields=(*numeric, *words), derived_fields=()), name)

    def aggregation(self, name: str = "calls", meter: Entity[Meter] | None = None, **given: Any) -> Entity[Aggregation]:
        values: dict[str, Any] = {
            "name": name,
            "code": name.replace(" ", "_"),
            "target_field": "calls",
            "aggregation": Method.SUM,
            "quantity_per_unit": Decimal(1),
            "rounding": UnitRounding.NONE,
            "unit": "calls",
        }
        meter = meter or next(iter(self.of(Meter).values()), None) or self.meter()
        return self.add(Aggregation(**(values | {"meter_id": meter.id} | given)), name)

    def compound(self, name: str, calculation: str, **given: Any) -> Entity[CompoundAggregation]:
        values: dict[str, Any] = {
            "name": name,
            "code": name.replace(" ", "_"),
            "calculation": calculation,
            "quantity_per_unit": Decimal(1),
            "rounding": UnitRounding.NONE,
            "unit": "units",
        }
        return self.add(CompoundAggregation(**(values | given)), name)

    def template(
        self, name: str = "template", product: Entity[Product] | None = None, **given: Any
    ) -> Entity[PlanTemplate]:
        product = product or next(iter(self.of(Product).values()), None) or self.product()
        values: dict[str, Any] = {
            "name": name,
            "code": name,
            "product_id": product.id,
            "currency": "USD",
            "bill_frequency": Frequency.MONTHLY,
            "standing_charge": Decimal(0),
        }
        return self.add(PlanTemplate(**(values | given)), name)

    def plan(self, name: str = "plan", template: Entity[PlanTemplate] | None = None, **given: Any) -> Entity[Plan]:
        template = template or next(iter(self.of(PlanTemplate).values()), None) or self.template()
        return self.add(Plan(**({"name": name, "code": name, "plan_template_id": template.id} | given)), name)

    def pricing(self, name: str, price_bands: Sequence[PricingBand], **given: Any) -> Entity[Pricing]:
        """On the first plan and aggregation unless others are given."""
        if not given.keys() & {"plan_id", "plan_template_id"}:
            given["plan_id"] = next(iter(self.of(Plan).values())).id
        if not given.keys() & {"aggregation_id", "compound_aggregation_id"}:
            given["aggregation_id"] = next(iter(self.of(Aggregation).values())).id
        values: dict[str, Any] = {"start_date": at("2020-01-01"), "pricing_bands": tuple(price_bands)}
        return self.add(Pricing(**(values | given)), name)

    def account(self, code: str = ACCOUNT, **given: Any) -> Entity[Account]:
        return self.add(Account(**({"name": code.title(), "code": code, "email_address": ""} | given)), code)

    def account_plan(
        self,
        plan: Entity[Plan] | Entity[PlanGroup] | None = None,
        account: str = ACCOUNT,
        start: str = "2023-01-01",
        **given: Any,
    ) -> Entity[AccountPlan]:
        plan = plan or next(iter(self.of(Plan).values()))
        which = "plan_group_id" if isinstance(plan.value, PlanGroup) else "plan_id"
        values: dict[str, Any] = {"account_id": id_of("account", account), which: plan.id, "start_date": at(start)}
        if isinstance(given.get("end_date"), str):
            given["end_date"] = at(given["end_date"])
        return self.add(AccountPlan(**(values | given)), f"{account}/{plan.id}/{start}")

    def contract(
        self,
        name: str = "contract",
        account: str = ACCOUNT,
        start: str = "2023-01-01",
        end: str = "2024-01-01",
        **given: Any,
    ) -> Entity[Contract]:
        values = {"account_id": id_of("account", account), "name": name, "code": name}
        days = {"start_date": date.fromisoformat(start), "end_date": date.fromisoformat(end)}
        return self.add(Contract(**(values | days | given)), f"{account}/{name}")

    def discount(self, name: str, account: str = ACCOUNT, **given: Any) -> Entity[Discount]:
        """A percentage, or with `amount` an amount of USD, from the start of 2023."""
        kind = DiscountType.AMOUNT if "amount" in given else DiscountType.PERCENT
        values = {"account_id": id_of("account", account), "name": name, "type": kind, "start_date": at("2023-01-01")}
        currency = {"currency": "USD"} if "amount" in given else {}
        return self.add(Discount(**(values | currency | given)), name)

    def grouping_key(self, name: str = "key", *, exclusive: bool) -> Entity[BillGroupingKey]:
        return self.add(BillGroupingKey(name=name, exclusive=exclusive), name)

    def charge(self, name: str, amount: object = None, account: str = ACCOUNT, **given: Any) -> Entity[Charge]:
        """A charge of one day, 2023-11-15 unless `day` says another."""
        day = given.pop("day", "2023-11-15")
        values: dict[str, Any] = {
            "account_id": id_of("account", account),
            "code": name,
            "name": name,
            "currency": "USD",
            "entity_type": ChargeEntityType.AD_HOC,
            "line_item_type": ChargeLineItemType.AD_HOC,
            "service_period_start_date": at(day),
            "service_period_end_date": at(f"{day}T23:59:59Z"),
            "amount": None if amount is None else number(amount),
        }
        return self.add(Charge(**(values | given)), name)

    def counter(self, name: str = "seats", **given: Any) -> Entity[Counter]:
        return self.add(Counter(**({"name": name, "unit": name} | given)), name)

    def counter_pricing(self, name: str, price_bands: Sequence[PricingBand], **given: Any) -> Entity[CounterPricing]:
        """On the first plan and counter unless others are given."""
        if not given.keys() & {"plan_id", "plan_template_id"}:
            given["plan_id"] = next(iter(self.of(Plan).values())).id
        if "counter_id" not in given:
            given["counter_id"] = next(iter(self.of(Counter).values())).id
        values: dict[str, Any] = {"start_date": at("2020-01-01"), "pricing_bands": tuple(price_bands)}
        return self.add(CounterPricing(**(values | given)), name)

    def level(self, day: str, value: int, account: str = ACCOUNT, counter: str = "seats") -> Entity[CounterAdjustment]:
        adjustment = CounterAdjustment(
            account_id=id_of("account", account),
            counter_id=id_of("counter", counter),
            date=date.fromisoformat(day),
            value=value,
        )
        return self.add(adjustment, f"{account}/{counter}/{day}")

    def plan_group(self, *plans: Entity[Plan], name: str = "group", **given: Any) -> Entity[PlanGroup]:
        """A group of these plans."""
        group: Entity[PlanGroup] = self.add(PlanGroup(**({"name": name, "currency": "USD"} | given)), name)
        for plan in plans:
            self.add(PlanGroupLink(plan_group_id=group.id, plan_id=plan.id), f"{name}/{plan.id}")
        return group

    # ------------------------------------------------------------------------------------------- terms

    def terms(
        self, on: str, account: str = ACCOUNT, parameters: BillParameters = NOTHING_ASKED, grouping: str = ""
    ) -> Terms:
        """What the account has agreed to for the billing period that holds a day."""
        owner = self.entities["account", id_of("account", account)]
        catalogue = catalogue_of(self.entities.values())
        setting = Setting(
            organization_id=self.organization_id,
            config=self.entities["organizationconfig", self.organization_id],
            currencies={each.value.code: each for each in self.of(Currency).values()},
            plan=lambda plan_id: plan_terms(catalogue, plan_id),
        )
        account_plans = [each for each in self.of(AccountPlan).values() if each.value.account_id == owner.id]
        agreements = agreements_of(self.entities.values())
        first = next(
            each.value
            for each in account_plans
            if agreements.grouping(agreements.contract(each.value.contract_id)) == grouping
        )
        template = setting.plan(agreements.plan_ids(first)[0]).template.value
        grid = grid_of(first, owner.value, template, setting.config.value, parameters)
        assert grid is not None
        of = AccountPeriod(
            account_id=owner.id,
            frequency=grid.frequency,
            interval=grid.interval,
            period=grid.period_of_day(date.fromisoformat(on)),
            parameters=parameters,
            grouping=grouping,
        )
        family = family_of(owner, self.of(Account).values(), self.of(AccountPlan).values())
        return terms_of(setting, owner, account_plans, of, agreements, family)


Answerer = Callable[[Question], Iterable[Measured]]


def measured(question: Question, value: object, *, count: int = 1, segment: tuple[str, ...] = ()) -> Measured:
    return Measured(account_id=id_of("account", ACCOUNT), segment=segment, total=number(value), count=count)


def always(value: object) -> Answerer:
    """The same total for every question; None for nothing measured."""
    return lambda question: [] if value is None else [measured(question, value)]


def by_field(**values: object) -> Answerer:
    """A total per field."""
    return lambda question: [measured(question, values[question.field])] if question.field in values else []


@dataclass(frozen=True)
class Event:
    """One measurement, as far as rating cares."""

    when: Instant
    value: Decimal
    segment: tuple[str, ...] = ()


def summing(events: Sequence[Event]) -> Answerer:
    """SUM and COUNT of the events inside the window, per segment if the question has segments."""

    def answer(question: Question) -> list[Measured]:
        found: dict[tuple[str, ...], list[Decimal]] = {}
        for event in events:
            if question.period.start <= event.when < question.period.end:
                found.setdefault(event.segment if question.segmented_fields else (), []).append(event.value)
        return [
            measured(
                question,
                len(values) if question.method is Method.COUNT else sum(values),
                count=len(values),
                segment=segment,
            )
            for segment, values in found.items()
        ]

    return answer


def lines_of(terms: Terms, answer: Answerer, up_to: int = 7) -> tuple[RatedLine, ...]:
    """The lines of the bill when the usage store answers like this."""
    return rate(terms, {each: tuple(answer(each)) for each in questions(terms, up_to)}, up_to)


def amounts(lines: Iterable[RatedLine]) -> list[tuple[str, str, str]]:
    """(type, description, amount) of each line: what a bill says."""
    return [(str(each.item.line_item_type), each.item.description, str(each.item.converted_subtotal)) for each in lines]
