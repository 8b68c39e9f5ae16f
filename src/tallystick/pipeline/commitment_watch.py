"""Watch a commitment: what is left of it with the usage that no bill has drawn yet, and when it will be spent.

As for balances (`watch`), it is what bills have drawn and what the open ones would draw if they were made now.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from tallystick.core.account import Account
from tallystick.core.bill_job import BillFailure
from tallystick.core.burn_down import BurnDown, burn_down
from tallystick.core.credit_types import Commitment
from tallystick.core.entity import Entity
from tallystick.core.ledger import LedgerEntry, value_of
from tallystick.core.period import Instant, day_start
from tallystick.core.quantity import add, negate, subtract, total
from tallystick.pipeline.bill import Run
from tallystick.pipeline.rate import Rated, rate_accounts
from tallystick.pipeline.watch import (
    NO_JOB,
    OpenDraw,
    drawn_a_day,
    drawn_by_open_bills,
    entries_of_all,
    open_draw,
    open_periods,
)
from tallystick.ports import OrganizationRecords, OrganizationUsage, Where


class LiveCommitment(msgspec.Struct, frozen=True, kw_only=True):
    """How a commitment stands at a moment, in its currency.

    `billed` is what kept bills have drawn, `drawn` what they and the open ones draw as of now, and `left` is the rest
    of the amount. `problem` says why open bills are left out.
    """

    billed: Decimal
    drawn: Decimal
    left: Decimal
    open_draws: tuple[OpenDraw, ...]
    burning: BurnDown
    problem: str = ""


def live_commitment(
    records: OrganizationRecords,
    usage: OrganizationUsage,
    commitment: Entity[Commitment],
    *,
    now: Instant,
    up_to: int,
    zone: str,
    days: tuple[int, int],
) -> LiveCommitment:
    """How a commitment stands now, and day by day from so many days ago until so many ahead, in days of a zone."""
    amount, start = commitment.value.amount, day_start(commitment.value.start_date, zone)
    kept = [each for each in entries_of_all(records, (commitment.id,)) if each.credit_id == commitment.id]
    billed = negate(value_of(kept))
    opened, redrawn, problem = _open(records, usage, commitment, start, now=now, up_to=up_to)
    settled = value_of([each for each in kept if each.entity_id not in redrawn])
    left = subtract(add(amount, settled), total(each.amount for each in opened))
    rate = drawn_a_day(opened, now)
    back, ahead = days
    burning = burn_down(kept, left, rate, now=now, zone=zone, back=back, ahead=ahead)
    # Its ledger has no entry for the amount itself: what was held on a day is the amount less what had been drawn.
    held = [
        each
        if each is None or at == back
        else add(amount, each)
        if burning.days[at] >= commitment.value.start_date
        else None
        for at, each in enumerate(burning.left)
    ]
    return LiveCommitment(
        billed=billed,
        drawn=subtract(amount, left),
        left=left,
        open_draws=tuple(opened),
        burning=msgspec.structs.replace(burning, left=tuple(held)),
        problem=problem,
    )


def _open(
    records: OrganizationRecords,
    usage: OrganizationUsage,
    commitment: Entity[Commitment],
    start: Instant,
    *,
    now: Instant,
    up_to: int,
) -> tuple[list[OpenDraw], set[str], str]:
    """What open bills draw, the bills that were drawn anew for it, and why they cannot all be."""
    owner = commitment.value.account_id
    children = records.every(Account, Where(equal={"parent_account_id": (owner,)}))
    payers = {owner: owner, **{each.id: owner for each in children}}
    periods, _ = open_periods(records, sorted(payers), start, now)
    rated = rate_accounts(records, usage, periods, up_to=up_to)
    failures = {payers[each.account_id]: each for each in rated if isinstance(each, BillFailure)}
    good = [each for each in rated if isinstance(each, Rated)]
    credit_ids = {commitment.id} | {credit.id for each in good for credit in each.terms.credits}
    ledger: Sequence[LedgerEntry] = entries_of_all(records, credit_ids)
    run = Run(job_id=NO_JOB, as_of=now, up_to=up_to, actor_id="")
    opened = drawn_by_open_bills(good, ledger, run, failures)
    draws = [
        open_draw(each, entry)
        for each, entries in opened.values()
        for entry in entries
        if entry.credit_id == commitment.id
    ]
    return draws, set(opened), failures[owner].message if owner in failures else ""
