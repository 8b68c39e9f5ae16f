"""Conditions of pricings: formulas over aggregations that say whether a price holds in a billing period.

An extension of ours (docs/decisions/0134-conditions-of-pricings.md). What a condition names stays.
"""

from __future__ import annotations

from collections.abc import Iterator

from tallystick.control.desk import in_use, rule_broken, the
from tallystick.core.aggregation import Aggregation
from tallystick.core.catalog import Pricing
from tallystick.core.compound import PREFIX, codes_in, types_of
from tallystick.core.entity import Entity
from tallystick.core.expression import ExpressionError, Type, check, parse
from tallystick.core.meter import Meter
from tallystick.ports import OrganizationRecords


def require_condition(read: OrganizationRecords, pricing: Pricing, product_id: str) -> None:
    """Refuse a condition that is not true or false, or names what is no aggregation of the product that is sold."""
    if pricing.condition is None:
        return
    try:
        tree = parse(pricing.condition)
        codes = codes_in(pricing.condition)
        found = {code: read.by_code(Aggregation, code) for code in codes}
        missing = next((code for code, entity in found.items() if entity is None), None)
        if missing is not None:
            message = f"there is no aggregation with the code {missing[:80]!r}; {PREFIX}<code> names one"
            raise rule_broken("condition", message)
        kind = check(tree, types_of(codes))
    except ExpressionError as error:
        message = f"{error} (an aggregation is named {PREFIX}<code>, such as {PREFIX}storage)"
        raise rule_broken("condition", message) from None
    if kind not in {Type.BOOLEAN, Type.ANY}:
        raise rule_broken("condition", f"must be true or false, such as {PREFIX}storage > 100; it gives a {kind}")
    if not codes:
        raise rule_broken("condition", f"must use at least one aggregation, such as {PREFIX}storage > 100")
    for code, entity in found.items():
        assert entity is not None, "what is missing was refused"
        _require_product(read, code, entity, product_id)


def _require_product(read: OrganizationRecords, code: str, aggregation: Entity[Aggregation], product_id: str) -> None:
    counted = the(read, Meter, aggregation.value.meter_id).product_id
    if counted not in {None, product_id}:
        message = f"{PREFIX}{code} counts the product {counted}, the plan or template sells {product_id}"
        raise rule_broken("condition", f"{message}; make its meter global to use it here")


def require_compatible(pricing: Pricing, other: Entity[Pricing]) -> None:
    """Refuse two pricings of the same usage at the same time of which a condition cannot choose one.

    Two without a condition, or two conditions of the same order, would both hold; and a minimum spend or bands that
    span the plan need a price that holds in every billing period.
    """
    mine, its = pricing.condition is not None, other.value.condition is not None
    if mine and its and pricing.condition_order == other.value.condition_order:
        message = f"the pricing {other.id} for the same usage has a condition of the same order; each needs its own"
        raise rule_broken("conditionOrder", message)
    if mine == its:
        return
    lasting = other.value if mine else pricing
    if lasting.tiers_span_plan or lasting.minimum_spend is not None:
        name = "tiersSpanPlan" if lasting.tiers_span_plan else "minimumSpend"
        message = f"the pricing {other.id} is for the same usage, and one of the two has {name}, the other a condition"
        raise rule_broken("condition", f"{message}; what charges by condition cannot have that")


def pricings_naming(read: OrganizationRecords, code: str) -> Iterator[Entity[Pricing]]:
    """Every pricing whose condition names the aggregation with this code."""
    every = (each for each in read.every(Pricing) if each.value.condition is not None)
    return (each for each in every if code in codes_in(each.value.condition or ""))


def require_unused_in_conditions(read: OrganizationRecords, aggregation: Entity[Aggregation], field: str) -> None:
    """Refuse to take away an aggregation's code while a condition names it."""
    code = aggregation.value.code
    users = [] if code is None else [(each.value.kind, each.id) for each in pricings_naming(read, code)]
    if users:
        raise in_use("aggregation", aggregation.id, users[:10], field=field)
