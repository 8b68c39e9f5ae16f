"""Statement definitions: how statements are laid out (source: reference 2.11)."""

from __future__ import annotations

from tallystick.control.desk import Draft, Noun, in_use, rule_broken, the
from tallystick.control.usage_query import NUMERIC_FUNCTIONS, TEXT_FUNCTIONS
from tallystick.core.entity import Entity
from tallystick.core.meter import Category, DataField, Meter
from tallystick.core.organization import OrganizationConfig
from tallystick.core.statement_types import StatementDefinition, StatementDimension, StatementMeasure
from tallystick.ports import Transaction


def allowed_functions(field: DataField) -> frozenset[str]:
    """The functions that a field of a meter can be shown by."""
    return NUMERIC_FUNCTIONS if field.category.numeric else TEXT_FUNCTIONS


def splits(field: DataField | None) -> bool:
    """Whether usage can be split by a field: a text, and none that may be different every time."""
    return field is not None and not field.category.numeric and field.category is not Category.METADATA


def _check(draft: Draft[StatementDefinition]) -> StatementDefinition:
    for index, measure in enumerate(draft.value.measures):
        if measure.meter_id is not None and measure.name:
            _check_measure(the(draft.read, Meter, measure.meter_id), measure, f"measures[{index}]")
    for index, dimension in enumerate(draft.value.dimensions):
        if dimension.meter_id is not None:
            _check_dimension(the(draft.read, Meter, dimension.meter_id), dimension, f"dimensions[{index}]")
    return draft.value


def _check_measure(meter: Meter, measure: StatementMeasure, place: str) -> None:
    field = meter.field(measure.name)
    if field is None:
        raise rule_broken(f"{place}.name", f"the meter {meter.code} has no field {measure.name!r}")
    for function in measure.functions:
        if function not in allowed_functions(field):
            allowed = ", ".join(sorted(allowed_functions(field)))
            raise rule_broken(f"{place}.aggregations", f"{function} does not apply to {field.code}; use {allowed}")


def _check_dimension(meter: Meter, dimension: StatementDimension, place: str) -> None:
    if not splits(meter.field(dimension.name)):
        raise rule_broken(
            f"{place}.name",
            f"{dimension.name!r} is no text field of the meter {meter.code}, or is METADATA: it splits no usage",
        )


def _check_removal(write: Transaction, entity: Entity[StatementDefinition]) -> None:
    config = write.get(OrganizationConfig, write.organization_id)
    if config is not None and config.value.default_statement_definition_id == entity.id:
        raise in_use("statement definition", entity.id, [(OrganizationConfig.kind, config.id)])


STATEMENT_DEFINITIONS = Noun(of=StatementDefinition, check=_check, check_removal=_check_removal)
