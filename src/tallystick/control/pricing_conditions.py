"""Conditions of pricings: formulas over aggregations that say whether a price holds in a billing period.

An extension of ours (docs/decisions/0134-conditions-of-pricings.md). What a condition names stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tallystick.control.compound_inputs import measured_by
from tallystick.control.desk import in_use, rule_broken, the
from tallystick.core.aggregation import Aggregation
from tallystick.core.catalog import Pricing
from tallystick.core.compound import PREFIX, codes_in, types_of
from tallystick.core.entity import Entity
from tallystick.core.expression import ExpressionError, Type, check, parse
from tallystick.core.meter import Meter
from tallystick.core.period import intersect, stretch
from tallystick.core.scope import covers, outranks, overlaps, pattern_of, segmented_fields
from tallystick.errors import Refusal
from tallystick.ports import OrganizationRecords, Where


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


def require_compatible(pricing: Pricing, other: Entity[Pricing], fields: Sequence[str]) -> None:
    """Refuse two pricings of the same usage at the same time of which a condition cannot choose one.

    Two without a condition, or two conditions of the same order, would both hold; and a minimum spend or bands that
    span the plan need a price that holds in every billing period. `fields` are those that the usage is split by.
    """
    mine, its = pricing.condition is not None, other.value.condition is not None
    same_home = (pricing.plan_id, pricing.plan_template_id) == (other.value.plan_id, other.value.plan_template_id)
    same = same_home and pattern_of(pricing, fields) == pattern_of(other.value, fields)
    if same and mine and its and pricing.condition_order == other.value.condition_order:
        message = f"the pricing {other.id} for the same usage has a condition of the same order; each needs its own"
        raise rule_broken("conditionOrder", message)
    if mine == its:
        return
    conditional, lasting = (pricing, other.value) if mine else (other.value, pricing)
    name = _interrupted(conditional, lasting, fields)
    if name is not None:
        message = f"the pricing {other.id} is for the same usage, and one of the two has {name}, the other a condition"
        raise rule_broken("condition", f"{message}; what charges by condition cannot have that")


def _interrupted(conditional: Pricing, lasting: Pricing, fields: Sequence[str]) -> str | None:
    """What of a pricing without a condition cannot bear that one with a condition charges in its place at times."""
    if not outranks(conditional, lasting, fields):
        return None
    taken, of = pattern_of(conditional, fields), pattern_of(lasting, fields)
    if lasting.tiers_span_plan and overlaps(taken, of):
        return "tiersSpanPlan"
    return "minimumSpend" if lasting.minimum_spend is not None and covers(taken, of) else None


def require_prices_of_template_last(read: OrganizationRecords, plan_id: str, plan_template_id: str) -> None:
    """Refuse to move a plan to a template with a price that must last, beside a price on a condition of its own."""
    own = read.every(Pricing, Where(equal={"plan_id": (plan_id,)}))
    conditional = [each for each in own if each.value.condition is not None]
    for each in read.every(Pricing, Where(equal={"plan_template_id": (plan_template_id,)})) if conditional else ():
        for other in (other for other in conditional if compete(each.value, other.value)):
            try:
                require_compatible(each.value, other, segmented_fields(measured_by(read, each.value)))
            except Refusal as refusal:
                raise rule_broken("planTemplateId", f"the pricing {each.id} of it: {refusal.message}") from None


def compete(pricing: Pricing, other: Pricing) -> bool:
    """Whether two pricings are for the same aggregation and of the same type, at some time."""
    mine, its = stretch(pricing.start_date, pricing.end_date), stretch(other.start_date, other.end_date)
    return (
        pricing.aggregation_id == other.aggregation_id
        and pricing.compound_aggregation_id == other.compound_aggregation_id
        and pricing.type is other.type
        and intersect(mine, its) is not None
    )


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
