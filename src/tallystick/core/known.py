"""What was believed about a period at a moment, against what is known now: two bills, and what changed in between."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

import msgspec

from tallystick.core.aggregation import Measured, Question
from tallystick.core.bill import Bill, BillRecord
from tallystick.core.bridge import Bridge, bridge_between
from tallystick.core.period import Instant
from tallystick.core.quantity import ZERO, subtract, total


class Believed(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The bill of the period as it would have been made with what was known: usage up to a journal position, and the
    configuration as it stood. `problem` says why there would have been none."""

    known_at: Instant
    journal_position: int
    bill: Bill | None = None
    problem: str = ""


class UsageSince(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A number that both bills, or one of them, were calculated from, where it is another now."""

    meter_id: str
    field: str
    method: str
    start_date: Instant
    end_date: Instant
    segment: tuple[str, ...]
    total_then: Decimal
    total_now: Decimal
    measurements_then: int
    measurements_now: int


class ConfiguredSince(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Something configured that the bill is made of and that is another version now; null where it is made of none."""

    kind: str
    id: str
    version_then: int | None
    version_now: int | None


class StoredBill(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The bill of the period that is kept. `as_then`: it was calculated last by that moment, so that this very bill was
    there; otherwise it was made, or made again, since."""

    bill_id: str
    bill_total: Decimal
    locked: bool
    last_calculated_date: Instant
    as_then: bool


class Knowledge(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What was believed, what is known now, and what changed. `bridge` leads from one total to the other."""

    account_id: str
    start_date: Instant
    end_date: Instant
    then: Believed
    now: Believed
    stored: StoredBill | None
    difference: Decimal | None
    bridge: Bridge | None
    usage: tuple[UsageSince, ...]
    configuration: tuple[ConfiguredSince, ...]


def usage_since(then: BillRecord | None, now: BillRecord | None) -> Iterator[UsageSince]:
    """The numbers that are others now, whichever journal position each was read up to."""
    before, after = _measured(then), _measured(now)
    for key in sorted(before.keys() | after.keys(), key=str):
        question, segment = key
        was, is_now = before.get(key, []), after.get(key, [])
        sums = total(each.total for each in was), total(each.total for each in is_now)
        counts = sum(each.count for each in was), sum(each.count for each in is_now)
        if sums[0] != sums[1] or counts[0] != counts[1]:
            yield UsageSince(
                meter_id=question.meter_id,
                field=question.field,
                method=question.method,
                start_date=question.period.start,
                end_date=question.period.end,
                segment=segment,
                total_then=sums[0],
                total_now=sums[1],
                measurements_then=counts[0],
                measurements_now=counts[1],
            )


def _measured(record: BillRecord | None) -> dict[tuple[Question, tuple[str, ...]], list[Measured]]:
    found: dict[tuple[Question, tuple[str, ...]], list[Measured]] = {}
    for answer in record.evidence.answers if record else ():
        for row in answer.rows:
            key = (msgspec.structs.replace(answer.question, up_to=0), row.segment)
            found.setdefault(key, []).append(row)
    return found


def configured_since(then: BillRecord | None, now: BillRecord | None) -> Iterator[ConfiguredSince]:
    """What the two bills are made of in different versions."""
    before, after = _versions(then), _versions(now)
    for kind, id_ in sorted(before.keys() | after.keys()):
        was, is_now = before.get((kind, id_)), after.get((kind, id_))
        if was != is_now:
            yield ConfiguredSince(kind=kind, id=id_, version_then=was, version_now=is_now)


def _versions(record: BillRecord | None) -> dict[tuple[str, str], int]:
    return {(each.kind, each.id): each.version for each in (record.evidence.uses if record else ())}


def difference_of(then: BillRecord | None, now: BillRecord | None) -> Decimal | None:
    """What the total is more now; None where the currency changed, or there is no bill now."""
    if now is None or (then is not None and then.bill.currency != now.bill.currency):
        return None
    return subtract(now.bill.bill_total, then.bill.bill_total if then else ZERO)


def bridge_of(then: BillRecord | None, now: BillRecord | None) -> Bridge | None:
    """The steps from one total to the other, where both are there and of one currency."""
    if then is None or now is None or then.bill.currency != now.bill.currency:
        return None
    return bridge_between(then, now)


def stored_bill(bills: Iterable[Bill], of: Bill | None, moment: Instant) -> StoredBill | None:
    """The kept bill of the same id, if it is among these."""
    for bill in bills:
        if of is not None and bill.id == of.id:
            return StoredBill(
                bill_id=bill.id,
                bill_total=bill.bill_total,
                locked=bill.locked,
                last_calculated_date=bill.last_calculated_date,
                as_then=bill.last_calculated_date <= moment,
            )
    return None
