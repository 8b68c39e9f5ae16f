"""The seal of a bill: for each answer that it was computed from, how many measurements are behind it, and their hash.

With the journal position and the question, which the bill keeps itself, this is all there is to say which measurements
a bill stands on: no row for each (docs/decisions/0452-seals.md).
"""

from __future__ import annotations

import msgspec

from tallystick.core.period import Instant

KIND = "billseal"


class SealedAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The measurements behind one row of an answer: which answer of the bill's evidence (from 0), of which account and
    segment, how many measurements, and their hash (`core.set_hash`)."""

    answer: int
    account_id: str
    segment: tuple[str, ...]
    measurements: int
    hash: str


class BillSeal(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The seal of the bill with this digest; `dt_sealed` is absent, as are the sets, while it waits to be made."""

    bill_id: str
    digest: str
    sets: tuple[SealedAnswer, ...] = ()
    dt_sealed: Instant | None = None
