"""A measurement of the source and the one that is counted here under the same uid: what is amiss between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from tallystick.core.period import Instant
from tallystick.core.quantity import ZERO, subtract
from tallystick.core.reconciliation_run import Cause, FindingKind
from tallystick.core.reconciling import factor_between, told_factor, told_shift

QUARTER = 900  # seconds: time zones are whole quarters of an hour apart …
FARTHEST = 26 * 3600  # … and at most this far (from −12 to +14 hours)


class Known(NamedTuple):
    """A measurement as one side has it. `values` are in the order of the measures; `day` is the local day of `ts`, None
    where the source tells no times."""

    account_id: str
    ts: Instant | None
    day: date | None
    values: tuple[Decimal | None, ...]


class Fault(NamedTuple):
    """One thing that is amiss with a measure (its place in the list) of an account. `quantity` is the size that counts
    in the accuracy. The names are those of `core.reconciliation_run.ReconciliationFinding`."""

    kind: FindingKind
    cause: Cause
    account_id: str
    measure: int
    quantity: Decimal
    source: Decimal | None = None
    product: Decimal | None = None
    detail: str = ""
    day: date | None = None
    uid: str | None = None
    ts: Instant | None = None
    source_ts: Instant | None = None
    account: str = ""
    other_uid: str | None = None
    other_account_id: str | None = None
    failed_id: str | None = None
    values: Mapping[str, Decimal] = {}
    parts: tuple[tuple[Cause, Decimal], ...] = ()


def is_zone_shift(seconds: int) -> bool:
    """Whether times are so far apart as time zones are."""
    return seconds != 0 and seconds % QUARTER == 0 and abs(seconds) <= FARTHEST


def faults_of_pair(
    uid: str,
    source: Known,
    product: Known,
    *,
    tolerance: int,
    inside: Callable[[date | None], bool],
    code_of: Callable[[str], str],
) -> Iterator[Fault]:
    """What is amiss between the two sides of a uid.

    What is counted for another account, or on another day, is missing in the one place and extra in the other, as it
    is in totals. What stays in its place and has another value differs by the difference; another time on the same
    day differs, and by no quantity. Places outside the period (`inside` says no to their day) are not looked at.
    """
    shift = _shift(source, product, tolerance)
    elsewhere = source.account_id != product.account_id
    if elsewhere:
        cause, detail = Cause.OTHER_ACCOUNT, f"{code_of(source.account_id)} → {code_of(product.account_id)}"
    else:
        cause, detail = (Cause.TIME_SHIFT if is_zone_shift(shift) else Cause.OTHER_TIME), told_shift(shift)
    moved = elsewhere or (source.day is not None and source.day != product.day and shift != 0)
    for measure, (theirs, ours) in enumerate(zip(source.values, product.values, strict=True)):
        if theirs is None and ours is None:
            continue
        fault = Fault(FindingKind.DIFFERING, cause, product.account_id, measure, ZERO, theirs, ours, detail)
        fault = fault._replace(day=product.day, uid=uid, ts=product.ts, source_ts=source.ts)
        if source.day is None and not inside(product.day):
            yield _elsewhen(fault, source)
        elif moved:
            yield from _moved(fault, source, product, inside)
        elif theirs != ours and inside(product.day):
            yield _of_value(fault)
        elif shift and inside(product.day):
            yield fault


def _shift(source: Known, product: Known, tolerance: int) -> int:
    """How many seconds later it is here, where that is more than is tolerated."""
    if source.ts is None or product.ts is None:
        return 0
    shift = round((product.ts - source.ts).total_seconds())
    return 0 if abs(shift) <= tolerance else shift


def _moved(fault: Fault, source: Known, product: Known, inside: Callable[[date | None], bool]) -> Iterator[Fault]:
    """One place has it, the other should."""
    theirs, ours = fault.source, fault.product
    elsewhere = source.account_id != product.account_id
    if theirs is not None and (source.day is None or inside(source.day)):
        yield fault._replace(
            kind=FindingKind.MISSING,
            account_id=source.account_id,
            quantity=theirs.copy_abs(),
            product=None,
            day=source.day,
            other_account_id=product.account_id if elsewhere else None,
        )
    if ours is not None and inside(product.day):
        yield fault._replace(
            kind=FindingKind.EXTRA,
            quantity=ours.copy_abs(),
            source=None,
            other_account_id=source.account_id if elsewhere else None,
        )


def _elsewhen(fault: Fault, source: Known) -> Fault:
    """The source, which tells no times, has it in the period, and here it is of another."""
    quantity, kind = (fault.source or ZERO).copy_abs(), FindingKind.MISSING
    fault = fault._replace(kind=kind, account_id=source.account_id, quantity=quantity, product=None)
    return fault._replace(cause=Cause.OTHER_TIME, detail="counted in another period", day=None)


def _of_value(fault: Fault) -> Fault:
    """Both have it here, with another value."""
    theirs, ours = fault.source or ZERO, fault.product or ZERO
    factor = factor_between(theirs, ours)
    return fault._replace(
        cause=Cause.OTHER_VALUE if factor is None else Cause.UNIT_FACTOR,
        detail="" if factor is None else told_factor(factor),
        quantity=subtract(ours, theirs).copy_abs(),
    )
