"""What an account has used day by day, as charts: the sum of each number field of each meter."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from tallystick.console.chart_drawing import Chart, Frame, Series
from tallystick.console.charts import bars
from tallystick.console.page import Visit
from tallystick.core.meter import Meter
from tallystick.core.period import Instant, day_start, local_day
from tallystick.ports import UsageColumn, UsageGroup, UsageQuery

DAYS = 30
MOST_CHARTS = 6
MOST_COLUMNS = 30


def usage_charts(visit: Visit, account_id: str) -> list[Chart]:
    """A chart for each number field that the account has used in the last thirty days, the first few of them."""
    today = local_day(visit.now, visit.config.timezone)
    days = [today - timedelta(days=each) for each in range(DAYS - 1, -1, -1)]
    named = {
        (each.id, field.code): (f"{each.value.name}: {field.name}", (field.unit or "").strip("{}"))
        for each in visit.records.every(Meter)
        for field in (*each.value.data_fields, *each.value.derived_fields)
        if field.category.numeric
    }
    columns = list(named)[:MOST_COLUMNS]
    used = _daily(visit, account_id, columns, days) if columns else {}
    shown = [key for key in columns if any(value is not None for value in used[key])][:MOST_CHARTS]
    labels = [f"{day:%-d %b}" for day in days]
    return [
        bars(
            Frame(key=f"used-{at}", title=named[key][0], unit=named[key][1]), labels, [Series("Sum", tuple(used[key]))]
        )
        for at, key in enumerate(shown)
    ]


def _daily(
    visit: Visit, account_id: str, columns: list[tuple[str, str]], days: list[date]
) -> dict[tuple[str, str], list[Decimal | None]]:
    zone = visit.config.timezone
    query = UsageQuery(
        start=day_start(days[0], zone),
        end=day_start(days[-1] + timedelta(days=1), zone),
        meter_ids=tuple({meter for meter, _ in columns}),
        account_ids=(account_id,),
        filters=(),
        columns=tuple(UsageColumn(meter_id=meter, field=field, function="SUM") for meter, field in columns),
        groups=(UsageGroup(by="TIME", frequency="DAY"),),
        limit=2 * DAYS,
        zone=zone,
    )
    by_day = {each.groups[0]: each.values for each in visit.usage.query(query)}
    starts: list[Instant] = [day_start(day, zone) for day in days]
    found: dict[tuple[str, str], list[Decimal | None]] = {}
    for at, key in enumerate(columns):
        values = [by_day.get(start, ())[at : at + 1] for start in starts]
        found[key] = [value[0][0] if value and value[0] is not None else None for value in values]
    return found
