"""What a plan charges, with everything that it inherits and refers to: the same for every account that has the plan."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from decimal import Decimal
from functools import cached_property
from typing import Any, TypeVar, cast

import msgspec

from tallystick.core.aggregation import Aggregation
from tallystick.core.attributes import custom_in
from tallystick.core.catalog import Plan, PlanTemplate, Pricing, PricingType, Product
from tallystick.core.compound import PREFIX, CompoundAggregation, codes_in
from tallystick.core.counter_terms import CounterPriceTerms, counter_prices
from tallystick.core.counter_types import Counter, CounterPricing
from tallystick.core.entity import Entity, Value
from tallystick.core.lookup import NO_TABLES, Tables, codes_of, tables_of
from tallystick.core.meter import Meter
from tallystick.core.organization import OrganizationCustomFields
from tallystick.core.scope import Pattern, Piece, Priceable, pattern_of, pieces_of, segmented_fields
from tallystick.errors import Refusal

V = TypeVar("V", bound=Value)


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """An aggregation that is measured for a price."""

    aggregation: Entity[Aggregation]
    meter: Entity[Meter]

    @property
    def name(self) -> str:
        """What calculations call it: aggregation.<code>."""
        return f"{PREFIX}{self.aggregation.value.code}"


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """A formula that says whether a pricing holds in a billing period, and the aggregations that it names."""

    formula: str
    inputs: tuple[Input, ...]


class PriceTerms(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One pricing, what it prices, and the pieces of time in which it holds among its rivals.

    `inputs` is what is measured for it: the aggregation, or those that the compound aggregation's calculation names.
    """

    pricing: Entity[Pricing]
    priced: Entity[Aggregation] | Entity[CompoundAggregation]
    inputs: tuple[Input, ...]
    accounting_product: Entity[Product]
    pattern: Pattern
    pieces: tuple[Piece, ...]
    condition: Condition | None = None
    tables: Tables = NO_TABLES  # that the compound aggregation's calculation reads
    defaults: Entity[OrganizationCustomFields] | None = None  # of the custom fields that it refers to, if any
    # The unit price by the values of the dimensions, in the order of the segmented fields, where it has rates.
    rates: Mapping[tuple[str, ...], Decimal] = {}

    @cached_property
    def dimensions(self) -> tuple[str, ...]:
        """The fields that rates are by, in the order of the segmented fields."""
        rates = self.pricing.value.rates
        return tuple(name for name in self.segmented_fields if rates and name in rates[0].dimensions)

    @cached_property
    def compound(self) -> CompoundAggregation | None:
        """The compound aggregation that is priced; None where a simple one is."""
        return self.priced.value if isinstance(self.priced.value, CompoundAggregation) else None

    @property
    def aggregation(self) -> Entity[Aggregation]:
        """The simple aggregation that is priced."""
        assert self.compound is None, "a compound aggregation is measured by its inputs"
        return self.inputs[0].aggregation

    @property
    def meter(self) -> Entity[Meter]:
        """The meter of the simple aggregation that is priced."""
        assert self.compound is None, "a compound aggregation is measured by its inputs"
        return self.inputs[0].meter

    @cached_property
    def segmented_fields(self) -> tuple[str, ...]:
        """The fields that what is priced is split by."""
        return segmented_fields([each.aggregation.value for each in self.inputs])


class PlanTerms(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One plan with its template: what is set on the plan overrides the template (source: reference 3.4)."""

    plan: Entity[Plan]
    template: Entity[PlanTemplate]
    product: Entity[Product]
    standing_charge_product: Entity[Product]
    minimum_spend_product: Entity[Product]
    prices: tuple[PriceTerms, ...]
    counter_prices: tuple[CounterPriceTerms, ...] = ()

    @cached_property
    def worked_out(self) -> dict[Hashable, Any]:
        """What was worked out from these terms and from the key alone, kept for the next account that has the plan."""
        return {}

    @cached_property
    def minimums(self) -> tuple[PriceTerms, ...]:
        """The pricings that have a minimum spend and charge something."""
        own = (each for each in self.prices if each.pricing.value.minimum_spend)
        return tuple(each for each in own if each.pricing.value.type is PricingType.DEBIT)

    @cached_property
    def limits(self) -> bool:
        """Whether some pricing has a maximum spend."""
        return any(price.pricing.value.maximum_spend is not None for price in self.prices)

    @cached_property
    def spans(self) -> bool:
        """Whether the bands of some pricing span the life of an account plan."""
        return any(price.pricing.value.tiers_span_plan for price in self.prices)

    @property
    def standing_charge(self) -> Decimal:
        own = self.plan.value.standing_charge
        return self.template.value.standing_charge if own is None else own

    @property
    def standing_charge_description(self) -> str | None:
        return self.plan.value.standing_charge_description or self.template.value.standing_charge_description

    @property
    def minimum_spend(self) -> Decimal | None:
        own = self.plan.value.minimum_spend
        return self.template.value.minimum_spend if own is None else own

    @property
    def maximum_spend(self) -> Decimal | None:
        own = self.plan.value.maximum_spend
        return self.template.value.maximum_spend if own is None else own

    @property
    def maximum_spend_description(self) -> str | None:
        return self.plan.value.maximum_spend_description or self.template.value.maximum_spend_description

    @property
    def minimum_spend_description(self) -> str | None:
        return self.plan.value.minimum_spend_description or self.template.value.minimum_spend_description


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """Configured things by id, from which plan terms are put together; how they were read does not matter."""

    products: Mapping[str, Entity[Product]]
    templates: Mapping[str, Entity[PlanTemplate]]
    plans: Mapping[str, Entity[Plan]]
    pricings: Mapping[str, tuple[Entity[Pricing], ...]]  # by the id of their plan or template, in order of id
    aggregations: Mapping[str, Entity[Aggregation]]
    compounds: Mapping[str, Entity[CompoundAggregation]]
    meters: Mapping[str, Entity[Meter]]
    counters: Mapping[str, Entity[Counter]] = {}
    counter_pricings: Mapping[str, tuple[Entity[CounterPricing], ...]] = {}  # by the id of their plan or template
    tables: Tables = NO_TABLES
    defaults: Entity[OrganizationCustomFields] | None = None


def catalogue_of(entities: Iterable[Entity[Any]]) -> Catalogue:
    """A catalogue of these entities; those of other kinds are left aside."""
    found: dict[str, dict[str, Entity[Any]]] = {}
    every = list(entities)
    for entity in every:
        found.setdefault(entity.value.kind, {})[entity.id] = entity

    def of(kind: type[V]) -> dict[str, Entity[V]]:
        return cast("dict[str, Entity[V]]", found.get(kind.kind, {}))

    pricings: dict[str, list[Entity[Pricing]]] = {}
    for pricing in sorted(of(Pricing).values(), key=lambda each: each.id):
        owner = pricing.value.plan_id or pricing.value.plan_template_id
        assert owner is not None, "a pricing has a plan or a template"
        pricings.setdefault(owner, []).append(pricing)
    return Catalogue(
        products=of(Product),
        templates=of(PlanTemplate),
        plans=of(Plan),
        pricings={owner: tuple(of_owner) for owner, of_owner in pricings.items()},
        aggregations=of(Aggregation),
        compounds=of(CompoundAggregation),
        meters=of(Meter),
        counters=of(Counter),
        counter_pricings=_by_owner(of(CounterPricing).values()),
        tables=tables_of(every),
        defaults=next(iter(of(OrganizationCustomFields).values()), None),
    )


def _tables(catalogue: Catalogue, of: Priceable) -> Tables:
    """The lookup tables that the price of something depends on."""
    return catalogue.tables.only(codes_of(of.calculation)) if isinstance(of, CompoundAggregation) else NO_TABLES


def _defaults(catalogue: Catalogue, of: Priceable) -> Entity[OrganizationCustomFields] | None:
    """The organisation's custom fields, where the price of something depends on custom fields."""
    return catalogue.defaults if isinstance(of, CompoundAggregation) and custom_in(of.calculation) else None


def _by_owner(pricings: Iterable[Entity[CounterPricing]]) -> dict[str, tuple[Entity[CounterPricing], ...]]:
    found: dict[str, tuple[Entity[CounterPricing], ...]] = {}
    for each in sorted(pricings, key=lambda one: one.id):
        owner = each.value.plan_id or each.value.plan_template_id or ""
        found[owner] = (*found.get(owner, ()), each)
    return found


def plan_terms(catalogue: Catalogue, plan_id: str) -> PlanTerms:
    """The terms of one plan. Refusal `unknown_reference` where something that it needs is missing."""
    plan = _require(catalogue.plans, plan_id, "plan")
    template_id = plan.value.plan_template_id
    template = _require(catalogue.templates, template_id, "plan template")
    product = _require(catalogue.products, template.value.product_id, "product")

    def accounting(*ids: str | None) -> Entity[Product]:
        chosen = next((each for each in ids if each is not None), product.id)
        return _require(catalogue.products, chosen, "accounting product")

    pricings = (*catalogue.pricings.get(plan_id, ()), *catalogue.pricings.get(template_id, ()))
    prices = []
    for pricing in pricings:
        priced, inputs = _measured(catalogue, pricing.value)
        of: Priceable = priced.value
        fields = segmented_fields([each.aggregation.value for each in inputs])
        prices.append(
            PriceTerms(
                pricing=pricing,
                priced=priced,
                inputs=inputs,
                accounting_product=accounting(pricing.value.accounting_product_id, of.accounting_product_id),
                pattern=pattern_of(pricing.value, fields),
                pieces=pieces_of(pricing, pricings, fields),
                condition=_condition(catalogue, pricing.value),
                tables=_tables(catalogue, priced.value),
                defaults=_defaults(catalogue, priced.value),
                rates=_rates(pricing.value, fields),
            )
        )
    return PlanTerms(
        plan=plan,
        template=template,
        product=product,
        standing_charge_product=accounting(plan.value.standing_charge_accounting_product_id),
        minimum_spend_product=accounting(plan.value.minimum_spend_accounting_product_id),
        prices=tuple(sorted(prices, key=_price_order)),
        counter_prices=_counter_prices(catalogue, plan, product),
    )


def _counter_prices(
    catalogue: Catalogue, plan: Entity[Plan], product: Entity[Product]
) -> tuple[CounterPriceTerms, ...]:
    owners = (plan.id, plan.value.plan_template_id)
    pricings = [each for owner in owners for each in catalogue.counter_pricings.get(owner, ())]
    for each in pricings:
        _require(catalogue.counters, each.value.counter_id, "counter")
        _require(catalogue.products, each.value.accounting_product_id or product.id, "accounting product")
    return counter_prices(pricings, catalogue.counters, catalogue.products, product)


def _measured(
    catalogue: Catalogue, pricing: Pricing
) -> tuple[Entity[Aggregation] | Entity[CompoundAggregation], tuple[Input, ...]]:
    """What a pricing is for, and what is measured for it."""
    if pricing.aggregation_id is not None:
        aggregation = _require(catalogue.aggregations, pricing.aggregation_id, "aggregation")
        return aggregation, (_input(catalogue, aggregation),)
    compound = _require(catalogue.compounds, pricing.compound_aggregation_id, "compound aggregation")
    return compound, inputs_of(catalogue, codes_in(compound.value.calculation))


def _rates(pricing: Pricing, fields: tuple[str, ...]) -> dict[tuple[str, ...], Decimal]:
    return {
        tuple(rate.dimensions[name] for name in fields if name in rate.dimensions): rate.unit_price
        for rate in pricing.rates or ()
    }


def _condition(catalogue: Catalogue, pricing: Pricing) -> Condition | None:
    if pricing.condition is None:
        return None
    return Condition(formula=pricing.condition, inputs=inputs_of(catalogue, codes_in(pricing.condition)))


def inputs_of(catalogue: Catalogue, codes: Iterable[str]) -> tuple[Input, ...]:
    """The aggregations with these codes. Refusal `unknown_reference` where one is missing."""
    by_code = {each.value.code: each for each in catalogue.aggregations.values()}
    for code in codes:
        if code not in by_code:
            raise Refusal("unknown_reference", f"the aggregation {PREFIX}{code} does not exist and cannot be billed")
    return tuple(_input(catalogue, by_code[code]) for code in codes)


def _input(catalogue: Catalogue, aggregation: Entity[Aggregation]) -> Input:
    return Input(aggregation=aggregation, meter=_require(catalogue.meters, aggregation.value.meter_id, "meter"))


def _price_order(price: PriceTerms) -> tuple[str, str, list[str], str, str]:
    pricing, priced = price.pricing.value, price.priced
    segment = ["" if want is None else want for want in price.pattern]
    return priced.value.name, priced.id, segment, pricing.start_date.wire(), price.pricing.id


def _require(found: Mapping[str, Entity[V]], id: str | None, what: str) -> Entity[V]:
    if id is None or id not in found:
        raise Refusal("unknown_reference", f"the {what} {id} does not exist and cannot be billed")
    return found[id]
