"""The explorer: measurements filtered, grouped and drawn, row by row, as a file, and one by one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from tallystick.console.chart_drawing import Chart, Frame, Series
from tallystick.console.charts import bars, horizontal_bars
from tallystick.console.page import File, Html, Page, Redirect, Visit
from tallystick.control.measurement_lookup import look_up, original_text
from tallystick.control.usage_export import MOST, ExportFormat, export
from tallystick.control.usage_query import checked_query, query_usage
from tallystick.core.account import Account
from tallystick.core.entity import Entity
from tallystick.core.field_condition import Comparator
from tallystick.core.meter import Category, DataField, Meter
from tallystick.core.period import Instant, day_start, local_day
from tallystick.core.time_group import TimeFrequency
from tallystick.core.usage_request import (
    FieldCondition,
    FieldType,
    GroupType,
    QueryAggregation,
    QueryFunction,
    QueryGroup,
    UsageRequest,
)
from tallystick.errors import Refusal
from tallystick.pipeline.corrections import entries_about
from tallystick.pipeline.measurement_lines import lines_of
from tallystick.ports import Page as Part
from tallystick.ports import Where

ROWS = 50
BARS = 30  # accounts or values of a field that are drawn, those with most
TIMES = 800  # hours, days or months that are drawn, the latest
CONDITIONS = ("1", "2", "3")
DAYS = 30  # that are looked at unless somebody says otherwise
METERS = 200

COMPARATORS = (
    ("EQUAL", "is"),
    ("NOT_EQUAL", "is not"),
    ("GREATER", "is above"),
    ("GREATER_OR_EQUAL", "is at least"),
    ("LESS", "is below"),
    ("LESS_OR_EQUAL", "is at most"),
    ("CONTAINS", "contains"),
    ("STARTS_WITH", "starts with"),
    ("PRESENT", "is there"),
    ("ABSENT", "is not there"),
)
TIME_GROUPS = (("HOUR", "Hour"), ("DAY", "Day"), ("WEEK", "Week"), ("MONTH", "Month"))


def _explorer(visit: Visit) -> Html | Redirect:
    uid = visit.query.text("uid")
    if uid is not None:
        return Redirect(f"/explorer/measurement?{_encoded(uid)}")
    meters = visit.records.find(Meter, Where(), Part(size=METERS)).rows
    meter = _meter(visit, meters)
    values: dict[str, Any] = {"meters": meters, "meter": meter, "comparators": COMPARATORS, "times": TIME_GROUPS}
    values |= {
        "conditions": CONDITIONS,
        "refused": None,
        "drawn": None,
        "count": 0,
        "by": "",
        "functions": tuple(QueryFunction),
        "most": MOST,
    }
    if meter is None:
        return Html("explorer.html", {**values, "found": None})
    start, end = _days(visit)
    values |= {"start": start, "end": end, "fields": meter.value.fields, "text_fields": _groupable(meter.value)}
    try:
        return Html("explorer.html", {**values, **_answers(visit, meter, start, end)})
    except Refusal as refusal:
        return Html("explorer.html", {**values, "found": None, "refused": refusal}, status=400)


def _answers(visit: Visit, meter: Entity[Meter], start: date, end: date) -> dict[str, Any]:
    request = _request(visit, meter, start, end)
    query, _ = checked_query(visit.records, request)
    count = visit.usage.count(query)
    by = visit.query.text("by") or "DAY"
    drawn = _drawn(visit, meter, request, by) if by != "NONE" else None
    rows = query_usage(visit.records, visit.usage, request)
    for row in rows.rows:
        row["undeclaredText"] = bytes(row["undeclared"]).decode() if "undeclared" in row else ""  # type: ignore[call-overload]  # raw JSON
    return {"found": rows.rows, "next_token": rows.next_token, "count": count, "drawn": drawn, "by": by}


def _drawn(visit: Visit, meter: Entity[Meter], request: UsageRequest, by: str) -> dict[str, Any]:
    """The chart of a function over a field, and what it is of."""
    field, function = _measured(visit, meter.value)
    column = QueryAggregation(
        meter_id=meter.id,
        field_code=field.code,
        field_type=FieldType.MEASURE if field.category.numeric else FieldType.DIMENSION,
        function=function,
    )
    timed = by in TimeFrequency.__members__
    asked = UsageRequest(
        start_date=request.start_date,
        end_date=request.end_date,
        meter_ids=request.meter_ids,
        account_ids=request.account_ids,
        conditions=request.conditions,
        withdrawn=request.withdrawn,
        aggregations=(column,),
        groups=(_group(meter, by),),
        limit=TIMES if timed else BARS,
        greatest_first=not timed,
    )
    found = query_usage(visit.records, visit.usage, asked)
    key = f"{field.code}.{function}"
    unit = "" if function in {QueryFunction.COUNT, QueryFunction.UNIQUE} else field.unit or ""
    title = f"{str(function).capitalize()} of {field.name}"
    frame = Frame(key="explored", title=title, unit=unit, across=by.capitalize() if by.isalpha() else "Value")
    if timed:
        rows = [(_label(visit, row["startDate"], by), _exact(row[key])) for row in found.rows[:TIMES]][::-1]
        chart = bars(frame, [name for name, _ in rows], [Series(field.name, tuple(value for _, value in rows))])
    else:
        chart, rows = _ranked(found.rows, key, by, frame)
    return {"chart": chart, "more": found.has_more, "shown": len(rows), "field": field.code, "function": function}


def _exact(value: object) -> Decimal | None:
    return Decimal(value) if isinstance(value, Decimal | int) else None


def _ranked(
    rows: Sequence[dict[str, object]], key: str, by: str, frame: Frame
) -> tuple[Chart, list[tuple[str, Decimal | None]]]:
    name = "accountCode" if by == "ACCOUNT" else next(each for each in rows[0] if each != key) if rows else ""
    named = [(str("(none)" if row[name] is None else row[name] or "(empty)"), row[key]) for row in rows]
    known = [(label, value) for label, value in named if isinstance(value, Decimal | int)]
    known.sort(key=lambda each: -each[1])
    shown = [(label, Decimal(value)) for label, value in known[:BARS]]
    return horizontal_bars(frame, shown), list(shown)


def asked_for(visit: Visit) -> UsageRequest | None:
    """What the filter in the address asks for; None where there is no meter yet."""
    meter = _meter(visit, visit.records.find(Meter, Where(), Part(size=METERS)).rows)
    return None if meter is None else _request(visit, meter, *_days(visit))


def _request(visit: Visit, meter: Entity[Meter], start: date, end: date) -> UsageRequest:
    zone = visit.config.timezone
    codes = visit.query.texts("accounts")
    return UsageRequest(
        start_date=day_start(start, zone),
        end_date=day_start(end + timedelta(days=1), zone),
        meter_ids=(meter.id,),
        account_ids=None if codes is None else tuple(_account(visit, code.strip()) for code in codes if code.strip()),
        conditions=tuple(each for place in CONDITIONS if (each := _condition(visit, meter, place)) is not None),
        limit=ROWS,
        next_token=visit.query.text("nextToken"),
        withdrawn=visit.query.flag("withdrawn") is True,
    )


def _condition(visit: Visit, meter: Entity[Meter], place: str) -> FieldCondition | None:
    field, comparator = visit.query.text(f"field{place}"), visit.query.text(f"is{place}") or "EQUAL"
    # A condition stays in the address when another meter is chosen, which may have no such field.
    if field is None or meter.value.field(field) is None or comparator not in Comparator.__members__:
        return None
    compared = Comparator(comparator)
    value = visit.query.text(f"value{place}")
    given = (value or "") if compared.takes_value else None
    return FieldCondition(meter_id=meter.id, field_code=field, comparator=compared, value=given)


def _account(visit: Visit, code: str) -> str:
    account = visit.records.by_code(Account, code)
    if account is None:
        raise Refusal("unknown_reference", f"accounts: there is no account {code[:80]!r}", field="accounts")
    return account.id


def _meter(visit: Visit, meters: Sequence[Entity[Meter]]) -> Entity[Meter] | None:
    """The one that is asked for, else that of the latest measurement of the days that are shown."""
    wanted = visit.query.text("meter")
    if wanted is None and len(meters) > 1:
        start, end = (day_start(day, visit.config.timezone) for day in _days(visit))
        asked = UsageRequest(start_date=start, end_date=end + timedelta(days=1), limit=1)
        latest = query_usage(visit.records, visit.usage, asked).rows
        wanted = str(latest[0]["meterId"]) if latest else None
    return next((each for each in meters if wanted in {each.id, each.value.code}), meters[0] if meters else None)


def _days(visit: Visit) -> tuple[date, date]:
    """The first and the last day, in the organisation's zone."""
    end = visit.query.day("to") or local_day(visit.now, visit.config.timezone)
    start = visit.query.day("from") or max(end, date.min + timedelta(days=DAYS)) - timedelta(days=DAYS - 1)
    if end < start or start.year < 2 or end.year > 9000:  # the ends of the calendar lie beyond it in some zones
        raise Refusal("invalid_request", "to: must be the same day as from, or a later one", field="to")
    return start, end


def _measured(visit: Visit, meter: Meter) -> tuple[DataField, QueryFunction]:
    code = visit.query.text("of")
    numeric = [each for each in meter.fields if each.category.numeric]
    field = meter.field(code) if code else None
    field = field or (numeric[0] if numeric else meter.fields[0])
    text = visit.query.text("function") or ("SUM" if field.category.numeric else "COUNT")
    return field, QueryFunction(text) if text in QueryFunction.__members__ else QueryFunction.COUNT


def _group(meter: Entity[Meter], by: str) -> QueryGroup:
    if by == "ACCOUNT":
        return QueryGroup(group_type=GroupType.ACCOUNT)
    if by in TimeFrequency.__members__:
        return QueryGroup(group_type=GroupType.TIME, frequency=TimeFrequency(by))
    return QueryGroup(group_type=GroupType.DIMENSION, meter_id=meter.id, field_code=by.removeprefix("field:"))


def _groupable(meter: Meter) -> list[DataField]:
    return [each for each in meter.fields if not each.category.numeric and each.category is not Category.METADATA]


def _label(visit: Visit, start: object, by: str) -> str:
    assert isinstance(start, Instant)
    local = start.astimezone(visit.zone)
    return local.strftime({"HOUR": "%-d %b %H:%M", "MONTH": "%b %Y"}.get(by, "%-d %b"))


def _download(visit: Visit) -> File | Redirect:
    form = ExportFormat.JSONL if visit.query.text("as") == "jsonl" else ExportFormat.CSV
    meters = visit.records.find(Meter, Where(), Part(size=METERS)).rows
    meter = _meter(visit, meters)
    if meter is None:
        return Redirect("/explorer")
    start, end = _days(visit)
    parts = export(visit.records, visit.usage, _request(visit, meter, start, end), form)
    name = f"{meter.value.code}-{start}-{end}.{form}"
    return File(b"".join(parts), form.media_type, name)


def _measurement(visit: Visit) -> Html | Redirect:
    uid = visit.query.text("uid")
    if uid is None:
        return Redirect("/explorer")
    known = look_up(visit.records, visit.usage, visit.app.uids, visit.app.journal, uid)
    accepted = known.accepted
    text = "" if accepted is None else original_text(accepted.entry)
    found = lines_of(visit.records, visit.usage, accepted.row) if accepted and accepted.row else None
    corrected = entries_about(visit.records, uid, Part(size=ROWS))
    values = {"known": known, "accepted": accepted, "text": text, "found": found, "corrected": corrected}
    return Html("measurement.html", values, status=200 if accepted or known.failed or known.events else 404)


def _encoded(uid: str) -> str:
    return urlencode({"uid": uid})


PAGES = (
    Page(method="GET", path="/explorer", run=_explorer, title="Explorer of measurements", section="explorer"),
    Page(method="GET", path="/explorer/download", run=_download, title="Measurements as a file", section="explorer"),
    Page(
        method="GET",
        path="/explorer/measurement",
        run=_measurement,
        title="One measurement: everything known of it",
        section="explorer",
    ),
)
