"""Read the scorecard of a month: reconciliations, bills, disputes, prices, and how far usage is visible."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal

import msgspec

from tallystick.core import wire
from tallystick.core.bill import Bill
from tallystick.core.catalog import Pricing
from tallystick.core.dispute import Dispute
from tallystick.core.period import Instant, Period, day_start, local_day
from tallystick.core.reconciliation_run import ReconciliationStatus
from tallystick.core.scorecard import Measure, Score, Scorecard, in_units, nine_in_ten, score, share
from tallystick.errors import Refusal
from tallystick.pipeline.ledger import every_document
from tallystick.pipeline.reconciliation_runs import list_runs
from tallystick.ports import DocumentWhere, Journal, OrganizationRecords, Page, UsageStore
from tallystick.ports.founded import config_of

ZERO = timedelta()
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
RUNS = 100


class _Stored(msgspec.Struct, frozen=True):
    bill: Bill


def scorecard(
    records: OrganizationRecords, journal: Journal, usage: UsageStore, *, month: str | None, now: Instant
) -> Scorecard:
    """The scores of a month (such as 2025-01), the present one if none is named. Refusal `invalid_request`."""
    config = config_of(records)
    zone = config.value.timezone
    first = _first_day(month, local_day(now, zone))
    following = (first.replace(day=1) + timedelta(days=32)).replace(day=1)
    period = Period(day_start(first, zone), day_start(following, zone))
    bills = list(_bills(records, first, following))
    return Scorecard(
        month=f"{first:%Y-%m}",
        scores=(
            _accuracy(records, period),
            _visible(journal, usage, period, now),
            _billed(bills),
            _disputed(records, bills),
            _live(records, period),
        ),
    )


def _first_day(month: str | None, today: date) -> date:
    if month is None:
        return today.replace(day=1)
    try:
        return date.fromisoformat(f"{month}-01") if len(month) == len("2025-01") else date.fromisoformat(month + "?")
    except ValueError:
        message = f"month: must be a month such as 2025-01, got {month[:40]!r}"
        raise Refusal("invalid_request", message, field="month") from None


def _bills(records: OrganizationRecords, first: date, following: date) -> Iterator[Bill]:
    """The bills of periods that ended with a day of the month."""
    ends = ((first + DAY).isoformat(), following.isoformat())
    for each in every_document(records, "bill", DocumentWhere(between={"end_date": ends})):
        yield wire.decode(_Stored, each.body).bill


def _accuracy(records: OrganizationRecords, period: Period) -> Score:
    """The least accuracy of the latest run of each reconciliation of days of the month."""
    latest: dict[str, Decimal] = {}
    page: Page | None = Page(size=RUNS)
    while page is not None:
        found = list_runs(records, page)
        for run in found.rows:
            of_month = run.start < period.end and run.end > period.start
            if of_month and run.status is ReconciliationStatus.COMPLETE and run.accuracy is not None:
                latest.setdefault(run.reconciliation_id, run.accuracy)
        page = Page(size=RUNS, token=found.next_token) if found.next_token else None
    if not latest:
        return score(Measure.METERING_ACCURACY, None, 0, "No reconciliation of this month was run.")
    told = f"The least of {len(latest)} reconciliations of the month."
    return score(Measure.METERING_ACCURACY, min(latest.values()), len(latest), told)


def _visible(journal: Journal, usage: UsageStore, period: Period, now: Instant) -> Score:
    """How long what is not visible yet has been waiting, at this moment."""
    if not period.start <= now < period.end:
        return score(
            Measure.INGEST_TO_VISIBLE, None, 0, "It is measured at the moment of asking, of the present month."
        )
    waiting = next((each for each in journal.read(usage.mark) if each.entries), None)
    waited = ZERO if waiting is None else max(now - waiting.received, ZERO)
    told = "All that was accepted is visible." if waiting is None else "How long the oldest that is not visible waits."
    return score(Measure.INGEST_TO_VISIBLE, in_units(waited, timedelta(seconds=1)), 1, told)


def _billed(bills: list[Bill]) -> Score:
    spans = [max(each.created_date - each.end_date_time_utc, ZERO) for each in bills]
    value = in_units(nine_in_ten(spans), HOUR)
    told = f"Nine in ten of {len(bills)} bills were there so long after the end of their period."
    return score(Measure.PERIOD_END_TO_BILL, value, len(bills), told if bills else "No bill of this month.")


def _disputed(records: OrganizationRecords, bills: list[Bill]) -> Score:
    ids = {each.id for each in bills}
    disputes = sum(each.value.bill_id in ids for each in records.every(Dispute)) if ids else 0
    told = f"{disputes} disputes on {len(bills)} bills." if bills else "No bill of this month."
    return score(Measure.DISPUTES_PER_BILL, share(disputes, len(bills)), len(bills), told)


def _live(records: OrganizationRecords, period: Period) -> Score:
    """From a price being kept to its start, of prices that began in the month; one that began before it was kept
    waited for nothing."""
    spans = [
        max(each.value.start_date - Instant.of(each.created), ZERO)
        for each in records.every(Pricing)
        if period.start <= each.value.start_date < period.end
    ]
    told = f"Nine in ten of {len(spans)} prices began so long after they were kept."
    value = in_units(nine_in_ten(spans), DAY)
    return score(Measure.DECISION_TO_LIVE, value, len(spans), told if spans else "No price began in this month.")
