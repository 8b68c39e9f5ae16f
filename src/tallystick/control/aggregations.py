"""Aggregations: the numbers that are priced, each counted from one meter field (source: reference 2.2)."""

from __future__ import annotations

from tallystick.control.compound_aggregations import (
    require_product_of_compounds,
    require_segments_of_compounds,
    require_unused_in_compounds,
)
from tallystick.control.desk import Draft, Noun, rule_broken, the
from tallystick.control.pricing_conditions import require_unused_in_conditions
from tallystick.control.pricings import pricings_of, require_fit
from tallystick.core.aggregation import Aggregation, Method
from tallystick.core.entity import Entity
from tallystick.core.expression import ExpressionError, Type, check, is_compilable, parse
from tallystick.core.meter import Category, Meter, field_types
from tallystick.errors import Refusal
from tallystick.ports import Transaction

_NUMERIC = set(Method) - {Method.COUNT, Method.UNIQUE, Method.CORRELATED_COUNT}


def require_countable(aggregation: Aggregation, meter: Meter) -> None:
    """Refuse an aggregation that its meter cannot feed; pure, so that a change of the meter can ask it again."""
    _require_target(aggregation, meter)
    _require_segments(aggregation, meter)
    _require_text_field("gaugeField", aggregation.gauge_field, meter)
    _require_text_field("correlationField", aggregation.correlation_field, meter)
    require_filter("filter", aggregation.filter, meter)
    require_filter("successFilter", aggregation.success_filter, meter)


def _require_target(aggregation: Aggregation, meter: Meter) -> None:
    code, method = aggregation.target_field, aggregation.aggregation
    target = meter.field(code)
    if target is None:
        known = ", ".join(field_types(meter.fields))
        raise rule_broken("targetField", f"the meter {meter.code} has no field {code!r}; it has {known}")
    if method in _NUMERIC and not target.category.numeric:
        message = f"{method} needs a numeric field (MEASURE, INCOME or COST); {code!r} is {target.category}"
        raise rule_broken("targetField", message)
    if method is Method.UNIQUE and target.category.numeric:
        raise rule_broken("targetField", f"UNIQUE counts the values of a text field; {code!r} is {target.category}")


def _require_segments(aggregation: Aggregation, meter: Meter) -> None:
    for index, code in enumerate(aggregation.segmented_fields or ()):
        field = meter.field(code)
        if field is None:
            raise rule_broken(f"segmentedFields[{index}]", f"the meter {meter.code} has no field {code!r}")
        if field.category.numeric or field.category is Category.METADATA:
            message = f"only text fields other than METADATA make segments; {code!r} is {field.category}"
            raise rule_broken(f"segmentedFields[{index}]", message)


def _require_text_field(name: str, code: str | None, meter: Meter) -> None:
    """What tells streams apart is a text that every measurement has."""
    field = None if code is None else meter.field(code)
    if code is not None and field is None:
        raise rule_broken(name, f"the meter {meter.code} has no field {code!r}")
    if field is not None and field.category.numeric:
        raise rule_broken(name, f"must be a text field; {code!r} is {field.category}")


def require_filter(name: str, text: str | None, meter: Meter) -> None:
    """Refuse a filter that is no condition on the fields of a meter. Refusal `rule_broken`."""
    if text is None:
        return
    try:
        tree = parse(text)
        found = check(tree, field_types(meter.fields))
    except ExpressionError as error:
        raise rule_broken(name, str(error)) from None
    if found is not Type.BOOLEAN:
        raise rule_broken(name, f"must be true or false for each measurement, such as region == 'eu'; it is {found}")
    if not is_compilable(tree, field_types(meter.fields)):
        message = "may use fields, literals, comparisons, AND, OR, NOT, + - *, IN and isnull only"
        raise rule_broken(name, f"{message}; put anything else into a derived field of the meter")


def _check(draft: Draft[Aggregation]) -> Aggregation:
    meter = the(draft.read, Meter, draft.value.meter_id)
    require_countable(draft.value, meter)
    if draft.before is not None:
        _require_pricings_fit(draft)
        require_product_of_compounds(draft.read, draft.before.value.code, meter.product_id, "meterId")
        if draft.before.value.code != draft.value.code:
            require_unused_in_compounds(draft.read, draft.before, "code")
            require_unused_in_conditions(draft.read, draft.before, "code")
        require_segments_of_compounds(draft.read, draft.id, draft.value)
    return draft.value


def _check_removal(read: Transaction, entity: Entity[Aggregation]) -> None:
    require_unused_in_compounds(read, entity, "id")
    require_unused_in_conditions(read, entity, "id")


def _require_pricings_fit(draft: Draft[Aggregation]) -> None:
    for pricing in pricings_of(draft.read, draft.id):
        try:
            require_fit(draft.read, pricing.value, draft.value)
        except Refusal as refusal:
            fields = {"segment": "segments", "rates": "segmentedFields", "percent": "aggregation"}
            field = fields.get(refusal.field or "", "meterId")
            raise rule_broken(field, f"the pricing {pricing.id} would no longer hold: {refusal.message}") from None


AGGREGATIONS = Noun(of=Aggregation, check=_check, check_removal=_check_removal)
