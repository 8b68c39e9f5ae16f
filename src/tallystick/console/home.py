"""The home page: what needs attention, and how usage and revenue go."""

from __future__ import annotations

from decimal import Decimal

from tallystick.console import charts
from tallystick.console.chart_drawing import Frame, Series
from tallystick.console.page import Html, Page, Visit
from tallystick.control.failed_measurements import list_groups
from tallystick.control.overview import billed_by_month, expiring_credit, pending_bills, usage_by_day
from tallystick.core.wording import money
from tallystick.pipeline.bill_job import list_running_jobs
from tallystick.ports import Page as Part

GROUPS = 100  # of failed measurements that are added up: those with the most come first


def _home(visit: Visit) -> Html:
    zone, currency = visit.config.timezone, visit.config.currency
    groups = list_groups(visit.records, Part(size=GROUPS)).rows
    usage = usage_by_day(visit.records, visit.usage, visit.now, zone)
    months = billed_by_month(visit.records, visit.now, zone, currency)
    days = [day.strftime("%-d %b") for day in usage.days]
    series = [Series(each.meter.value.name, tuple(Decimal(count) for count in each.counts)) for each in usage.meters]
    billed = Series("Billed", tuple(month.total for month in months))
    revenue = Frame(key="revenue", title="Billed by month", unit=currency, across="Month", show=money)
    return Html(
        "home.html",
        {
            "failed": sum(group.open for group in groups),
            "pending": pending_bills(visit.records),
            "spikes": [each for each in usage.meters if each.spike is not None],
            "expiring": expiring_credit(visit.records, visit.now, zone),
            "jobs": list_running_jobs(visit.records),
            "usage": charts.lines(Frame(key="usage", title="Measurements by day"), days, series) if series else None,
            "revenue": charts.bars(revenue, [month.first.strftime("%b %Y") for month in months], [billed]),
        },
    )


PAGES = (Page(method="GET", path="/", run=_home, title="Home: what needs attention", section="home"),)
