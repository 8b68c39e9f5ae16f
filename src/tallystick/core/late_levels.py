"""Changes of counters' levels that are dated before bills that stay as they are: found, and rated by their terms.

docs/decisions/0182-late-levels.md
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

import msgspec

from tallystick.core.agreements import Agreements, levels_of
from tallystick.core.bill import BillRecord, EarlierBill
from tallystick.core.counter import levels_used
from tallystick.core.counter_types import CounterAdjustment
from tallystick.core.entity import Entity, Used
from tallystick.core.lines import RatedLine
from tallystick.core.paid_ahead import paid_ahead
from tallystick.core.period import Instant, local_day
from tallystick.core.terms import Terms


def mark_of(terms: Terms, until: Instant, since: Instant | None = None) -> str:
    """A fingerprint of the account's counter adjustments of the days before a moment (and since another). Fingerprints
    of stretches that follow each other are `joined`."""
    if not terms.agreements.levels:
        return ""
    end = local_day(until, terms.zone)
    start = local_day(since, terms.zone) if since else None
    every = (each for of_one in terms.agreements.levels.values() for each in of_one)
    dated = (each for each in every if each.value.date < end and (start is None or each.value.date >= start))
    return joined(*(sha256(f"{each.id}/{each.version}".encode()).hexdigest()[:32] for each in dated))


def joined(*marks: str) -> str:
    """The fingerprint of what several are of; empty for nothing."""
    found = 0
    for mark in marks:
        found ^= int(mark or "0", 16)
    return f"{found:032x}" if found else ""


def levels_now(then: Terms, now: Agreements) -> tuple[Used, ...] | None:
    """The counter adjustments that a bill of these terms would use now; None where they are those that it used."""
    before, after = _used(then), _used(with_levels(then, (one for each in now.levels.values() for one in each)))
    return None if before == after else after


def with_levels(terms: Terms, adjustments: Iterable[Entity[CounterAdjustment]]) -> Terms:
    """The terms with other counter adjustments of the account."""
    agreements = msgspec.structs.replace(terms.agreements, levels=levels_of(adjustments))
    return msgspec.structs.replace(terms, agreements=agreements)


def _used(terms: Terms) -> tuple[Used, ...]:
    found = {(each.id, each.version) for plan in terms.account_plans for each in levels_used(terms, plan)}
    return tuple(Used(CounterAdjustment.kind, *each) for each in sorted(found))


def ahead_until(of: BillRecord, staying: Iterable[BillRecord]) -> Instant | None:
    """Up to where a bill's charges in advance are nobody else's to put right, so that they are compared with the rest.

    The bill of the period that they are for does so (docs/decisions/0144-paid-in-advance.md), unless it stays as it is
    and was made while this one was still open.
    """
    end = of.bill.end_date_time_utc
    ends = [
        each.bill.end_date_time_utc
        for each in staying
        if each.bill.start_date_time_utc <= end < each.bill.end_date_time_utc
        and (each.bill.billing_frequency, each.bill.bill_frequency_interval, each.evidence.grouping)
        == (of.bill.billing_frequency, of.bill.bill_frequency_interval, of.evidence.grouping)
        and of.bill.id not in {before.bill_id for before in each.evidence.before}
    ]
    return max(ends, default=None)


def compared(earlier: EarlierBill, lines: Iterable[RatedLine]) -> list[RatedLine]:
    """The lines of an earlier bill without those in advance that the bill of their own period puts right."""
    until = earlier.ahead_until
    return [each for each in lines if not paid_ahead([each.item], earlier.period.end) or _is_within(each, until)]


def _is_within(line: RatedLine, until: Instant | None) -> bool:
    end = line.item.service_period_end_date
    return until is not None and end is not None and end <= until
