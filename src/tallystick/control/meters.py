"""Meters: the schemas of measurements. What an aggregation or a pricing stands on cannot be taken away."""

from __future__ import annotations

from tallystick.control.aggregations import require_countable, require_filter
from tallystick.control.compound_aggregations import require_product_of_compounds
from tallystick.control.custom_fields import current, require_defaults
from tallystick.control.desk import Draft, Noun, rule_broken
from tallystick.control.lookup_tables import require_tables
from tallystick.control.pricings import priced_product, pricings_of
from tallystick.core.aggregation import Aggregation
from tallystick.core.attributes import ACCOUNT, OF_DERIVED_FIELDS, OF_MEASUREMENTS, custom_types
from tallystick.core.expression import ExpressionError, Type, check, parse
from tallystick.core.lookup import WITH_LOOKUPS, with_named_keys
from tallystick.core.meter import Meter, field_types
from tallystick.errors import Refusal
from tallystick.ports import OrganizationRecords, Transaction, Where


def require_calculable(read: OrganizationRecords, meter: Meter) -> None:
    """Refuse derived fields whose calculation is no expression over the data fields, or of another type."""
    types = field_types(meter.data_fields)
    prefixes = [each for each in OF_DERIVED_FIELDS if each != "product" or meter.product_id is not None]
    types = {**OF_MEASUREMENTS, **custom_types(current(read).value, prefixes), **types}
    codes = {ACCOUNT, *(each.code for each in meter.data_fields)}
    for index, field in enumerate(meter.derived_fields):
        place = f"derivedFields[{index}].calculation"
        try:
            tree = with_named_keys(parse(field.calculation, WITH_LOOKUPS), codes)
            require_defaults(tree, types, prefixes, place)
            found = check(tree, types, WITH_LOOKUPS)
        except ExpressionError as error:
            raise rule_broken(place, f"{field.code}: {error}") from None
        require_tables(read, tree, place)
        wanted = Type.NUMBER if field.category.numeric else Type.TEXT
        if found not in {wanted, Type.ANY}:
            message = f"{field.code} is {field.category} and so a {wanted}, but its calculation gives a {found}"
            raise rule_broken(place, message)


def _check(draft: Draft[Meter]) -> Meter:
    require_calculable(draft.read, draft.value)
    require_filter("excludeFilter", draft.value.exclude_filter, draft.value)
    if draft.before is not None:
        for aggregation in draft.read.every(Aggregation, Where(equal={"meter_id": (draft.id,)})):
            _require_still_countable(aggregation.value, aggregation.id, draft.value)
            if draft.value.product_id is not None and draft.value.product_id != draft.before.value.product_id:
                _require_priced_in(draft.read, aggregation.id, draft.value.product_id)
                require_product_of_compounds(draft.read, aggregation.value.code, draft.value.product_id, "productId")
    return draft.value


def _require_still_countable(aggregation: Aggregation, id: str, meter: Meter) -> None:
    try:
        require_countable(aggregation, meter)
    except Refusal as refusal:
        message = f"the aggregation {aggregation.code or aggregation.name} ({id}) stands on it: {refusal.message}"
        raise rule_broken("dataFields", message) from None


def _require_priced_in(read: Transaction, aggregation_id: str, product_id: str) -> None:
    for pricing in pricings_of(read, aggregation_id):
        sold = priced_product(read, pricing.value)
        if sold != product_id:
            message = f"the pricing {pricing.id} prices it in the product {sold}; end or move that first"
            raise rule_broken("productId", message)


METERS = Noun(of=Meter, check=_check)
