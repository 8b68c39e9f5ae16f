"""Compound aggregations: numbers computed from aggregations by a formula (source: reference 2.2).

A compound aggregation of a product uses the aggregations of that product's meters and of global meters; a global one
uses any. What a calculation names stays: see `require_unused_in_compounds`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tallystick.control.compound_inputs import aggregations_of, compounds_naming, measured_for
from tallystick.control.custom_fields import current, require_defaults
from tallystick.control.desk import Draft, Noun, in_use, rule_broken, the
from tallystick.control.lookup_tables import require_tables
from tallystick.control.pricings import compound_pricings_of, require_compound_fit
from tallystick.core.aggregation import Aggregation
from tallystick.core.attributes import PREFIXES, custom_types
from tallystick.core.compound import PREFIX, CompoundAggregation, codes_in, types_of
from tallystick.core.entity import Entity
from tallystick.core.expression import ExpressionError, Type, check, parse
from tallystick.core.lookup import WITH_LOOKUPS
from tallystick.core.meter import Meter
from tallystick.errors import Refusal
from tallystick.ports import OrganizationRecords


def require_unused_in_compounds(read: OrganizationRecords, aggregation: Entity[Aggregation], field: str) -> None:
    """Refuse to take away an aggregation's code while a calculation names it."""
    code = aggregation.value.code
    users = [] if code is None else [(each.value.kind, each.id) for each in compounds_naming(read, code)]
    if users:
        raise in_use("aggregation", aggregation.id, users[:10], field=field)


def require_product_of_compounds(
    read: OrganizationRecords, code: str | None, product_id: str | None, field: str
) -> None:
    """Refuse to count the aggregation with this code for a product that compound aggregations using it are not of."""
    if code is None or product_id is None:
        return
    for each in compounds_naming(read, code):
        if each.value.product_id not in {None, product_id}:
            message = f"the compound aggregation {each.id} of the product {each.value.product_id} uses {PREFIX}{code}"
            raise rule_broken(field, f"{message}; make that one global first")


def require_computable(read: OrganizationRecords, value: CompoundAggregation) -> None:
    """Refuse a calculation that is no numeric expression over the aggregations that it may use."""
    try:
        tree = parse(value.calculation, WITH_LOOKUPS)
        named = aggregations_of(read, value)
        missing = [code for code in codes_in(value.calculation) if code not in named]
        if missing:
            message = f"there is no aggregation with the code {missing[0][:80]!r}; {PREFIX}<code> names one"
            raise rule_broken("calculation", message)
        types = {**types_of(named), **custom_types(current(read).value, PREFIXES)}
        require_defaults(tree, types, tuple(PREFIXES), "calculation")
        found = check(tree, types, WITH_LOOKUPS)
    except ExpressionError as error:
        message = f"{error} (an aggregation is named {PREFIX}<code>, such as {PREFIX}requests)"
        raise rule_broken("calculation", message) from None
    require_tables(read, tree, "calculation")
    if found not in {Type.NUMBER, Type.ANY}:
        raise rule_broken("calculation", f"must give a number; it gives a {found}")
    if not named:
        raise rule_broken("calculation", f"must use at least one aggregation, such as {PREFIX}requests")
    for code, aggregation in named.items():
        _require_product(read, value, code, aggregation)


def _require_product(
    read: OrganizationRecords, value: CompoundAggregation, code: str, aggregation: Entity[Aggregation]
) -> None:
    counted = the(read, Meter, aggregation.value.meter_id).product_id
    if value.product_id is not None and counted not in {None, value.product_id}:
        message = f"{PREFIX}{code} counts the product {counted}, the compound aggregation is of {value.product_id}"
        raise rule_broken("calculation", f"{message}; leave productId out to use aggregations of any product")


def _check(draft: Draft[CompoundAggregation]) -> CompoundAggregation:
    require_computable(draft.read, draft.value)
    if draft.before is not None:
        measured = measured_for(draft.read, draft.value)
        require_pricings_fit(draft.read, draft.id, draft.value, measured, _FIELDS)
    return draft.value


# What of a compound aggregation a pricing minds, by the field of the pricing; else its product.
_FIELDS = {"segment": "calculation", "rates": "calculation", "compoundAggregationId": "productId"}


def require_pricings_fit(
    read: OrganizationRecords,
    id: str,
    compound: CompoundAggregation,
    measured: Sequence[Aggregation],
    fields: Mapping[str, str],
) -> None:
    """Refuse a change after which a pricing of a compound aggregation would not hold; `fields` says which field of what
    is changed is at fault, by that of the pricing."""
    for pricing in compound_pricings_of(read, id):
        try:
            require_compound_fit(read, pricing.value, compound, measured)
        except Refusal as refusal:
            field = fields.get(refusal.field or "", "id")
            raise rule_broken(field, f"the pricing {pricing.id} would no longer hold: {refusal.message}") from None


def require_segments_of_compounds(read: OrganizationRecords, id: str, changed: Aggregation) -> None:
    """Refuse to take segments away from an aggregation while compound aggregations are priced by them."""
    fields = {"segment": "segments", "rates": "segmentedFields"}
    for each in compounds_naming(read, changed.code) if changed.code else ():
        measured = measured_for(read, each.value, (id, changed))
        require_pricings_fit(read, each.id, each.value, measured, fields)


COMPOUND_AGGREGATIONS = Noun(of=CompoundAggregation, check=_check)
