"""The home page: what needs attention, and how usage and revenue go."""

from __future__ import annotations

from decimal import Decimal

from tallystick.console import charts
from tallystick.console.chart_drawing import Chart, Frame, Series
from tallystick.console.page import Html, Page, Visit
from tallystick.control.bill_holds import held_ids
from tallystick.control.failed_measurements import list_groups
from tallystick.control.getting_started import steps
from tallystick.control.identities import unmapped_usage
from tallystick.control.overview import (
    billed_by_month,
    expiring_credit,
    not_counted_by_day,
    pending_bills,
    usage_by_day,
)
from tallystick.core.user import May
from tallystick.core.wording import money
from tallystick.pipeline.bill_job import list_running_jobs
from tallystick.ports import Page as Part

GROUPS = 100  # of failed measurements that are added up: those with the most come first
# What the steps to the first bill are called, why, and where each is done; `{}` is what it continues with.
STARTING = {
    "product": ("Add a product", "What you sell.", "/products"),
    "meter": ("Make a meter", "The fields that a measurement of usage carries.", "/meters/new"),
    "aggregation": ("Say what is counted", "A sum, a maximum, a number of users.", "/aggregations/new?meter={}"),
    "template": ("Make a plan template", "Currency, how often a bill is made, fixed charges.", "/plantemplates/new"),
    "plan": ("Make a plan", "What a customer is offered.", "/plans/new"),
    "price": ("Give the plan a price", "In bands, if larger quantities cost less.", "/plans/{}/pricings/new"),
    "account": ("Add an account", "A customer.", "/accounts/new"),
    "account plan": ("Put the account on the plan", "From the day that it is billed by it.", "/accounts/{}/plan"),
    "usage": ("Bring usage in", "From a file, or by the API.", "/measurements/upload"),
    "bill": ("Run the bills", "Of the period that the usage is in.", "/jobs"),
    "approval": ("Approve the first bill", "Look at its lines and where they come from.", "/bills?status=PENDING"),
}


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
            "starting": _starting(visit) if visit.may(May.CONFIGURE) else (),
            "failed": sum(group.open for group in groups),
            "unmapped": unmapped_usage(visit.records),
            "pending": pending_bills(visit.records),
            "held": len(held_ids(visit.records)),
            "spikes": [each for each in usage.meters if each.spike is not None],
            "expiring": expiring_credit(visit.records, visit.now, zone),
            "jobs": list_running_jobs(visit.records),
            "usage": charts.lines(Frame(key="usage", title="Measurements by day"), days, series) if series else None,
            "intake": _intake(visit),
            "revenue": charts.bars(revenue, [month.first.strftime("%b %Y") for month in months], [billed]),
        },
    )


def _intake(visit: Visit) -> Chart:
    """What came and did not count."""
    found = not_counted_by_day(visit.records, visit.now)
    kinds = (("Failed", found.failed), ("Sent again", found.repeated), ("In conflict", found.conflicting))
    series = [Series(name, tuple(map(Decimal, counts))) for name, counts in kinds]
    frame = Frame(key="intake", title="Not counted, by day of arrival (UTC)")
    return charts.bars(frame, [day.strftime("%-d %b") for day in found.days], series, stacked=True)


def _starting(visit: Visit) -> list[tuple[str, str, str, bool]]:
    """Name, reason, link and whether it is done, of each step to the first approved bill."""
    found = []
    for step in steps(visit.records, visit.usage):
        name, why, path = STARTING[step.name]
        found.append((name, why, path.format(step.about or ""), step.done))
    return found


PAGES = (Page(method="GET", path="/", run=_home, title="Home: what needs attention", section="home"),)
