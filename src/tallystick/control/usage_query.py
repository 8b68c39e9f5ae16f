"""Questions about usage: what a person asks in codes and names becomes a checked question to the usage store.

The row keys of the answers are documented in docs/reference/usage-query.md (source of the request: reference 2.11;
m3ter leaves the keys open).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

import msgspec

from tallystick.core.account import Account
from tallystick.core.aggregation import Method
from tallystick.core.entity import Entity, Value
from tallystick.core.meter import Category, DataField, Meter
from tallystick.core.period import Instant
from tallystick.core.quantity import ZERO, divide, parse_quantity, plain
from tallystick.core.usage_request import (
    DimensionFilter,
    FieldCondition,
    FieldType,
    GroupType,
    QueryAggregation,
    QueryGroup,
    UsageRequest,
)
from tallystick.errors import Refusal
from tallystick.ports import (
    OrganizationRecords,
    OrganizationUsage,
    UsageAnswer,
    UsageColumn,
    UsageCondition,
    UsageFilter,
    UsageGroup,
    UsagePlace,
    UsageQuery,
    UsageRow,
)
from tallystick.ports.founded import config_of

ACCOUNT_KEY, ACCOUNT_CODE_KEY, TIME_KEY = "accountId", "accountCode", "startDate"
NUMERIC_FUNCTIONS = frozenset({"SUM", "MIN", "MAX", "COUNT", "LATEST", "MEAN"})
TEXT_FUNCTIONS = frozenset({"COUNT", "UNIQUE"})

T = TypeVar("T")
V = TypeVar("V", bound=Value)


@dataclass(frozen=True, slots=True)
class UsageResult:
    """Rows as they are shown, most recent first, and whether there were more than the limit. Of measurements, the
    token says where the next page begins."""

    rows: list[dict[str, object]]
    has_more: bool
    next_token: str | None = None


def query_usage(records: OrganizationRecords, usage: OrganizationUsage, request: UsageRequest) -> UsageResult:
    """Answer a usage query; Refusal `unknown_reference` or `rule_broken` when it cannot be asked so."""
    query, meters = checked_query(records, request)
    if not query.columns:
        found, token = page_of_rows(usage, query)
        return UsageResult(raw_rows(records, found), token is not None, token)
    answers = usage.query(query)
    return UsageResult(grouped_rows(records, meters, query, answers[: request.limit]), len(answers) > request.limit)


def checked_query(records: OrganizationRecords, request: UsageRequest) -> tuple[UsageQuery, dict[str, Entity[Meter]]]:
    """What a request asks of the usage store, and the meters that it names. Refusals as those of `query_usage`."""
    meters = _require_all(records, Meter, _named_meters(request))
    _require_all(records, Account, dict.fromkeys(request.account_ids or (), "accountIds"))
    return _checked_query(records, meters, request), meters


def page_of_rows(usage: OrganizationUsage, query: UsageQuery) -> tuple[list[UsageRow], str | None]:
    """A page of measurements, and the token of the next."""
    found = usage.raw(query)
    shown = found[: query.limit]
    return shown, _token(shown[-1]) if len(found) > query.limit else None


def _token(last: UsageRow) -> str:
    return f"{last.ts.wire()}_{last.position}"


def _place(token: str) -> UsagePlace:
    moment, _, position = token.rpartition("_")
    try:
        ts = Instant.parse(moment)
    except ValueError:
        ts = None
    if ts is None or not (position.isascii() and position.isdigit() and len(position) < 19):
        message = f"nextToken: {token[:80]!r} is not a token of this list; pass it unchanged"
        raise Refusal("invalid_page", message, field="nextToken")
    return UsagePlace(ts=ts, position=int(position))


def _named_meters(request: UsageRequest) -> dict[str, str]:
    """The ids of the meters that a request names, each with a place where it does."""
    named = dict.fromkeys(request.meter_ids or (), "meterIds")
    parts: tuple[tuple[str, tuple[DimensionFilter | FieldCondition | QueryAggregation | QueryGroup, ...]], ...] = (
        ("dimensionFilters", request.dimension_filters),
        ("conditions", request.conditions),
        ("aggregations", request.aggregations),
        ("groups", request.groups),
    )
    found = ((each.meter_id, place) for name, part in parts for each, place in _numbered(part, name))
    for meter, place in found:
        if meter is not None:
            named.setdefault(meter, f"{place}.meterId")
    return named


def _checked_query(records: OrganizationRecords, meters: dict[str, Entity[Meter]], request: UsageRequest) -> UsageQuery:
    config = config_of(records)
    return UsageQuery(
        start=request.start_date,
        end=request.end_date,
        meter_ids=request.meter_ids or None,
        account_ids=request.account_ids or None,
        filters=tuple(
            UsageFilter(meter_id=each.meter_id, field=_text_field(meters, each, place), values=each.values)
            for each, place in _numbered(request.dimension_filters, "dimensionFilters")
        ),
        columns=tuple(_column(meters, each, place) for each, place in _numbered(request.aggregations, "aggregations")),
        groups=tuple(_group(meters, each, place) for each, place in _numbered(request.groups, "groups")),
        limit=request.limit,
        zone=config.value.timezone,
        conditions=tuple(
            _condition(meters, each, place) for each, place in _numbered(request.conditions, "conditions")
        ),
        before=None if request.next_token is None else _place(request.next_token),
        greatest_first=request.greatest_first and bool(request.aggregations),
        withdrawn=request.withdrawn,
    )


def _condition(meters: dict[str, Entity[Meter]], asked: FieldCondition, place: str) -> UsageCondition:
    field = _field(meters, asked.meter_id, asked.field_code, place)
    numeric = field.category.numeric
    if asked.comparator.of_texts if numeric else asked.comparator.orders:
        kind = "numbers" if numeric else "texts"
        raise _missing(
            f"{place}.comparator", f"{asked.comparator} is not for {kind}, and {asked.field_code} has {kind}"
        )
    return UsageCondition(
        meter_id=asked.meter_id,
        field=asked.field_code,
        comparator=asked.comparator,
        value=_wanted(asked.value, f"{place}.value", numeric=numeric),
    )


def _wanted(value: object, place: str, *, numeric: bool) -> Decimal | str:
    """What a field is compared with: a number for fields of numbers, else a text."""
    if not numeric:
        return plain(Decimal(value)) if isinstance(value, int | Decimal) else str(value or "")
    try:
        return parse_quantity(value) if isinstance(value, str | int | Decimal) else ZERO
    except ValueError as problem:
        raise _missing(place, str(problem)) from None


def _numbered(parts: tuple[T, ...], name: str) -> list[tuple[T, str]]:
    return [(part, f"{name}[{index}]") for index, part in enumerate(parts)]


def _column(meters: dict[str, Entity[Meter]], asked: QueryAggregation, place: str) -> UsageColumn:
    field = _field(meters, asked.meter_id, asked.field_code, place)
    numeric = field.category.numeric
    if numeric != (asked.field_type is FieldType.MEASURE):
        raise Refusal(
            "rule_broken",
            f"{place}.fieldType: {asked.field_code} is a {field.category} field, so its type is"
            f" {'MEASURE' if numeric else 'DIMENSION'}",
            field=f"{place}.fieldType",
        )
    allowed = NUMERIC_FUNCTIONS if numeric else TEXT_FUNCTIONS
    if asked.function not in allowed:
        raise Refusal(
            "rule_broken",
            f"{place}.function: {asked.function} cannot be applied to a {asked.field_type} field;"
            f" use one of {', '.join(sorted(allowed))}",
            field=f"{place}.function",
        )
    return UsageColumn(meter_id=asked.meter_id, field=asked.field_code, function=asked.function)


def _group(meters: dict[str, Entity[Meter]], asked: QueryGroup, place: str) -> UsageGroup:
    match asked.group_type:
        case GroupType.ACCOUNT:
            return UsageGroup(by="ACCOUNT")
        case GroupType.TIME:
            if asked.frequency is None:
                raise _missing(f"{place}.frequency", "a TIME group needs HOUR, DAY, WEEK, MONTH or QUARTER")
            return UsageGroup(by="TIME", frequency=asked.frequency)
        case GroupType.DIMENSION:
            if asked.meter_id is None or asked.field_code is None:
                raise _missing(f"{place}.fieldCode", "a DIMENSION group needs meterId and fieldCode")
            filtered = DimensionFilter(meter_id=asked.meter_id, field_code=asked.field_code, values=("",))
            field = _text_field(meters, filtered, place)
            return UsageGroup(by="DIMENSION", meter_id=asked.meter_id, field=field)


def _missing(field: str, rule: str) -> Refusal:
    return Refusal("rule_broken", f"{field}: {rule}", field=field)


def _text_field(meters: dict[str, Entity[Meter]], asked: DimensionFilter, place: str) -> str:
    field = _field(meters, asked.meter_id, asked.field_code, place)
    if field.category.numeric or field.category is Category.METADATA:
        rule = f"{asked.field_code} is {field.category}; only text fields other than METADATA filter and group"
        raise _missing(f"{place}.fieldCode", rule)
    return asked.field_code


def _field(meters: dict[str, Entity[Meter]], meter_id: str, code: str, place: str) -> DataField:
    field = meters[meter_id].value.field(code)
    if field is None:
        at, meter = f"{place}.fieldCode", meters[meter_id].value.code
        raise Refusal("unknown_reference", f"{at}: the meter {meter} has no field {code[:80]!r}", field=at)
    return field


def _require_all(records: OrganizationRecords, of: type[V], named: dict[str, str]) -> dict[str, Entity[V]]:
    found = records.get_many(of, named) if named else {}
    for missing, place in named.items():
        if missing not in found:
            raise Refusal("unknown_reference", f"{place}: there is no {of.kind} {missing[:40]!r}", field=place)
    return found


def grouped_rows(
    records: OrganizationRecords, meters: dict[str, Entity[Meter]], query: UsageQuery, answers: list[UsageAnswer]
) -> list[dict[str, object]]:
    """Answers of a query with columns as rows under the keys of `row_keys`; accounts have their codes too."""
    codes = _account_codes(records, answers, query)
    group_keys, keys = row_keys(meters, query)
    rows: list[dict[str, object]] = []
    for answer in answers:
        row: dict[str, object] = {}
        for key, group, value in zip(group_keys, query.groups, answer.groups, strict=True):
            row[key] = value
            if group.by == "ACCOUNT":
                row[ACCOUNT_CODE_KEY] = codes.get(str(value))
        for key, column, measured in zip(keys, query.columns, answer.values, strict=True):
            row[key] = None if measured is None else _number(column, *measured)
        rows.append(row)
    return rows


def row_keys(meters: dict[str, Entity[Meter]], query: UsageQuery) -> tuple[list[str], list[str]]:
    """What rows call the groups and the columns of a query."""
    several = len({column.meter_id for column in query.columns}) > 1
    keys = [
        f"{meters[column.meter_id].value.code}.{column.field}.{column.function}"
        if several
        else f"{column.field}.{column.function}"
        for column in query.columns
    ]
    return _group_keys(meters, query.groups), keys


def _group_keys(meters: dict[str, Entity[Meter]], groups: tuple[UsageGroup, ...]) -> list[str]:
    """The short key of each group, or the long one where two different groups would have the same."""
    keys = {group: _keys(meters, group) for group in groups}
    taken = Counter(short for short, _ in keys.values())
    return [short if taken[short] == 1 else long for short, long in (keys[group] for group in groups)]


def _keys(meters: dict[str, Entity[Meter]], group: UsageGroup) -> tuple[str, str]:
    if group.by == "ACCOUNT":
        return ACCOUNT_KEY, ACCOUNT_KEY
    if group.by == "TIME":
        return TIME_KEY, f"{TIME_KEY}.{group.frequency}"
    assert group.meter_id is not None, "a dimension group names its meter"
    assert group.field is not None, "a dimension group names its field"
    long = f"{meters[group.meter_id].value.code}.{group.field}"
    return (long if group.field in {ACCOUNT_KEY, ACCOUNT_CODE_KEY, TIME_KEY} else group.field), long


def _number(column: UsageColumn, total: Decimal, count: int) -> Decimal:
    return divide(total, Decimal(count)) if column.function == Method.MEAN else total


def _account_codes(records: OrganizationRecords, answers: list[UsageAnswer], query: UsageQuery) -> dict[str, str]:
    places = [index for index, group in enumerate(query.groups) if group.by == "ACCOUNT"]
    return records.codes(Account, {str(answer.groups[index]) for answer in answers for index in places})


def raw_rows(records: OrganizationRecords, found: list[UsageRow]) -> list[dict[str, object]]:
    """Measurements as they are shown, with the codes of their meters and accounts."""
    meters = records.get_many(Meter, {row.meter_id for row in found}) if found else {}
    codes = records.codes(Account, {row.account_id for row in found})
    return [_raw_row(row, meters.get(row.meter_id), codes.get(row.account_id)) for row in found]


def _raw_row(row: UsageRow, meter: Entity[Meter] | None, account_code: str | None) -> dict[str, object]:
    shown: dict[str, object] = {
        "uid": row.uid,
        "meterId": row.meter_id,
        "meterCode": None if meter is None else meter.value.code,
        "accountId": row.account_id,
        "accountCode": account_code,
        "ts": row.ts,
        "dtReceived": row.received,
        "journalPosition": row.position,
        "fields": {**row.texts, **row.numbers},
    }
    more = {"ets": row.ets, "withdrawnAtPosition": row.withdrawn}
    shown |= {name: value for name, value in more.items() if value is not None}
    if row.extra is not None:
        shown["undeclared"] = msgspec.Raw(row.extra.encode())
    return shown
