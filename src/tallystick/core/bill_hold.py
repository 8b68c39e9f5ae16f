"""Bills that are held: not approved and not locked before somebody has looked, and released with a reason.

A hold stays with the bill's place, whatever is calculated or deleted meanwhile (docs/decisions/0421-held-bills.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec

from tallystick.core.anomaly import Anomaly
from tallystick.core.event import Event
from tallystick.core.ids import named_id
from tallystick.core.period import Instant
from tallystick.core.quantity import multiply
from tallystick.errors import Refusal

KIND = "billhold"
HELD, RELEASED = "bill.held", "bill.released"
HELD_TYPE, RELEASED_TYPE = "BillHeld", "BillReleased"
_ROOM = Decimal("1.5")  # what was released may grow so much before it is looked at again


class HoldState(StrEnum):
    HELD = "HELD"
    RELEASED = "RELEASED"


class ReleaseReason(StrEnum):
    """What was behind what looked unusual."""

    BUG = "BUG"  # of the source: correct the usage first
    ABUSE = "ABUSE"  # usage that the customer did not want, and that somebody decided about
    GROWTH = "GROWTH"  # the customer really uses that much


class Release(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A hold was lifted: why, by whom and when, and what was known of it then."""

    reason: ReleaseReason
    at: Instant
    by: str
    note: str = ""
    anomalies: tuple[Anomaly, ...] = ()


class BillHold(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A hold on a bill. `anomalies` is what the latest calculation found that nobody has released yet; `held_by` and
    `note` say who holds it, where a person does. `no_longer_found`: the latest calculation finds nothing any more."""

    bill_id: str
    account_id: str
    state: HoldState
    version: int
    dt_held: Instant
    held_by: str
    note: str = ""
    anomalies: tuple[Anomaly, ...] = ()
    no_longer_found: bool = False
    releases: tuple[Release, ...] = ()

    @property
    def keys(self) -> dict[str, str]:
        """What it can be looked up by."""
        return {"bill_id": self.bill_id, "account_id": self.account_id, "state": self.state.value}


def after_calculation(
    before: BillHold | None, bill_id: str, account_id: str, found: Sequence[Anomaly], *, at: Instant, by: str
) -> BillHold | None:
    """The hold of a bill that was just calculated, with what holds it by the policy; None where there is none.

    What was released before holds it again only once it has grown far beyond what was released.
    """
    fresh = tuple(each for each in found if not _released(each, before))
    if before is None:
        if not fresh:
            return None
        held = HoldState.HELD
        return BillHold(
            bill_id=bill_id, account_id=account_id, state=held, version=1, dt_held=at, held_by=by, anomalies=fresh
        )
    if before.state is HoldState.HELD:
        gone = not fresh and bool(before.anomalies or before.no_longer_found)
        kept = fresh or before.anomalies
        if kept == before.anomalies and gone == before.no_longer_found:
            return before
        return _next(before, anomalies=kept, no_longer_found=gone)
    if not fresh:
        return before
    return _next(before, state=HoldState.HELD, dt_held=at, held_by=by, note="", anomalies=fresh, no_longer_found=False)


def hold_by_hand(
    before: BillHold | None, bill_id: str, account_id: str, note: str, *, at: Instant, by: str
) -> BillHold:
    """A person holds a bill. Refusal `bill_state` where it is held already."""
    if before is None:
        return BillHold(
            bill_id=bill_id, account_id=account_id, state=HoldState.HELD, version=1, dt_held=at, held_by=by, note=note
        )
    if before.state is HoldState.HELD:
        raise Refusal("bill_state", f"the bill {bill_id} is held already, since {before.dt_held.wire()}")
    return _next(before, state=HoldState.HELD, dt_held=at, held_by=by, note=note, anomalies=(), no_longer_found=False)


def release(hold: BillHold, reason: ReleaseReason, note: str, *, at: Instant, by: str) -> BillHold:
    """Lift a hold. Refusal `bill_state` where the bill is not held."""
    if hold.state is not HoldState.HELD:
        raise Refusal("bill_state", f"the bill {hold.bill_id} is not held: it was released before")
    lifted = Release(reason=reason, at=at, by=by, note=note, anomalies=hold.anomalies)
    return _next(hold, state=HoldState.RELEASED, releases=(*hold.releases, lifted), anomalies=(), no_longer_found=False)


def require_released(held: Mapping[str, BillHold]) -> None:
    """Refuse what may not be done with bills that are held. Refusal `bill_held`."""
    for each in held.values():
        why = each.anomalies[0].sentence if each.anomalies else each.note
        more = f" and {len(each.anomalies) - 1} more" if len(each.anomalies) > 1 else ""
        raise Refusal("bill_held", f"the bill {each.bill_id} is held since {each.dt_held.wire()}: {why}{more}")


def hold_events(before: BillHold | None, after: BillHold) -> list[tuple[str, Event]]:
    """What is told of a change of a hold, with the type of each event."""
    if before is not None and before.state is after.state:
        return []
    details: dict[str, Any] = {"billId": after.bill_id, "accountId": after.account_id}
    if after.state is HoldState.HELD:
        name, of_type, moment = HELD, HELD_TYPE, after.dt_held
        details |= {"heldBy": after.held_by, "reason": "; ".join(_why(after))}
    else:
        last = after.releases[-1]
        name, of_type, moment = RELEASED, RELEASED_TYPE, last.at
        details |= {"releasedBy": last.by, "reason": last.reason.value, "note": last.note}
    id_ = named_id(after.bill_id, f"hold/{after.version}")
    return [(of_type, Event(id=id_, event_name=name, event_time=moment, m3ter_event={"eventName": name, **details}))]


def _why(hold: BillHold) -> Iterable[str]:
    return [each.sentence for each in hold.anomalies] or [hold.note]


def _released(anomaly: Anomaly, before: BillHold | None) -> bool:
    """Whether somebody has released this very thing, and it has not grown far beyond what was seen then."""
    released = [seen for past in (before.releases if before else ()) for seen in past.anomalies]
    return any(
        each.subject == anomaly.subject
        and each.day == anomaly.day
        and anomaly.measured <= multiply(each.measured, _ROOM)
        for each in released
    )


def _next(hold: BillHold, **changes: Any) -> BillHold:
    return msgspec.structs.replace(hold, version=hold.version + 1, **changes)
