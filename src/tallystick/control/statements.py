"""Statements: the usage behind a bill, measured again up to the journal position that the bill recorded.

Accounts, meters and stretches of time are those that the bill asked about (docs/decisions/0170-statements.md).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from tallystick.control.statement_definitions import allowed_functions, splits
from tallystick.core.account import Account
from tallystick.core.aggregation import Aggregation, Method
from tallystick.core.bill import BillRecord
from tallystick.core.entity import Entity, Value
from tallystick.core.meter import Meter
from tallystick.core.organization import OrganizationConfig
from tallystick.core.period import Instant, Period
from tallystick.core.quantity import divide
from tallystick.core.statement import (
    Statement,
    StatementRow,
    accounts_of,
    charged_windows,
    lines_of,
    stretches,
)
from tallystick.core.statement_types import (
    DEFAULT_DEFINITION,
    StatementDefinition,
    StatementDimension,
    StatementFilters,
    StatementFrequency,
)
from tallystick.errors import Refusal
from tallystick.ports import (
    OrganizationRecords,
    OrganizationUsage,
    UsageAnswer,
    UsageColumn,
    UsageFilter,
    UsageGroup,
    UsageQuery,
)

V = TypeVar("V", bound=Value)

MAX_ROWS = 100_000  # of one meter
IN_ONE_QUERY = frozenset(
    {StatementFrequency.DAY, StatementFrequency.WEEK, StatementFrequency.MONTH, StatementFrequency.QUARTER}
)


@dataclass(frozen=True, slots=True)
class Layout:
    """What one meter contributes to a statement."""

    meter: Entity[Meter]
    columns: tuple[UsageColumn, ...]
    dimensions: tuple[StatementDimension, ...]
    prices: dict[tuple[str, str], Decimal]  # by field and function


def definition_of(records: OrganizationRecords, record: BillRecord) -> Entity[StatementDefinition] | None:
    """The definition that a bill's statements follow: the account's, else the organisation's; None for our own."""
    account = records.get(Account, record.bill.account_id)
    config = records.get(OrganizationConfig, records.organization_id)
    chosen = account.value.statement_definition_id if account else None
    chosen = chosen or (config.value.default_statement_definition_id if config else None)
    return records.get(StatementDefinition, chosen) if chosen else None


def make_statement(
    records: OrganizationRecords, usage: OrganizationUsage, record: BillRecord, filters: StatementFilters | None
) -> Statement:
    """The statement of a bill. Refusal `rule_broken` when it would have more rows than anyone reads."""
    chosen = definition_of(records, record)
    definition = chosen.value if chosen else DEFAULT_DEFINITION
    wanted = frozenset(filters.meter_ids) if filters and filters.meter_ids is not None else None
    rows: list[StatementRow] = []
    windows = charged_windows(record)
    layouts = [
        _layout(record, definition, meter, records)
        for meter in _meters(records, record, [each for each in windows if wanted is None or each in wanted])
    ]
    for layout in layouts:
        for window in windows[layout.meter.id]:
            rows += _rows(usage, record, definition, layout, window)
    bill = record.bill
    return Statement(
        bill_id=bill.id,
        account_id=bill.account_id,
        account_code=bill.account_code,
        start_date=bill.start_date,
        end_date=bill.end_date,
        billing_frequency=bill.billing_frequency,
        timezone=bill.timezone,
        currency=bill.currency,
        bill_total=bill.bill_total,
        statement_definition_id=chosen.id if chosen else None,
        aggregation_frequency=definition.aggregation_frequency,
        up_to=record.evidence.up_to,
        digest=record.evidence.digest,
        usage=tuple(rows),
        line_items=None if definition.generate_slim_statements else tuple(lines_of(record, definition, wanted)),
    )


def _meters(records: OrganizationRecords, record: BillRecord, ids: Sequence[str]) -> list[Entity[Meter]]:
    """The meters as the bill knew them, in order of code."""
    versions = {each.id: each.version for each in record.evidence.uses if each.kind == Meter.kind}
    found: list[Entity[Meter]] = []
    for each in ids:
        meter = records.at_version(Meter, each, versions[each]) if each in versions else records.get(Meter, each)
        assert meter is not None, f"the bill {record.bill.id} asked about the meter {each}, which was never there"
        found.append(meter)
    return sorted(found, key=lambda meter: meter.value.code)


# ------------------------------------------------------------------------------------------------------ layout


def _layout(
    record: BillRecord, definition: StatementDefinition, meter: Entity[Meter], records: OrganizationRecords
) -> Layout:
    shown = _asked(record, meter) if not definition.measures else _measures(definition, meter)
    return Layout(
        meter=meter,
        columns=tuple(UsageColumn(meter_id=meter.id, field=field, function=function) for field, function in shown),
        dimensions=tuple(
            each
            for each in definition.dimensions
            if each.meter_id in {None, meter.id} and splits(meter.value.field(each.name))
        ),
        prices=_prices(records, record, meter.id) if definition.include_price_per_unit else {},
    )


def _asked(record: BillRecord, meter: Entity[Meter]) -> list[tuple[str, str]]:
    """What the bill counted of a meter: each field and function once. What the data explorer has no function for
    (a percentile, say) is shown as a sum."""
    found: dict[tuple[str, str], None] = {}
    for answer in record.evidence.answers:
        question = answer.question
        field = meter.value.field(question.field)
        if question.meter_id != meter.id or field is None:
            continue
        allowed = allowed_functions(field)
        found[field.code, question.method if question.method in allowed else _plainest(allowed)] = None
    return list(found)


def _plainest(allowed: frozenset[str]) -> str:
    return Method.SUM if Method.SUM in allowed else Method.COUNT


def _measures(definition: StatementDefinition, meter: Entity[Meter]) -> list[tuple[str, str]]:
    found: dict[tuple[str, str], None] = {}
    for measure in definition.measures:
        if measure.meter_id not in {None, meter.id}:
            continue
        fields = [each for each in meter.value.fields if (each.code == measure.name if measure.name else True)]
        for field in fields:
            if not measure.name and not field.category.numeric:
                continue
            for function in measure.functions:
                if function in allowed_functions(field):
                    found[field.code, function.value] = None
    return list(found)


def _prices(records: OrganizationRecords, record: BillRecord, meter_id: str) -> dict[tuple[str, str], Decimal]:
    """The average price of what exactly one line charges, by field and function."""
    versions = {each.id: each.version for each in record.evidence.uses if each.kind == Aggregation.kind}
    found: dict[tuple[str, str], list[Decimal]] = defaultdict(list)
    for line in record.bill.line_items:
        if line.aggregation_id is None or line.aggregation_id not in versions or line.meter_id != meter_id:
            continue
        aggregation = _at(records, Aggregation, line.aggregation_id, versions[line.aggregation_id])
        found[aggregation.target_field, aggregation.aggregation.value].append(line.average_unit_price)
    return {key: prices[0] for key, prices in found.items() if len(prices) == 1}


def _at(records: OrganizationRecords, of: type[V], id: str, version: int) -> V:
    entity = records.at_version(of, id, version)
    assert entity is not None, f"{of.kind} {id} was at version {version} when a bill was made of it"
    return entity.value


# ------------------------------------------------------------------------------------------------------ rows


def _rows(
    usage: OrganizationUsage, record: BillRecord, definition: StatementDefinition, layout: Layout, window: Period
) -> list[StatementRow]:
    """The rows of one meter in one window: by time, then by measure, then by dimension."""
    if not layout.columns:
        return []
    frequency, zone = definition.aggregation_frequency, record.bill.timezone
    parts = stretches(window, frequency, zone)
    if frequency in IN_ONE_QUERY:
        answers = _ask(usage, record, layout, window, frequency)
    else:
        answers = [
            UsageAnswer((start, *answer.groups), answer.values)
            for start, part in parts
            for answer in _ask(usage, record, layout, part, None)
        ]
    by_start: dict[Instant, list[UsageAnswer]] = defaultdict(list)
    for answer in answers:
        start = answer.groups[0]
        assert isinstance(start, Instant), "the first group is the time"
        by_start[start].append(answer)
    rows: list[StatementRow] = []
    for start, part in parts:
        for place in range(len(layout.columns)):
            rows += _cells(layout, place, part, by_start[start], slim=definition.generate_slim_statements)
    return rows


def _ask(
    usage: OrganizationUsage,
    record: BillRecord,
    layout: Layout,
    window: Period,
    frequency: StatementFrequency | None,
) -> list[UsageAnswer]:
    meter_id = layout.meter.id
    time = () if frequency is None else (UsageGroup(by="TIME", frequency=frequency.value),)
    answers = usage.query(
        UsageQuery(
            start=window.start,
            end=window.end,
            meter_ids=(meter_id,),
            account_ids=accounts_of(record),
            filters=tuple(
                UsageFilter(meter_id=meter_id, field=each.name, values=each.values)
                for each in layout.dimensions
                if each.values is not None
            ),
            columns=layout.columns,
            groups=(
                *time,
                *(UsageGroup(by="DIMENSION", meter_id=meter_id, field=each.name) for each in layout.dimensions),
            ),
            limit=MAX_ROWS,
            zone=record.bill.timezone,
            up_to=record.evidence.up_to,
        )
    )
    if len(answers) > MAX_ROWS:
        raise Refusal(
            "rule_broken",
            f"dimensions: the meter {layout.meter.value.code} has more than {MAX_ROWS} combinations of time and"
            " dimensions on this bill; use fewer dimensions, filters, or a longer aggregationFrequency",
            field="dimensions",
        )
    return answers


def _cells(
    layout: Layout, place: int, part: Period, answers: Sequence[UsageAnswer], *, slim: bool
) -> list[StatementRow]:
    """One measure in one stretch: a row per combination of dimensions; without usage one that says so, unless slim."""
    meter, column = layout.meter, layout.columns[place]
    field = meter.value.field(column.field)
    names = [each.name for each in layout.dimensions]
    measured = [(answer.groups[1:], answer.values[place]) for answer in answers]
    found = [(group, value) for group, value in measured if value is not None]
    rows = [
        StatementRow(
            meter_id=meter.id,
            meter_code=meter.value.code,
            measure=column.field,
            aggregation=column.function,
            unit=field.unit if field else None,
            start_date=part.start,
            end_date=part.end,
            dimensions=dict(zip(names, map(_text, group), strict=True)) if names else None,
            value=_value(column, *value),
            measurements=value[1],
            price_per_unit=layout.prices.get((column.field, column.function)),
        )
        for group, value in found
    ]
    if rows or slim:
        return rows
    return [
        StatementRow(
            meter_id=meter.id,
            meter_code=meter.value.code,
            measure=column.field,
            aggregation=column.function,
            unit=field.unit if field else None,
            start_date=part.start,
            end_date=part.end,
            value=None,
            measurements=0,
        )
    ]


def _text(group: str | Instant | None) -> str | None:
    return None if group is None else str(group)


def _value(column: UsageColumn, total: Decimal, count: int) -> Decimal:
    return divide(total, Decimal(count)) if column.function == Method.MEAN else total
