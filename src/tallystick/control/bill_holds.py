"""What people do with held bills: see why, hold one themselves, and release with a reason (core.bill_hold)."""

from __future__ import annotations

from collections.abc import Collection

from tallystick.control.desk import Desk
from tallystick.core import wire
from tallystick.core.bill import BillStatus
from tallystick.core.bill_hold import (
    KIND,
    BillHold,
    HoldState,
    ReleaseReason,
    hold_by_hand,
    hold_events,
    release,
    require_released,
)
from tallystick.errors import Refusal
from tallystick.outbox import event_document, put_events
from tallystick.ports import Document, DocumentWhere, Found, OrganizationRecords, Page, Transaction

BILL = "bill"
AT_ONCE = 500
MOST = 1_000_000  # held bills that are told from the others


def list_holds(
    records: OrganizationRecords, page: Page, *, state: HoldState | None = None, account_id: str | None = None
) -> Found[BillHold]:
    """A page of holds, the latest held first."""
    texts = {"state": state.value if state else None, "account_id": account_id}
    where = DocumentWhere(equal={name: (text,) for name, text in texts.items() if text is not None})
    found = records.documents(KIND, where, page)
    return Found(tuple(wire.decode(BillHold, each.body) for each in found.rows), found.next_token)


def find_hold(records: OrganizationRecords, bill_id: str) -> BillHold | None:
    """What is kept of holds on a bill; None where it never was held."""
    document = records.document(KIND, bill_id)
    return None if document is None else wire.decode(BillHold, document.body)


def get_hold(records: OrganizationRecords, bill_id: str) -> BillHold:
    """The same; Refusal `not_found` where it never was held."""
    hold = find_hold(records, bill_id)
    if hold is None:
        raise Refusal("not_found", f"id: the bill {bill_id[:40]!r} was never held", field="id")
    return hold


def held_ids(records: OrganizationRecords) -> frozenset[str]:
    """The bills that are held now."""
    held = DocumentWhere(equal={"state": (HoldState.HELD.value,)})
    return frozenset(id_ for (id_,) in records.keys_of(KIND, held, ("bill_id",), MOST) if id_ is not None)


def holds_of(records: OrganizationRecords, bill_ids: Collection[str]) -> dict[str, BillHold]:
    """Those of the bills that are held now, with what holds them."""
    ids, found = list(bill_ids), dict[str, BillHold]()
    for start in range(0, len(ids), AT_ONCE):
        some = ids[start : start + AT_ONCE]
        where = DocumentWhere(equal={"id": some, "state": (HoldState.HELD.value,)})
        rows = records.documents(KIND, where, Page(size=len(some))).rows
        found |= {each.id: wire.decode(BillHold, each.body) for each in rows}
    return found


def require_none_held(records: OrganizationRecords, bill_ids: Collection[str]) -> None:
    """Refusal `bill_held` where one of the bills is held."""
    require_released(holds_of(records, bill_ids))


def hold_bill(desk: Desk, bill_id: str, note: str) -> BillHold:
    """Hold a PENDING bill until it is released. Refusals `not_found`, and `bill_state` for one that is approved, or
    held already."""
    with desk.records.transaction() as write:
        document = write.document(BILL, bill_id)
        if document is None:
            raise Refusal("not_found", f"id: there is no bill {bill_id[:40]!r} in this organization", field="id")
        if document.keys["status"] != BillStatus.PENDING:
            raise Refusal("bill_state", f"the bill {bill_id} is APPROVED: take its approval back, then hold it")
        before = find_hold(write, bill_id)
        account_id = document.keys["account_id"]
        after = hold_by_hand(before, bill_id, account_id, note, at=desk.now, by=desk.actor.id)
        _keep(write, before, after)
        return after


def release_bill(desk: Desk, bill_id: str, reason: ReleaseReason, note: str) -> BillHold:
    """Release a held bill. Refusals `not_found`, `bill_state`."""
    with desk.records.transaction() as write:
        before = get_hold(write, bill_id)
        after = release(before, reason, note, at=desk.now, by=desk.actor.id)
        _keep(write, before, after)
        return after


def _keep(write: Transaction, before: BillHold | None, after: BillHold) -> None:
    document = Document(id=after.bill_id, sort=after.dt_held.stamp(), keys=after.keys, body=wire.encode(after))
    write.put_documents(KIND, [document])
    told = hold_events(before, after)
    about = {"account_id": after.account_id, "resource_id": after.bill_id}
    put_events(write, [event_document(event, event_type=of_type, **about) for of_type, event in told])
