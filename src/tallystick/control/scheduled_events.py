"""Scheduled events as people configure them, and telling those that are due: each once, also after a standstill."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any, get_args, get_type_hints

import msgspec

from tallystick.control.desk import REFERENCED, Draft, Noun, rule_broken
from tallystick.core import wire
from tallystick.core.account import Account
from tallystick.core.bill_event import BillHead, read_head
from tallystick.core.configuration_event import shown
from tallystick.core.entity import Entity, Value
from tallystick.core.event import noun
from tallystick.core.period import BEGINNING, Instant
from tallystick.core.scheduled_event import (
    EVENT_TYPE,
    ScheduledEventConfiguration,
    due_of,
    mark_of,
    scheduled_event,
)
from tallystick.outbox import event_document, put_events
from tallystick.ports import Document, DocumentWhere, OrganizationRecords, Page
from tallystick.ports.founded import config_of

TOLD = "scheduledevent"  # the kind of document that says which were told
BILL = "bill"
AT_ONCE = 500
# A date of a bill lies within so many days of its bill date: older bills are not looked at again.
_AROUND_A_BILL = 120
_KINDS: dict[str, type[Value]] = {each.kind: each for each in REFERENCED.values() if each is not None}


def _rules(draft: Draft[ScheduledEventConfiguration]) -> ScheduledEventConfiguration:
    value = draft.value
    kind = noun(value.entity)
    of: type[msgspec.Struct] | None = BillHead if kind == BILL else _KINDS.get(kind)
    if of is None:
        raise rule_broken("entity", f"must be one of {', '.join(sorted({BILL, *_KINDS}))}, got {value.entity[:40]!r}")
    dates = date_fields(of)
    if value.field not in dates:
        raise rule_broken("field", f"must be a date of a {kind}: {', '.join(sorted(dates))}")
    return value


SCHEDULED_EVENTS = Noun(of=ScheduledEventConfiguration, check=_rules)


def date_fields(of: type[msgspec.Struct]) -> dict[str, str]:
    """The dates of a kind of entity: their names on the wire, and in Python."""
    hints = get_type_hints(of)
    fields = zip(of.__struct_encode_fields__, of.__struct_fields__, strict=True)
    found = {wire: name for wire, name in fields if {date, datetime, Instant} & {hints[name], *get_args(hints[name])}}
    return found if of is BillHead else {**found, "dtCreated": "created"}


def tell_due(records: OrganizationRecords, now: Instant) -> int:
    """Tell of every date that has come since its event was configured. What was past by then is not told, unless the
    entity was written later. Returns how many events there were."""
    told = 0
    for config in records.every(ScheduledEventConfiguration):
        waiting: list[tuple[str, Document]] = []
        for due, mark, document in _due(records, config, now):
            assert due <= now, "only what is due is told"
            waiting.append((mark, document))
            if len(waiting) == AT_ONCE:
                told += _tell(records, config.id, waiting)
                waiting = []
        told += _tell(records, config.id, waiting)
    return told


def _due(
    records: OrganizationRecords, config: Entity[ScheduledEventConfiguration], now: Instant
) -> Iterator[tuple[Instant, str, Document]]:
    offset, zone = config.value.offset, config_of(records).value.timezone
    for id_, account_id, written, moment, details in _dated(records, config.value, now):
        due = due_of(moment, offset, zone)
        if due is None or due > now or max(due, written) < config.created:
            continue
        mark = mark_of(config.id, id_, moment, offset)
        event = scheduled_event(mark, config.value, details, due)
        yield due, mark, event_document(event, event_type=EVENT_TYPE, account_id=account_id, resource_id=id_)


def _dated(
    records: OrganizationRecords, config: ScheduledEventConfiguration, now: Instant
) -> Iterator[tuple[str, str | None, datetime, object, dict[str, Any]]]:
    """Entities: id, account, when written, the date, and how an event shows it."""
    kind = noun(config.entity)
    if kind == BILL:
        name = date_fields(BillHead)[config.field]
        back = timedelta(days=_days_after_a_bill(records, name) + max(config.offset, 0))
        first = (now - min(back, now - BEGINNING)).date().isoformat()
        page = Page(size=AT_ONCE)
        while True:
            found = records.documents(BILL, DocumentWhere(between={"bill_date": (first, None)}), page)
            for head in (read_head(each.body) for each in found.rows):
                details = wire.decode(dict[str, Any], wire.encode(head))
                yield head.id, head.account_id, head.dt_last_modified, getattr(head, name), details
            if found.next_token is None:
                return
            page = Page(size=AT_ONCE, token=found.next_token)
    of = _KINDS[kind]
    name = date_fields(of)[config.field]
    for entity in records.every(of):
        moment = entity.created if name == "created" else getattr(entity.value, name)
        account = entity.id if kind == "account" else getattr(entity.value, "account_id", None)
        yield entity.id, account, entity.modified, moment, shown(entity)


def _days_after_a_bill(records: OrganizationRecords, name: str) -> int:
    """How many days after its bill date a date of a bill lies at most. When it is due somebody says."""
    if name != "due_date":
        return _AROUND_A_BILL
    given = (each.value.days_before_bill_due for each in records.every(Account))
    most = max((days for days in given if days is not None), default=0)
    return max(most, config_of(records).value.days_before_bill_due) + _AROUND_A_BILL


def _tell(records: OrganizationRecords, config_id: str, waiting: list[tuple[str, Document]]) -> int:
    """Tell those that were not told yet, and note that they were."""
    if not waiting:
        return 0
    ids = DocumentWhere(equal={"id": [mark for mark, _ in waiting]})
    there = {mark for (mark,) in records.keys_of(TOLD, ids, ("id",), len(waiting))}
    if len(there) == len({mark for mark, _ in waiting}):
        return 0
    with records.transaction() as write:
        there = {mark for (mark,) in write.keys_of(TOLD, ids, ("id",), len(waiting))}
        new = [(mark, event) for mark, event in waiting if mark not in there]
        keys = {"config_id": config_id}
        write.put_documents(TOLD, [Document(id=mark, sort=event.sort, keys=keys, body=b"{}") for mark, event in new])
        put_events(write, [event for _, event in new])
    return len(new)
